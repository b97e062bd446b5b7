#pragma once

#include <cairn/runtime/socket_factory.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace cairn::runtime {

/// What happened to a connection or a listener, as libzmq's I/O thread saw it.
enum class event_kind : std::uint8_t {
    connect_delayed,   ///< the connection is being made
    connected,         ///< TCP or ipc is connected; the handshake begins
    retried,           ///< connecting failed; value: milliseconds until the next try
    listening,         ///< value: descriptor
    bind_failed,       ///< value: errno
    accepted,          ///< value: descriptor; the handshake begins
    accept_failed,     ///< value: errno (EMFILE: the I/O thread spins until one is free)
    closed,            ///< a listener or connection attempt ended; value: descriptor
    close_failed,      ///< value: errno
    disconnected,      ///< a connection broke; value: descriptor
    handshake_ok,      ///< frames can flow
    failed_no_detail,  ///< 0x0800; value: errno
    failed_protocol,   ///< 0x2000; value: a ZMQ_PROTOCOL_ERROR code
    failed_auth,       ///< 0x4000; value: the ZAP status (300, 400 or 500)
    stopped,           ///< the watched socket closes; nothing follows
};

/// One event of one socket.
struct monitor_event {
    event_kind kind = event_kind::stopped;
    std::int32_t value = 0;
    /// What was given to connect, or what is bound: libzmq does not tell the peer's address here.
    std::string endpoint;
};

/// The events of one socket.
///
/// libzmq's I/O thread waits when it cannot hand over an event, and with it all connections of the
/// process stand still: read events in every turn. Closing the socket ends its events.
///
/// Owns:    the reading end of the events. The socket object outlives it and does not move.
/// Threads: one at a time, the same as the watched socket.
/// Fails:   construction throws error (limit_exceeded).
/// Limits:  65,536 events wait unread before the I/O thread does.
class monitor {
public:
    explicit monitor(const socket& watched);
    ~monitor();
    monitor(monitor&& other) noexcept;
    monitor& operator=(monitor&&) = delete;

    /// Edge-triggered, as descriptor() of zmq_calls.hpp: after a wake-up call next() until it has
    /// nothing.
    int fd() const noexcept { return fd_; }

    /// The next event, if there is one. Never blocks.
    std::optional<monitor_event> next() noexcept;

    zmq::socket_ref events() const noexcept { return events_; }

private:
    const socket* watched_;  // nullptr when moved from
    socket events_;
    int fd_ = -1;
};

/// The address of the peer of an accepted descriptor ("10.0.0.7"), as long as the connection lives;
/// "" when the system does not tell. For logs only: the descriptor belongs to libzmq, which may
/// have closed it, so that the answer is about another connection.
std::string peer_of(int descriptor);

}  // namespace cairn::runtime
