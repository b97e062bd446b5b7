#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace cairn::daemon {

/// Shares out what replay may hold in memory: pages that are read, or wait to be sent, and batches
/// that a reader's node has not taken off its link. Like appending's windows: each link has the
/// same share, and a part of all is left to small ones, so that readers that take nothing do not
/// hold up the others.
///
/// Threads: loop.
/// Limits:  `bytes_max` in all, and besides, so that none stands still, of each link a page of
///          window_min or one batch; `pages_max` pages of a link.
class replay_budget {
public:
    replay_budget(std::uint64_t bytes_max, std::size_t pages_max)
        : bytes_max_(bytes_max), pages_max_(pages_max) {}

    /// Bytes that may be read for a link now; 0: not until it holds less.
    std::uint64_t room(std::uint64_t link) const;

    /// A page of so many bytes is read for the link; release() ends what this began.
    void take(std::uint64_t link, std::uint64_t bytes);
    void resize(std::uint64_t link, std::uint64_t from, std::uint64_t to);
    void release(std::uint64_t link, std::uint64_t bytes);
    /// What is on its way to the link's node.
    void set_in_transit(std::uint64_t link, std::uint64_t bytes);

    /// Of all links.
    std::uint64_t held() const noexcept { return held_; }

    /// What one link may hold at most, however much is left: as the protocol says (8.6).
    static constexpr std::uint64_t window_max = std::uint64_t{64} << 20;
    static constexpr std::uint64_t window_min = std::uint64_t{64} << 10;

private:
    struct share {
        std::uint64_t page_bytes = 0;
        std::uint64_t in_transit = 0;
        std::size_t pages = 0;
    };
    /// Those that hold nothing are not in it.
    std::unordered_map<std::uint64_t, share> links_;
    void settle(std::unordered_map<std::uint64_t, share>::iterator which);

    const std::uint64_t bytes_max_;
    const std::size_t pages_max_;
    std::uint64_t held_ = 0;
};

}  // namespace cairn::daemon
