#include <cairn/protocol/splice.hpp>

#include <gtest/gtest.h>

#include "values.hpp"

namespace cairn::test {
namespace {

using namespace protocol;
using kind = verdict::kind;
using state = spliced_stream::state;

constexpr epoch run{5};
constexpr epoch newer{6};

/// `storing`: of a publisher that pays no earlier run, or of a store that knows no newer one.
stream_head head(epoch e, std::uint64_t first_held, std::uint64_t last, std::uint64_t next,
                 std::optional<epoch> storing = {}) {
    return {e, seq(first_held), seq(last), seq(next), storing.value_or(e)};
}

/// A reader that wants message 11 of a run next.
class SplicedStream : public testing::Test {
protected:
    splice_verdict live(std::uint64_t first, std::uint32_t count = 1, epoch e = run) {
        return stream_.live_batch(e, seq(first), count, now_);
    }
    splice_verdict store(std::uint64_t first, std::uint32_t count = 1, epoch e = run) {
        return stream_.store_batch(e, seq(first), count, now_);
    }
    void live_head(const stream_head& h) { last_ = stream_.live_head(h, now_); }
    void store_head(const stream_head& h) { last_ = stream_.store_head(h, now_); }
    void left_behind(std::uint64_t first, std::uint64_t last) {
        last_ = stream_.live_gone(run, range(first, last), errc::gone, now_);
    }
    void without_store() { stream_ = spliced_stream(false, duration::max(), run, seq(11)); }

