#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cairn::bench {

/// Middle of the values, or mean of the two middle ones; 0 without any.
double median(std::vector<double> values);

/// Counts of durations, with a relative error below 0.8 %. Lives in shared memory.
///
/// Threads: one writer, any number of readers.
/// Limits:  values from 2^41 ns on count as the largest.
class histogram {
public:
    void add(std::uint64_t ns) noexcept {
        auto& count = counts_[bucket_of(ns)];
        count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    void add_all_of(const histogram& other) noexcept;

    /// The value below which `share` (0 to 1) of all lie, in ns; 0 when there are none.
    double percentile(double share) const noexcept;
    std::uint64_t count() const noexcept;

private:
    static constexpr unsigned sub_bits = 7;  // 128 buckets for each power of two
    static constexpr unsigned value_bits = 41;
    static constexpr std::size_t bucket_count = std::size_t{value_bits - sub_bits + 1} << sub_bits;

    static std::size_t bucket_of(std::uint64_t ns) noexcept;
    static double middle_of(std::size_t bucket) noexcept;

    std::array<std::atomic<std::uint32_t>, bucket_count> counts_{};
};

}  // namespace cairn::bench
