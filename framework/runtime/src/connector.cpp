#include <cairn/runtime/connector.hpp>
#include <cairn/runtime/hub.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace cairn::runtime {

namespace {

// Without HELLO for this long after the connection, there is something to tell.
constexpr std::chrono::milliseconds greeting_time_usual{800};
// Then somebody else may be there by now: a new connection finds out. Far above what a slow way
// takes for five round trips, or a peer for the handshakes of a thousand others; libzmq's own limit
// (socket_limits::handshake_time_max) ends most of those that come to nothing before this.
constexpr std::chrono::seconds greeting_time_max{5};

}  // namespace

connector::connector(hub& owner, endpoint where, std::vector<endpoint> addresses,
                     std::string server_key)
    : hub_(owner),
      where_(std::move(where)),
      name_(where_.text()),
      addresses_(std::move(addresses)),
      server_key_(std::move(server_key)),
      pause_(owner.options().reconnect_min, owner.options().reconnect_max) {
    told_.endpoint = name_;
    open(hub_.loop().now());
}

connector::~connector() {
    close();
    hub_.loop().remove(*this);
}

bool connector::leads_to_store(const link& node) const noexcept {
    return store_ && link_ && link_->greeted() && hub::same_node(*link_, node);
}

void connector::open(time_point now) {
    retry_at_ = loop::never;
    greeting_due_ = loop::never;
    told_silent_ = false;
    abandon_ = false;
    reached_ = false;
    if (auto found = lookup_ ? lookup_->answer() : std::nullopt) {
        lookup_.reset();
        nameless_ = found->empty();
        if (!found->empty() && *found != addresses_) {
            addresses_ = std::move(*found);
            address_ = 0;
        }
    }
    const endpoint& where = addresses_[address_];
    dealer_ = hub_.sockets().dealer(server_key_);
    monitor_.emplace(dealer_);
    watch_.emplace(hub_.sockets().secure());
    watching_frames_.emplace(hub_.loop(), descriptor(dealer_), *this);
    watching_events_.emplace(hub_.loop(), monitor_->fd(), event_reader_);
    link_ = std::make_unique<link>(hub_, link::role::connecting, dealer_, this, std::string());
    link_->address_ = name_;
    link_->peer_key_ = server_key_;  // or the handshake fails
    runtime::connect(dealer_, where);
    // Waits in the link until the connection is there (ZMQ_IMMEDIATE), and is the first to go.
    link_->send(hub_.our_hello());
    link_->last_received_ = now;
    // libzmq tells nothing of an inproc endpoint that nobody bound.
    if (where.scheme == scheme::inproc) {
        greeting_due_ = now + greeting_time_usual;
        hub_.loop().at(*this, greeting_due_);
    }
}

// On the loop, where nobody is there to be told.
void connector::open_again(time_point now) {
    try {
        open(now);
    } catch (const error& e) {
        hub_.log(log_level::error, "connect",
                 "cannot connect to " + name_ + " for now: " + e.what() + "; trying on");
        failed(e.code(), e.what());
        retry_later(now);
    }
}

void connector::close() {
    if (!dealer_) return;
    watching_events_.reset();
    watching_frames_.reset();
    monitor_.reset();
    link_.reset();
    dealer_.close();
}

void connector::retry_later(time_point now) {
    const bool served = link_ && link_->was_greeted_;
    if (served) lookup_.reset();  // its answer is as old as the connection
    close();
    retry_at_ = now;
    if (served || last_address())
        retry_at_ += pause_.next(static_cast<std::uint32_t>(hub_.random_()));
    if (!served && last_address()) {
        address_ = 0;
        // The answer is used when it is there: a resolver that hangs holds up no address.
        if (named() && !lookup_) lookup_.emplace(where_);
    } else if (!served) {
        ++address_;
    }
    hub_.loop().at(*this, retry_at_);
}

void connector::event_reader::run(time_point now) {
    owner.handle_events(now);
    owner.hub_.loop().flag(owner);
}

void connector::run(time_point now) {
    if (!dealer_) {
        if (now >= retry_at_) open_again(now);
        return;
    }
    receive_frames(now);
    if (link_->blocked_ && (ready(dealer_) & ZMQ_POLLOUT) != 0) hub_.retry(*link_);
    if (now >= greeting_due_ && !abandon_) greeting_missed(now);
    // A lost link is buried by the hub first, which then calls forget().
    if (abandon_ && !link_->greeted() && !link_->lost()) retry_later(now);
}

