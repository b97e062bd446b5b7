#pragma once

#include <cairn/ids.hpp>
#include <cairn/store/database.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace cairn::store {

/// Gets replies. Called on the committer's thread: must be quick, and must not throw.
class completion {
public:
    /// `flushed` is false for what durability::written confirms before its sync: kept() or
    /// taken_back() follows then, for each.
    virtual void replied(std::uint64_t token, const reply& answer, bool flushed) = 0;
    /// The replies of one transaction are complete, or those of a part of it: who has to wake
    /// somebody does it here, once.
    virtual void committed() {}

    /// The sync returned that holds what was confirmed without it under this token. Does nothing
    /// unless overridden.
    virtual void kept(std::uint64_t token) { (void)token; }
    /// The commit failed that held what was confirmed without its sync under this token, or would
    /// have stored it elsewhere than was said. It is not stored; with store_failed nobody knows.
    /// Does nothing unless overridden.
    virtual void taken_back(std::uint64_t token, errc why) {
        (void)token;
        (void)why;
    }

protected:
    ~completion() = default;
};

/// Where the committer's thread waits while there is nothing to commit. A program that receives
/// commands over a network can let that thread receive meanwhile: what comes alone is committed by
/// the thread that received it.
class waiting_room {
public:
    /// Returns when `done()`, or at the deadline or before. done() is quick, takes the committer's
    /// own lock, and holds only after a wake() when it did not at first.
    virtual void wait(time_point deadline, const std::function<bool()>& done) = 0;
    /// done() may hold now. Called by who submits or closes, on its thread.
    virtual void wake() = 0;

protected:
    ~waiting_room() = default;
};

struct committer_options {
    /// Bytes that commands hold (bodies, ranges, texts), and 256 each, that may wait at once.
    std::size_t waiting_bytes_max = std::size_t{64} << 20;
    /// The same bytes after which a transaction is closed although more waits: 1 to
    /// commit_bytes_max.
    std::size_t transaction_bytes_max = std::size_t{8} << 20;
    std::size_t transaction_commands_max = 8'192;  ///< 1 or more
    /// While nothing is asked: how often retention is looked after. Above 0; counts as 24 h above
    /// that.
    std::chrono::milliseconds idle_interval{1'000};
    /// Must outlive the committer. None: its thread sleeps.
    waiting_room* room = nullptr;
};

struct committer_stats {
    std::uint64_t transactions = 0;
    std::uint64_t commands = 0;
    std::uint64_t waiting_commands = 0;  ///< submitted, and not yet committed
    std::uint64_t waiting_bytes = 0;
    std::uint64_t waiting_threads = 0;       ///< that wait for room to submit
    std::chrono::nanoseconds commit_time{};  ///< spent in commits, in all
    /// How far the wall clock jumped ahead of the time that passed; it is followed, and this 0,
    /// when it has been so for ten minutes.
    std::chrono::nanoseconds clock_ahead{};
};

/// Commits what many threads submit, in groups: while one sync runs, the next commands gather.
///
/// What comes while nothing is committed is committed at once. But for one case: after a
/// transaction of several commands the next begins when as many are there again, or a quarter of
/// the time that it took is over, at most 2 ms. Who was just answered may have more to say, and one
/// commit for all of them takes less than two for a half each.
///
/// Owns:    its thread, one that lets the disk begin with a large transaction before its sync, and
///          the commands that wait. Database and completions must outlive it. From construction to
///          close() nobody else may call database::commit().
/// Threads: thread-safe, but close() one at a time.
/// Fails:   construction throws error(invalid_argument). Submitting returns ok, full, closed,
///          timed_out, forked, or too_large (a command above waiting_bytes_max or
///          commit_bytes_max).
/// Limits:  committer_options. Commands of one thread are committed in its order.
class committer {
public:
    explicit committer(database& target, const committer_options& chosen = {});
    /// Closes.
    ~committer();
    committer(const committer&) = delete;
    committer& operator=(const committer&) = delete;

    /// Takes `wanted` when it returns ok, and leaves it as it was otherwise. Never waits.
    errc try_submit(command& wanted, completion& to, std::uint64_t token);
    /// Waits for room until `deadline`. Who waits is let in in the order of coming; before that
    /// there is no room for others, however little they need.
    errc submit_until(command& wanted, completion& to, std::uint64_t token, time_point deadline);

    /// Submits `wanted` and waits until it is flushed: for a thread that has nothing else to do.
    /// Any number may wait at once; those whose commands one transaction holds are woken together.
    /// The reply's code may also be one that submitting returns. A completion must not call it.
    reply commit(command wanted);

    /// Commits what was submitted, then ends the thread. Submitting fails from now on.
    void close();

    committer_stats stats() const;

    struct impl;

private:
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn::store
