#include "commit_queue.hpp"

#include <utility>

namespace cairn::daemon {

commit_queue::~commit_queue() { loop_.remove(*this); }

void commit_queue::submit(store::command wanted, commit_client& from, std::uint32_t token) {
    const std::uint32_t slot = tickets_.put({&from, token});
    // What came first goes first.
    if (waiting_.empty() && try_submit(wanted, slot)) return;
    waiting_.push_back({std::move(wanted), slot});
}

bool commit_queue::try_submit(store::command& wanted, std::uint32_t slot) {
    const errc taken = committer_.try_submit(wanted, *this, slot);
    if (taken == errc::full) return false;
    if (taken != errc::ok) {
        replied(slot, {taken, {}}, true);
        committed();
    }
    return true;
}

void commit_queue::push(std::uint64_t token, outcome::kind what, const store::reply& answer) {
    const std::lock_guard hold(mutex_);
    outcomes_.push_back({static_cast<std::uint32_t>(token), what, answer});
}

void commit_queue::replied(std::uint64_t token, const store::reply& answer, bool flushed) {
    push(token, flushed ? outcome::kind::flushed : outcome::kind::written, answer);
    if (flushed) return;
    // Confirmed before the sync: does not wait for it, nor the sync for a turn of ours.
    loop_.flag(*this);
    loop_.wake();
}

void commit_queue::kept(std::uint64_t token) { push(token, outcome::kind::kept, {}); }

void commit_queue::taken_back(std::uint64_t token, errc why) {
    push(token, outcome::kind::taken_back, {why, {}});
}

// Where nobody else is busy with the network the committer's thread confirms by itself.
void commit_queue::committed() {
    loop_.flag(*this);
    loop_.kick();
}

void commit_queue::tell(const outcome& o) {
    // What was written only is told of once more.
    const bool over = o.what != outcome::kind::written;
    const ticket t = over ? tickets_.take(o.slot) : tickets_.at(o.slot);
    switch (o.what) {
        case outcome::kind::flushed:
        case outcome::kind::written:
            return t.from->replied(t.token, o.answer, over);
        case outcome::kind::kept:
            return t.from->kept(t.token);
        case outcome::kind::taken_back:
            return t.from->taken_back(t.token, o.answer.code);
    }
}

void commit_queue::run(time_point /*now*/) {
    {
        const std::lock_guard hold(mutex_);
        taken_.swap(outcomes_);
    }
    for (const outcome& o : taken_) tell(o);
    taken_.clear();
    while (!waiting_.empty() && try_submit(waiting_.front().wanted, waiting_.front().slot))
        waiting_.pop_front();
    for (commit_client* c : clients_) c->settled();
}

}  // namespace cairn::daemon
