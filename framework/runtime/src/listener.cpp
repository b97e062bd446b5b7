#include <cairn/error.hpp>
#include <cairn/runtime/listener.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include "internal_socket.hpp"
#include "signals_blocked.hpp"
#include "unique_fd.hpp"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace cairn::runtime {

namespace {

static_assert(ipc_path_bytes_max < sizeof(sockaddr_un::sun_path));

[[noreturn]] void fail(const std::string& operation, int fault) {
    throw error(errc_of(fault), operation + ": " + std::strerror(fault));
}

[[noreturn]] void fail_tcp(const std::string& operation, int fault) {
    const auto remedy = [fault] {
        switch (fault) {
            case EADDRINUSE:
                return "; another socket listens there: choose another port, or 0 for any";
            case EADDRNOTAVAIL:
                return "; no interface of this machine has that address: choose one that has, or * "
                       "for all";
            case EACCES:
                return "; low ports are the system's: choose one above 1023";
            default:
                return "";
        }
    };
    throw error(errc_of(fault), operation + ": " + std::strerror(fault) + remedy());
}

sockaddr_un file_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

struct tcp_address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

tcp_address ipv6_address(const std::string& host, std::uint16_t port) {
    tcp_address made;
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&made.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    v6->sin6_addr = in6addr_any;
    if (host != "*") inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr);
    made.size = sizeof *v6;
    return made;
}

tcp_address ipv4_address(const std::string& host, std::uint16_t port) {
    tcp_address made;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&made.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    v4->sin_addr.s_addr = htonl(INADDR_ANY);
    if (host != "*") inet_pton(AF_INET, host.c_str(), &v4->sin_addr);
    made.size = sizeof *v4;
    return made;
}

int open_tcp(int family) { return ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

// `*` takes both families with one socket, or IPv4 where the kernel has no IPv6.
unique_fd listen_tcp(const endpoint& where, const std::string& operation) {
    const bool wide = where.host == "*";
    const bool v6 = where.host.find(':') != std::string::npos;
    unique_fd made(open_tcp(wide || v6 ? AF_INET6 : AF_INET));
    const bool only_v4 = !made && wide && errno == EAFNOSUPPORT;
    if (only_v4) made = unique_fd(open_tcp(AF_INET));
    if (!made) fail(operation, errno);

    const int yes = 1;
    const int both = wide ? 0 : 1;
    setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if ((wide || v6) && !only_v4)
        setsockopt(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
    const tcp_address address = (wide && !only_v4) || v6 ? ipv6_address(where.host, where.port)
                                                         : ipv4_address(where.host, where.port);
    if (::bind(made.get(), address.get(), address.size) != 0 ||
        ::listen(made.get(), socket_limits::backlog) != 0)
        fail_tcp(operation, errno);
    return made;
}

std::uint16_t port_of(int descriptor) {
    tcp_address bound;
    bound.size = sizeof bound.storage;
    getsockname(descriptor, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
    // The port lies at the same place in both families.
    return ntohs(reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port);
}

// True when some process answers at a socket file: one that does not know our lock.
bool answers(const std::string& path) {
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) return false;
    const sockaddr_un address = file_address(path);
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
        fail(operation, errno);
    }
    if (!S_ISSOCK(found.st_mode))
        throw error(errc::address_in_use,
                    operation + ": " + path + " exists and is not a socket; choose another path");
    if (answers(path))
        throw error(errc::address_in_use, operation + ": another program listens there (without " +
                                              path + ".lock); choose another path");
}

unique_fd listen_file(const std::string& path, const std::string& operation) {
    unique_fd made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un address = file_address(path);
    if (!made) fail(operation, errno);
    unlink(path.c_str());  // what require_free() found is dead, and the lock keeps others away
    // Linux takes the rights of the file from those of the socket, less the umask, so that no
    // moment exists in which others could connect; the umask itself is the whole process's.
    if (fchmod(made.get(), 0600) != 0 ||
        ::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        fail(operation, errno);
    // Other kernels ignore the first; until listen() nobody can connect.
    if (chmod(path.c_str(), 0600) != 0 || ::listen(made.get(), socket_limits::backlog) != 0) {
        const int fault = errno;
        unlink(path.c_str());
        fail(operation, fault);
    }
    return made;
}

std::string last_endpoint(zmq::socket_ref socket) {
    char text[512];
    std::size_t size = sizeof text;
    if (uninterrupted(
            [&] { return zmq_getsockopt(socket.handle(), ZMQ_LAST_ENDPOINT, text, &size); }) != 0)
        throw_zmq("read the endpoint of", "a listener", zmq_errno());
    return {text, size - 1};
}

/// Whether a connection waits to be accepted.
bool somebody_waits(int listening) noexcept {
    pollfd asked{listening, POLLIN, 0};
    return ::poll(&asked, 1, 0) == 1 && (asked.revents & POLLIN) != 0;
}

/// Accepts and ends all who wait, on a thread with a table of descriptors of its own: it has one
/// for each of them, whatever the process has. The process's are in that table for a moment.
std::size_t accept_and_end(int listening) noexcept {
    std::size_t ended = 0;
    const auto work = [&]() noexcept {
        const auto ours = static_cast<unsigned>(listening);
        if (::unshare(CLONE_FILES) != 0) return;
        if (ours != 0 && ::close_range(0, ours - 1, 0) != 0) return;
        if (::close_range(ours + 1, std::numeric_limits<unsigned>::max(), 0) != 0) return;
        // Not more than may wait: where nobody could be kept from coming there would be no end.
        for (; ended <= socket_limits::backlog && somebody_waits(listening); ++ended) {
            const int accepted = ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC);
            if (accepted < 0) break;
            ::close(accepted);
        }
    };
    try {
        const signals_blocked here;
        std::thread(work).join();
    } catch (const std::system_error&) {
        // No thread is to be had either: its owner tries again.
    }
    return ended;
}

std::string paused_name(const std::string& path) { return path + ".paused"; }

}  // namespace

