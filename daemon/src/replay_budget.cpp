#include "replay_budget.hpp"

#include <algorithm>

namespace cairn::daemon {

namespace {

constexpr std::uint64_t small_windows_part = 4;

std::uint64_t left_of(std::uint64_t all, std::uint64_t taken) {
    return all > taken ? all - taken : 0;
}

}  // namespace

std::uint64_t replay_budget::room(std::uint64_t link) const {
    const auto found = links_.find(link);
    if (found == links_.end()) {
        const std::uint64_t large = bytes_max_ - bytes_max_ / small_windows_part;
        return std::max(window_min,
                        std::min({window_max, large / (links_.size() + 1), left_of(large, held_)}));
    }
    const share& of = found->second;
    if (of.pages >= pages_max_) return 0;
    const std::uint64_t holds = of.page_bytes + of.in_transit;
    const std::uint64_t large = bytes_max_ - bytes_max_ / small_windows_part;
    const std::uint64_t window = std::min(window_max, large / links_.size());
    return std::max(std::min(left_of(window, holds), left_of(large, held_)),
                    std::min(left_of(window_min, holds), left_of(bytes_max_, held_)));
}

void replay_budget::take(std::uint64_t link, std::uint64_t bytes) {
    share& of = links_[link];
    ++of.pages;
    of.page_bytes += bytes;
    held_ += bytes;
}

void replay_budget::resize(std::uint64_t link, std::uint64_t from, std::uint64_t to) {
    share& of = links_.at(link);
    of.page_bytes += to - from;
    held_ += to - from;
}

void replay_budget::release(std::uint64_t link, std::uint64_t bytes) {
    const auto found = links_.find(link);
    --found->second.pages;
    found->second.page_bytes -= bytes;
    held_ -= bytes;
    settle(found);
}

void replay_budget::set_in_transit(std::uint64_t link, std::uint64_t bytes) {
    const auto found = bytes == 0 ? links_.find(link) : links_.try_emplace(link).first;
    if (found == links_.end()) return;
    held_ += bytes - found->second.in_transit;
    found->second.in_transit = bytes;
    settle(found);
}

void replay_budget::settle(std::unordered_map<std::uint64_t, share>::iterator which) {
    if (which->second.pages == 0 && which->second.in_transit == 0) links_.erase(which);
}

}  // namespace cairn::daemon
