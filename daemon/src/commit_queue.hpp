#pragma once

#include "slots.hpp"

#include <cairn/runtime/loop.hpp>
#include <cairn/store/committer.hpp>

#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

namespace cairn::daemon {

/// Who submits commands, on the loop, and is told there what became of them.
class commit_client {
public:
    /// In the order of the store. `flushed`: as in store::completion.
    virtual void replied(std::uint32_t token, const store::reply& answer, bool flushed) = 0;
    /// As in store::completion. Appends alone are confirmed before their sync.
    virtual void kept(std::uint32_t token) { (void)token; }
    virtual void taken_back(std::uint32_t token, errc why) {
        (void)token;
        (void)why;
    }
    /// All replies that had come were told.
    virtual void settled() = 0;

protected:
    ~commit_client() = default;
};

/// The loop's way to the committer and back: never waits for the disk, and wakes the loop once a
/// commit, not once a reply.
///
/// Owns:    commands that the committer has no room for. Loop and committer must outlive it, and
///          the committer must be closed before.
/// Threads: loop, but what overrides store::completion, which is the committer's.
/// Limits:  none of its own: appends are bounded by append_bytes_max, other requests by the limits
///          of their services.
class commit_queue final : public store::completion, public runtime::task {
public:
    commit_queue(runtime::loop& loop, store::committer& committer)
        : loop_(loop), committer_(committer) {}
    ~commit_queue();

    void add(commit_client& client) { clients_.push_back(&client); }
    void submit(store::command wanted, commit_client& from, std::uint32_t token);
    /// Commands that the committer has had no room for.
    std::size_t waiting() const noexcept { return waiting_.size(); }

    void run(time_point now) override;
    void replied(std::uint64_t token, const store::reply& answer, bool flushed) override;
    void kept(std::uint64_t token) override;
    void taken_back(std::uint64_t token, errc why) override;
    void committed() override;

private:
    struct ticket {
        commit_client* from = nullptr;
        std::uint32_t token = 0;
    };
    struct outcome {
        enum class kind : std::uint8_t { flushed, written, kept, taken_back };

        std::uint32_t slot = 0;
        outcome::kind what = kind::flushed;
        store::reply answer;  // taken_back: its code
    };
    struct waiting_command {
        store::command wanted;
        std::uint32_t slot = 0;
    };

    void push(std::uint64_t token, outcome::kind what, const store::reply& answer);
    void tell(const outcome& o);
    /// False: there is no room now.
    bool try_submit(store::command& wanted, std::uint32_t slot);

    runtime::loop& loop_;
    store::committer& committer_;
    std::vector<commit_client*> clients_;
    slots<ticket> tickets_;
    std::deque<waiting_command> waiting_;
    std::vector<outcome> taken_;

    std::mutex mutex_;
    std::vector<outcome> outcomes_;  // guarded by mutex_
};

}  // namespace cairn::daemon
