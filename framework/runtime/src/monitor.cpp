#include <cairn/runtime/monitor.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include "internal_socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <cstring>
#include <utility>

namespace cairn::runtime {

namespace {

using kind = event_kind;

std::optional<kind> kind_of(std::uint16_t event) {
    switch (event) {
        case ZMQ_EVENT_CONNECT_DELAYED:
            return kind::connect_delayed;
        case ZMQ_EVENT_CONNECTED:
            return kind::connected;
        case ZMQ_EVENT_CONNECT_RETRIED:
            return kind::retried;
        case ZMQ_EVENT_LISTENING:
            return kind::listening;
        case ZMQ_EVENT_BIND_FAILED:
            return kind::bind_failed;
        case ZMQ_EVENT_ACCEPTED:
            return kind::accepted;
        case ZMQ_EVENT_ACCEPT_FAILED:
            return kind::accept_failed;
        case ZMQ_EVENT_CLOSED:
            return kind::closed;
        case ZMQ_EVENT_CLOSE_FAILED:
            return kind::close_failed;
        case ZMQ_EVENT_DISCONNECTED:
            return kind::disconnected;
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
            return kind::handshake_ok;
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            return kind::failed_no_detail;
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
            return kind::failed_protocol;
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            return kind::failed_auth;
        case ZMQ_EVENT_MONITOR_STOPPED:
            return kind::stopped;
        default:
            return std::nullopt;
    }
}

}  // namespace

monitor::monitor(const socket& watched)
    : watched_(&watched), events_(monitor_socket(watched.owner())) {
    const std::string name = "inproc://cairn.monitor." + std::to_string(context::unique());
    void* const handle = watched.ref().handle();
    if (uninterrupted([&] { return zmq_socket_monitor(handle, name.c_str(), ZMQ_EVENT_ALL); }) != 0)
        throw_zmq("watch a socket", name, zmq_errno());
    if (uninterrupted([&] { return zmq_connect(events_.ref().handle(), name.c_str()); }) != 0) {
        const int fault = zmq_errno();
        zmq_socket_monitor(handle, nullptr, 0);
        throw_zmq("watch a socket", name, fault);
    }
    fd_ = descriptor(events_);
}

monitor::monitor(monitor&& other) noexcept
    : watched_(std::exchange(other.watched_, nullptr)),
      events_(std::move(other.events_)),
      fd_(std::exchange(other.fd_, -1)) {}

monitor::~monitor() {
    if (watched_ == nullptr || !*watched_ || events_.owner()->fork().forked()) return;
    // An I/O thread that waits for room holds the lock that the next call takes: make room first.
    while (next()) continue;
    zmq_socket_monitor(watched_->ref().handle(), nullptr, 0);
}

std::optional<monitor_event> monitor::next() noexcept {
    for (;;) {
        zmq::message_t head;
        zmq::message_t address;
        if (receive(events_, head) != io::done) return std::nullopt;
        if (!head.more() || receive(events_, address) != io::done) continue;
        drop_rest(events_, address);
        std::uint16_t number = 0;
        monitor_event event;
        if (head.size() != sizeof number + sizeof event.value) continue;
        std::memcpy(&number, head.data(), sizeof number);
        std::memcpy(&event.value, head.data<char>() + sizeof number, sizeof event.value);
        const std::optional<kind> known = kind_of(number);
        if (!known) continue;
        event.kind = *known;
        event.endpoint = address.to_string();
        return event;
    }
}

std::string peer_of(int descriptor) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    char text[INET6_ADDRSTRLEN] = {};
    if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
    if (address.ss_family == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    } else if (address.ss_family == AF_INET6) {
        const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, text, sizeof text);
        else
            inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    }
    return text;
}

}  // namespace cairn::runtime
