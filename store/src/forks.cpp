#include "forks.hpp"

#include <pthread.h>

#include <atomic>

namespace cairn::store {

namespace {

std::atomic<std::uint64_t> counted{0};

}  // namespace

std::uint64_t forks() noexcept {
    static const int registered =
        ::pthread_atfork(nullptr, nullptr, [] { counted.fetch_add(1, std::memory_order_relaxed); });
    (void)registered;
    return counted.load(std::memory_order_relaxed);
}

}  // namespace cairn::store
