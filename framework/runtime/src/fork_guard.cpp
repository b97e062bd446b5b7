#include <cairn/error.hpp>
#include <cairn/runtime/fork_guard.hpp>

#include <pthread.h>
#include <atomic>
#include <string>

namespace cairn::runtime {

namespace {

std::atomic<std::uint64_t> forks{0};

// Counted in the child only: an object made before the fork then finds another number there.
void install() noexcept {
    static const int installed =
        pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
    static_cast<void>(installed);
}

}  // namespace

fork_guard::fork_guard() noexcept {
    install();
    made_in_ = forks.load(std::memory_order_relaxed);
}

bool fork_guard::forked() const noexcept {
    return forks.load(std::memory_order_relaxed) != made_in_;
}

void fork_guard::check(std::string_view operation) const {
    if (!forked()) return;
    throw error(errc::forked, std::string(operation) +
                                  ": the node belongs to the parent of this forked process; make "
                                  "a new node here, or call exec after fork");
}

}  // namespace cairn::runtime
