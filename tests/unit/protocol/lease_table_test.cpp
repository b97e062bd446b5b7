#include "values.hpp"

#include <cairn/protocol/lease_table.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cairn::protocol {

std::ostream& operator<<(std::ostream& out, const assignment& a) {
    return out << '[' << a.range.first.value << ", " << a.range.last.value << "] attempt "
               << a.attempt;
}

namespace {

using namespace std::chrono_literals;
using cairn::test::many;
using cairn::test::only;
using cairn::test::range;
using ranges = std::vector<sequence_range>;

constexpr std::uint64_t message_bytes = 10;
constexpr std::uint64_t batch_messages = 100;

fitted fit(const fit_request& asked) {
    const std::uint64_t in_batch = batch_messages - (asked.range.first.value - 1) % batch_messages;
    const std::uint64_t count = std::min(
        {asked.range.size(), in_batch, std::max<std::uint64_t>(1, asked.bytes / message_bytes)});
    return {count, count * message_bytes};
}

/// A table whose workers and clock a test moves by hand. What is refused gathers in `stale`.
class LeaseTable : public ::testing::Test {
protected:
    static lease_options options(std::uint32_t deliveries_max = 3) {
        lease_options chosen;
        chosen.ack_wait = 30s;
        chosen.deliveries_max = deliveries_max;
        return chosen;
    }

    void make(lease_options chosen) { table = lease_table(std::move(chosen)); }
    member_id worker(std::uint64_t messages = many, std::uint64_t bytes = many) {
        return table.join({messages, bytes});
    }
    std::optional<assignment> lend() { return table.next(now, fit); }
    void lend_all() {
        while (lend()) {
        }
    }
    std::uint64_t ack(member_id who, sequence_range what) { return table.ack(who, what, stale); }
    std::uint64_t nack(member_id who, sequence_range what, duration delay = {}) {
        return table.nack(who, what, delay, now, stale);
    }
    void pass(duration time) {
        now += time;
        table.expire(now);
    }
    std::uint64_t held_by(member_id who) { return table.status(who, now)->messages_out; }

