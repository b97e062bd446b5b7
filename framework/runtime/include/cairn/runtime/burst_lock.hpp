#pragma once

#include <atomic>
#include <cstdint>

namespace cairn::runtime {

/// A mutex for critical sections of some ten nanoseconds that several threads enter in a row.
///
/// A thread that finds it taken first backs off for longer and longer, up to some microseconds,
/// which lets the holder's core run a burst of sections with the cache line at home: two threads
/// that alternate at each section are three times slower together than one alone. Only then it
/// sleeps (the three-state futex mutex of Drepper, "Futexes Are Tricky", 2011).
///
/// Threads: thread-safe. Meets Lockable.
class burst_lock {
public:
    void lock() noexcept {
        if (!try_lock()) lock_slowly();
    }

    bool try_lock() noexcept {
        std::uint32_t expected = free;
        return state_.compare_exchange_strong(expected, taken, std::memory_order_acquire,
                                              std::memory_order_relaxed);
    }

    void unlock() noexcept {
        if (state_.exchange(free, std::memory_order_release) == contended) state_.notify_one();
    }

private:
    static constexpr std::uint32_t free = 0;
    static constexpr std::uint32_t taken = 1;
    static constexpr std::uint32_t contended = 2;  // and somebody sleeps, or is about to

    void lock_slowly() noexcept;

    std::atomic<std::uint32_t> state_{free};
};

}  // namespace cairn::runtime
