// Messages that are not for everybody: for their last delivery, or too large for some.

#include "values.hpp"

#include <cairn/protocol/lease_table.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace cairn::protocol {
namespace {

using namespace std::chrono_literals;
using cairn::test::many;
using cairn::test::only;
using cairn::test::range;

class ParticularMessage : public ::testing::Test {
protected:
    static lease_options options() {
        lease_options chosen;
        chosen.ack_wait = 30s;
        chosen.deliveries_max = 2;
        return chosen;
    }

    member_id worker(std::uint64_t body_bytes_max = UINT64_MAX) {
        return table.join({many, many}, body_bytes_max);
    }
    std::optional<assignment> lend() {
        return table.next(now, [this](const fit_request& asked) {
            fitted taken;
            for (sequence s = asked.range.first; s <= asked.range.last; ++s) {
                const std::uint64_t body = large.contains(s.value) ? large[s.value] : 1;
                if (body > asked.body_bytes_max && taken.count == 0) return fitted{0, body};
                if (body > asked.body_bytes_max) break;
                ++taken.count;
                taken.bytes += body;
            }
            return taken;
        });
    }
    /// All that can be lent now.
    std::vector<assignment> lend_all() {
        std::vector<assignment> all;
        while (const auto lent = lend()) all.push_back(*lent);
        return all;
    }
    void ack(member_id who, sequence_range what) {
        std::vector<sequence_range> stale;
        table.ack(who, what, stale);
        EXPECT_TRUE(stale.empty());
    }
    void kill(member_id who) { table.leave(who, departure::failed, now, "killed"); }
    void pass(duration time) {
        now += time;
        table.expire(now);
    }

    lease_table table{options()};
    time_point now{1h};
    std::map<std::uint64_t, std::uint64_t> large;  // bytes of the body; others have 1
};

// --- The last delivery ------------------------------------------------------------------------

TEST_F(ParticularMessage, IsLentAloneForItsLastDelivery) {
    table.add(range(1, 3));
    const member_id doomed = worker();
    ASSERT_EQ(lend_all().size(), 1U);
    kill(doomed);
    table.add(range(4, 9));
    const member_id heir = worker();

    for (std::uint64_t s = 1; s <= 3; ++s) {
        const auto lent = lend_all();
        ASSERT_EQ(lent.size(), 1U);
        EXPECT_EQ(lent[0].range, only(s));
        EXPECT_EQ(lent[0].attempt, 2U);
        ack(heir, only(s));
    }
    EXPECT_EQ(lend_all().front().range, range(4, 9));
}

TEST_F(ParticularMessage, IsTheOnlyOneGivenUpWhenItKillsAgain) {
    table.add(range(1, 3));
    kill((worker(), lend_all().front().member));
    const member_id first = worker();
    ASSERT_EQ(lend()->range, only(1));
    kill(first);
    const auto ended = table.take_given_up();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].range, only(1));
    EXPECT_EQ(ended[0].attempts, 2U);
    EXPECT_EQ(table.unfinished(), 2U);
}

TEST_F(ParticularMessage, WaitsForAWorkerThatIsLentNothingNewMeanwhile) {
    table.add(range(1, 2));
    const member_id doomed = worker();
    ASSERT_EQ(lend()->range, range(1, 2));
    const member_id one = worker();
    const member_id two = worker();
    table.add(range(3, 10));
    std::map<member_id, std::vector<sequence_range>> held;
    // All are at work when the two come back.
    for (const assignment& a : lend_all()) held[a.member].push_back(a.range);
    ASSERT_EQ(held.size(), 3U);
    kill(doomed);
    table.add(range(11, 20));

    // One goes on with new work; the other has what it has, and then the last delivery.
    const auto more = lend_all();
    ASSERT_FALSE(more.empty());
    const member_id busy = more.front().member;
    const member_id reserved = busy == one ? two : one;
    for (const assignment& a : more) EXPECT_EQ(a.member, busy);
    for (const sequence_range& r : held[reserved]) ack(reserved, r);
    const auto alone = lend();
    ASSERT_TRUE(alone);
    EXPECT_EQ(alone->member, reserved);
    EXPECT_EQ(alone->range, only(1));
}

TEST_F(ParticularMessage, IsNoneWhenOneDeliveryIsAllThereIs) {
    lease_options once = options();
    once.deliveries_max = 1;
    table = lease_table(once);
    table.add(range(1, 100));
    worker();
    EXPECT_EQ(lend()->range, range(1, 100));
}

// --- Large bodies -----------------------------------------------------------------------------

TEST_F(ParticularMessage, GoesToAWorkerThatTakesItsBody) {
    large[2] = 500;
    table.add(range(1, 3));
    const member_id small = worker(100);
    const member_id roomy = worker(1'000);

    std::map<std::uint64_t, member_id> to;
    for (const assignment& a : lend_all())
        for (sequence s = a.range.first; s <= a.range.last; ++s) to[s.value] = a.member;

    EXPECT_EQ(to.size(), 3U);
    EXPECT_EQ(to[2], roomy);
    EXPECT_NE(to[1], member_id{});
    (void)small;
}

TEST_F(ParticularMessage, HoldsUpNoOtherWhileNobodyTakesItsBody) {
    large[1] = 500;
    table.add(range(1, 3));
    const member_id small = worker(100);
    EXPECT_EQ(lend()->range, range(2, 3));
    EXPECT_FALSE(lend());
    ack(small, range(2, 3));
    EXPECT_EQ(table.unfinished(), 1U);

    worker(499);
    EXPECT_FALSE(lend());
    const member_id roomy = worker(500);
    const auto lent = lend();
    ASSERT_TRUE(lent);
    EXPECT_EQ(lent->member, roomy);
    EXPECT_EQ(lent->attempt, 1U);
}

TEST_F(ParticularMessage, IsGivenUpWhenNobodyTakesItsBodyForAnAckWait) {
    large[1] = 500;
    table.add(only(1));
    worker(100);
    EXPECT_FALSE(lend());
    EXPECT_EQ(table.next_deadline(), now + 30s);

    pass(30s);

    const auto ended = table.take_given_up();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].cause, errc::too_large);
    EXPECT_EQ(ended[0].attempts, 0U);
    EXPECT_EQ(table.unfinished(), 0U);
}

TEST_F(ParticularMessage, WaitsAsLongAsSomebodyWhoTakesItsBodyIsBusy) {
    large[2] = 500;
    table.add(range(1, 2));
    const member_id roomy = table.join({1, many}, 1'000);
    ASSERT_EQ(lend()->range, only(1));
    worker(100);
    EXPECT_FALSE(lend());
    for (int i = 0; i != 20; ++i) {
        std::vector<sequence_range> stale;
        table.extend(roomy, only(1), 24h, now, stale);
        pass(29s);
    }
    EXPECT_EQ(table.unfinished(), 2U);

    kill(roomy);
    pass(29s);
    EXPECT_EQ(table.unfinished(), 2U);
    pass(1s);
    EXPECT_EQ(table.take_given_up().size(), 1U);
}

}  // namespace
}  // namespace cairn::protocol
