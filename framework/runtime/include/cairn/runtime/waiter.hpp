#pragma once

#include <cairn/ids.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace cairn::runtime {

/// The receiving side's half of waiting: a user thread sleeps here until the loop has put something
/// in, or drives the loop meanwhile (loop::wait). Base of inbox.
///
/// Threads: thread-safe; one thread at a time may wait.
class waiter {
public:
    waiter() = default;
    ~waiter();
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    /// Wakes the waiting thread for good: every wait returns at once from now on.
    void close();
    bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }

    /// A descriptor that is readable while something is ready; made at the first call.
    int descriptor();

protected:
    /// Wakes whoever waits. Requires: mutex_ held; something was just put in.
    void ready_now();
    /// Requires: mutex_ held; nothing is left after this.
    void empty_now();

    mutable std::mutex mutex_;

private:
    friend class loop;

    enum class state : std::uint8_t { absent, sleeping, driving };

    template <typename Ready>
    bool sleep(std::optional<time_point> deadline, Ready ready) {
        std::unique_lock lock(mutex_);
        const auto done = [&] { return closed_ || ready(); };
        state_ = state::sleeping;
        if (deadline)
            signal_.wait_until(lock, *deadline, done);
        else
            signal_.wait(lock, done);
        state_ = state::absent;
        return ready();
    }

    /// Announces that the caller is about to wait in the driver's set. False when there is no need.
    template <typename Ready>
    bool prepare_to_drive(int bell, Ready ready) {
        const std::lock_guard lock(mutex_);
        if (closed_ || ready()) return false;
        state_ = state::driving;
        driver_ = std::this_thread::get_id();
        bell_ = bell;
        return true;
    }

    template <typename Ready>
    bool check(Ready ready) {
        const std::lock_guard lock(mutex_);
        return ready();
    }

    void stop_driving();

    // Guarded by mutex_.
    std::condition_variable signal_;
    state state_ = state::absent;
    std::thread::id driver_;
    int bell_ = -1;
    int descriptor_ = -1;
    std::atomic<bool> closed_{false};  // written under mutex_
};

/// A queue from the loop to a user thread that hands over all that has gathered at once.
///
/// Threads: put() loop; take() one at a time.
template <typename Item>
class inbox : public waiter {
public:
    void put(Item item) {
        const std::lock_guard lock(mutex_);
        items_.push_back(std::move(item));
        if (items_.size() == 1) ready_now();
    }

    /// Moves everything into `out`, which must be empty. False when there is nothing.
    bool take(std::vector<Item>& out) {
        const std::lock_guard lock(mutex_);
        empty_now();
        if (items_.empty()) return false;
        items_.swap(out);
        return true;
    }

    bool empty() const {
        const std::lock_guard lock(mutex_);
        return items_.empty();
    }

    /// For loop::wait().
    auto filled() const {
        return [this] { return !items_.empty(); };
    }

private:
    std::vector<Item> items_;  // guarded by mutex_
};

}  // namespace cairn::runtime
