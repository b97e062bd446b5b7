#pragma once

#include <cairn/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cairn::runtime {

/// Holds log lines of one cause to lines_per_second_max, so that a peer cannot fill a disk, and one
/// that comes with each try of somebody who tries for ever to one in repeat_interval.
///
/// Owns:    a counter a cause, and the lines that repeat.
/// Threads: one at a time.
/// Limits:  causes_max causes at a time; all further ones share one counter. Of lines that repeat
///          the same number; all further ones are lines of their cause.
class log_limiter {
public:
    static constexpr std::uint32_t lines_per_second_max = 10;
    static constexpr std::size_t causes_max = 256;
    static constexpr duration repeat_interval = std::chrono::minutes(1);

    /// True: write the line.
    bool admit(std::string_view cause, time_point now);
    /// The same for a line that may have been written before: then it is counted.
    bool admit_repeated(std::string_view cause, std::string_view line, time_point now);

    struct summary {
        std::string cause;  // or the line that repeats
        std::uint64_t suppressed;

        /// "CAUSE: (N more suppressed)"
        std::string text() const;
    };

    /// One entry for each cause whose second is over and that had lines left out, and for each line
    /// that was repeated for a while. Call it in every turn or on a timer of a second; costs one
    /// comparison while nothing is suppressed.
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

    struct repeated {
        time_point told;
        std::uint64_t since = 0;
    };

    counter& counter_of(std::string_view cause, time_point now);

    std::unordered_map<std::string, counter> counters_;
    std::unordered_map<std::string, repeated> repeated_;
    time_point next_due_ = time_point::max();
    std::uint64_t suppressed_total_ = 0;
};

}  // namespace cairn::runtime
