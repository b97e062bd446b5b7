#include <cairn/runtime/burst_lock.hpp>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

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

bool membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

/// Every other thread of the process has by its end done what it stored before, and does what it
/// loads after. A forked child may have to register anew. False: it has not worked, since the
/// process took the right to ask away from itself.
bool fence_all_threads() noexcept {
    return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) ||
           (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) &&
            membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
}

}  // namespace

burst_lock::fence burst_lock::cheapest() noexcept {
    static const bool has_membarrier = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    return has_membarrier ? fence::by_sleepers : fence::by_all;
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
