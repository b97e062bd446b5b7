#include <cairn/runtime/connection_guard.hpp>

#include <poll.h>
#include <sys/resource.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

namespace cairn::runtime {

std::size_t descriptor_limit() noexcept {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1'024;  // the system's usual default
    if (limit.rlim_cur == RLIM_INFINITY) return std::numeric_limits<std::size_t>::max() / 2;
    return static_cast<std::size_t>(limit.rlim_cur);
}

// Not by /proc/self/fd, which takes forty times as long to read. Numbers are given from the lowest,
// so that nobody sits far beyond an empty stretch.
std::size_t open_descriptors() noexcept {
    constexpr std::size_t stretch = 512;
    const std::size_t limit = descriptor_limit();
    std::size_t count = 0;
    for (std::size_t first = 0; first < limit; first += stretch) {
        std::array<pollfd, stretch> asked;
        const std::size_t size = std::min(stretch, limit - first);
        for (std::size_t i = 0; i != size; ++i) asked[i] = {static_cast<int>(first + i), 0, 0};
        int outcome = 0;
        while ((outcome = ::poll(asked.data(), size, 0)) < 0 && errno == EINTR) continue;
        if (outcome < 0) return limit;
        const auto closed = static_cast<std::size_t>(
            std::count_if(asked.begin(), asked.begin() + static_cast<std::ptrdiff_t>(size),
                          [](const pollfd& d) { return (d.revents & POLLNVAL) != 0; }));
        if (closed == size) break;
        count += size - closed;
    }
    return count;
}

connection_guard::connection_guard(std::size_t peers_max, std::size_t limit,
                                   std::size_t already_open) noexcept
    : peers_max_(peers_max) {
    update_process(limit, already_open);
}

void connection_guard::update_process(std::size_t limit, std::size_t already_open) noexcept {
    const std::size_t used = reserved + already_open;
    const std::size_t free = limit > used ? limit - used : 0;
    const bool none = already_open + count_ + last >= limit;
    const std::size_t by_limit = none ? 0 : std::max<std::size_t>(1, free / 5 * 4);
    const std::size_t by_peers = std::max(peers_max_, peers_max_ + spare);  // SIZE_MAX: no bound
    by_descriptors_ = by_limit < by_peers;
    stop_at_ = std::min(by_limit, by_peers);
    resume_at_ = stop_at_ - std::min(stop_at_, std::max<std::size_t>(1, stop_at_ / 8));
}

void connection_guard::look_at_process() noexcept {
    const std::size_t open = open_descriptors();
    update_process(descriptor_limit(), open - std::min(open, count_));
}

}  // namespace cairn::runtime
