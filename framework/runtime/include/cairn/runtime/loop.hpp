#pragma once

#include <cairn/ids.hpp>
#include <cairn/runtime/fork_guard.hpp>
#include <cairn/runtime/waiter.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace cairn::runtime {

/// `now` + `delay` without overflow: a user's deadline may be milliseconds::max(), or below zero,
/// which is zero.
inline time_point later(time_point now, std::chrono::milliseconds delay) {
    const auto room = std::chrono::floor<std::chrono::milliseconds>(time_point::max() - now);
    if (delay >= room) return time_point::max();
    return now + std::max(delay, std::chrono::milliseconds::zero());
}

/// Something that the loop does: serve a socket, send what was published, keep a timer.
///
/// Threads: run() loop; the rest as loop's functions say.
class task {
public:
    task() = default;
    task(const task&) = delete;
    task& operator=(const task&) = delete;

    /// Called once after each flag() and when the time given to at() came; finds out itself what
    /// there is to do.
    virtual void run(time_point now) = 0;

protected:
    ~task() = default;

private:
    friend class loop;
    std::atomic<bool> flagged_{false};
    task* next_ = nullptr;    // in the list of flagged tasks
    time_point due_ = never;  // guarded by the loop's lock
    static constexpr time_point never = time_point::max();
};

/// The one place where a node's network is served, by whichever thread is there already.
///
/// All network state of a node is guarded by the loop's lock; "loop" in a `Threads:` line means:
/// while holding it. A *turn* runs every flagged task and every timer that is due. Turns are taken
/// by
///  - the loop's own thread, which always waits for events when nobody else does;
///  - a thread that waits in receive() or wait_until(): it waits for the network itself, so that a
///    message or an answer reaches it without a second thread in between (at most one such thread
///    at a time, the driver);
///  - a user thread that publishes to an idle loop: it sends at once by itself.
///
/// Both the driver and the loop's thread wait in an epoll set of their own over the same
/// descriptors, added with EPOLLEXCLUSIVE, the driver's set first. Linux wakes exclusive waiters in
/// the order they were added and stops at the first set in which a thread waits: an event goes to
/// the driver if one waits, else to the loop's thread, never to both (ep_poll_callback,
/// fs/eventpoll.c; Linux 4.5). Events are edge-triggered: who is woken must take a turn.
///
/// Lost wake-ups cannot happen: whoever finds the lock taken sets `again_`, and whoever releases
/// the lock looks at it afterwards.
///
/// Owns:    its thread and three descriptors.
/// Threads: thread-safe unless a function says loop.
/// Fails:   construction throws error (limit_exceeded) when the process has no descriptors left;
///          start() when it may not have another thread. In a forked child, where another thread
///          may have held the lock for ever and the descriptors are the parent's as well, guard
///          throws error (forked), waits end at once, and no turn is taken.
class loop {
public:
    loop();
    /// Stops the thread. No other thread may be inside the loop any more.
    ~loop();
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;

    /// Starts the loop's thread; until then turns are taken by run_once() only.
    void start(std::string_view thread_name);
    void stop() noexcept;

    /// Holds the lock. When it is given back, what was flagged meanwhile is run.
    class guard {
    public:
        explicit guard(loop& owner) : owner_(owner) { owner_.lock(); }
        ~guard() { owner_.unlock(); }
        guard(const guard&) = delete;
        guard& operator=(const guard&) = delete;

    private:
        loop& owner_;
    };
    bool locked_by_me() const noexcept {
        return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }

    /// Marks `t` to be run in the next turn. Says nothing to anybody: see wake(), kick().
    void flag(task& t) noexcept;
    /// Sees to it that a turn is taken soon by somebody.
    void wake() noexcept;
    /// As wake(), but when the loop is idle and the caller does not do so all the time, the caller
    /// takes the turn itself: a lone message leaves without waking another thread.
    void kick();

    /// Runs `t` at `when`, once; a later call replaces an earlier one; never = not at all. Loop.
    void at(task& t, time_point when);
    /// Forgets the task: it is not run any more. Loop.
    void remove(task& t);

    /// While it lives, `t` is run whenever `descriptor` becomes readable (edge-triggered). Its end
    /// also forgets the task, as remove() does. Made and ended in the loop; the descriptor must
    /// outlive it. Construction throws error (limit_exceeded: descriptors_max, or what the system
    /// permits).
    class watching {
    public:
        watching(loop& owner, int descriptor, task& t);
        ~watching();
        watching(const watching&) = delete;
        watching& operator=(const watching&) = delete;

    private:
        loop& owner_;
        int descriptor_;
        task& task_;
    };

    static constexpr std::size_t descriptors_max = 4'096;

    /// Blocks until `ready()` (called with w's mutex held), w.close(), or the deadline; drives the
    /// loop meanwhile when nobody else does. Returns ready().
    template <typename Ready>
    bool wait(waiter& w, std::optional<time_point> deadline, Ready ready);

