#include <cairn/runtime/handover.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include <cerrno>

namespace cairn::runtime {

namespace {

io outcome_of(int error_number) noexcept {
    switch (error_number) {
        case EAGAIN:
            return io::would_block;
        case EHOSTUNREACH:
            return io::unroutable;
        case ETERM:
            return io::terminated;
        default:
            return io::failed;
    }
}

int int_option(zmq::socket_ref socket, int option, int otherwise) noexcept {
    int value = otherwise;
    std::size_t size = sizeof value;
    const int outcome =
        uninterrupted([&] { return zmq_getsockopt(socket.handle(), option, &value, &size); });
    return outcome == 0 ? value : otherwise;
}

std::string_view property(const zmq::message_t& part, const char* which) noexcept {
    // zmq_msg_gets reports "no such property" through errno, which a caller may still want.
    const int saved = errno;
    const char* value = zmq_msg_gets(const_cast<zmq_msg_t*>(part.handle()), which);
    errno = saved;
    return value == nullptr ? std::string_view{} : std::string_view{value};
}

}  // namespace

io send(zmq::socket_ref socket, zmq::message_t& part, bool more) noexcept {
    const int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);
    handing_over(part.data());
    while (zmq_msg_send(part.handle(), socket.handle(), flags) < 0) {
        const int error_number = zmq_errno();
        if (error_number != EINTR) return outcome_of(error_number);
    }
    return io::done;
}

io receive(zmq::socket_ref socket, zmq::message_t& part) noexcept {
    while (zmq_msg_recv(part.handle(), socket.handle(), ZMQ_DONTWAIT) < 0) {
        const int error_number = zmq_errno();
        if (error_number != EINTR) return outcome_of(error_number);
    }
    taken_over(part.data());
    return io::done;
}

std::size_t drop_rest(zmq::socket_ref socket, zmq::message_t& part) noexcept {
    std::size_t dropped = 0;
    while (part.more() && receive(socket, part) == io::done) ++dropped;
    return dropped;
}

int ready(zmq::socket_ref socket) noexcept { return int_option(socket, ZMQ_EVENTS, 0); }

int descriptor(zmq::socket_ref socket) noexcept { return int_option(socket, ZMQ_FD, -1); }

std::string_view user_id(const zmq::message_t& part) noexcept { return property(part, "User-Id"); }

std::string_view peer_address(const zmq::message_t& part) noexcept {
    return property(part, "Peer-Address");
}

errc errc_of(int error_number) noexcept {
    switch (error_number) {
        case EADDRINUSE:
            return errc::address_in_use;
        case EADDRNOTAVAIL:
        case ENODEV:
        case ENOENT:
        case ENOTDIR:
        case ENAMETOOLONG:
            return errc::address_invalid;
        case EACCES:
        case EPERM:
        case EROFS:
            return errc::permission_denied;
        case EPROTONOSUPPORT:
        case ENOCOMPATPROTO:
        case EAFNOSUPPORT:
        case ENOTSUP:
            return errc::not_supported;
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case ENOBUFS:
            return errc::limit_exceeded;
        case ENOSPC:
        case EDQUOT:
            return errc::full;
        case ETERM:
        case ENOTSOCK:
            return errc::closed;
        case EHOSTUNREACH:
        case ECONNREFUSED:
            return errc::peer_unreachable;
        default:
            return errc::invalid_argument;
    }
}

void throw_zmq(std::string_view operation, std::string_view object, int error_number) {
    std::string text{operation};
    if (!object.empty()) text.append(" ").append(object);
    throw error(errc_of(error_number), text + ": " + zmq_strerror(error_number));
}

}  // namespace cairn::runtime
