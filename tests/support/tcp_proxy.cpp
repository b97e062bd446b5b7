#include "support/tcp_proxy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <system_error>

namespace cairn::test {

namespace {

constexpr std::size_t buffer_bytes = 65'536;

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

void send_at_once(int socket) {
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

tcp_proxy::tcp_proxy(const std::string& target)
    : target_port_(static_cast<std::uint16_t>(std::stoul(target.substr(target.rfind(':') + 1)))) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener_ < 0) fail("proxy: socket");
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        fail("proxy: listen");
    port_ = ntohs(address.sin_port);
    bell_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell_ < 0) fail("proxy: eventfd");
    thread_ = std::thread([this] { run(); });
}

tcp_proxy::~tcp_proxy() {
    stopping_ = true;
    wake();
    thread_.join();
    cut();
    ::close(listener_);
    ::close(bell_);
}

std::string tcp_proxy::endpoint() const { return "tcp://127.0.0.1:" + std::to_string(port_); }

void tcp_proxy::cut() {
    {
        const std::lock_guard lock(mutex_);
        for (const connection& c : connections_) reset(c);
        connections_.clear();
    }
    wake();
}

void tcp_proxy::swallow() {
    silent_ = true;
    wake();
}

void tcp_proxy::relay() {
    silent_ = false;
    wake();
}

void tcp_proxy::wake() const { [[maybe_unused]] const int ignored = ::eventfd_write(bell_, 1); }

void tcp_proxy::run() {
    while (!stopping_) {
        std::vector<pollfd> asked{{bell_, POLLIN, 0}, {listener_, POLLIN, 0}};
        {
            const std::lock_guard lock(mutex_);
            // A direction with bytes to deliver waits until it can; then it reads more.
            for (const connection& c : connections_)
                for (const half* h : {&c.onward, &c.back}) {
                    const bool full = !h->waiting.empty();
                    asked.push_back({silent_ || full ? -1 : h->from, POLLIN, 0});
                    asked.push_back({silent_ || !full ? -1 : h->to, POLLOUT, 0});
                }
        }
        if (::poll(asked.data(), asked.size(), -1) < 0) continue;
        eventfd_t rung = 0;
        if (asked[0].revents != 0) {
            // Connections may have gone: what was asked is out of date.
            [[maybe_unused]] const int ignored = ::eventfd_read(bell_, &rung);
            continue;
        }
        const std::lock_guard lock(mutex_);
        std::size_t i = 2;
        for (auto c = connections_.begin(); c != connections_.end() && i + 3 < asked.size();) {
            const bool open = serve(c->onward, asked[i].revents, asked[i + 1].revents) &&
                              serve(c->back, asked[i + 2].revents, asked[i + 3].revents);
            i += 4;
            if (!open) reset(*c);
            c = open ? std::next(c) : connections_.erase(c);
        }
        if (asked[1].revents != 0) accept_one();
    }
}

// Requires: mutex_ held.
void tcp_proxy::accept_one() {
    const int near = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (near < 0) return;
    const int far = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(target_port_);
    if (far < 0 ||
        ::connect(far, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        if (far >= 0) ::close(far);
        ::close(near);
        return;
    }
    send_at_once(near);
    send_at_once(far);
    connections_.push_back({{near, far}, {far, near}});
}

bool tcp_proxy::serve(half& one, short from_events, short to_events) {
    if (from_events != 0) {
        one.waiting.resize(buffer_bytes);
        const ssize_t got = ::recv(one.from, one.waiting.data(), buffer_bytes, MSG_DONTWAIT);
        one.waiting.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
        to_events = POLLOUT;
    }
    if (to_events == 0 || one.waiting.empty()) return true;
    const ssize_t sent =
        ::send(one.to, one.waiting.data(), one.waiting.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    one.waiting.erase(one.waiting.begin(), one.waiting.begin() + sent);
    return true;
}

void tcp_proxy::reset(const connection& which) {
    for (const int socket : {which.onward.from, which.onward.to}) {
        const linger at_once{1, 0};  // RST instead of FIN
        ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        ::close(socket);
    }
}

}  // namespace cairn::test