    time_point now_ = at(0s);
    spliced_stream stream_{true, 5s, run, seq(11)};
    splice_verdict last_;
};

TEST_F(SplicedStream, IsLiveAtOnceWhenTheRingHoldsItsPosition) {
    live_head(head(run, 8, 20, 11));
    EXPECT_EQ(stream_.standing(), state::live);
    EXPECT_FALSE(stream_.wants_store());
    const splice_verdict v = live(10, 3);
    EXPECT_EQ(v.what, kind::deliver);
    EXPECT_EQ(v.skip, 1u);
    EXPECT_EQ(stream_.lag(), 8u);
}

TEST_F(SplicedStream, ReadsTheStoreWhenTheRingDoesNotHoldItsPosition) {
    left_behind(11, 15);
    EXPECT_FALSE(last_.gap);
    EXPECT_EQ(stream_.standing(), state::catching_up);
    EXPECT_TRUE(stream_.wants_store());
    EXPECT_EQ(store(11, 2).what, kind::deliver);
    EXPECT_EQ(live(16).what, kind::hole);
    EXPECT_EQ(stream_.take_repair(now_), std::nullopt) << "the ring does not hold that";
}

TEST_F(SplicedStream, AsksThePublisherForExactlyItsPositionOnceTheRingHoldsIt) {
    left_behind(11, 15);
    EXPECT_EQ(live(16, 2).what, kind::hole);
    EXPECT_EQ(store(11, 6).what, kind::deliver);
    EXPECT_EQ(stream_.take_repair(now_), seq(17));
    EXPECT_EQ(stream_.take_repair(now_), std::nullopt) << "asked twice";
    const splice_verdict v = live(16, 2);
    EXPECT_EQ(v.what, kind::deliver);
    EXPECT_EQ(v.skip, 1u);
    EXPECT_EQ(store(17, 2).what, kind::deliver);
    EXPECT_EQ(store(18).what, kind::duplicate);
    EXPECT_EQ(stream_.standing(), state::live);
    EXPECT_FALSE(stream_.wants_store());
}

TEST_F(SplicedStream, AsksAgainWhenARepairIsNotAnswered) {
    live_head(head(run, 8, 20, 13));
    EXPECT_EQ(stream_.take_repair(now_), seq(11));
    now_ += spliced_stream::repair_wait;
    EXPECT_EQ(stream_.take_repair(now_), seq(11));
}

TEST_F(SplicedStream, TellsAGapWhereNeitherHasIt) {
    left_behind(11, 15);
    last_ = stream_.store_gone(run, range(11, 13), errc::lost, now_);
    ASSERT_TRUE(last_.gap);
    EXPECT_EQ(last_.gap->range, range(11, 13));
    EXPECT_EQ(last_.cause, errc::lost);
    EXPECT_EQ(store(14).what, kind::deliver);
}

TEST_F(SplicedStream, TakesFromTheRingWhatTheStoreLacks) {
    live_head(head(run, 12, 20, 21));
    last_ = stream_.store_gone(run, range(9, 15), errc::gone, now_);
    ASSERT_TRUE(last_.gap);
    EXPECT_EQ(last_.gap->range, range(11, 11));
    EXPECT_EQ(stream_.take_repair(now_), seq(12));
}

TEST_F(SplicedStream, WaitsForHistoryOnlySoLong) {
    left_behind(11, 15);
    now_ += 5s - 1ns;
    EXPECT_FALSE(stream_.wake(now_).gap);
    now_ = stream_.wake_at();
    last_ = stream_.wake(now_);
    ASSERT_TRUE(last_.gap);
    EXPECT_EQ(last_.gap->range, range(11, 15));
    EXPECT_EQ(stream_.standing(), state::live);
}

TEST_F(SplicedStream, WaitsAnewAfterEachMessage) {
    left_behind(11, 15);
    now_ += 4s;
    EXPECT_EQ(store(11).what, kind::deliver);
    EXPECT_EQ(stream_.wake_at(), now_ + 5s);
    now_ += 4s;
    last_ = stream_.live_gone(run, range(12, 12), errc::too_large, now_);
    EXPECT_TRUE(last_.gap);
    EXPECT_EQ(stream_.wake_at(), now_ + 5s);
}

TEST_F(SplicedStream, WaitsForEverWhenAskedTo) {
    stream_ = spliced_stream(true, duration::max(), run, seq(11));
    left_behind(11, 15);
    EXPECT_EQ(stream_.wake_at(), time_point::max());
    now_ += 24h;
    EXPECT_FALSE(stream_.wake(now_).gap);
}

TEST_F(SplicedStream, WithoutAStoreTellsAtOnce) {
    without_store();
    left_behind(11, 15);
    ASSERT_TRUE(last_.gap);
    EXPECT_EQ(last_.gap->range, range(11, 15));
    live_head(head(newer, 3, 4, 3));
    EXPECT_TRUE(last_.restart);
    ASSERT_TRUE(last_.gap);
    EXPECT_EQ(last_.gap->range, range(1, 2));
    EXPECT_EQ(last_.gap->epoch, newer);
}

TEST_F(SplicedStream, ReadsTheRestOfARunBeforeItEntersTheNext) {
    live_head(head(newer, 1, 3, 1));
    EXPECT_FALSE(last_.restart);
    EXPECT_EQ(stream_.standing(), state::catching_up);
    EXPECT_EQ(live(1, 3, newer).what, kind::hole);
    EXPECT_EQ(store(11, 2).what, kind::deliver);
    store_head(head(run, 1, 12, 13));
    store_head(head(newer, 1, 0, 1));
    ASSERT_TRUE(last_.restart);
    EXPECT_EQ(last_.restart->now, newer);
    EXPECT_FALSE(last_.tail);
    EXPECT_FALSE(last_.orphaned);
    EXPECT_EQ(stream_.take_repair(now_), seq(1)) << "what was sent before has to come again";
}

TEST_F(SplicedStream, TellsWhatOfAnEndedRunNobodyHas) {
    live_head(head(run, 8, 20, 11));
    stream_.live_lost();
    store_head(head(run, 1, 10, 11));
    store_head(head(newer, 1, 0, 1));
    ASSERT_TRUE(last_.tail);
    EXPECT_EQ(last_.tail->range, range(11, 20));
}

TEST_F(SplicedStream, ReportsAsOrphanedWhatItWasGivenAndTheStoreNeverGot) {
    live_head(head(run, 8, 14, 11));
    EXPECT_EQ(live(11, 4).what, kind::deliver);
    stream_.live_lost();
    store_head(head(run, 1, 12, 13));
    last_ = store(1, 1, newer);
    EXPECT_EQ(last_.what, kind::deliver);
    ASSERT_TRUE(last_.orphaned);
    EXPECT_EQ(last_.orphaned->epoch, run);
    EXPECT_EQ(last_.orphaned->range, range(13, 14));
}

TEST_F(SplicedStream, CallsNothingOrphanedBeforeTheStoreEndedTheRun) {
    store_head(head(run, 1, 10, 11));
    EXPECT_EQ(live(11, 4).what, kind::deliver);
    live_head(head(newer, 1, 3, 1));
    now_ = stream_.wake_at();
    last_ = stream_.wake(now_);
    EXPECT_TRUE(last_.restart);
    EXPECT_FALSE(last_.orphaned);
}

/// Subscribes to the store anew, which then says what it has of the older run, or nothing.
class RestartedSource : public SplicedStream {
protected:
    RestartedSource() { stream_ = spliced_stream(true, duration::max(), run, seq(11)); }
    void ask_store(std::optional<stream_head> told = {}) {
        stream_.store_asked(now_);
        if (told) store_head(*told);
        last_ = stream_.store_answered(now_);
    }
    void ask_when_due() {
        ASSERT_NE(stream_.question_at(), time_point::max());
        now_ = stream_.question_at();
    }
};

TEST_F(RestartedSource, IsEnteredWhenTheStoreNeverHearsOfIt) {
    live_head(head(newer, 1, 3, 1, epoch{}));
    EXPECT_FALSE(last_.restart);
    ask_store();
    EXPECT_FALSE(last_.restart) << "something may have been under way to the store";
    ask_when_due();
    ask_store();
    ASSERT_TRUE(last_.restart);
    EXPECT_EQ(last_.restart->now, newer);
    EXPECT_EQ(stream_.standing(), state::live);
    EXPECT_EQ(stream_.question_at(), time_point::max());
}

TEST_F(RestartedSource, IsWaitedForWhileItsPublisherPaysAnEarlierRun) {
    live_head(head(newer, 1, 3, 1, run));
    EXPECT_EQ(stream_.question_at(), time_point::max());
    now_ += 24h;
    ask_store();
    EXPECT_FALSE(stream_.wake(now_).restart);
    EXPECT_EQ(store(11, 2).what, kind::deliver) << "it is paid";
    live_head(head(newer, 1, 3, 4, newer));
    store_head(head(run, 1, 12, 13, newer));
    store_head(head(newer, 1, 0, 1));
    EXPECT_TRUE(last_.restart);
}

TEST_F(RestartedSource, IsLeftToTheStoreThatKnowsIt) {
    live_head(head(newer, 1, 3, 1));
    ask_when_due();
    ask_store(head(run, 1, 10, 11, newer));
    EXPECT_FALSE(last_.restart);
    ask_store(head(run, 1, 12, 11));
    EXPECT_FALSE(last_.restart) << "the store has more of the older run";
}

TEST_F(RestartedSource, TellsWhatOfTheRunBeforeWasNeverStored) {
    live_head(head(run, 8, 14, 11));
    EXPECT_EQ(live(11, 4).what, kind::deliver);
    live_head(head(newer, 1, 3, 1));
    ask_when_due();
    ask_store(head(run, 1, 12, 13));
    ASSERT_TRUE(last_.orphaned);
    EXPECT_EQ(last_.orphaned->range, range(13, 14));
}

TEST_F(RestartedSource, TellsAGapWhereItsPublisherStoresNothing) {
    live_head(head(newer, 3, 4, 1, epoch{}));
    ask_when_due();
    ask_store();
    EXPECT_TRUE(last_.restart);
    ASSERT_TRUE(last_.gap);
    EXPECT_EQ(last_.gap->range, range(1, 2));
}

// A restart is told before a gap: a verdict with both would put the loss into the newer run.
TEST_F(RestartedSource, IsEnteredAfterTheLossInTheRunBeforeIsTold) {
    live_head(head(newer, 1, 3, 1));
    ask_when_due();
    ask_store(head(run, 1, 20, 11));
    const splice_verdict loss = stream_.store_gone(run, range(11, 20), errc::lost, now_);
    ASSERT_TRUE(loss.gap);
    EXPECT_EQ(loss.gap->epoch, run);
    EXPECT_FALSE(loss.restart);
    ASSERT_LE(stream_.wake_at(), now_);
    const splice_verdict next = stream_.wake(now_);
    EXPECT_TRUE(next.restart);
    EXPECT_FALSE(next.gap || next.tail);
}

// Its publisher and the store may have nothing more to say.
TEST_F(RestartedSource, IsEnteredAfterTheLastMessageOfTheRunBefore) {
    live_head(head(newer, 1, 3, 1, epoch{}));
    ask_when_due();
    ask_store(head(run, 1, 12, 11));
    EXPECT_EQ(store(11, 2).what, kind::deliver);
    ASSERT_LE(stream_.wake_at(), now_);
    EXPECT_TRUE(stream_.wake(now_).restart);
}

TEST_F(RestartedSource, TellsTwoLossesOneAfterTheOther) {
    live_head(head(run, 20, 30, 20, epoch{}));
    ask_when_due();
    ask_store(head(run, 1, 15, 11));
    const splice_verdict stored = stream_.store_gone(run, range(11, 15), errc::lost, now_);
    ASSERT_TRUE(stored.gap);
    EXPECT_EQ(stored.gap->range, range(11, 15));
    EXPECT_EQ(stored.cause, errc::lost);
    ASSERT_LE(stream_.wake_at(), now_);
    const splice_verdict unstored = stream_.wake(now_);
    ASSERT_TRUE(unstored.gap);
    EXPECT_EQ(unstored.gap->range, range(16, 19));
    EXPECT_EQ(unstored.cause, errc::gone);
}

TEST_F(RestartedSource, AsksAStoreThatTellsOnlyOfRunsBefore) {
    live_head(head(run, 8, 14, 11));
    store_head(head(epoch{3}, 1, 5, 1, epoch{4}));
    EXPECT_EQ(stream_.question_at(), time_point::max()) << "it has not come to our run";
    store_head(head(epoch{3}, 1, 5, 1, run));
    EXPECT_EQ(stream_.question_at(), now_ + spliced_stream::question_wait);
    ask_store(head(run, 1, 10, 11));
    EXPECT_EQ(stream_.question_at(), time_point::max());
}

// A store that gets no credit stays where it has something to send, and tells of nothing newer.
TEST_F(SplicedStream, AsksAStoreAnewThatStaysInTheRunBefore) {
    live_head(head(newer, 1, 3, 1));
    store_head(head(run, 1, 19, 11, newer));
    now_ = stream_.wake_at();
    ASSERT_TRUE(stream_.wake(now_).restart);
    EXPECT_FALSE(stream_.wants_store());
    ASSERT_EQ(stream_.question_at(), now_ + spliced_stream::question_wait);
    now_ = stream_.question_at();
    stream_.store_asked(now_);
    EXPECT_EQ(stream_.question_at(), time_point::max());
}

TEST_F(SplicedStream, AsksNoStoreAnewThatComesToTheRunByItself) {
    live_head(head(newer, 1, 3, 1));
    store_head(head(run, 1, 19, 11, newer));
    now_ = stream_.wake_at();
    ASSERT_TRUE(stream_.wake(now_).restart);
    EXPECT_EQ(store(11, 9).what, kind::duplicate);
    EXPECT_NE(stream_.question_at(), time_point::max());
    store_head(head(newer, 1, 3, 1));
    EXPECT_EQ(stream_.question_at(), time_point::max());
}

TEST_F(SplicedStream, GoesBackToNoOlderTwin) {
    live_head(head(run, 8, 14, 11));
    store_head(head(run, 1, 10, 11));
    store_head(head(newer, 1, 0, 1));
    EXPECT_EQ(stream_.epoch(), newer);
    now_ += 1h;
    EXPECT_FALSE(stream_.wake(now_).restart);
    EXPECT_EQ(stream_.standing(), state::history);
}

TEST_F(SplicedStream, CallsNothingOrphanedBeforeItsBeginning) {
    stream_ = spliced_stream(true, 5s);
    live_head(head(run, 1, 20, 15));
    EXPECT_EQ(live(15, 2).what, kind::deliver);
    stream_.live_lost();
    store_head(head(run, 1, 12, 13));
    store_head(head(newer, 1, 0, 1));
    ASSERT_TRUE(last_.orphaned);
    EXPECT_EQ(last_.orphaned->range, range(15, 16));
}

TEST_F(SplicedStream, EntersNoRunWhileTheStoreOwesTheOneBefore) {
    store_head(head(run, 1, 12, 13));
    store_head(head(newer, 1, 0, 1));
    EXPECT_EQ(last_.what, kind::hole);
    EXPECT_EQ(stream_.epoch(), run);
    EXPECT_EQ(stream_.take_store_repair(now_), seq(11));
}

TEST_F(SplicedStream, IsServedByTheStoreWhenNoPublisherLives) {
    EXPECT_EQ(stream_.standing(), state::history);
    store_head(head(run, 1, 12, 11));
    EXPECT_TRUE(stream_.wants_store());
    EXPECT_EQ(store(11, 2).what, kind::deliver);
    EXPECT_FALSE(stream_.wants_store());
    EXPECT_EQ(stream_.lag(), 0u);
}

TEST_F(SplicedStream, AsksTheStoreAgainForWhatItPassed) {
    live_head(head(run, 11, 20, 11));
    EXPECT_FALSE(stream_.store_gone(run, range(11, 15), errc::gone, now_).gap);
    left_behind(11, 12);
    EXPECT_EQ(stream_.take_store_repair(now_), seq(11));
}

TEST_F(SplicedStream, FencesAnOlderRunOfAPublisherButNotOfTheStore) {
    live_head(head(newer, 1, 3, 1));
    EXPECT_EQ(live(11).what, kind::fenced);
    EXPECT_EQ(store(11, 1, epoch{4}).what, kind::duplicate);
}

TEST_F(SplicedStream, TellsAtOnceWhatAPublisherWillNotSendForItsSize) {
    live_head(head(run, 8, 20, 11));
    last_ = stream_.live_gone(run, range(11, 11), errc::too_large, now_);
    ASSERT_TRUE(last_.gap);
    EXPECT_EQ(last_.cause, errc::too_large);
    EXPECT_EQ(stream_.standing(), state::live);
}

TEST_F(SplicedStream, CallsNoTailLostForAGapBehindIt) {
    live_head(head(run, 8, 14, 11));
    EXPECT_EQ(live(11).what, kind::deliver);
    store_head(head(run, 1, 11, 12));
    live_head(head(newer, 6, 9, 6));
    last_ = stream_.store_gone(newer, range(1, 5), errc::lost, now_);
    ASSERT_TRUE(last_.tail && last_.gap);
    EXPECT_EQ(last_.tail->range, range(12, 14));
    EXPECT_EQ(last_.gap->epoch, newer);
    EXPECT_EQ(last_.cause, errc::lost) << "of the gap";
}

TEST_F(SplicedStream, RefusesWhatMakesNoSense) {
    EXPECT_EQ(live(0).what, kind::malformed);
    EXPECT_EQ(store(1, 0).what, kind::malformed);
    EXPECT_EQ(live(~0ULL).what, kind::malformed);
    store_head(head(run, 30, 12, 11));
    EXPECT_EQ(last_.what, kind::malformed);
    EXPECT_EQ(stream_.store_gone(run, range(2, 1), errc::gone, now_).what, kind::malformed);
    EXPECT_EQ(stream_.next(), seq(11));
}

TEST(ASplicedStream, ThatWantsAllEntersAtOnceWhatTheStoreTellsOf) {
    spliced_stream stream(true, duration::max(), epoch{}, seq(1));
    EXPECT_TRUE(stream.store_head(head(run, 1, 19, 1), at(0s)).restart);
    EXPECT_EQ(stream.store_batch(run, seq(1), 3, at(0s)).what, kind::deliver);
    EXPECT_EQ(stream.question_at(), time_point::max());
}

// Else what the store has of the run between would be hidden in silence.
TEST(ASplicedStream, AsksAStoreAnewThatWasAskedBeforeItsPlaceWasKnown) {
    time_point now = at(0s);
    spliced_stream stream(true, 5s);
    stream.store_asked(now);
    EXPECT_TRUE(stream.live_head(head(run, 1, 15, 16), now).heard());
    EXPECT_EQ(stream.live_batch(run, seq(16), 1, now).what, kind::deliver);
    stream.live_lost();
    EXPECT_FALSE(stream.store_head(head(newer, 1, 0, 1), now).restart);
    EXPECT_EQ(stream.store_batch(newer, seq(1), 1, now).what, kind::hole);
    ASSERT_EQ(stream.question_at(), now + spliced_stream::question_wait);

    now = stream.question_at();
    stream.store_asked(now);
    EXPECT_FALSE(stream.store_head(head(run, 1, 19, 17, newer), now).restart);
    EXPECT_EQ(stream.store_batch(run, seq(17), 3, now).what, kind::deliver);
    const splice_verdict v = stream.store_head(head(newer, 1, 0, 1), now);
    EXPECT_TRUE(v.restart);
    EXPECT_FALSE(v.tail);
}

}  // namespace
}  // namespace cairn::test
