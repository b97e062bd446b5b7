#include "support/split_network.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <system_error>
#include <utility>

namespace cairn::test {

namespace {

constexpr const char* network = "10.77.0.";
constexpr std::size_t packet_bytes_max = 65'536;

void check(int outcome, const char* call) {
    if (outcome < 0) throw std::system_error(errno, std::generic_category(), call);
}

/// In its own user namespace a process may make others.
void become_privileged() {
    const std::string uid = std::to_string(::getuid());
    const std::string gid = std::to_string(::getgid());
    check(::unshare(CLONE_NEWUSER), "unshare user namespace");
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " + uid + " 1";
    std::ofstream("/proc/self/gid_map") << "0 " + gid + " 1";
}

/// Runs `f` on a thread of its own, and throws what that throws.
void on_a_thread(const std::function<void()>& f) {
    std::exception_ptr failure;
    std::thread([&] {
        try {
            f();
        } catch (...) {
            failure = std::current_exception();
        }
    }).join();
    if (failure) std::rethrow_exception(failure);
}

ifreq request(const char* device) {
    ifreq r{};
    std::strncpy(r.ifr_name, device, IFNAMSIZ - 1);
    return r;
}

void set_address(int socket, const char* device, unsigned long call, const std::string& text) {
    ifreq r = request(device);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    ::inet_pton(AF_INET, text.c_str(), &at.sin_addr);
    std::memcpy(&r.ifr_addr, &at, sizeof at);
    check(::ioctl(socket, call, &r), "set the address of a device");
}

void bring_up(int socket, const char* device) {
    ifreq r = request(device);
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    check(::ioctl(socket, SIOCSIFFLAGS, &r), "bring a device up");
}

}  // namespace

split_network::split_network(std::size_t machines)
    : machines_(machines), lost_(machines * machines, false) {
    static bool privileged = false;
    const auto make = [&](std::size_t i) {
        check(::unshare(CLONE_NEWNET), "unshare network namespace");
        machine& m = machines_[i];
        check(m.space = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "open namespace");
        check(m.device = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC),
              "open /dev/net/tun");
        ifreq r = request("cairn");
        r.ifr_flags = IFF_TUN | IFF_NO_PI;
        check(::ioctl(m.device, TUNSETIFF, &r), "make a TUN device");
        const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        check(socket, "socket");
        set_address(socket, "cairn", SIOCSIFADDR, address(i));
        set_address(socket, "cairn", SIOCSIFNETMASK, "255.255.255.0");
        bring_up(socket, "cairn");
        bring_up(socket, "lo");
        ::close(socket);
    };
    try {
        if (!std::exchange(privileged, true) && ::geteuid() != 0) become_privileged();
        for (std::size_t i = 0; i != machines; ++i) on_a_thread([&] { make(i); });
        check(bell_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
    } catch (...) {
        close_all();
        throw;
    }
    thread_ = std::thread([this] { relay(); });
}

split_network::~split_network() {
    {
        const std::lock_guard hold(mutex_);
        stopping_ = true;
    }
    static_cast<void>(::eventfd_write(bell_, 1));
    thread_.join();
    close_all();
}

void split_network::close_all() {
    for (const machine& m : machines_)
        for (const int fd : {m.device, m.space})
            if (fd >= 0) ::close(fd);
    if (bell_ >= 0) ::close(bell_);
}

std::string split_network::address(std::size_t machine) {
    return network + std::to_string(machine + 1);
}

void split_network::on(std::size_t machine, const std::function<void()>& f) const {
    on_a_thread([&] {
        check(::setns(machines_.at(machine).space, CLONE_NEWNET), "setns");
        f();
    });
}

void split_network::cut_one_way(std::size_t from, std::size_t to) {
    const std::lock_guard hold(mutex_);
    lost_.at(from * machines_.size() + to) = true;
}

void split_network::cut(std::size_t one, std::size_t other) {
    cut_one_way(one, other);
    cut_one_way(other, one);
}

void split_network::mend(std::size_t one, std::size_t other) {
    const std::lock_guard hold(mutex_);
    lost_.at(one * machines_.size() + other) = false;
    lost_.at(other * machines_.size() + one) = false;
}

void split_network::cut_off(std::size_t machine) {
    for (std::size_t other = 0; other != machines_.size(); ++other) cut(machine, other);
}

void split_network::delay(duration by) {
    const std::lock_guard hold(mutex_);
    delay_ = by;
}

void split_network::heal() {
    const std::lock_guard hold(mutex_);
    lost_.assign(lost_.size(), false);
    delay_ = duration(0);
}

void split_network::take(std::size_t from) {
    std::array<char, packet_bytes_max> bytes;
    for (;;) {
        const ssize_t size = ::read(machines_[from].device, bytes.data(), bytes.size());
        if (size < 0) return;
        // The last byte of an IPv4 header's destination names the machine.
        constexpr std::size_t header_bytes = 20;
        const auto version = static_cast<unsigned char>(bytes[0]) >> 4;
        if (static_cast<std::size_t>(size) < header_bytes || version != 4) continue;
        const std::size_t to = static_cast<unsigned char>(bytes[header_bytes - 1]) - 1U;
        if (to >= machines_.size()) continue;
        const std::lock_guard hold(mutex_);
        if (lost_[from * machines_.size() + to]) continue;
        held_.emplace(std::chrono::steady_clock::now() + delay_,
                      packet{to, std::string(bytes.data(), static_cast<std::size_t>(size))});
    }
}

// What a device does not take is lost, as on any network.
int split_network::send_due() {
    const auto now = std::chrono::steady_clock::now();
    while (!held_.empty() && held_.begin()->first <= now) {
        const packet& p = held_.begin()->second;
        static_cast<void>(!::write(machines_[p.to].device, p.bytes.data(), p.bytes.size()));
        held_.erase(held_.begin());
    }
    if (held_.empty()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(held_.begin()->first - now);
    return static_cast<int>(left.count());
}

void split_network::relay() {
    std::vector<pollfd> items;
    for (const machine& m : machines_) items.push_back({m.device, POLLIN, 0});
    items.push_back({bell_, POLLIN, 0});
    for (;;) {
        static_cast<void>(::poll(items.data(), items.size(), send_due()));
        {
            const std::lock_guard hold(mutex_);
            if (stopping_) return;
        }
        for (std::size_t i = 0; i != machines_.size(); ++i)
            if (items[i].revents != 0) take(i);
    }
}

}  // namespace cairn::test
