#pragma once

#include <cairn/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cairn::runtime {

/// Holds log lines of one cause to lines_per_second_max, so that a peer cannot fill a disk.
///
/// Owns:    a counter a cause.
/// Threads: one at a time.
/// Limits:  causes_max causes at a time; all further ones share one counter.
class log_limiter {
public:
    static constexpr std::uint32_t lines_per_second_max = 10;
    static constexpr std::size_t causes_max = 256;

    /// True: write the line.
    bool admit(std::string_view cause, time_point now);

    struct summary {
        std::string cause;
        std::uint64_t suppressed;

        /// "CAUSE: (N more suppressed)"
        std::string text() const;
    };

    /// One entry for each cause whose second is over and that had lines left out. Call it in every
    /// turn or on a timer of a second; costs one comparison while nothing is suppressed.
    std::vector<summary> due(time_point now);

    /// When due() will have something; time_point::max() when nothing is suppressed.
    time_point next_due() const noexcept { return next_due_; }

    std::uint64_t suppressed_total() const noexcept { return suppressed_total_; }

private:
    struct counter {
        time_point began;
        std::uint32_t lines = 0;
        std::uint64_t suppressed = 0;
    };

    counter& counter_of(std::string_view cause, time_point now);

    std::unordered_map<std::string, counter> counters_;
    time_point next_due_ = time_point::max();
    std::uint64_t suppressed_total_ = 0;
};

}  // namespace cairn::runtime
