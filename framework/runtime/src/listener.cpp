#include <cairn/error.hpp>
#include <cairn/runtime/listener.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include "internal_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

namespace cairn::runtime {

namespace {

constexpr std::size_t suffix_bytes = 4;
static_assert(ipc_path_bytes_max + suffix_bytes < sizeof(sockaddr_un::sun_path));

// "~" and three characters: the name under which a socket is bound before it is ready.
std::string temporary_suffix() {
    static constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuvwxyz";
    std::random_device source;
    std::uniform_int_distribution<std::size_t> digit(0, digits.size() - 1);
    std::string suffix = "~";
    while (suffix.size() < suffix_bytes) suffix += digits[digit(source)];
    return suffix;
}

// True when some process answers at a socket file: one that does not know our lock.
bool answers(const std::string& path) {
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) return false;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const bool refused =
        ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno != EAGAIN;
    ::close(probe);
    return !refused;
}

// What a killed process left behind may be replaced; anything else may not.
void require_free(const std::string& path, const std::string& operation) {
    struct stat found {};
    if (lstat(path.c_str(), &found) != 0) {
        if (errno == ENOENT) return;
        throw error(errc_of(errno), operation + ": " + std::strerror(errno));
    }
    if (!S_ISSOCK(found.st_mode))
        throw error(errc::address_in_use,
                    operation + ": " + path + " exists and is not a socket; choose another path");
    if (answers(path))
        throw error(errc::address_in_use,
                    operation + ": another program listens there (without " + path + ".lock)");
}

std::string last_endpoint(zmq::socket_ref socket) {
    char text[512];
    std::size_t size = sizeof text;
    if (zmq_getsockopt(socket.handle(), ZMQ_LAST_ENDPOINT, text, &size) != 0)
        throw_zmq("read the endpoint of", "a listener", zmq_errno());
    return {text, size - 1};
}

}  // namespace

listener::listener(const socket_factory& by, const socket& on, endpoint where)
    : owner_(on.owner()), socket_(on.ref()), where_(std::move(where)) {
    require_secure(where_, by.secure(), by.insecure_allowed());
    bind();
}

listener::listener(listener&& other) noexcept
    : owner_(std::move(other.owner_)),
      socket_(other.socket_),
      where_(std::move(other.where_)),
      lock_(std::exchange(other.lock_, std::nullopt)),
      bound_to_(std::exchange(other.bound_to_, {})) {}

listener::~listener() { pause(); }

void listener::bind() {
    if (where_.is_file())
        bind_file();
    else
        bind_network();
}

void listener::bind_network() {
    const std::string text = where_.text();
    allow_ipv6(socket_, where_);
    if (zmq_bind(socket_.handle(), text.c_str()) != 0) throw_zmq("bind", text, zmq_errno());
    if (!where_.is_network()) {
        bound_to_ = text;
        return;
    }
    bound_to_ = last_endpoint(socket_);
    const std::size_t colon = bound_to_.rfind(':');
    where_.port = static_cast<std::uint16_t>(std::stoul(bound_to_.substr(colon + 1)));
}

void listener::bind_file() {
    const std::string operation = "bind " + where_.text();
    if (!lock_) lock_.emplace(where_.name, operation);
    require_free(where_.name, operation);
    const std::string file = where_.name + temporary_suffix();
    const std::string text = "ipc://" + file;
    if (zmq_bind(socket_.handle(), text.c_str()) != 0)
        throw_zmq("bind", where_.text(), zmq_errno());
    // The process-wide umask is not ours to change. Nobody knows the temporary name, and under the
    // real one the socket appears with its final rights.
    if (chmod(file.c_str(), 0600) != 0 || rename(file.c_str(), where_.name.c_str()) != 0) {
        const int fault = errno;
        zmq_unbind(socket_.handle(), text.c_str());
        throw error(errc_of(fault), operation + ": " + std::strerror(fault));
    }
    bound_to_ = text;
}

void listener::pause() noexcept {
    if (bound_to_.empty() || owner_ == nullptr || owner_->fork().forked()) return;
    // Before the unbind: the lock is ours, so the file under the real name is, too. What libzmq
    // unlinks later is the temporary name, which nobody uses again.
    if (where_.is_file()) unlink(where_.name.c_str());
    zmq_unbind(socket_.handle(), bound_to_.c_str());
    bound_to_.clear();
}

bool listener::resume() noexcept {
    if (!bound_to_.empty()) return true;
    try {
        bind();
        return true;
    } catch (const error&) {
        return false;
    }
}

}  // namespace cairn::runtime