listener::listener(const socket_factory& by, const socket& on, endpoint where)
    : owner_(on.owner()), socket_(&on), where_(std::move(where)) {
    owner_->fork().check("bind");
    require_secure(where_, by.secure(), by.insecure_allowed());
    const std::string operation = "bind " + where_.text();
    if (where_.scheme == scheme::tcp) {
        serve(listen_tcp(where_, operation));
        where_.port = port_of(descriptor_);
    } else if (where_.is_file()) {
        lock_.emplace(where_.name, operation);
        require_free(where_.name, operation);
        serve(listen_file(where_.name, operation));
    } else {
        serve(unique_fd(-1));
        if (where_.is_network()) take_port();
    }
}

listener::listener(listener&& other) noexcept
    : owner_(std::move(other.owner_)),
      socket_(other.socket_),
      where_(std::move(other.where_)),
      lock_(std::exchange(other.lock_, std::nullopt)),
      bound_to_(std::exchange(other.bound_to_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)),
      inode_(other.inode_),
      paused_(std::exchange(other.paused_, false)) {}

listener::~listener() {
    if (bound_to_.empty() || owner_->fork().forked()) return;
    if (where_.is_file()) unlink(paused_ ? paused_name(where_.name).c_str() : where_.name.c_str());
    if (*socket_)
        static_cast<void>(
            uninterrupted([&] { return zmq_unbind(socket_->ref().handle(), bound_to_.c_str()); }));
    if (where_.scheme == scheme::tcp) wait_until_closed();
}

// libzmq closes the descriptor on its own thread some time after its calls have returned. Until
// then the port is taken, and whoever closes a node and binds another one there would be refused.
void listener::wait_until_closed() const noexcept {
    constexpr std::chrono::seconds longest{1};  // most often some microseconds
    const auto end = std::chrono::steady_clock::now() + longest;
    struct stat found {};
    while (fstat(descriptor_, &found) == 0 && found.st_ino == inode_ &&
           std::chrono::steady_clock::now() < end)
        std::this_thread::yield();
}

