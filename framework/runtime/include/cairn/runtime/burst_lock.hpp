#pragma once

#include <atomic>
#include <cstdint>

namespace cairn::runtime {

/// A mutex for critical sections of some ten nanoseconds that several threads enter in a row.
///
/// A thread that finds it taken first backs off for longer and longer, up to some microseconds,
/// which lets the holder's core run a burst of sections with the cache line at home: two threads
/// that alternate at each section are three times slower together than one alone. Only then it
/// sleeps (as in Drepper, "Futexes Are Tricky", 2011, with the word to sleep on apart).
///
/// Who unlocks must see whoever is about to sleep, or be seen by it: each stores, then loads, and
/// one of them has to keep the two in order. Here it is the sleeper, with membarrier(2), so that to
/// unlock is a plain store: half of a pair of locked instructions, each of which waits until all
/// that was written before is in the cache (Dice, Huang and Yang, "Asymmetric Dekker
/// Synchronization", 2001).
///
/// Threads: thread-safe. Meets Lockable.
class burst_lock {
public:
    /// Who keeps the order.
    enum class fence : std::uint8_t { by_sleepers, by_all };

    burst_lock() noexcept : burst_lock(cheapest()) {}
    explicit burst_lock(fence by) noexcept : by_(by) {}

    void lock() noexcept {
        if (!try_lock()) lock_slowly();
    }

    bool try_lock() noexcept {
        std::uint32_t expected = free;
        return state_.compare_exchange_strong(expected, taken, std::memory_order_acquire,
                                              std::memory_order_relaxed);
    }

    void unlock() noexcept {
        if (by_ == fence::by_sleepers) {
            state_.store(free, std::memory_order_release);
            std::atomic_signal_fence(std::memory_order_seq_cst);  // the compiler keeps the order
            if (sleepers_.load(std::memory_order_relaxed) != 0) wake_one();
        } else {
            state_.exchange(free, std::memory_order_seq_cst);
            if (sleepers_.load(std::memory_order_seq_cst) != 0) wake_one();
        }
    }

private:
    static constexpr std::uint32_t free = 0;
    static constexpr std::uint32_t taken = 1;

    /// by_all where the kernel has no membarrier(2), or does not permit it.
    static fence cheapest() noexcept;
    void lock_slowly() noexcept;
    void wake_one() noexcept;

    std::atomic<std::uint32_t> state_{free};
    std::atomic<std::uint32_t> sleepers_{0};  // 1: somebody sleeps, or is about to
    const fence by_;
};

}  // namespace cairn::runtime
