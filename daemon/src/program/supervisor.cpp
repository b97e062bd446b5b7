#include "supervisor.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

namespace cairn::daemon {

namespace {

std::optional<std::uint64_t> number(const char* name) {
    const char* const text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    if (!text) return std::nullopt;
    std::uint64_t value = 0;
    const char* const end = text + std::strlen(text);
    const auto [at, fault] = std::from_chars(text, end, value);
    return fault == std::errc() && at == end ? std::optional(value) : std::nullopt;
}

}  // namespace

supervisor::supervisor() {
    const auto pid = number("WATCHDOG_PID");
    const auto period = number("WATCHDOG_USEC");
    // Half of it, as sd_watchdog_enabled(3) recommends.
    if (period && *period != 0 && (!pid || *pid == static_cast<std::uint64_t>(::getpid())))
        watchdog_ = std::chrono::microseconds(*period / 2);
    const char* const path = std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe)
    if (!path || (path[0] != '/' && path[0] != '@')) return;
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    const std::size_t size = std::strlen(path);
    if (size >= sizeof to.sun_path) return;
    std::memcpy(to.sun_path, path, size);
    if (path[0] == '@') to.sun_path[0] = '\0';
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0) return;
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), bytes) == 0) return;
    ::close(socket_);
    socket_ = -1;
}

supervisor::~supervisor() {
    if (socket_ >= 0) ::close(socket_);
}

void supervisor::tell(std::string_view state) const noexcept {
    // A supervisor that does not read must not hold us up.
    if (socket_ >= 0)
        static_cast<void>(::send(socket_, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
}

}  // namespace cairn::daemon
