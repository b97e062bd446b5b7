#pragma once

#include <cairn/error.hpp>

#include <zmq.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// Every call into libzmq that a loop's turn makes, without exceptions: EINTR is retried here and
/// nowhere else, EAGAIN and ETERM are outcomes.
namespace cairn::runtime {

/// What one task receives before other sockets, handles and timers get their turn.
inline constexpr int messages_a_round = 256;

enum class io : std::uint8_t {
    done,
    would_block,  ///< nothing to receive, or the peer's pipe is full: wait for the next event
    unroutable,   ///< ROUTER: that peer is not connected (any more)
    terminated,   ///< the context ends: close the socket
    failed,       ///< anything else; zmq_errno() tells; the message is unchanged
};

/// Never blocks. On `done` the message is empty and libzmq owns what it held. A multipart message
/// whose first part was taken is never refused midway by a full pipe.
[[nodiscard]] io send(zmq::socket_ref socket, zmq::message_t& part, bool more) noexcept;

/// Never blocks. On `done` the message holds the part; ask part.more() for another. `would_block`
/// re-arms the descriptor: libzmq has then read all commands of the socket, and the next one makes
/// an edge.
[[nodiscard]] io receive(zmq::socket_ref socket, zmq::message_t& part) noexcept;

/// ZMQ_POLLIN | ZMQ_POLLOUT bits that are set now; 0 also when the context ends. Re-arms the
/// descriptor as an empty receive() does.
[[nodiscard]] int ready(zmq::socket_ref socket) noexcept;

/// `call()` again until no signal handler interrupts it. For the calls of libzmq that return 0 or
/// -1, and do nothing when they are interrupted: bind, connect, options, monitors.
template <typename Call>
[[nodiscard]] int uninterrupted(Call call) {
    int outcome;
    do {
        outcome = call();
    } while (outcome != 0 && zmq_errno() == EINTR);
    return outcome;
}

/// Reads away the rest of a multipart message. Returns how many parts there were.
std::size_t drop_rest(zmq::socket_ref socket, zmq::message_t& part) noexcept;

/// The edge-triggered descriptor for epoll; -1 when the context ends. Only ever watch for reading.
[[nodiscard]] int descriptor(zmq::socket_ref socket) noexcept;

/// What ZAP says about the sender of a received part: its public key in Z85, or "" without CURVE.
/// Valid as long as the part. Never trust anything else as an identity.
[[nodiscard]] std::string_view user_id(const zmq::message_t& part) noexcept;

/// The address of the sender of a received part ("10.0.0.7"), "" for inproc.
[[nodiscard]] std::string_view peer_address(const zmq::message_t& part) noexcept;

/// Throws error: "OPERATION OBJECT: reason", with the errc that the libzmq error number means.
[[noreturn]] void throw_zmq(std::string_view operation, std::string_view object, int error_number);

/// The errc that a libzmq or system error number means.
errc errc_of(int error_number) noexcept;

}  // namespace cairn::runtime
