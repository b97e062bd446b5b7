#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cairn::bench {

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

/// What one role counts. The harness reads it while the role runs, so that no role has to look at a
/// clock for each message.
struct alignas(64) lane {
    std::atomic<std::uint64_t> messages{0};
    std::atomic<std::uint64_t> touched{0};  ///< sum over bodies read; keeps the reading from being
                                            ///< optimised away
    std::atomic<std::uint64_t> gaps{0};     ///< messages that a reader was told it will not get
    std::atomic<std::uint64_t> resident_bytes_before{0};  ///< of the role's process, before traffic
    histogram latency;
};

enum class phase : std::uint32_t { warming, measuring, done };

/// Shared memory between the harness and the processes that it starts: a lane for each role.
///
/// Owns:    the mapping and, in the harness, the descriptor.
/// Threads: thread-safe; each lane has one writer.
/// Fails:   construction throws std::system_error.
class board {
public:
    /// Makes a new one.
    explicit board(std::size_t lanes);
    /// Maps the one that the harness made, by its inherited descriptor.
    board(int descriptor, std::size_t lanes);
    ~board();
    board(const board&) = delete;
    board& operator=(const board&) = delete;

    int descriptor() const noexcept { return descriptor_; }
    std::size_t size() const noexcept { return lanes_; }
    lane& at(std::size_t index) noexcept { return mapped_lanes()[index]; }

    bench::phase phase() const noexcept { return phase_->load(std::memory_order_relaxed); }
    void set_phase(bench::phase next) noexcept { phase_->store(next, std::memory_order_relaxed); }

private:
    void map();
    std::size_t bytes() const noexcept;
    lane* mapped_lanes() const noexcept;

    int descriptor_;
    std::size_t lanes_;
    std::atomic<bench::phase>* phase_ = nullptr;
};

}  // namespace cairn::bench
