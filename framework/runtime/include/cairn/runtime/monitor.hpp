#pragma once

#include <cairn/error.hpp>
#include <cairn/runtime/socket_factory.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::runtime {

/// What happened to a connection or listener of one socket, as libzmq's I/O thread saw it.
struct monitor_event {
    enum class kind : std::uint8_t {
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

    monitor_event::kind kind = kind::stopped;
    std::int32_t value = 0;
    /// connecting side: what was given to connect; binding side: what is bound (the ipc file under
    /// its temporary name). libzmq does not tell the peer's address here.
    std::string endpoint;
};

/// The events of one socket.
///
/// Owns:    the socket pair that carries the events. Destroy before the watched socket, or after.
/// Threads: one at a time, the watched socket's for construction.
/// Fails:   construction throws error (limit_exceeded).
/// Limits:  receive HWM of events; libzmq drops events beyond it, so read them in each turn.
class monitor {
public:
    static constexpr int events_max = 65'536;

    explicit monitor(const socket& watched);
    ~monitor();
    monitor(monitor&&) noexcept = default;
    monitor& operator=(monitor&&) = delete;

    /// Edge-triggered, as descriptor() of zmq_calls.hpp: after a wake-up call next() until it has
    /// nothing.
    int fd() const noexcept { return fd_; }

    /// The next event, if there is one. Never blocks.
    std::optional<monitor_event> next() noexcept;

    zmq::socket_ref events() const noexcept { return events_; }

private:
    zmq::socket_ref watched_;
    socket events_;
    int fd_ = -1;
};

/// Which side of a connection a socket is.
enum class side : std::uint8_t { binding, connecting };

/// What a failed handshake means and what mends it.
struct handshake_advice {
    errc code = errc::ok;
    std::string_view text;  ///< one sentence with the remedy; static
    /// The connecting socket will not try again, or not with success, after the cause is mended:
    /// close it and make a new one after reconnect_max at the latest. Never set for the binding
    /// side, whose sockets always recover by themselves.
    bool recreate = false;
};

/// Nothing when the event is no handshake failure. The table behind it, found by experiment, is
/// design note 0002.
std::optional<handshake_advice> advise(const monitor_event& event, side ours, bool has_keys);

}  // namespace cairn::runtime
