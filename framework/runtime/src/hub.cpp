#include <cairn/runtime/acceptor.hpp>
#include <cairn/runtime/connector.hpp>
#include <cairn/runtime/endpoint.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/printable.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <cstdio>
#include <random>
#include <span>
#include <utility>

namespace cairn::runtime {

namespace {

node_id random_id() {
    std::random_device device;
    node_id id;
    for (std::byte& b : id.bytes) b = static_cast<std::byte>(device());
    return id;
}

constexpr std::chrono::milliseconds timing_max = std::chrono::hours(24);

node_options checked(node_options options, const node_id& id) {
    if (options.name.empty()) {
        char text[32];
        std::snprintf(text, sizeof text, "node-%02x%02x%02x%02x",
                      static_cast<unsigned>(id.bytes[0]), static_cast<unsigned>(id.bytes[1]),
                      static_cast<unsigned>(id.bytes[2]), static_cast<unsigned>(id.bytes[3]));
        options.name = text;
    }
    if (options.name.size() > wire::name_bytes_max)
        throw error(errc::too_large, "node: the name is longer than 255 bytes");
    if (options.body_bytes_max == 0 || options.body_bytes_max > wire::body_bytes_max)
        throw error(errc::invalid_argument, "node: body_bytes_max must be 1 byte to 64 MiB");
    if (options.heartbeat <= std::chrono::milliseconds::zero() ||
        options.silence_max <= options.heartbeat)
        throw error(errc::invalid_argument,
                    "node: heartbeat must be above zero and silence_max above heartbeat");
    if (options.reconnect_min <= std::chrono::milliseconds::zero() ||
        options.reconnect_max < options.reconnect_min)
        throw error(errc::invalid_argument,
                    "node: reconnect_min must be above zero and not above reconnect_max");
    if (options.silence_max > timing_max || options.reconnect_max > timing_max)
        throw error(errc::invalid_argument,
                    "node: silence_max and reconnect_max must not be above 24 hours");
    if (options.peers_max == 0 || options.topics_per_peer_max == 0)
        throw error(errc::invalid_argument,
                    "node: peers_max and topics_per_peer_max must be at least 1");
    return options;
}

// A full pipe takes frames again when half of it is sent: libzmq's low-water mark. Asking costs
// some 0.3 µs; with this pause a hundred slow peers cost a sixth of the time, and one is asked at
// once.
constexpr std::chrono::microseconds retry_pause_a_link{2};
// Room that one try read away from another link's edge is found this late at most.
constexpr std::chrono::milliseconds retry_pause_max{1};

// Who would fill it with made-up ids only spoils the count of reconnects.
constexpr std::size_t known_peers_max = 65'536;

std::string how_it_ended(errc why) {
    switch (why) {
        case errc::closed:
            return "it left in good order";
        case errc::peer_unreachable:
            return "the connection ended";
        case errc::peer_silent:
            return "nothing was heard from it for too long";
        default:
            return std::string(describe(why));
    }
}

std::span<const std::byte> bytes_of(const zmq::message_t& frame) {
    return {static_cast<const std::byte*>(frame.data()), frame.size()};
}

constexpr std::string_view no_store = "this node serves no store";

bool asks_store(wire::kind kind) {
    using enum wire::kind;
    switch (kind) {
        case open_source:
        case close_source:
        case lost:
        case locate:
        case attach_group:
        case list_topics:
        case list_sources:
        case list_groups:
        case list_figures:
        case create_topic:
        case alter_topic:
        case delete_topic:
        case trim:
        case create_group:
        case seek_group:
        case delete_group:
            return true;
        default:
            return false;
    }
}

// What a request asks for that its peer has no right to.
std::string missing_right(const wire::control_frame& frame) {
    static constexpr std::string_view manage = "manage ";
    const std::string_view what = std::visit(
        []<typename F>(const F&) -> std::string_view {
            if constexpr (std::is_same_v<F, wire::open_source> || std::is_same_v<F, wire::fenced>)
                return "publish on ";
            if constexpr (std::is_same_v<F, wire::attach> || std::is_same_v<F, wire::attach_group>)
                return "consume ";
            if constexpr (std::is_same_v<F, wire::subscribe> || std::is_same_v<F, wire::locate>)
                return "subscribe to ";
            if constexpr (std::is_same_v<F, wire::list_sources> ||
                          std::is_same_v<F, wire::list_groups>)
                return "see ";
            return manage;
        },
        frame);
    const std::string_view topic = std::visit(
        [](const auto& f) -> std::string_view {
            if constexpr (requires { f.pattern; }) return f.pattern;
            if constexpr (requires { f.topic; }) return f.topic;
            return "all of it";
        },
        frame);
    std::string text = "no right to " + std::string(what) + std::string(topic);
    if (what == manage) text += "; that takes the right admin";
    return text;
}

// A peer that asks for what it may not have, or for what is over by now, is no enemy: its next
// request may be in order. An answer costs no more than a PONG.
bool breaks_protocol(errc code) {
    switch (code) {
        case errc::invalid_argument:
        case errc::limit_exceeded:
        case errc::not_supported:
        case errc::not_authorised:
        case errc::topic_invalid:
        case errc::unknown_subscription:
        case errc::topic_unknown:
            return false;
        default:
            return true;
    }
}

// The channel that a frame is for, where its kind goes to the reader that chose the channel.
wire::channel reader_channel(const wire::control_frame& frame) {
    return std::visit(
        [](const auto& f) -> wire::channel {
            if constexpr (requires { f.channel; })
                return f.channel;
            else
                return 0;
        },
        frame);
}

}  // namespace

void check(const node_options& options) {
    static_cast<void>(checked(options, {}));
    check_security(options.security);
    static_cast<void>(gate(options.access));
    for (const std::string& text : options.bind) {
        const endpoint where = parse_endpoint(text, purpose::bind);
        require_secure(where, !options.security.keys.public_key.empty(), options.security.insecure);
        static_cast<void>(resolve(where, purpose::bind));
    }
    for (const std::string& text : options.connect)
        static_cast<void>(resolve(parse_endpoint(text, purpose::connect), purpose::connect));
}

hub::hub(node_options options, bool is_store)
    : id_(random_id()),
      is_store_(is_store),
      random_name_(options.name.empty()),
      options_(checked(std::move(options), id_)),
      allowed_keys_(options_.security.allowed_keys.begin(), options_.security.allowed_keys.end()),
      gate_(options_.access),
      context_(context::shared()),
      sockets_(context_, options_, [this](const refusal& r) {
          log_repeated(log_level::warning, "refused", r.text());
          refusals_.fetch_add(1, std::memory_order_relaxed);
          const std::lock_guard lock(log_mutex_);
          last_refusal_ = r.text();
      }) {
    if (!options_.state_directory.empty())
        epochs_ = std::make_unique<saved_epochs>(options_.state_directory);
    local_link_ = std::make_unique<link>(*this, link::role::local, zmq::socket_ref(), nullptr, "");
    local_link_->state_ = link::state::greeted;
    local_link_->primary_ = true;
    local_link_->peer_ = id_;
    local_link_->peer_name_ = options_.name;
    local_link_->peer_body_bytes_max_ = options_.body_bytes_max;
    primary_links_.push_back(local_link_.get());
    loop_.at(housekeeping_, loop_.now() + duration(options_.heartbeat) / 2);
    loop_.start(options_.name);
    try {
        for (const std::string& endpoint : options_.bind) bind(endpoint);
        for (const std::string& endpoint : options_.connect) connect(endpoint);
    } catch (...) {
        close();
        throw;
    }
}

hub::~hub() { close(); }

void hub::close() {
    if (fork_.forked() || closed_.exchange(true)) return;
    {
        const loop::guard holding(loop_);
        for (frame_handler* h : std::vector(handlers_)) h->node_closing();
        for (link* l : std::vector(all_links_))
            if (l->greeted() && l->side() != link::role::local)
                l->send(wire::bye{errc::closed, "the node closes"});
        // Handles may outlive this: what they keep of the links goes first.
        for (link* l : std::vector(all_links_))
            if (l->was_greeted_ && l->side() != link::role::local)
                for (frame_handler* h : std::vector(handlers_)) h->link_down(*l);
        connectors_.clear();
        acceptor_.reset();
        counters_.links = 0;
        loop_.changed();
    }
    loop_.stop();
}

void hub::tell_ending() {
    for (frame_handler* h : std::vector(handlers_)) h->node_ending();
    loop_.changed();
}

std::uint64_t hub::unfinished() {
    std::uint64_t all = 0;
    for (frame_handler* h : std::vector(handlers_)) all += h->unfinished();
    return all;
}

void hub::check_open(std::string_view operation) const {
    fork_.check(operation);
    if (closed_.load()) throw error(errc::closed, std::string(operation) + ": the node is closed");
}

// --- Endpoints --------------------------------------------------------------------------------

std::string hub::bind(std::string_view text) {
    check_open("bind");
    const endpoint where = parse_endpoint(text, purpose::bind);
    require_secure(where, sockets_.secure(), sockets_.insecure_allowed());
    const std::vector<endpoint> resolved = resolve(where, purpose::bind);
    const loop::guard holding(loop_);
    check_open("bind");
    if (!acceptor_) acceptor_ = std::make_unique<acceptor>(*this);
    return acceptor_->bind(resolved.front()).text();
}

bool hub::unbind(std::string_view text) {
    check_open("unbind");
    const endpoint where = parse_endpoint(text, purpose::bind, "unbind");
    const std::vector<endpoint> resolved = resolve(where, purpose::bind, "unbind");
    const loop::guard holding(loop_);
    return acceptor_ && acceptor_->unbind(resolved.front());
}

void hub::connect(std::string_view text, const std::string& server_key) {
    static_cast<void>(connect(text, server_key, false));
}

std::string hub::connect_store(std::string_view text) {
    return connect(text, options_.security.store_key, true);
}

std::string hub::connect(std::string_view text, const std::string& server_key, bool store) {
    check_open(store ? "connect to a store" : "connect");
    const endpoint where = parse_endpoint(text, purpose::connect);
    std::string name = where.text();
    check_server_key(options_.security, server_key, "connect " + name);
    const std::string& key = server_key.empty() ? options_.security.server_key : server_key;
    if (sockets_.secure() && key.empty())
        throw error(errc::key_invalid,
                    "connect " + name +
                        ": the node has keys, so it needs security.server_key, the public key of "
                        "the nodes that it connects to (or connect_options, security.store_key)");
    std::vector<endpoint> addresses = resolve(where, purpose::connect);
    const loop::guard holding(loop_);
    check_open("connect");  // resolving a name takes its time
    auto found = connectors_.find(name);
    if (found == connectors_.end()) {
        auto made = std::make_unique<connector>(*this, where, std::move(addresses), key);
        found = connectors_.emplace(name, std::move(made)).first;
    } else if (!store && !server_key.empty() && found->second->server_key() != key) {
        throw error(errc::key_invalid, "connect " + name +
                                           ": the node is connected there under another key; "
                                           "disconnect first");
    }
    if (!store) return name;
    found->second->mark_store();
    for (link* l : std::vector(primary_links_)) note_stores(*l, true);
    return name;
}

bool hub::disconnect(std::string_view text) {
    check_open("disconnect");
    const endpoint where = parse_endpoint(text, purpose::connect, "disconnect");
    const loop::guard holding(loop_);
    const auto found = connectors_.find(where.text());
    if (found == connectors_.end()) return false;
    found->second->disconnect();
    connectors_.erase(found);
    return true;
}

void hub::allow_keys(std::vector<std::string> keys) {
    check_open("allow keys");
    if (!sockets_.secure())
        throw error(errc::not_supported,
                    "allow keys: the node has no keys, so every peer may connect; set "
                    "security.keys");
    sockets_.replace_allowed_keys(keys);
    const loop::guard holding(loop_);
    allowed_keys_ = {keys.begin(), keys.end()};
    for (link* l : std::vector(all_links_))
        if (l->greeted() && !admits(*l))
            cut(*l, "its key is not allowed any more", "your key is not allowed any more");
    bury_lost();
    loop_.changed();
}

void hub::allow(std::vector<access_rule> rules) {
    check_open("allow");
    runtime::gate fresh(std::move(rules));
    const loop::guard holding(loop_);
    replace_gate(std::move(fresh));
}

void hub::replace_gate(runtime::gate fresh) {
    const runtime::gate before = std::exchange(gate_, std::move(fresh));
    for (link* l : std::vector(all_links_))
        if (l->greeted() && l->side() != link::role::local && !gate_.same_for(*l, before))
            cut(*l, "its rights have changed", "your rights have changed: connect again");
    bury_lost();
    loop_.changed();
}

void hub::cut(link& which, std::string_view why_here, std::string_view why_there) {
    log(log_level::warning, "revoked", which.description() + " is cut: " + std::string(why_here));
    which.send(wire::bye{errc::not_authorised, why_there});
    which.fail(errc::not_authorised);
}

// Where there are keys, libzmq lets nobody in without one, but over inproc it asks for none.
bool hub::admits(const link& which) const {
    return which.side() != link::role::binding || which.peer_key().empty() ||
           options_.security.allow_any_key || allowed_keys_.contains(which.peer_key());
}

bool hub::wait_for_peers(std::size_t count, std::chrono::milliseconds deadline) {
    return loop_.wait_until(later(loop_.now(), deadline), [&] {
        return closed_.load() || primary_links_.size() > count;  // one is our own
    }) && !closed_.load();
}

// --- Links ------------------------------------------------------------------------------------

wire::hello hub::our_hello() const {
    return {wire::protocol_version, wire::protocol_version,  id_,
            options_.name,          options_.body_bytes_max, is_store_};
}

void hub::received(link& from, zmq::message_t& frame1, zmq::message_t* frame2, time_point now) {
    ++counters_.frames_received;
    counters_.bytes_received += frame1.size() + (frame2 ? frame2->size() : 0);
    if (from.lost() || from.state_ == link::state::refused) return;
    from.last_received_ = now;
    const result<wire::kind> kind = wire::peek_kind(bytes_of(frame1));
    const bool may_greet = kind && (*kind == wire::kind::hello || *kind == wire::kind::bye);
    if (!from.greeted() && !may_greet) {
        // Whoever forgot us, or was forgotten, starts over when it reads this.
        from.send(wire::bye{errc::not_greeted, "HELLO comes first"});
        from.state_ = link::state::refused;
        ++counters_.frames_malformed;
        return;
    }
    if (!kind)
        return refuse(from, 0, kind.error(),
                      kind.error() == errc::unknown_kind ? "this version knows no such kind"
                                                         : "not a frame of this protocol");
    if (*kind == wire::kind::append && !by_kind_[static_cast<std::size_t>(*kind)])
        return refuse(from, 0, errc::not_supported, no_store);
    if (*kind == wire::kind::batch || *kind == wire::kind::jobs || *kind == wire::kind::append)
        return received_batch_frame(from, *kind, frame1, frame2);
    if (frame2)
        return refuse(from, 0, errc::malformed, "a second frame follows only a batch header");
    control_frame(from, *kind, frame1);
}

void hub::received_batch_frame(link& from, wire::kind kind, zmq::message_t& frame1,
                               zmq::message_t* frame2) {
    auto batch = std::make_unique<received_batch>();
    batch->frame1.move(frame1);
    const auto whole = bytes_of(batch->frame1);
    std::size_t header_bytes = 0;
    if (kind == wire::kind::batch) {
        auto decoded = wire::decode_batch(whole);
        if (!decoded) return refuse(from, 0, decoded.error(), "BATCH header");
        static_cast<wire::batch_header&>(batch->header) = decoded->header;
        header_bytes = decoded->bytes;
    } else if (kind == wire::kind::append) {
        auto decoded = wire::decode_append(whole);
        if (!decoded) return refuse(from, 0, decoded.error(), "APPEND header");
        static_cast<wire::batch_header&>(batch->header) = decoded->header;
        header_bytes = decoded->bytes;
    } else {
        auto decoded = wire::decode_jobs(whole);
        if (!decoded) return refuse(from, 0, decoded.error(), "JOBS header");
        batch->header = decoded->header;
        header_bytes = decoded->bytes;
    }
    if (frame2) batch->frame2.move(*frame2);
    batch->body = frame2 ? bytes_of(batch->frame2) : whole.subspan(header_bytes);
    const wire::channel channel = batch->header.channel;
    if (frame2 && header_bytes != whole.size())
        return refuse(from, 0, errc::malformed, "two bodies in one batch");
    // The store checks them itself, off the loop.
    if (kind == wire::kind::append)
        return by_kind_[static_cast<std::size_t>(kind)]->append(from, std::move(batch));
    if (wire::checksum(batch->body) != batch->header.checksum)
        return refuse(from, 0, errc::checksum_mismatch, "batch body");
    if (const errc wrong = wire::check_records(batch->body, batch->header.count); wrong != errc::ok)
        return refuse(from, 0, wrong, "records of a batch");
    const auto found = channels_.find(channel);
    // An unsubscribed reader's last batches are still on their way for a while.
    if (found != channels_.end()) found->second->batch(from, std::move(batch));
}

void hub::control_frame(link& from, wire::kind kind, const zmq::message_t& bytes) {
    const result<wire::control_frame> frame = wire::decode(bytes_of(bytes));
    if (!frame) return refuse(from, 0, frame.error(), "control frame");
    switch (kind) {
        case wire::kind::hello:
            return greet(from, std::get<wire::hello>(*frame));
        case wire::kind::bye: {
            const auto& said = std::get<wire::bye>(*frame);
            if (said.reason != errc::closed && said.reason != errc::not_greeted)
                log(log_level::warning, "bye",
                    from.description() + " ends the connection: " + std::string(said.text));
            return from.fail(said.reason,
                             "the peer ended the connection: " + std::string(said.text));
        }
        case wire::kind::heartbeat:
            return;
        case wire::kind::ping: {
            from.send(wire::pong{std::get<wire::ping>(*frame).token});
            return;
        }
        case wire::kind::pong:
            from.note_pong(std::get<wire::pong>(*frame).token);
            for (frame_handler* h : std::vector(handlers_)) h->link_drained(from);
            return loop_.changed();
        case wire::kind::fenced: {
            // It names a source and no channel: publishers and pushers know whether it is theirs.
            for (frame_handler* h : std::vector(handlers_))
                h->fenced(from, std::get<wire::fenced>(*frame));
            return;
        }
        default:
            break;
    }
    frame_handler* handler = handler_of(kind, *frame);
    if (!handler) {
        if (asks_store(kind))
            return refuse(from, reader_channel(*frame), errc::not_supported, no_store);
        if (by_kind_[static_cast<std::size_t>(kind)] == nullptr && kind == wire::kind::error)
            log(log_level::warning, "error",
                from.description() +
                    " answers: " + std::string(std::get<wire::error_reply>(*frame).text));
        return;
    }
    const errc wrong = handler->frame(from, *frame);
    if (kind == wire::kind::error) return;  // two that are at a loss would go on for ever
    if (wrong == errc::not_authorised)
        refuse(from, reader_channel(*frame), wrong, missing_right(*frame));
    else if (wrong != errc::ok)
        refuse(from, reader_channel(*frame), wrong, describe(wrong));
}

frame_handler* hub::handler_of(wire::kind kind, const wire::control_frame& frame) const {
    if (frame_handler* service = by_kind_[static_cast<std::size_t>(kind)]) return service;
    const auto found = channels_.find(reader_channel(frame));
    return found == channels_.end() ? nullptr : found->second;
}

void hub::greet(link& from, const wire::hello& hello) {
    if (from.greeted()) return refuse(from, 0, errc::malformed, "HELLO came twice");
    from.peer_name_ = hello.node_name;
    // Its handshake may have been before its key was taken off the list: libzmq ends no connection.
    if (!admits(from))
        return turn_away(from, errc::not_authorised, "its key is not allowed any more");
    if (hello.version < wire::protocol_version || hello.version_min > wire::protocol_version)
        return turn_away(from, errc::version_mismatch, "this node speaks protocol version 1");
    const auto greeted = static_cast<std::size_t>(std::count_if(
        all_links_.begin(), all_links_.end(),
        [](const link* l) { return l->greeted() && l->side() == link::role::binding; }));
    if (from.side() == link::role::binding && greeted >= options_.peers_max)
        return turn_away(from, errc::too_many_peers, "this node has as many peers as it allows");
    from.peer_ = hello.node;
    from.peer_body_bytes_max_ = hello.body_bytes_max;
    from.peer_is_store_ = hello.store;
    from.state_ = link::state::greeted;
    from.was_greeted_ = true;
    if (from.side() == link::role::binding) from.send(our_hello());
    for (const auto& [name, c] : connectors_) c->greeted(from);
    ++counters_.links;
    const bool known = !known_peers_.insert(hello.node).second;
    if (known_peers_.size() > known_peers_max) known_peers_.erase(known_peers_.begin());
    log(log_level::info, "greeting", "connected with " + from.description());
    // A second connection to the same node, or to ourselves, stands by for the first.
    const bool second = std::any_of(primary_links_.begin(), primary_links_.end(),
                                    [&](const link* l) { return same_node(*l, from); });
    if (known && !second) ++counters_.reconnects;
    if (!second) introduce(from);
    for (link* l : std::vector(primary_links_))
        if (l != &from && same_node(*l, from)) note_stores(*l, true);
    loop_.changed();
}

void hub::turn_away(link& from, errc why, std::string_view text) {
    const std::string told = from.description() + " is turned away: " + std::string(text);
    log(log_level::warning, "greeting", told);
    ++counters_.peers_refused;
    from.send(wire::bye{why, text});
    from.state_ = link::state::refused;
    if (from.side() == link::role::connecting)
        from.fail(why, told);
    else
        acceptor_->turned_away(from, why, told);
}

// A node id is only a claim; where there are keys, it is worth as much as the key that came with
// it.
bool hub::same_node(const link& a, const link& b) {
    return a.peer() == b.peer() && (a.peer_key() == b.peer_key() || a.side() == link::role::local ||
                                    b.side() == link::role::local);
}

void hub::introduce(link& which) {
    which.primary_ = true;
    primary_links_.push_back(&which);
    note_stores(which, false);
    for (frame_handler* h : std::vector(handlers_)) h->link_up(which);
}

void hub::note_stores(link& which, bool announced) {
    bool fresh = false;
    for (const auto& [name, c] : connectors_) {
        if (!c->leads_to_store(which) || which.is_store(name)) continue;
        which.stores_.push_back(name);
        fresh = true;
    }
    if (!fresh || !announced) return;
    for (frame_handler* h : std::vector(handlers_)) h->link_down(which);
    for (frame_handler* h : std::vector(handlers_)) h->link_up(which);
}

void hub::lost(link& which, errc why) {
    lost_links_.emplace_back(&which, why);
    loop_.flag(housekeeping_);
}

void hub::bury_lost() {
    while (!lost_links_.empty()) {
        const auto [which, why] = lost_links_.back();
        lost_links_.pop_back();
        bury(*which, why);
    }
}

void hub::bury(link& which, errc why) {
    std::erase(all_links_, &which);
    if (which.was_greeted_) {
        --counters_.links;
        log(log_level::info, "lost",
            "lost " + which.description() + ": " + how_it_ended(why) +
                (which.side() == link::role::connecting ? "; connecting again" : ""));
        // Of one that stood by, too: its peer may have asked for something all the same.
        std::erase(primary_links_, &which);
        for (frame_handler* h : std::vector(handlers_)) h->link_down(which);
    }
    if (std::exchange(which.primary_, false)) {
        const auto stand_by =
            std::find_if(all_links_.begin(), all_links_.end(),
                         [&](const link* l) { return l->greeted() && same_node(*l, which); });
        if (stand_by != all_links_.end()) introduce(**stand_by);
    }
    loop_.changed();
    if (which.side() == link::role::binding) return acceptor_->forget(which);
    const std::string text = which.fault_.empty() ? how_it_ended(why) : which.fault_;
    for (const auto& [name, c] : connectors_)
        if (c->forget(which, why, text)) return;
}

void hub::retry_blocked(time_point now) {
    if (blocked_links_.empty()) return;
    if (now < retry_blocked_at_) return loop_.at(retry_, retry_blocked_at_);
    retry_blocked_at_ = now + retry_pause_a_link * blocked_links_.size();
    std::vector<link*> blocked;
    blocked.swap(blocked_links_);
    // Whose pipe is still full blocks itself again.
    retrying_ = true;
    for (link* l : blocked) retry(*l);
    retrying_ = false;
    if (blocked_links_.empty()) return;
    // What the tries read away from the socket: frames to receive, and room in another link's pipe.
    if (acceptor_->readable()) loop_.flag(*acceptor_);
    loop_.at(retry_, now + retry_pause_max);
}

void hub::give_up_unreachable(std::size_t count) {
    const auto first = unreachable_links_.begin();
    const auto end =
        first + static_cast<std::ptrdiff_t>(std::min(count, unreachable_links_.size()));
    std::for_each(first, end, [](link* l) { l->fail(errc::peer_unreachable); });
    unreachable_links_.erase(first, end);
}

void hub::retry(link& which) {
    if (which.lost() || !which.flush()) return;
    for (frame_handler* h : std::vector(handlers_)) h->link_writable(which);
}

void hub::refuse(link& from, wire::channel channel, errc code, std::string_view text) {
    ++counters_.frames_malformed;
    if (code == errc::not_authorised) ++counters_.rights_refused;
    const bool broken = breaks_protocol(code);
    log(log_level::warning, broken ? "malformed" : "refused",
        from.description() + (broken ? " broke the protocol: " : " asked in vain: ") +
            std::string(cairn::name(code)) + ": " + std::string(text) +
            (code == errc::not_authorised && !from.peer_key().empty()
                 ? "; its key is " + from.peer_key()
                 : ""));
    if (!from.greeted()) {
        from.send(wire::bye{errc::malformed, text});
        from.state_ = link::state::refused;
        if (from.side() == link::role::binding)
            acceptor_->turned_away(
                from, errc::malformed,
                from.description() + " broke the protocol: " + std::string(text));
        return;
    }
    // An ERROR is never answered with one, so two nodes cannot keep each other busy.
    from.send(wire::error_reply{channel, code, text});
    if (broken && ++from.refusals_ == link::refusals_max && from.side() != link::role::local) {
        from.send(wire::bye{errc::malformed, "too many malformed frames"});
        from.fail(errc::malformed);
    }
}

void hub::count_refused(errc code) noexcept {
    ++counters_.frames_malformed;
    if (code == errc::not_authorised) ++counters_.rights_refused;
}

// --- Housekeeping -----------------------------------------------------------------------------

void hub::housekeeping::run(time_point now) {
    owner.bury_lost();
    if (now < next_check) return;
    next_check = now + duration(owner.options_.heartbeat) / 2;
    owner.keep_alive(now);
    owner.loop_.at(*this, next_check);
}

void hub::keep_alive(time_point now) {
    for (link* l : all_links_) {
        if (!l->greeted() || l->side() == link::role::local) continue;
        if (now - l->last_received_ >= options_.silence_max) {
            // Should it only have slept, this tells it to start over.
            l->send(wire::bye{errc::peer_silent, "nothing was heard for too long"});
            l->fail(errc::peer_silent);
        } else if (now - l->last_sent_ >= duration(options_.heartbeat) / 2) {
            l->send(wire::heartbeat{});
        }
    }
    const std::lock_guard lock(log_mutex_);
    for (const auto& summary : limiter_.due(now))
        if (options_.log) options_.log(log_level::warning, printable(summary.text()));
}

void hub::local_delivery::run(time_point now) {
    std::vector<std::pair<zmq::message_t, zmq::message_t>> batch;
    batch.swap(frames);
    for (auto& [frame1, frame2] : batch)
        owner.received(*owner.local_link_, frame1, frame2.size() != 0 ? &frame2 : nullptr, now);
}

void hub::log(log_level level, std::string_view cause, std::string_view text) {
    if (!options_.log) return;
    const std::lock_guard lock(log_mutex_);
    if (!limiter_.admit(cause, loop_.now())) return;
    options_.log(level, printable(text));
}

void hub::log_repeated(log_level level, std::string_view cause, std::string_view text) {
    if (!options_.log) return;
    const std::lock_guard lock(log_mutex_);
    if (!limiter_.admit_repeated(cause, text, loop_.now())) return;
    options_.log(level, printable(text));
}

void hub::handshake_failed(std::string_view text) {
    ++counters_.handshakes_failed;
    log_repeated(log_level::warning, "handshake", text);
}

node_stats hub::stats() {
    const loop::guard holding(loop_);
    node_stats all = counters_;
    all.handshakes_failed += refusals_.load(std::memory_order_relaxed);
    {
        const std::lock_guard lock(log_mutex_);
        all.log_suppressed = limiter_.suppressed_total();
    }
    if (acceptor_) acceptor_->add_stats(all.endpoints);
    for (const auto& [name, c] : connectors_) all.endpoints.push_back(c->stats());
    for (frame_handler* h : handlers_) h->add_stats(all.handles);
    return all;
}

void hub::note(endpoint_stats& at, errc code, std::string_view text) {
    ++at.failures;
    at.last_error = code;
    at.last_error_text = printable(text, wire::text_bytes_max);
    at.last_error_time = std::chrono::system_clock::now();
}

std::string hub::last_refusal() {
    const std::lock_guard lock(log_mutex_);
    return last_refusal_;
}

// --- Registry ---------------------------------------------------------------------------------

epoch hub::new_epoch(std::string_view /*topic*/, std::string_view /*source*/) {
    const wall_time time = std::chrono::system_clock::now();
    return epochs_ ? epochs_->take(time) : epoch_of(time);
}

void hub::serve(wire::kind kind, frame_handler* handler) {
    by_kind_[static_cast<std::size_t>(kind)] = handler;
}

void hub::add(frame_handler& handler) {
    handlers_.push_back(&handler);
    for (link* l : std::vector(primary_links_)) handler.link_up(*l);
}

void hub::remove(frame_handler& handler) {
    std::erase(handlers_, &handler);
    for (auto& entry : by_kind_)
        if (entry == &handler) entry = nullptr;
    std::erase_if(channels_, [&](const auto& entry) { return entry.second == &handler; });
}

wire::channel hub::open_channel(frame_handler& handler) {
    channels_.emplace(next_channel_, &handler);
    return next_channel_++;
}

void hub::close_channel(wire::channel channel) { channels_.erase(channel); }

bool hub::claim_source(std::string_view topic, std::string_view source) {
    return sources_.emplace(topic, source).second;
}

void hub::release_source(std::string_view topic, std::string_view source) {
    sources_.erase({std::string(topic), std::string(source)});
}

}  // namespace cairn::runtime