    lease_table table{options()};
    time_point now{1h};
    ranges stale;
};

// --- Who gets what ----------------------------------------------------------------------------

TEST_F(LeaseTable, LendsARunOfNeighboursAsOneLease) {
    const member_id a = worker();
    table.add(range(1, 50));
    const auto lent = lend();
    ASSERT_TRUE(lent);
    EXPECT_EQ(lent->member, a);
    EXPECT_EQ(lent->range, range(1, 50));
    EXPECT_EQ(lent->bytes, 500u);
    EXPECT_EQ(lent->attempt, 1u);
    EXPECT_EQ(lent->deadline, now + 30s);
    EXPECT_EQ(table.runs(), 1u);
    EXPECT_FALSE(lend());
}

TEST_F(LeaseTable, NeverLendsARunAcrossABatch) {
    worker();
    table.add(range(51, 120));
    EXPECT_EQ(lend()->range, range(51, 100));
    EXPECT_EQ(lend()->range, range(101, 120));
}

TEST_F(LeaseTable, LendsNoMoreMessagesThanGranted) {
    const member_id a = worker(3);
    table.add(range(1, 10));
    EXPECT_EQ(lend()->range, range(1, 3));
    EXPECT_FALSE(lend());
    table.grant(a, {5, many});
    EXPECT_EQ(lend()->range, range(4, 5));
    EXPECT_FALSE(lend());
}

TEST_F(LeaseTable, LendsNoMoreBytesThanGranted) {
    worker(many, 35);
    table.add(range(1, 10));
    EXPECT_EQ(lend()->range, range(1, 3));
}

TEST_F(LeaseTable, LendsOneMessageThatIsLargerThanTheBytesLeft) {
    const member_id a = worker(many, 1);
    table.add(range(1, 10));
    EXPECT_EQ(lend()->range, only(1));
    EXPECT_FALSE(lend());
    table.grant(a, {many, message_bytes});
    EXPECT_FALSE(lend()) << "the large one is not paid for";
}

TEST_F(LeaseTable, NeverLowersWhatWasGranted) {
    const member_id a = worker(5);
    table.grant(a, {1, 1});
    EXPECT_EQ(table.status(a, now)->credit_messages, 5u);
    EXPECT_EQ(table.status(a, now)->credit_bytes, many);
}

TEST_F(LeaseTable, ServesWhoHasMostCreditFirst) {
    worker(10);
    const member_id b = worker(20);
    const member_id c = worker(20, many + 1);
    table.add(range(1, 1));
    EXPECT_EQ(lend()->member, c) << "more bytes";
    table.add(range(2, 2));
    EXPECT_EQ(lend()->member, b) << "more messages";
}

TEST_F(LeaseTable, ServesTheIdleBeforeTheBusyWhateverTheirCredit) {
    const member_id busy = worker(1'000);
    const member_id idle = worker(5);
    table.add(only(1));
    EXPECT_EQ(lend()->member, busy);
    table.add(only(2));
    EXPECT_EQ(lend()->member, idle);
    table.add(only(3));
    EXPECT_EQ(lend()->member, busy);
}

TEST_F(LeaseTable, TakesTurnsAmongEquals) {
    const member_id a = worker();
    const member_id b = worker();
    std::vector<member_id> served;
    for (std::uint64_t s = 1; s <= 4; ++s) {
        table.add(only(s));
        served.push_back(lend()->member);
        ack(served.back(), only(s));
        table.grant(served.back(), {many + s, many + s * message_bytes});
        table.grant(served.back() == a ? b : a, {many + s, many + s * message_bytes});
    }
    EXPECT_EQ(std::ranges::count(served, a), 2);
    EXPECT_EQ(std::ranges::count(served, b), 2);
}

TEST_F(LeaseTable, SpreadsFewMessagesOverAllIdleWorkers) {
    std::vector<member_id> workers;
    for (int i = 0; i < 4; ++i) workers.push_back(worker());
    table.add(range(1, 10));
    int leases = 0;
    while (lend()) ++leases;
    EXPECT_EQ(leases, 4) << "no share is cut smaller than the first";
    for (const member_id w : workers) {
        EXPECT_GE(held_by(w), 1u);
        EXPECT_LE(held_by(w), 3u);
    }
}

TEST_F(LeaseTable, GivesBusyWorkersLongRuns) {
    worker();
    worker();
    table.add(range(1, 200));
    lend_all();
    table.add(range(201, 300));
    EXPECT_EQ(lend()->range, range(201, 300)) << "each holds as many already";
}

TEST_F(LeaseTable, LendsNothingNewToAPausedWorkerAndLeavesItWhatItHolds) {
    const member_id a = worker();
    table.add(only(1));
    lend_all();
    table.pause(a);
    table.add(only(2));
    EXPECT_FALSE(lend());
    EXPECT_EQ(ack(a, only(1)), 1u);
    table.resume(a);
    EXPECT_EQ(lend()->range, only(2));
}

// --- Verbs ------------------------------------------------------------------------------------

TEST_F(LeaseTable, ShrinksALeaseInPlaceWhenItsFrontIsAcked) {
    const member_id a = worker();
    table.add(range(1, 50));
    lend_all();
    EXPECT_EQ(ack(a, range(1, 20)), 20u);
    EXPECT_EQ(table.runs(), 1u);
    EXPECT_EQ(table.floor(), sequence{20});
    EXPECT_EQ(table.unfinished(), 30u);
    EXPECT_TRUE(stale.empty());
}

TEST_F(LeaseTable, KeepsItsFloorBelowTheFirstUnfinishedMessage) {
    const member_id a = worker();
    table.add(range(1, 10));
    lend_all();
    ack(a, range(3, 10));
    EXPECT_EQ(table.floor(), sequence{0});
    ack(a, only(1));
    EXPECT_EQ(table.floor(), sequence{1});
    ack(a, only(2));
    EXPECT_EQ(table.floor(), sequence{10});
    EXPECT_EQ(table.runs(), 0u);
}

TEST_F(LeaseTable, KeepsOneRunAMessageAtWorstWhenEverySecondIsAcked) {
    const member_id a = worker();
    table.add(range(1, 100));
    lend_all();
    for (std::uint64_t s = 2; s <= 100; s += 2) ack(a, only(s));
    EXPECT_EQ(table.runs(), 50u);
    EXPECT_EQ(table.out(), 50u);
}

TEST_F(LeaseTable, TakesOneRangeOverManyLeases) {
    const member_id a = worker();
    table.add(range(1, 500));
    lend_all();
    EXPECT_EQ(table.status(a, now)->leases, 5u);
    EXPECT_EQ(ack(a, range(50, 450)), 401u);
    EXPECT_EQ(table.unfinished(), 99u);
}

TEST_F(LeaseTable, HandsBackWhatAWorkerDoesNotHold) {
    const member_id a = worker(10);
    table.add(range(1, 100));
    lend_all();
    ack(a, range(4, 5));
    EXPECT_EQ(ack(a, range(0, 20)), 8u);
    EXPECT_EQ(stale, (ranges{only(0), range(4, 5), range(11, 20)}));
    EXPECT_EQ(table.counters().stale, 12u) << "there is no message 0";
}

TEST_F(LeaseTable, BoundsWhatAHostileRangeCosts) {
    const member_id a = worker(10);
    const member_id b = worker(5);
    table.add(range(1, many));
    lend_all();
    EXPECT_EQ(table.ack(b, range(0, UINT64_MAX), stale), 5u);
    EXPECT_LE(stale.size(), 2u);
    EXPECT_LE(table.counters().stale, many);
    EXPECT_EQ(held_by(a), 10u);
}

TEST_F(LeaseTable, RefusesTheAckOfAnOlderLease) {
    const member_id a = worker();
    table.add(only(1));
    lend_all();
    pass(30s);
    table.pause(a);
    const member_id b = worker();
    EXPECT_EQ(lend()->member, b);
    EXPECT_EQ(ack(a, only(1)), 0u);
    EXPECT_EQ(stale, ranges{only(1)});
    EXPECT_EQ(ack(b, only(1)), 1u);
}

TEST_F(LeaseTable, RefusesAllThatOneWhoLeftSays) {
    const member_id a = worker();
    table.add(only(1));
    lend_all();
    table.leave(a, departure::orderly, now);
    EXPECT_EQ(ack(a, only(1)), 0u);
    table.grant(a, {many, many});
    EXPECT_FALSE(lend());
    EXPECT_FALSE(table.status(a, now));
    EXPECT_NE(worker(), a);
}

TEST_F(LeaseTable, DeliversANackedMessageAgainAsTheNextAttempt) {
    const member_id a = worker();
    table.add(range(1, 3));
    lend_all();
    EXPECT_EQ(nack(a, only(2)), 1u);
    const auto again = lend();
    EXPECT_EQ(again->range, only(2));
    EXPECT_EQ(again->attempt, 2u);
    EXPECT_EQ(table.counters().redeliveries, 1u);
}

TEST_F(LeaseTable, DeliversANackedMessageNotBeforeItsDelay) {
    const member_id a = worker();
    table.add(only(1));
    lend_all();
    nack(a, only(1), 5s);
    EXPECT_EQ(table.next_deadline(), now + 5s);
    pass(5s - 1ns);
    EXPECT_FALSE(lend());
    pass(1ns);
    EXPECT_EQ(lend()->attempt, 2u);
}

TEST_F(LeaseTable, DeliversAReleasedMessageAgainAsTheSameAttempt) {
    const member_id a = worker();
    table.add(range(1, 5));
    lend_all();
    for (const std::uint64_t s : {2, 4, 3}) table.release(a, only(s), stale);
    const auto again = lend();
    EXPECT_EQ(again->range, range(2, 4)) << "pieces become one run again";
    EXPECT_EQ(again->attempt, 1u);
    EXPECT_EQ(table.counters().released, 3u);
}

TEST_F(LeaseTable, LetsAnExtendedLeaseEndLater) {
    const member_id a = worker();
    table.add(range(1, 3));
    lend_all();
    now += 20s;
    EXPECT_EQ(table.extend(a, only(2), 60s, now, stale), 1u);
    pass(10s);
    EXPECT_EQ(held_by(a), 1u);
    EXPECT_EQ(table.counters().expired, 2u);
    EXPECT_EQ(table.status(a, now)->oldest_lease, 30s);
    pass(50s);
    EXPECT_EQ(held_by(a), 0u);
}

TEST_F(LeaseTable, CutsEndlessExtensionsAndDelays) {
    const member_id a = worker();
    table.add(range(1, 2));
    lend_all();
    table.extend(a, only(1), duration::max(), now, stale);
    nack(a, only(2), duration::max());
    pass(lease_options{}.wait_max);
    EXPECT_EQ(table.ready(), 2u);
}

// --- Redelivery and giving up -----------------------------------------------------------------

TEST_F(LeaseTable, TakesBackWhatIsNotAckedInTime) {
    const member_id a = worker();
    table.add(range(1, 5));
    lend_all();
    ack(a, range(1, 2));
    EXPECT_EQ(table.next_deadline(), now + 30s);
    pass(30s);
    EXPECT_EQ(table.next_deadline(), std::nullopt);
    const auto again = lend();
    EXPECT_EQ(again->range, range(3, 5));
    EXPECT_EQ(again->attempt, 2u);
}

TEST_F(LeaseTable, DeliversWhatCameBackBeforeWhatIsNew) {
    const member_id a = worker(5);
    table.add(range(1, 10));
    lend_all();
    nack(a, only(4));
    table.grant(a, {7, many});
    EXPECT_EQ(lend()->range, only(4));
    EXPECT_EQ(lend()->range, only(6));
}

TEST_F(LeaseTable, CountsADeliveryForAllThatAFailedWorkerHeld) {
    const member_id a = worker();
    table.add(range(1, 5));
    lend_all();
    table.leave(a, departure::failed, now, "silent");
    worker();
    EXPECT_EQ(lend()->attempt, 2u);
    EXPECT_EQ(table.counters().failed, 5u);
}

TEST_F(LeaseTable, CountsNoDeliveryForWhatADetachedWorkerHeld) {
    const member_id a = worker();
    table.add(range(1, 5));
    lend_all();
    table.leave(a, departure::orderly, now);
    worker();
    const auto again = lend();
    EXPECT_EQ(again->range, range(1, 5));
    EXPECT_EQ(again->attempt, 1u);
}

TEST_F(LeaseTable, CountsADeliveryForWhatADetachedWorkerHadBegunAndKeepsTheOrder) {
    const member_id a = worker();
    table.add(range(1, 5));
    lend_all();
    EXPECT_EQ(table.note_begun(a, range(1, 2), stale), 2u);
    EXPECT_EQ(table.note_begun(a, range(6, 6), stale), 0u);
    EXPECT_EQ(stale, ranges{only(6)});
    table.leave(a, departure::orderly, now);
    EXPECT_EQ(table.counters().failed, 2u);
    EXPECT_EQ(table.counters().released, 3u);
    worker();
    const auto begun = lend();
    EXPECT_EQ(begun->range, range(1, 2));
    EXPECT_EQ(begun->attempt, 2u);
    const auto others = lend();
    EXPECT_EQ(others->range, range(3, 5));
    EXPECT_EQ(others->attempt, 1u);
}

TEST_F(LeaseTable, CountsNoDeliveryForWhatIsReleasedAlthoughItWasBegun) {
    const member_id a = worker();
    table.add(only(1));
    lend_all();
    table.note_begun(a, only(1), stale);
    EXPECT_EQ(table.release(a, only(1), stale), 1u);
    EXPECT_EQ(lend()->attempt, 1u);
    table.leave(a, departure::orderly, now);
    worker();
    EXPECT_EQ(lend()->attempt, 1u) << "it was lent anew, and not begun";
}

TEST_F(LeaseTable, GivesUpAfterTheLastDeliveryThatIsAllowed) {
    const member_id a = worker();
    table.add(only(1));
    for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
        EXPECT_EQ(lend()->attempt, attempt);
        EXPECT_TRUE(table.take_given_up().empty());
        nack(a, only(1));
    }
    EXPECT_FALSE(lend());
    const auto ends = table.take_given_up();
    ASSERT_EQ(ends.size(), 1u);
    EXPECT_EQ(ends[0].range, only(1));
    EXPECT_EQ(ends[0].cause, errc::deliveries_exceeded);
    EXPECT_EQ(ends[0].attempts, 3u);
    EXPECT_EQ(table.unfinished(), 0u);
}

TEST_F(LeaseTable, NeverGivesUpWithoutALimitOfDeliveries) {
    make(options(0));
    const member_id a = worker();
    table.add(only(1));
    for (std::uint32_t attempt = 1; attempt <= 50; ++attempt) {
        ASSERT_EQ(lend()->attempt, attempt);
        nack(a, only(1));
    }
}

TEST_F(LeaseTable, GivesUpARejectedMessageWithItsReason) {
    const member_id a = worker();
    table.add(range(1, 3));
    lend_all();
    EXPECT_EQ(table.reject(a, only(2), "not a number", stale), 1u);
    const auto ends = table.take_given_up();
    ASSERT_EQ(ends.size(), 1u);
    EXPECT_EQ(ends[0].range, only(2));
    EXPECT_EQ(ends[0].cause, errc::rejected);
    EXPECT_EQ(ends[0].reason, "not a number");
    EXPECT_TRUE(table.take_given_up().empty());
}

TEST_F(LeaseTable, KeepsItsFloorBelowWhatIsGivenUpUntilItIsForgotten) {
    const member_id a = worker();
    table.add(range(1, 5));
    lend_all();
    table.reject(a, range(2, 3), "no", stale);
    ack(a, range(1, 5));
    EXPECT_EQ(table.floor(), sequence{1});
    EXPECT_EQ(table.unfinished(), 0u);
    table.forget(only(2));
    EXPECT_EQ(table.floor(), sequence{2});
    table.forget(range(0, UINT64_MAX));
    EXPECT_EQ(table.floor(), sequence{5});
}

TEST_F(LeaseTable, ForgetsOnlyWhatIsGivenUp) {
    worker();
    table.add(range(1, 5));
    lend_all();
    table.forget(range(1, 5));
    EXPECT_EQ(table.unfinished(), 5u);
}

TEST_F(LeaseTable, WaitsLongerAfterEachFailureAsTheBackOffSays) {
    lease_options with_backoff = options(0);
    with_backoff.backoff = {1s, 4s};
    make(with_backoff);
    const member_id a = worker();
    table.add(only(1));
    for (const duration expected : {1s, 4s, 4s}) {
        lend_all();
        nack(a, only(1));
        EXPECT_EQ(table.next_deadline(), now + expected);
        pass(expected);
    }
    lend_all();
    nack(a, only(1), 2s);
    EXPECT_EQ(table.next_deadline(), now + 2s) << "the worker's wish goes first";
}

TEST_F(LeaseTable, LengthensTheBackOffByTheJitterThatIsPassedIn) {
    lease_options with_backoff = options();
    with_backoff.backoff = {10s};
    make(with_backoff);
    worker();
    table.add(only(1));
    lend_all();
    now += 30s;
    table.expire(now, 0.5);
    EXPECT_EQ(table.next_deadline(), now + 15s);
}

TEST_F(LeaseTable, CountsWhatLiesBetweenAddedRangesAsDone) {
    table = lease_table(options(), {100});
    EXPECT_EQ(table.floor(), sequence{99});
    const member_id a = worker();
    table.add(range(105, 106));
    EXPECT_EQ(table.floor(), sequence{104});
    table.add(range(110, 111));
    EXPECT_EQ(lend()->range, range(105, 106));
    ack(a, range(105, 106));
    EXPECT_EQ(table.floor(), sequence{109});
}

// --- Keys -------------------------------------------------------------------------------------

class KeyedLeaseTable : public LeaseTable {
protected:
    KeyedLeaseTable() {
        lease_options by_key = options();
        by_key.ordered_by_key = true;
        make(by_key);
    }
    void add(const std::vector<std::uint64_t>& keys) { table.add(table.last() + 1, keys); }
};

constexpr std::uint64_t red = 11;
constexpr std::uint64_t blue = 22;

TEST_F(KeyedLeaseTable, HoldsBackLaterMessagesOfAKeyAndLetsOthersPass) {
    const member_id a = worker();
    add({red, red, blue, 0, 0});
    EXPECT_EQ(lend()->range, only(1));
    EXPECT_EQ(lend()->range, range(3, 5));
    EXPECT_FALSE(lend());
    ack(a, only(1));
    EXPECT_EQ(lend()->range, only(2));
}

TEST_F(KeyedLeaseTable, NeverLetsALaterMessageOvertakeARedeliveredOne) {
    const member_id a = worker();
    add({red, red});
    lend_all();
    nack(a, only(1), 5s);
    EXPECT_FALSE(lend()) << "delayed";
    pass(5s);
    EXPECT_EQ(lend()->range, only(1));
    EXPECT_FALSE(lend()) << "out";
    pass(30s);
    EXPECT_EQ(lend()->range, only(1));
    ack(a, only(1));
    EXPECT_EQ(lend()->range, only(2));
}

TEST_F(KeyedLeaseTable, GoesOnWithAKeyWhenItsMessageIsGivenUp) {
    const member_id a = worker();
    add({red, red});
    lend_all();
    table.reject(a, only(1), "no", stale);
    EXPECT_EQ(lend()->range, only(2));
    EXPECT_EQ(table.floor(), sequence{0}) << "its body is still needed";
}

TEST_F(KeyedLeaseTable, RemembersAKeyAcrossMessagesThatWereAddedLater) {
    const member_id a = worker();
    add({red});
    lend_all();
    add({blue, red});
    EXPECT_EQ(lend()->range, only(2));
    EXPECT_FALSE(lend());
    ack(a, range(1, 2));
    EXPECT_EQ(lend()->range, only(3));
    ack(a, only(3));
    add({red});
    EXPECT_EQ(lend()->range, only(4)) << "nothing of the key is left before it";
}

TEST_F(KeyedLeaseTable, CountsWhatLiesBetweenAddedMessagesAsDone) {
    const member_id a = worker();
    table.add({10}, std::vector<std::uint64_t>{red});
    table.add({20}, std::vector<std::uint64_t>{red});
    EXPECT_EQ(lend()->range, only(10));
    EXPECT_FALSE(lend());
    ack(a, only(10));
    EXPECT_EQ(lend()->range, only(20));
}

}  // namespace
}  // namespace cairn::protocol
