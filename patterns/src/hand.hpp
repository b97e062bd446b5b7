#pragma once

#include <cairn/ids.hpp>
#include <cairn/runtime/fence.hpp>

#include <atomic>
#include <cstdint>
#include <optional>

namespace cairn::patterns {

/// Which message of its open batch a puller's application has in hand. The application and the loop
/// agree on it: what the application takes the loop does not give back, and the other way round.
///
/// Taking is a store and a load; the loop, which looks seldom, keeps their order (fence.hpp).
///
/// Threads: open() and take() the application's, the rest loop; one at a time each.
class hand {
public:
    /// `by_loop`: whether the loop can keep the order for both.
    explicit hand(bool by_loop = runtime::can_fence_all_threads()) noexcept : by_loop_(by_loop) {}

    /// A batch of which none is taken.
    void open() noexcept { at_.store(0, std::memory_order_relaxed); }
    /// The next message of the batch. False: the loop is looking, or looked for the last time; it
    /// knows whether this message was taken.
    bool take(sequence which) noexcept {
        if (by_loop_) [[likely]] {
            at_.store(which.value, std::memory_order_relaxed);
            std::atomic_signal_fence(std::memory_order_seq_cst);  // the compiler keeps the order
            return !looked_at_.load(std::memory_order_acquire);
        }
        at_.store(which.value, std::memory_order_seq_cst);
        return !looked_at_.load(std::memory_order_seq_cst);
    }

    /// The last message that was taken; 0: none. Whoever takes another one is told so until
    /// let_go(). Nothing: it cannot be known.
    std::optional<sequence> look() noexcept {
        looked_at_.store(true, std::memory_order_seq_cst);
        if (by_loop_ && !runtime::fence_all_threads()) return std::nullopt;
        return sequence{at_.load(std::memory_order_seq_cst)};
    }
    void let_go() noexcept { looked_at_.store(false, std::memory_order_release); }

private:
    const bool by_loop_;
    std::atomic<std::uint64_t> at_{0};
    std::atomic<bool> looked_at_{false};
};

}  // namespace cairn::patterns