    /// Blocks until `done()` or the deadline; drives the loop meanwhile when nobody else does.
    /// done() is called with the lock held, at first by the caller, then by whoever ends a turn in
    /// which something changed(); it may act, but must not throw. Returns done().
    template <typename Done>
    bool wait_until(time_point deadline, Done done);
    /// Something that wait_until() callers may wait for has changed. Loop.
    void changed() noexcept { changed_ = true; }

    /// One turn by the caller, then, if `wait` is not zero, waits for an event and takes another.
    /// For tests and for nodes that are driven by their owner.
    void run_once(duration wait);

    time_point now() const noexcept { return clock::now(); }
    /// When the present or the last turn began: good enough for liveness, and free. Loop.
    time_point turn_time() const noexcept { return turn_time_; }

    static constexpr time_point never = task::never;

private:
    using timer = std::pair<time_point, task*>;

    void close_descriptors() noexcept;
    void lock();
    bool try_lock() noexcept;
    void unlock();
    void turn();
    bool try_turn();
    void run();
    bool pending() const noexcept {
        return flagged_.load() != nullptr || again_.load() || signaled_words_.load() != 0;
    }
    void flag_due(time_point time);
    void flag_signaled();
    bool become_driver() noexcept { return !driven_.exchange(true); }
    void stop_driving(waiter& w);
    /// Waits in the driver's set, then takes a turn.
    void drive(std::optional<time_point> deadline);
    void collect(int epoll_set, duration timeout) noexcept;

    fork_guard fork_;

    // The lock's own word is a plain mutex; who holds it is known, so that user callbacks inside a
    // turn may publish.
    std::mutex mutex_;
    std::atomic<std::thread::id> owner_{};

    /// A thread in wait_until(). Only those whose wait is over are woken: a node may have as many
    /// as it has handles.
    class sleeper {
    public:
        virtual bool done() = 0;

        void rest(time_point deadline);
        /// May be gone when this returns.
        void wake() noexcept;
        /// Whoever woke it does not touch it any more.
        bool over() const noexcept;

        std::thread::id driver;  // not nobody: waits in the driver's set

    protected:
        ~sleeper() = default;

    private:
        mutable std::mutex mutex_;
        std::condition_variable signal_;
        bool over_ = false;  // guarded by mutex_
    };

    /// Whether the caller has to wait still.
    bool begin_wait(sleeper& mine);
    void go_on_waiting(sleeper& mine, time_point deadline);
    bool end_wait(sleeper& mine);
    void tell_sleepers() noexcept;
    /// Gives the lock back after all that changed under it was told.
    void release() noexcept;

    std::vector<sleeper*> sleepers_;  // guarded by the lock
    bool changed_ = false;            // guarded by the lock

    std::atomic<task*> flagged_{nullptr};
    task* running_ = nullptr;  // of these, what this turn has still to run; guarded by the lock
    std::atomic<bool> again_{false};
    std::set<timer> timers_;  // guarded by the lock

    // Which watched descriptors had an edge: one bit each, and one bit for each word with such a
    // bit. Bits and not pointers, because a thread that comes back from epoll_wait without the lock
    // may hold the number of a descriptor that is no longer watched.
    std::array<std::atomic<std::uint64_t>, descriptors_max / 64> signaled_{};
    std::atomic<std::uint64_t> signaled_words_{0};
    std::vector<task*> watched_;  // by number; guarded by the lock

    int loop_set_ = -1;     // where the loop's thread waits
    int driver_set_ = -1;   // where a waiting user thread waits
    int loop_bell_ = -1;    // rings in loop_set_ only
    int driver_bell_ = -1;  // rings in driver_set_ only

    std::atomic<bool> sleeping_{false};  // the loop's thread is waiting, or about to
    std::atomic<bool> driven_{false};    // a driver exists
    std::atomic<std::int64_t> last_inline_{
        0};                 // ns; when a publishing thread last took a turn itself
    time_point turn_time_;  // guarded by the lock
    // Until when the loop's thread sleeps: written under the lock, read by it on its way to sleep.
    std::atomic<time_point> planned_{never};
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

template <typename Ready>
bool loop::wait(waiter& w, std::optional<time_point> deadline, Ready ready) {
    if (fork_.forked()) return false;
    if (become_driver()) {
        if (pending()) try_turn();
        while (w.prepare_to_drive(driver_bell_, ready) && (!deadline || now() < *deadline))
            drive(deadline);
        stop_driving(w);
        return w.check(ready);
    }
    return w.sleep(deadline, ready);
}

template <typename Done>
bool loop::wait_until(time_point deadline, Done done) {
    struct waiting final : sleeper {
        explicit waiting(Done& what) : done_(what) {}
        bool done() override { return done_(); }

    private:
        Done& done_;
    };
    if (fork_.forked()) return false;
    waiting mine(done);
    if (!begin_wait(mine)) return true;
    go_on_waiting(mine, deadline);
    return end_wait(mine);
}

}  // namespace cairn::runtime
