#pragma once

#include <cairn/runtime/burst_lock.hpp>

#include <array>
#include <atomic>
#include <cstdint>

namespace cairn::runtime {

/// Threads that wait for room, let in by rounds: who comes while others wait is let in after all of
/// them. Woken all at once, the thread that runs first takes all room, is the first to wait again,
/// and so again the first to be woken; on one processor others then never get any.
///
/// Threads: thread-safe.
class waiting_line {
public:
    /// A call that may have to wait; it leaves the line when it ends.
    class place {
    public:
        explicit place(waiting_line& line) noexcept : line_(line) {}
        ~place() {
            if (joined_) line_.leave(*this);
        }
        place(const place&) = delete;
        place& operator=(const place&) = delete;

        /// After a look that found no room. The first time it joins the line and returns at once,
        /// so that its caller looks once more; then it returns when there may be room.
        void wait() noexcept {
            if (joined_)
                line_.await_turn(*this);
            else
                line_.join(*this);
        }

    private:
        friend class waiting_line;
        waiting_line& line_;
        std::uint32_t round_ = 0;
        std::uint32_t seen_ = 0;
        bool joined_ = false;
    };

    /// There is room: wakes those whose turn it is. Called after the room was made. One load when
    /// nobody waits.
    void let_in() noexcept {
        if (waiting_.load(std::memory_order_relaxed) != 0) wake_next();
    }
    /// Wakes all, to look at something else than room.
    void wake_all() noexcept;

private:
    void join(place& p) noexcept;
    void await_turn(place& p) const noexcept;
    void leave(const place& p) noexcept;
    void wake_next() noexcept;

    burst_lock lock_;
    std::uint32_t round_ = 0;                // whose turn it is; others wait for the next
    std::array<std::uint32_t, 2> places_{};  // of this round and the next, by parity
    std::atomic<std::uint32_t> waiting_{0};  // sum of places_
    std::array<std::atomic<std::uint32_t>, 2> words_{};  // what the rounds sleep on
};

}  // namespace cairn::runtime
