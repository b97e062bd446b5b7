#include "values.hpp"

#include <cairn/protocol/tracker.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using protocol::sequence_max;
using protocol::stream_tracker;
using protocol::verdict;
using kind = verdict::kind;

constexpr epoch run_1{1'000};
constexpr epoch run_2{2'000};

struct Tracker : testing::Test {
    verdict head(epoch run, std::uint64_t first_held, std::uint64_t last, std::uint64_t next) {
        return tracker_.on_head({run, seq(first_held), seq(last), seq(next)});
    }
    verdict batch(epoch run, std::uint64_t first, std::uint64_t last) {
        return tracker_.on_batch(run, seq(first), static_cast<std::uint32_t>(last - first + 1));
    }
    verdict gone(epoch run, std::uint64_t first, std::uint64_t last) {
        return tracker_.on_gone(run, range(first, last));
    }
    void expect_gap(const verdict& v, sequence_range expected) {
        ASSERT_TRUE(v.gap);
        EXPECT_EQ(v.gap->range, expected);
        EXPECT_EQ(v.gap->epoch, tracker_.epoch());
    }
    void expect_repair(std::optional<std::uint64_t> from, time_point now = at(0s)) {
        const auto asked = tracker_.take_repair(now);
        EXPECT_EQ(asked.has_value(), from.has_value());
        if (asked && from) {
            EXPECT_EQ(*asked, seq(*from));
        }
    }

    stream_tracker tracker_{run_1, sequence{5}};  // has 1 to 4
};

TEST_F(Tracker, BeginsWhereItsFirstHeadSays) {
    tracker_ = {};
    EXPECT_FALSE(tracker_.known());
    const verdict v = head(run_1, 3, 9, 10);
    EXPECT_EQ(v.what, kind::nothing);
    EXPECT_FALSE(v.gap || v.restart || v.tail);
    EXPECT_EQ(tracker_.next(), seq(10));
}

TEST_F(Tracker, DeliversWhatContinues) {
    EXPECT_EQ(batch(run_1, 5, 9).what, kind::deliver);
    EXPECT_EQ(batch(run_1, 10, 10).what, kind::deliver);
    EXPECT_EQ(tracker_.next(), seq(11));
}

TEST_F(Tracker, SkipsWhatItHasOfABatch) {
    const verdict v = batch(run_1, 3, 6);
    EXPECT_EQ(v.what, kind::deliver);
    EXPECT_EQ(v.skip, 2U);
}

TEST_F(Tracker, DropsWhatItHas) {
    EXPECT_EQ(batch(run_1, 1, 4).what, kind::duplicate);
    EXPECT_EQ(tracker_.next(), seq(5));
}

TEST_F(Tracker, AsksForAHoleOnce) {
    EXPECT_EQ(batch(run_1, 7, 8).what, kind::hole);
    expect_repair(5);
    EXPECT_EQ(batch(run_1, 9, 9).what, kind::hole);
    expect_repair(std::nullopt);
    EXPECT_EQ(tracker_.missing(), range(5, 9));
}

TEST_F(Tracker, AsksAgainWhenNoAnswerCame) {
    (void)batch(run_1, 7, 8);
    expect_repair(5, at(0s));
    EXPECT_EQ(tracker_.repair_time(), at(1s));
    expect_repair(std::nullopt, at(999ms));
    expect_repair(5, at(1s));
}

TEST_F(Tracker, AsksForNothingMoreWhileAHoleIsBeingFilled) {
    (void)batch(run_1, 8, 9);
    expect_repair(5);
    EXPECT_EQ(batch(run_1, 5, 6).what, kind::deliver);
    expect_repair(std::nullopt);
    EXPECT_EQ(batch(run_1, 7, 9).what, kind::deliver);
    EXPECT_FALSE(tracker_.missing());
}

TEST_F(Tracker, AsksForASecondHoleAtOnce) {
    (void)batch(run_1, 7, 8);
    expect_repair(5);
    (void)batch(run_1, 5, 5);
    EXPECT_EQ(batch(run_1, 7, 8).what, kind::hole);
    expect_repair(6);
}

TEST_F(Tracker, ForgetsItsRepairWithItsLink) {
    (void)batch(run_1, 7, 8);
    expect_repair(5);
    tracker_.resubscribed();
    expect_repair(std::nullopt);
    (void)batch(run_1, 7, 8);
    expect_repair(5);
}

TEST_F(Tracker, MissesALastMessageByItsHead) {
    EXPECT_EQ(head(run_1, 1, 6, 7).what, kind::nothing);
    EXPECT_EQ(tracker_.missing(), range(5, 6));
    expect_repair(5);
}

TEST_F(Tracker, MissesNothingThatStillWaitsForCredit) {
    (void)head(run_1, 1, 60, 5);
    EXPECT_FALSE(tracker_.missing());
    EXPECT_EQ(tracker_.behind(), 56U);
}

TEST_F(Tracker, TellsWhatItsHeadSaysIsNoLongerHeld) {
    expect_gap(head(run_1, 8, 9, 10), range(5, 7));
    EXPECT_EQ(tracker_.missing(), range(8, 9));
    expect_repair(8);
}

TEST_F(Tracker, TellsNoMoreThanWasSentWhenAHeadHoldsNothing) {
    expect_gap(head(run_1, 10, 9, 8), range(5, 7));
    EXPECT_EQ(tracker_.next(), seq(8));
}

TEST_F(Tracker, TellsWhatIsGone) {
    expect_gap(gone(run_1, 5, 7), range(5, 7));
    EXPECT_EQ(batch(run_1, 8, 8).what, kind::deliver);
}

TEST_F(Tracker, TellsOnlyWhatIsReallyMissing) {
    expect_gap(gone(run_1, 1, 6), range(5, 6));
    EXPECT_FALSE(gone(run_1, 2, 6).gap);
}

TEST_F(Tracker, AsksForWhatLiesBeforeAGoneRange) {
    EXPECT_FALSE(gone(run_1, 7, 9).gap);
    expect_repair(5);
}

TEST_F(Tracker, TellsARestartBeforeTheNewRunsFirstMessage) {
    const verdict v = batch(run_2, 1, 2);
    ASSERT_TRUE(v.restart);
    EXPECT_EQ(v.restart->before, run_1);
    EXPECT_EQ(v.restart->now, run_2);
    EXPECT_EQ(v.what, kind::deliver);
    EXPECT_FALSE(v.tail);
    EXPECT_FALSE(batch(run_2, 3, 3).restart);
}

TEST_F(Tracker, WantsANewRunFromItsFirstMessage) {
    EXPECT_EQ(batch(run_2, 4, 5).what, kind::hole);
    expect_repair(1);
}

TEST_F(Tracker, TellsWhatANewRunNoLongerHoldsAtItsStart) {
    const verdict v = head(run_2, 4, 9, 4);
    EXPECT_TRUE(v.restart);
    expect_gap(v, range(1, 3));
    EXPECT_EQ(tracker_.next(), seq(4));
}

TEST_F(Tracker, TellsTheKnownTailOfTheRunBefore) {
    (void)head(run_1, 1, 9, 5);
    const verdict v = head(run_2, 1, 0, 1);
    ASSERT_TRUE(v.tail);
    EXPECT_EQ(v.tail->epoch, run_1);
    EXPECT_EQ(v.tail->range, range(5, 9));
}

TEST_F(Tracker, FencesAnOlderRunInEveryFrame) {
    (void)batch(run_2, 1, 1);
    EXPECT_EQ(batch(run_1, 5, 5).what, kind::fenced);
    EXPECT_EQ(head(run_1, 1, 9, 10).what, kind::fenced);
    EXPECT_EQ(gone(run_1, 1, 9).what, kind::fenced);
    EXPECT_EQ(tracker_.on_end(run_1, seq(9)).what, kind::fenced);
    EXPECT_EQ(tracker_.epoch(), run_2);
    EXPECT_EQ(tracker_.next(), seq(2));
}

TEST_F(Tracker, TellsWhatIsMissingWhenTheRunEnds) {
    expect_gap(tracker_.on_end(run_1, seq(6)), range(5, 6));
    EXPECT_FALSE(tracker_.on_end(run_1, seq(6)).gap);
}

TEST_F(Tracker, TellsTheVeryLastMessageWhenTheRunEndsWithoutIt) {
    expect_gap(tracker_.on_end(run_1, seq(5)), range(5, 5));
}

TEST_F(Tracker, TellsNothingWhenTheRunEndsWithWhatItHas) {
    EXPECT_FALSE(tracker_.on_end(run_1, seq(4)).gap);
}

TEST_F(Tracker, RefusesWhatNoPublisherMaySend) {
    EXPECT_EQ(tracker_.on_batch(run_1, seq(0), 1).what, kind::malformed);
    EXPECT_EQ(tracker_.on_batch(run_1, seq(5), 0).what, kind::malformed);
    EXPECT_EQ(tracker_.on_batch(run_2, sequence_max, 2).what, kind::malformed);
    EXPECT_EQ(gone(run_1, 9, 5).what, kind::malformed);
    EXPECT_EQ(gone(run_1, 1, ~0ULL).what, kind::malformed);
    EXPECT_EQ(gone(run_1, 0, 5).what, kind::malformed);
    EXPECT_EQ(head(run_1, 1, 5, 0).what, kind::malformed);
    EXPECT_EQ(head(run_1, 0, 5, 1).what, kind::malformed);
    EXPECT_EQ(head(run_1, 1, 5, 7).what, kind::malformed);
    EXPECT_EQ(head(run_1, 7, 5, 1).what, kind::malformed);
    EXPECT_EQ(head(run_1, 1, ~0ULL, 1).what, kind::malformed);
    EXPECT_EQ(tracker_.on_end(run_1, seq(~0ULL)).what, kind::malformed);
    EXPECT_EQ(tracker_.next(), seq(5));
    EXPECT_EQ(tracker_.epoch(), run_1);
}

TEST_F(Tracker, ReachesTheLastSequenceAndStopsThere) {
    expect_gap(gone(run_1, 1, sequence_max.value - 1), range(5, sequence_max.value - 1));
    EXPECT_EQ(tracker_.on_batch(run_1, sequence_max, 1).what, kind::deliver);
    EXPECT_EQ(tracker_.on_batch(run_1, sequence_max, 1).what, kind::duplicate);
    EXPECT_FALSE(tracker_.missing());
}

}  // namespace
}  // namespace cairn::test
