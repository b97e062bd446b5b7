#include "forks.hpp"

#include <pthread.h>

#include <atomic>

namespace cairn::store {

namespace {

std::atomic<std::uint64_t> forked_so_far{0};

}  // namespace

std::uint64_t forks() noexcept {
    static const int registered = ::pthread_atfork(
        nullptr, nullptr, [] { forked_so_far.fetch_add(1, std::memory_order_relaxed); });
    (void)registered;
    return forked_so_far.load(std::memory_order_relaxed);
}

}  // namespace cairn::store
