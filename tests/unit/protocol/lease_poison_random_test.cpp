#include "random.hpp"

#include <cairn/protocol/lease_table.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using namespace protocol;

/// Workers that die of some messages, which nobody knows but they: each works in the order in which
/// it was lent messages, acks now and then, and is followed by another when it died or left.
class poisoned_queue {
public:
    explicit poisoned_queue(std::uint64_t seed) : random_(seed), table_(options()) {}

    /// What went wrong, if anything did.
    std::optional<std::string> play() {
        messages_ = random_.between(1, 60);
        for (std::uint64_t n = random_.below(4); n != 0; --n)
            poison_.insert(random_.between(1, messages_));
        table_.add({{1}, {messages_}});
        for (std::uint64_t n = random_.between(1, 4); n != 0; --n) hire();
        for (int steps = 0; table_.unfinished() != 0; ++steps) {
            if (steps == 50'000) return "something is never done";
            const auto lent = table_.next(now_, [](const fit_request& asked) {
                return fitted{asked.range.size(), asked.range.size()};
            });
            if (lent) hand_over(*lent);
            work(workers_[random_.below(workers_.size())]);
            collect_ends();
        }
        if (given_up_ != poison_) return "not exactly the guilty were given up";
        for (std::uint64_t s = 1; s <= messages_; ++s)
            if (!poison_.contains(s) && !done_.contains(s))
                return "message " + std::to_string(s) + " was acked and never worked on";
        return std::nullopt;
    }

private:
    struct worker {
        member_id id;
        std::uint64_t window;
        std::uint64_t granted;
        std::deque<std::uint64_t> held;   // not begun
        std::vector<std::uint64_t> told;  // done, and not yet acked
    };

    lease_options options() {
        lease_options chosen;
        chosen.ack_wait = 24h;
        chosen.deliveries_max = static_cast<std::uint32_t>(random_.between(2, 6));
        return chosen;
    }

    void hire() {
        const std::uint64_t window = random_.between(1, 40);
        workers_.push_back({table_.join({window, UINT64_MAX}), window, window, {}, {}});
    }

    void hand_over(const assignment& lent) {
        for (worker& w : workers_) {
            if (w.id != lent.member) continue;
            for (std::uint64_t s = lent.range.first.value; s <= lent.range.last.value; ++s)
                w.held.push_back(s);
        }
    }

    void replace(worker& w, departure how) {
        table_.leave(w.id, how, now_, "killed");
        w = workers_.back();
        workers_.pop_back();
        hire();
    }

    void work(worker& w) {
        if (random_.chance(2)) return replace(w, departure::orderly);
        if (w.held.empty() || random_.chance(20)) return ack(w);
        const std::uint64_t s = w.held.front();
        w.held.pop_front();
        if (poison_.contains(s)) return replace(w, departure::failed);
        done_.insert(s);
        w.told.push_back(s);
    }

    void ack(worker& w) {
        std::vector<sequence_range> stale;
        for (const std::uint64_t s : w.told) table_.ack(w.id, {{s}, {s}}, stale);
        EXPECT_TRUE(stale.empty());
        w.granted += w.told.size();
        w.told.clear();
        table_.grant(w.id, {w.granted, UINT64_MAX});
    }

    void collect_ends() {
        for (const given_up& g : table_.take_given_up()) {
            EXPECT_EQ(g.cause, errc::deliveries_exceeded);
            for (std::uint64_t s = g.range.first.value; s <= g.range.last.value; ++s)
                given_up_.insert(s);
        }
    }

    dice random_;
    lease_table table_;
    const time_point now_{1h};
    std::uint64_t messages_ = 0;
    std::set<std::uint64_t> poison_;
    std::set<std::uint64_t> given_up_;
    std::set<std::uint64_t> done_;
    std::vector<worker> workers_;
};

TEST(PoisonSchedules, EndWithTheGuiltyGivenUpAndAllOthersDone) {
    expect_no_failure(10'000, [](std::uint64_t seed) { return poisoned_queue(seed).play(); });
}

}  // namespace
}  // namespace cairn::test
