#include <cairn/runtime/burst_lock.hpp>
#include <cairn/runtime/fence.hpp>

#include <thread>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace cairn::runtime {

namespace {

void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

burst_lock::fence burst_lock::cheapest() noexcept {
    return can_fence_all_threads() ? fence::by_sleepers : fence::by_all;
}

void burst_lock::lock_slowly() noexcept {
    for (unsigned pauses = 16; pauses <= 512; pauses *= 2) {
        for (unsigned i = 0; i != pauses; ++i) relax();
        if (state_.load(std::memory_order_relaxed) == free && try_lock()) return;
    }
    for (;;) {
        sleepers_.store(1, std::memory_order_seq_cst);
        const bool seen = by_ == fence::by_all || fence_all_threads();
        // The 1 stays: others may sleep, and whoever had to come here wakes the next of them.
        std::uint32_t expected = free;
        if (state_.compare_exchange_strong(expected, taken, std::memory_order_seq_cst)) return;
        if (seen)
            sleepers_.wait(1, std::memory_order_relaxed);
        else
            std::this_thread::yield();  // who unlocks may not have seen us
    }
}

void burst_lock::wake_one() noexcept {
    if (sleepers_.exchange(0, std::memory_order_seq_cst) != 0) sleepers_.notify_one();
}

}  // namespace cairn::runtime
