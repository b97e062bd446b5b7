#pragma once

#include <cairn/ids.hpp>

#include <chrono>
#include <cstdint>

namespace cairn::protocol {

/// Delays between attempts: doubling from `first` to `max`, each somewhere in the upper half of
/// its step, so that many who lost the same peer do not come back at once.
///
/// Threads: one at a time.
class backoff {
public:
    /// Requires: 0 < first <= max <= a day.
    explicit backoff(duration first = std::chrono::milliseconds(100),
                     duration max = std::chrono::seconds(5)) noexcept
        : first_(first), max_(max), step_(first) {}

    /// The delay before the next attempt; `random` is any evenly distributed number.
    duration next(std::uint32_t random) noexcept;
    /// An attempt succeeded: the next delay is a first one again.
    void reset() noexcept { step_ = first_; }

private:
    duration first_;
    duration max_;
    duration step_;
};

}  // namespace cairn::protocol
