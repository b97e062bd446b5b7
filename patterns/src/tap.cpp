#include "tap.hpp"

#include <cairn/runtime/handshake.hpp>
#include <cairn/runtime/listener.hpp>
#include <cairn/runtime/monitor.hpp>
#include <cairn/runtime/socket_factory.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

namespace cairn::patterns {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds limits_check{1};
// libzmq gives the port back in the background.
constexpr std::chrono::milliseconds open_again_pause = 100ms;
constexpr std::byte subscribes{1};
// libzmq may tell of its tries to accept as fast as they are read here.
constexpr int events_a_round = 1'024;

}  // namespace

struct tap::opened {
    opened(tap& of)
        : socket(of.hub_.sockets().tap()),
          monitor(std::in_place, socket),
          listener(of.hub_.sockets(), socket, of.where_),
          watch(of.hub_.sockets().secure()),
          guard(of.hub_.options().peers_max),
          watching_frames(std::in_place, of.hub_.loop(), runtime::descriptor(socket), of),
          watching_events(std::in_place, of.hub_.loop(), monitor->fd(), of.event_reader_) {}
    // The socket before the listener, whose end would drop what is still to be sent.
    ~opened() {
        watching_events.reset();
        watching_frames.reset();
        monitor.reset();
        flooded ? socket.close_now() : socket.close();
    }
    opened(const opened&) = delete;
    opened& operator=(const opened&) = delete;

    runtime::socket socket;
    std::optional<runtime::monitor> monitor;
    runtime::listener listener;
    runtime::accept_watch watch;
    runtime::connection_guard guard;
    std::optional<runtime::loop::watching> watching_frames;
    std::optional<runtime::loop::watching> watching_events;
    time_point look_at;  // what the process has open
    bool paused = false;
    bool flooded = false;    // what is not sent is not worth its memory
    bool exhausted = false;  // libzmq had no descriptor for one who came
    // Since there was no connection:
    std::size_t subscriptions = 0;
    std::size_t subscription_bytes = 0;
};

tap::tap(runtime::hub& owner, const runtime::endpoint& where, std::uint64_t& emptied)
    : hub_(owner), where_(where), emptied_(emptied), opened_(std::make_unique<opened>(*this)) {
    where_ = opened_->listener.where();
}

tap::~tap() {
    opened_.reset();
    hub_.loop().remove(*this);
}

void tap::mirror(std::string_view topic, std::span<const std::byte> body) {
    if (!opened_) return;
    zmq::message_t first(topic.data(), topic.size());
    zmq::message_t second(body.data(), body.size());
    // It never refuses: it drops for who is too slow, as a tap may.
    if (runtime::send(opened_->socket, first, true) == runtime::io::done)
        static_cast<void>(runtime::send(opened_->socket, second, false));
}

void tap::event_reader::run(time_point /*now*/) { owner.hub_.loop().flag(owner); }

void tap::run(time_point now) {
    if (!opened_) return open_again(now);
    handle_events();
    read_subscriptions();
    if (opened_->subscriptions > subscriptions_max ||
        opened_->subscription_bytes > subscription_bytes_max)
        return empty(now);
    check_connections(now);
}

void tap::handle_events() {
    for (int i = 0; i != events_a_round; ++i) {
        const auto event = opened_->monitor->next();
        if (!event) return;
        const auto advice = opened_->watch.on(*event);
        if (advice)
            hub_.handshake_failed("tap " + where_.text() + ": " + std::string(advice->text));
        if (event->kind == runtime::event_kind::accept_failed) {
            opened_->look_at = {};
            opened_->exhausted = event->value == EMFILE || event->value == ENFILE;
        }
        opened_->guard.update(opened_->watch.connections());
        if (opened_->watch.connections() == 0)
            opened_->subscriptions = opened_->subscription_bytes = 0;
    }
    hub_.loop().flag(*this);
}

void tap::read_subscriptions() {
    for (int i = 0; i != runtime::messages_a_round; ++i) {
        zmq::message_t said;
        if (runtime::receive(opened_->socket, said) != runtime::io::done) return;
        if (said.size() != 0 && *static_cast<const std::byte*>(said.data()) == subscribes) {
            ++opened_->subscriptions;
            opened_->subscription_bytes += said.size() - 1;
        }
        runtime::drop_rest(opened_->socket, said);
    }
    hub_.loop().flag(*this);
}

void tap::empty(time_point now) {
    ++emptied_;
    log(log_level::error, "tap",
        "all its connections end, and may come again: they are, or subscribed to, more than a tap "
        "keeps");
    opened_->flooded = true;
    opened_.reset();
    hub_.loop().at(*this, now + open_again_pause);
}

void tap::open_again(time_point now) {
    try {
        opened_ = std::make_unique<opened>(*this);
    } catch (const error& e) {
        hub_.log_repeated(log_level::warning, "tap",
                          "tap " + where_.text() + ", for now: " + e.what());
        hub_.loop().at(*this, now + open_again_pause);
    }
}

void tap::check_connections(time_point now) {
    opened& o = *opened_;
    if (now >= o.look_at) {
        o.look_at = now + limits_check;
        o.guard.look_at_process();
    }
    // libzmq's own listener for WebSocket cannot pause.
    if (o.guard.must_stop() && where_.scheme == runtime::scheme::ws) return empty(now);
    if (o.guard.must_stop() && !o.paused) {
        o.paused = true;
        o.listener.pause();
        log(log_level::error, "limit",
            o.guard.limited_by_descriptors()
                ? "no more connections are accepted: close to the limit of open files; raise it "
                  "(ulimit -n)"
                : "no more connections are accepted: peers_max is reached");
    } else if (o.paused && o.guard.may_resume()) {
        o.paused = !o.listener.resume();
    }
    // More came at once than there was room for. Nobody is added to them while it pauses.
    if (std::exchange(o.exhausted, false) && o.paused) o.listener.turn_away_waiting(now);
    if (o.paused) hub_.loop().at(*this, now + limits_check);
}

void tap::log(log_level level, std::string_view cause, std::string_view text) {
    hub_.log(level, cause, "tap " + where_.text() + ": " + std::string(text));
}

}  // namespace cairn::patterns
