#pragma once

#include <cairn/ids.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace cairn::protocol {

/// Whether a reader that catches up comes nearer to what is published: its lag has to fall below
/// the lowest that was seen, again and again.
///
/// Threads: one at a time.
/// Limits:  what happens between two looks is not seen; next() says when to look.
class convergence {
public:
    explicit convergence(duration wait) : wait_(std::max(wait, duration(1))) {}

    /// `behind`: it catches up. True when it has come no nearer for `wait`, and once more after
    /// each further `wait`.
    bool look(bool behind, std::uint64_t lag, time_point now) {
        if (!behind) {
            since_.reset();
            converging_ = true;
            return false;
        }
        if (!since_ || lag < lowest_) {
            converging_ = converging_ || since_.has_value();
            lowest_ = lag;
            since_ = now;
        }
        if (now - *since_ < wait_) return false;
        lowest_ = lag;
        since_ = now;
        converging_ = false;
        return true;
    }
    /// False: it came no nearer for `wait` when that was last looked at, nor since.
    bool converging() const noexcept { return converging_; }
    /// When to look next; nothing: when it is behind.
    std::optional<time_point> next(time_point now) const {
        if (!since_) return std::nullopt;
        const time_point end =
            *since_ > time_point::max() - wait_ ? time_point::max() : *since_ + wait_;
        return std::min(end, now + std::min<duration>(wait_, look_interval));
    }

    static constexpr duration look_interval = std::chrono::seconds(1);

private:
    duration wait_;
    std::optional<time_point> since_;  // the lag was lowest; nothing: not behind
    std::uint64_t lowest_ = 0;
    bool converging_ = true;
};

}  // namespace cairn::protocol
