#include "support/tcp_proxy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

namespace cairn::test {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t buffer_bytes = 65'536;
constexpr std::size_t parcels_max = 64;

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

void tcp_proxy::delay(std::chrono::milliseconds way) {
    delay_ = way;
    wake();
}

void tcp_proxy::wake() const { [[maybe_unused]] const int ignored = ::eventfd_write(bell_, 1); }

void tcp_proxy::run() {
    while (!stopping_) {
        int timeout = -1;
        std::vector<pollfd> asked{{bell_, POLLIN, 0}, {listener_, POLLIN, 0}};
        {
            const std::lock_guard lock(mutex_);
            // A direction with enough to deliver waits until it can; then it reads more.
            const std::size_t enough = delay_.load() > 0ms ? parcels_max : 1;
            const auto now = clock::now();
            for (const connection& c : connections_)
                for (const half* h : {&c.onward, &c.back}) {
                    const bool due = !h->waiting.empty() && h->waiting.front().due <= now;
                    const bool full = h->waiting.size() >= enough;
                    asked.push_back({silent_ || full ? -1 : h->from, POLLIN, 0});
                    asked.push_back({silent_ || !due ? -1 : h->to, POLLOUT, 0});
                }
            timeout = silent_ ? -1 : time_left(now);
        }
        if (::poll(asked.data(), asked.size(), timeout) < 0) continue;
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

// Requires: mutex_ held.
int tcp_proxy::time_left(clock::time_point now) const {
    auto next = clock::time_point::max();
    for (const connection& c : connections_)
        for (const half* h : {&c.onward, &c.back})
            if (!h->waiting.empty() && h->waiting.front().due > now)
                next = std::min(next, h->waiting.front().due);
    if (next == clock::time_point::max()) return -1;
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(next - now).count());
}

bool tcp_proxy::serve(half& one, short from_events, short to_events) const {
    const auto now = clock::now();
    if (from_events != 0) {
        std::vector<char> bytes(buffer_bytes);
        const ssize_t got = ::recv(one.from, bytes.data(), buffer_bytes, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
        bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        if (!bytes.empty()) one.waiting.push_back({now + delay_.load(), std::move(bytes)});
        to_events = POLLOUT;
    }
    if (to_events == 0 || one.waiting.empty() || one.waiting.front().due > now) return true;
    std::vector<char>& first = one.waiting.front().bytes;
    const ssize_t sent = ::send(one.to, first.data(), first.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    first.erase(first.begin(), first.begin() + sent);
    if (first.empty()) one.waiting.pop_front();
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
