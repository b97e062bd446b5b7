#pragma once

/// Memory that goes from thread to thread through libzmq. Its queues order the accesses, but it is
/// not built with thread sanitizer, which therefore has to be told; elsewhere these are nothing.
///
/// Threads: thread-safe.

#if defined(__SANITIZE_THREAD__)
#define CAIRN_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAIRN_THREAD_SANITIZER 1
#endif
#endif

#ifdef CAIRN_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

namespace cairn::runtime {

/// What this thread wrote is given away with the memory at `address`.
inline void handing_over([[maybe_unused]] const void* address) noexcept {
#ifdef CAIRN_THREAD_SANITIZER
    __tsan_release(const_cast<void*>(address));
#endif
}

/// The memory at `address` came, and what its givers wrote is seen.
inline void taken_over([[maybe_unused]] const void* address) noexcept {
#ifdef CAIRN_THREAD_SANITIZER
    __tsan_acquire(const_cast<void*>(address));
#endif
}

}  // namespace cairn::runtime