// Hands a listening descriptor to libzmq, or lets libzmq make one.
void listener::serve(unique_fd from) {
    const std::string text = where_.text();
    const int descriptor = from.get();
    allow_ipv6(*socket_, where_);
    use_descriptor(*socket_, descriptor);
    const int outcome =
        uninterrupted([&] { return zmq_bind(socket_->ref().handle(), text.c_str()); });
    const int fault = zmq_errno();
    use_descriptor(*socket_, -1);
    if (outcome != 0) {
        if (where_.is_file()) unlink(where_.name.c_str());
        if (fault == EADDRINUSE)
            throw error(errc::address_in_use,
                        "bind " + text + ": another socket of this " +
                            (where_.scheme == scheme::inproc ? "process has that name"
                                                             : "machine listens there") +
                            "; choose another");
        if (where_.scheme == scheme::ws && fault == EPROTONOSUPPORT)
            throw error(errc::not_supported,
                        "bind " + text +
                            ": this libzmq was built without WebSocket (an optional part of it); "
                            "use tcp:// or ipc://");
        throw_zmq("bind", text, fault);
    }
    struct stat found {};
    if (fstat(descriptor, &found) == 0) inode_ = found.st_ino;
    descriptor_ = from.release();
    bound_to_ = where_.is_network() ? last_endpoint(*socket_) : text;
}

void listener::take_port() {
    where_.port =
        static_cast<std::uint16_t>(std::stoul(bound_to_.substr(bound_to_.rfind(':') + 1)));
}

// Not zmq_unbind: that also ends, without an event, all connections that came in by the endpoint
// (found by experiment, design note 0002).
void listener::pause() noexcept {
    if (paused_ || bound_to_.empty() || !*socket_ || owner_->fork().forked()) return;
    if (where_.is_file()) {
        paused_ = ::rename(where_.name.c_str(), paused_name(where_.name).c_str()) == 0;
    } else if (where_.scheme == scheme::tcp) {
        // Drops what comes to the listening socket itself; connections have filters of their own.
        sock_filter drop_all{BPF_RET | BPF_K, 0, 0, 0};
        const sock_fprog program{1, &drop_all};
        paused_ =
            setsockopt(descriptor_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
    }
}

bool listener::resume() noexcept {
    if (!paused_ || !*socket_ || owner_->fork().forked()) return true;
    const int none = 0;
    if (where_.is_file())
        paused_ = ::rename(paused_name(where_.name).c_str(), where_.name.c_str()) != 0;
    else
        paused_ = setsockopt(descriptor_, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none) != 0;
    return !paused_;
}

std::size_t listener::turn_away_waiting(time_point now) noexcept {
    if (descriptor_ < 0 || bound_to_.empty() || !*socket_ || owner_->fork().forked()) return 0;
    if (now < turn_away_at_ || !somebody_waits(descriptor_)) return 0;
    const std::size_t ended = accept_and_end(descriptor_);
    if (ended == 0) turn_away_at_ = now + std::chrono::seconds(1);
    return ended;
}

// A connection has the local address of the listener that it came in by.
bool listener::accepted(int descriptor) const noexcept {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens != 0)
        return false;
    sockaddr_storage here{};
    size = sizeof here;
    if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&here), &size) != 0) return false;
    if (here.ss_family == AF_INET)
        return where_.is_network() &&
               ntohs(reinterpret_cast<const sockaddr_in&>(here).sin_port) == where_.port;
    if (here.ss_family == AF_INET6)
        return where_.is_network() &&
               ntohs(reinterpret_cast<const sockaddr_in6&>(here).sin6_port) == where_.port;
    if (here.ss_family != AF_UNIX || where_.scheme != scheme::ipc) return false;
    const char* const path = reinterpret_cast<const sockaddr_un&>(here).sun_path;
    const std::size_t bytes = size - offsetof(sockaddr_un, sun_path);
    if (where_.is_file()) return std::string_view(path, strnlen(path, bytes)) == where_.name;
    // @NAME: the first byte is NUL.
    return bytes == where_.name.size() &&
           std::string_view(path + 1, bytes - 1) == std::string_view(where_.name).substr(1);
}

}  // namespace cairn::runtime
