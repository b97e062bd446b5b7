#pragma once

#include "harness/statistics.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cairn::bench {

/// What one role counts. The harness reads it while the role runs, so that no role has to look at a
/// clock for each message.
struct alignas(64) lane {
    std::atomic<std::uint64_t> messages{0};
    std::atomic<std::uint64_t> touched{0};  ///< sum over bodies read; keeps the reading from being
                                            ///< optimised away
    std::atomic<std::uint64_t> gaps{0};     ///< messages that a reader was told it will not get
    std::atomic<std::uint64_t> misplaced{
        0};  ///< messages that came twice, or skipped others unsaid
    std::atomic<std::uint64_t> reached_ns{0};  ///< when the role had done what it was started for
    std::atomic<std::uint64_t> anonymous_bytes_before{
        0};  ///< of the role's process, before traffic; what files back (its code) does not count
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
