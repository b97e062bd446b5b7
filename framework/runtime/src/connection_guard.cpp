#include <cairn/runtime/connection_guard.hpp>

#include <sys/resource.h>
#include <algorithm>
#include <limits>

namespace cairn::runtime {

std::size_t descriptor_limit() noexcept {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1'024;  // the system's usual default
    if (limit.rlim_cur == RLIM_INFINITY) return std::numeric_limits<std::size_t>::max() / 2;
    return static_cast<std::size_t>(limit.rlim_cur);
}

connection_guard::connection_guard(std::size_t peers_max, std::size_t limit,
                                   std::size_t already_open) noexcept {
    const std::size_t used = reserved + already_open;
    const std::size_t free = limit > used ? limit - used : 0;
    const std::size_t by_limit = std::max<std::size_t>(1, free / 5 * 4);
    by_descriptors_ = by_limit < peers_max + spare;
    stop_at_ = by_descriptors_ ? by_limit : peers_max + spare;
    resume_at_ = stop_at_ - std::max<std::size_t>(1, stop_at_ / 8);
}

}  // namespace cairn::runtime