void connector::greeting_missed(time_point now) {
    greeting_due_ = loop::never;
    if (where_.scheme == scheme::inproc) return tell_unreachable();
    if (!std::exchange(told_silent_, true)) {
        constexpr std::string_view text =
            "nobody there speaks this protocol so far; check the port, and that both sides use "
            "keys or neither does";
        hub_.log(log_level::warning, "greeting",
                 "connected to " + name_ + ", but " + std::string(text));
        failed(errc::not_cairn, text);
        greeting_due_ = now + (greeting_time_max - greeting_time_usual);
        return hub_.loop().at(*this, greeting_due_);
    }
    ++hub_.counters_.handshakes_failed;
    abandon_ = true;
}

void connector::tell_unreachable() {
    if (!std::exchange(told_unreachable_, true))
        hub_.log(log_level::info, "unreachable", "nobody listens at " + name_ + " yet; trying on");
    if (nameless_)
        failed(errc::host_unknown, "the host \"" + where_.host +
                                       "\" has no address any more, and nobody listens where it "
                                       "was: check the name");
    else
        failed(errc::peer_unreachable, "nobody listens there yet");
}

void connector::failed(errc why, std::string_view text) {
    failing_ = true;
    hub::note(told_, why, text);
}

endpoint_stats connector::stats() const {
    using enum endpoint_state;
    endpoint_stats now = told_;
    now.state = link_ && link_->greeted() ? connected : failing_ ? failing : connecting;
    return now;
}

void connector::receive_frames(time_point now) {
    for (int i = 0; i != messages_a_round; ++i) {
        zmq::message_t frame1;
        zmq::message_t frame2;
        if (receive(dealer_, frame1) != io::done) return;
        const bool two = frame1.more() && receive(dealer_, frame2) == io::done;
        if (two && frame2.more()) {
            drop_rest(dealer_, frame2);
            hub_.refuse(*link_, 0, errc::malformed, "a message has at most two frames");
        } else {
            hub_.received(*link_, frame1, two ? &frame2 : nullptr, now);
        }
        if (link_->lost()) return;
    }
    hub_.loop().flag(*this);
}

void connector::handle_events(time_point now) {
    while (const auto event = monitor_->next()) handle(*event, now);
}

void connector::handle(const monitor_event& event, time_point now) {
    using kind = event_kind;
    // HELLO may be read before the event of the connection that it came by.
    if (event.kind == kind::connected) reached_ = true;
    if (event.kind == kind::connected && !link_->greeted()) {
        greeting_due_ = now + greeting_time_usual;
        hub_.loop().at(*this, greeting_due_);
    }
    if (event.kind == kind::retried) {
        // Behind a connection that failed it says no more than that did.
        if (last_address() && !reached_) tell_unreachable();
        // libzmq would try this address for ever.
        if (named()) abandon_ = true;
    }
    if (const auto advice = watch_->on(event, now)) {
        ++hub_.counters_.handshakes_failed;
        // Each try fails in the same way until somebody mends it.
        if (!failing_ || told_.last_error_text != advice->text || now >= tell_again_) {
            tell_again_ = now + log_limiter::repeat_interval;
            hub_.log(log_level::warning, "handshake",
                     "connecting to " + name_ + ": " + std::string(advice->text));
        }
        failed(advice->code, advice->text);
    }
    if (event.kind == kind::disconnected) {
        abandon_ = true;
        if (link_->greeted()) link_->fail(errc::peer_unreachable);
    }
}

bool connector::greeted(const link& which) {
    if (&which != link_.get()) return false;
    pause_.reset();
    greeting_due_ = loop::never;
    told_unreachable_ = false;
    failing_ = false;
    nameless_ = false;
    return true;
}

bool connector::forget(const link& which, errc why, std::string_view text) {
    if (&which != link_.get()) return false;
    failed(why, text);
    retry_later(hub_.loop().now());
    return true;
}

void connector::disconnect() {
    if (link_ && link_->greeted()) {
        link_->send(wire::bye{errc::closed, "disconnected"});
        link_->fail(errc::closed);
        hub_.bury(*link_, errc::closed);
    }
}

}  // namespace cairn::runtime
