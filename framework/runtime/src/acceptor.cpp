#include <cairn/runtime/acceptor.hpp>
#include <cairn/runtime/hub.hpp>

#include "unique_fd.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <unordered_set>
#include <utility>

namespace cairn::runtime {

namespace {

// What the rest of the process opens is looked at so often.
constexpr std::chrono::seconds limits_check{1};

// Who is connected for so long and no peer, or no peer any more, holds a descriptor in vain. Above
// handshake_time_max, so that libzmq ends first what never finishes its handshake.
constexpr std::chrono::seconds stranger_time_max{5};

// libzmq may tell of its tries to accept as fast as they are read here.
constexpr int events_a_round = 1'024;

// The descriptor of the connection that a message came by; disconnected events name it.
int descriptor_of(zmq::message_t& frame) noexcept { return zmq_msg_get(frame.handle(), ZMQ_SRCFD); }

}  // namespace

acceptor::acceptor(hub& owner)
    : hub_(owner),
      router_(owner.sockets().router()),
      monitor_(router_),
      watch_(owner.sockets().secure()),
      guard_(owner.options().peers_max),
      watching_frames_(owner.loop(), descriptor(router_), *this),
      watching_events_(owner.loop(), monitor_.fd(), event_reader_) {
    check_limits(hub_.loop().now());
}

endpoint acceptor::bind(const endpoint& where) {
    listener made(hub_.sockets(), router_, where);
    endpoint told = connectable(made.where());
    listeners_.push_back({std::move(made), told, {.endpoint = told.text()}});
    // Peers of this process that connected before are attached by the bind itself, without an edge
    // on the descriptor, and their HELLO is here already.
    hub_.loop().flag(*this);
    return told;
}

bool acceptor::unbind(const endpoint& where) {
    return listeners_.remove_if(
               [&](const listening& l) { return l.on.where() == where || l.told == where; }) != 0;
}

void acceptor::event_reader::run(time_point now) {
    owner.handle_events(now);
    if (now >= owner.end_strangers_at_) owner.end_strangers(now);
    owner.hub_.loop().flag(owner);
}

void acceptor::run(time_point now) {
    const std::size_t unreachable = hub_.unreachable_links_.size();
    if (receive_frames(now)) hub_.give_up_unreachable(unreachable);
    hub_.retry_blocked(now);
    if (now < suspect_until_) probe_suspects(now);
    if (now >= check_limits_at_ || (paused_ && guard_.may_resume())) check_limits(now);
    if (!hub_.unreachable_links_.empty()) hub_.loop().flag(*this);
}

bool acceptor::readable() const noexcept { return (ready(router_) & ZMQ_POLLIN) != 0; }

bool acceptor::receive_frames(time_point now) {
    for (int i = 0; i != messages_a_round; ++i) {
        zmq::message_t id;
        if (receive(router_, id) != io::done) return true;
        receive_frame(id, now);
    }
    hub_.loop().flag(*this);
    return false;
}

void acceptor::receive_frame(zmq::message_t& id, time_point now) {
    zmq::message_t frame1;
    zmq::message_t frame2;
    if (!id.more() || receive(router_, frame1) != io::done) return;
    const bool two = frame1.more() && receive(router_, frame2) == io::done;
    link& from = link_of(id, frame1);
    if (two && frame2.more()) {
        drop_rest(router_, frame2);
        hub_.refuse(from, 0, errc::malformed, "a message has at most two frames");
    } else {
        hub_.received(from, frame1, two ? &frame2 : nullptr, now);
    }
    // Only who said HELLO is remembered: a stranger costs no memory.
    if (from.state_ == link::state::connected || from.state_ == link::state::refused) forget(from);
}

link& acceptor::link_of(const zmq::message_t& id, const zmq::message_t& frame1) {
    std::string key(static_cast<const char*>(id.data()), id.size());
    const int descriptor = descriptor_of(const_cast<zmq::message_t&>(frame1));
    if (const auto found = links_.find(key); found != links_.end()) {
        // Another connection that took this routing id is another peer, whatever it says.
        if (found->second->descriptor_ != descriptor) found->second->fail(errc::peer_unreachable);
        if (!found->second->lost()) return *found->second;
        hub_.bury_lost();
    }
    auto& entry = links_[key];
    if (!entry) {
        entry = std::make_unique<link>(hub_, link::role::binding, router_, this, std::move(key));
        entry->address_ = peer_address(frame1);
        entry->peer_key_ = user_id(frame1);
        entry->descriptor_ = descriptor;
    }
    return *entry;
}

void acceptor::forget(link& gone) {
    const auto found = links_.find(gone.routing_id_);
    if (found == links_.end() || found->second.get() != &gone) return;
    // It was told BYE, and may ignore that.
    if (gone.was_greeted_ && watch_.has(gone.descriptor_))
        note_stranger(gone.descriptor_, hub_.loop().now());
    links_.erase(found);
}

void acceptor::turned_away(const link& who, errc why, std::string_view text) {
    const auto by = std::ranges::find_if(listeners_, [&](const listening& l) {
        return who.descriptor_ < 0 ? l.on.where().scheme == scheme::inproc
                                   : l.on.accepted(who.descriptor_);
    });
    if (by != listeners_.end()) hub::note(by->stats, why, text);
}

void acceptor::add_stats(std::vector<endpoint_stats>& to) const {
    for (const listening& l : listeners_) {
        to.push_back(l.stats);
        to.back().state = l.on.paused() ? endpoint_state::paused : endpoint_state::listening;
    }
}

// libzmq names this end of the connection: of a wildcard listener's only the port is known before.
void acceptor::note_event(const monitor_event& event, errc why, std::string_view text) {
    const auto same = [&](const listening& l) { return l.on.where().text() == event.endpoint; };
    const auto same_port = [&](const listening& l) {
        const endpoint& where = l.on.where();
        return where.is_network() && event.endpoint.ends_with(":" + std::to_string(where.port));
    };
    auto by = std::ranges::find_if(listeners_, same);
    if (by == listeners_.end()) by = std::ranges::find_if(listeners_, same_port);
    if (by != listeners_.end()) hub::note(by->stats, why, text);
}

void acceptor::handle_events(time_point now) {
    int left = events_a_round;
    for (; left != 0; --left) {
        const auto event = monitor_.next();
        if (!event) break;
        handle(*event);
        if (event->kind == event_kind::accepted) note_stranger(event->value, now);
        if (event->kind == event_kind::disconnected) {
            strangers_.erase(event->value);
            suspect_until_ = now + std::chrono::seconds(1);
            for (const auto& [id, l] : links_)
                if (l->descriptor_ == event->value) l->suspected_ = true;
        }
    }
    if (left == 0) hub_.loop().flag(event_reader_);
    if (!paused_ && (guard_.must_stop() || guard_.count() >= look_at_)) check_limits(now);
    if (exhausted_) turn_away_waiting(now);
}

void acceptor::handle(const monitor_event& event) {
    using kind = event_kind;
    const auto advice = watch_.on(event);
    guard_.update(watch_.connections());
    if (advice) {
        hub_.handshake_failed("listening on " + event.endpoint + ": " + std::string(advice->text));
        note_event(event, advice->code, advice->text);
    } else if (event.kind == kind::failed_auth) {
        note_event(event, errc::not_authorised, hub_.last_refusal());
    }
    const bool none_left = event.value == EMFILE || event.value == ENFILE;
    if (event.kind == kind::accept_failed && !(exhausted_ && none_left)) {
        look_at_ = 0;
        exhausted_ = none_left;
        const std::string text = std::string("cannot accept: ") + std::strerror(event.value);
        hub_.log(log_level::error, "accept", "listening on " + event.endpoint + ": " + text);
        note_event(event, errc_of(event.value), text);
    }
}

void acceptor::look_at_process() {
    guard_.look_at_process();
    // Before half of what is left is used up it is looked at again.
    const std::size_t left = guard_.stop_at() - std::min(guard_.stop_at(), guard_.count());
    look_at_ = guard_.count() + std::max<std::size_t>(1, left / 2);
}

void acceptor::check_limits(time_point now) {
    look_at_process();
    if (guard_.must_stop() && !paused_) {
        paused_ = true;
        for (listening& l : listeners_) l.on.pause();
        hub_.log(log_level::error, "limit",
                 guard_.limited_by_descriptors()
                     ? "no more connections are accepted: close to the limit of open files; "
                       "raise it (ulimit -n)"
                     : "no more connections are accepted: peers_max is reached");
    } else if (paused_ && guard_.may_resume()) {
        const bool all = std::all_of(listeners_.begin(), listeners_.end(),
                                     [](listening& l) { return l.on.resume(); });
        paused_ = !all;
    }
    check_limits_at_ = now + limits_check;
    hub_.loop().at(*this, check_limits_at_);
}

// More came at once than there was room for. Nobody is added to them while we pause.
void acceptor::turn_away_waiting(time_point now) {
    exhausted_ = false;
    if (!paused_) check_limits(now);
    if (!paused_) return;
    std::size_t ended = 0;
    for (listening& l : listeners_) ended += l.on.turn_away_waiting(now);
    if (ended == 0) return;
    hub_.counters_.peers_refused += ended;
    hub_.log(log_level::error, "accept",
             "no descriptors were left for " + std::to_string(ended) +
                 " who waited to be accepted: their connections are ended");
}

void acceptor::note_stranger(int descriptor, time_point now) {
    strangers_.insert_or_assign(descriptor, now);
    if (end_strangers_at_ != loop::never) return;
    end_strangers_at_ = now + stranger_time_max;
    hub_.loop().at(event_reader_, end_strangers_at_);
}

// libzmq ends a connection neither for silence after the handshake nor at anybody's request.
void acceptor::end_strangers(time_point now) {
    std::unordered_set<int> greeted;
    for (const auto& [id, l] : links_)
        if (l->greeted()) greeted.insert(l->descriptor_);
    end_strangers_at_ = loop::never;
    const time_point next_look = now + limits_check;  // at all that are due by then
    std::erase_if(strangers_, [&](const auto& stranger) {
        const auto [descriptor, since] = stranger;
        const bool due = now - since >= stranger_time_max;
        if (due && (greeted.contains(descriptor) || end_connection(descriptor))) return true;
        end_strangers_at_ =
            std::min(end_strangers_at_, std::max(next_look, since + stranger_time_max));
        return false;
    });
    hub_.loop().at(event_reader_, end_strangers_at_);
}

// The descriptor is libzmq's, which may have closed it by now, so that its number means anything
// else in the process. A descriptor of our own cannot change under our feet.
bool acceptor::end_connection(int descriptor) {
    const unique_fd ours(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
    if (!ours) return errno == EBADF;
    const auto by = std::ranges::find_if(
        listeners_, [&](const listening& l) { return l.on.accepted(ours.get()); });
    if (by == listeners_.end()) return true;
    ++hub_.counters_.handshakes_failed;
    const std::string address = peer_of(ours.get());  // of an ipc connection there is none
    const std::string text = (address.empty() ? "somebody" : address) +
                             " is connected and does not become a peer: the connection is ended";
    hub_.log(log_level::warning, "stranger", "listening on " + by->on.where().text() + ": " + text);
    hub::note(by->stats, errc::not_cairn, text);
    ::shutdown(ours.get(), SHUT_RDWR);
    return true;
}

void acceptor::probe_suspects(time_point) {
    for (const auto& [id, l] : links_)
        if (l->suspected_ && !l->lost()) l->send(wire::heartbeat{});
}

}  // namespace cairn::runtime
