#include <cairn/runtime/burst_lock.hpp>

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

void burst_lock::lock_slowly() noexcept {
    for (unsigned pauses = 16; pauses <= 512; pauses *= 2) {
        for (unsigned i = 0; i != pauses; ++i) relax();
        if (state_.load(std::memory_order_relaxed) == free && try_lock()) return;
    }
    while (state_.exchange(contended, std::memory_order_acquire) != free)
        state_.wait(contended, std::memory_order_relaxed);
}

}  // namespace cairn::runtime
