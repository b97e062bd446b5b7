#include "values.hpp"

#include <cairn/protocol/ring.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace cairn::test {
namespace {

using protocol::admission;
using protocol::reader;
using ring = protocol::ring<plain_batch>;
using kind = ring::step::kind;

constexpr auto forever = std::chrono::milliseconds::max();

struct Ring : testing::Test {
    /// Publishes a batch of `count` messages, 10 bytes each.
    admission publish(std::uint64_t count, time_point now) {
        const admission answer = ring_.admit(count * 10, now);
        if (answer) ring_.push({ring_.last() + 1, ring_.last() + count, count * 10});
        return answer;
    }
    void publish_batches(int batches, std::uint64_t count = 1) {
        for (int i = 0; i < batches; ++i) ASSERT_TRUE(publish(count, at(0s)));
    }
    void use(std::size_t bytes_max, std::chrono::milliseconds patience) {
        ring_ = ring(bytes_max, patience);
    }
    reader join(std::uint64_t next, time_point now = at(0s)) { return ring_.add(seq(next), now); }
    void take(reader r, time_point now = at(0s)) {
        ASSERT_NE(ring_.next(r).what, kind::nothing);
        ring_.passed(r, now);
    }
    void expect_batch(reader r, std::uint64_t first) {
        const ring::step step = ring_.next(r);
        ASSERT_EQ(step.what, kind::batch);
        EXPECT_EQ(step.batch->first(), seq(first));
    }
    void expect_gone(reader r, sequence_range gone) {
        const ring::step step = ring_.next(r);
        ASSERT_EQ(step.what, kind::gone);
        EXPECT_EQ(step.gone, gone);
    }
    void expect_nothing(reader r) { EXPECT_EQ(ring_.next(r).what, kind::nothing); }

    ring ring_{100, 100ms};
};

TEST_F(Ring, CostsLittleWhileNothingWasPublished) { EXPECT_LE(sizeof(ring), 200U); }

TEST_F(Ring, HoldsNothingAtFirst) {
    EXPECT_EQ(ring_.first_held(), seq(1));
    EXPECT_EQ(ring_.last(), seq(0));
    expect_nothing(join(1));
}

TEST_F(Ring, GivesEachReaderEachBatchOnce) {
    const reader a = join(1);
    publish_batches(2, 3);
    const reader b = join(1);
    for (const reader r : {a, b}) {
        expect_batch(r, 1);
        take(r);
        expect_batch(r, 4);
        take(r);
        expect_nothing(r);
    }
}

TEST_F(Ring, GivesAReaderItsBatchAgainUntilItPassed) {
    const reader r = join(1);
    publish_batches(1);
    expect_batch(r, 1);
    expect_batch(r, 1);
}

TEST_F(Ring, StartsInTheMiddleOfABatchWithThatWholeBatch) {
    publish_batches(2, 4);
    const reader r = join(6);
    expect_batch(r, 5);
    EXPECT_EQ(ring_.lag(r), 3U);
}

TEST_F(Ring, TakesAReaderFromTheFutureForOneThatIsUpToDate) {
    publish_batches(2);
    const reader r = join(1'000);
    expect_nothing(r);
    EXPECT_EQ(ring_.wanted(r), seq(3));
    EXPECT_EQ(ring_.wanted(join(~0ULL)), seq(3));
}

TEST_F(Ring, TellsALateReaderWhatIsGoneAndGoesOn) {
    use(30, 100ms);
    publish_batches(5);
    const reader r = join(0);
    expect_gone(r, range(1, 2));
    take(r);
    expect_batch(r, 3);
}

TEST_F(Ring, TellsAllAsGoneWhenItHoldsNothing) {
    use(0, 0ms);
    publish_batches(1);
    const reader r = join(1);
    ASSERT_TRUE(ring_.admit(10, at(0s)));
    expect_gone(r, range(1, 1));
    take(r);
    expect_nothing(r);
}

TEST_F(Ring, KeepsBatchesForLateReadersUntilItNeedsTheRoom) {
    publish_batches(10);
    EXPECT_EQ(ring_.first_held(), seq(1));
    publish_batches(1);
    EXPECT_EQ(ring_.first_held(), seq(2));
    EXPECT_EQ(ring_.bytes(), 100U);
}

TEST_F(Ring, AdmitsABatchThatIsLargerThanItselfAlone) {
    publish_batches(3);
    ASSERT_TRUE(publish(50, at(0s)));
    EXPECT_EQ(ring_.batches(), 1U);
    EXPECT_EQ(ring_.bytes(), 500U);
    ASSERT_TRUE(publish(1, at(0s)));
    EXPECT_EQ(ring_.bytes(), 10U);
}

TEST_F(Ring, WaitsForAReaderThatMoves) {
    const reader r = join(1);
    publish_batches(10);
    for (int i = 0; i < 10; ++i) {
        const time_point now = at(i * 90ms);
        const admission answer = publish(1, now);
        ASSERT_FALSE(answer);
        EXPECT_EQ(answer.wait_until, now + 100ms);
        ring_.note_progress(r, now + 90ms);
    }
    EXPECT_FALSE(ring_.left_behind(r));
    take(r, at(900ms));
    EXPECT_TRUE(publish(1, at(900ms)));
}

TEST_F(Ring, LeavesAStalledReaderBehindAfterItsPatience) {
    const reader r = join(1);
    publish_batches(10);
    const admission first = publish(1, at(5s));
    ASSERT_FALSE(first);
    EXPECT_EQ(first.wait_until, at(5s + 100ms));
    EXPECT_FALSE(publish(1, at(5s + 99ms)));
    EXPECT_FALSE(ring_.left_behind(r));
    EXPECT_TRUE(publish(1, at(5s + 100ms)));
    EXPECT_TRUE(ring_.left_behind(r));
    EXPECT_EQ(ring_.left_behind_total(), 1U);
}

TEST_F(Ring, NeverWaitsAgainForAReaderThatItLeftBehind) {
    const reader stuck = join(1);
    publish_batches(10);
    ASSERT_FALSE(publish(1, at(0s)));
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(publish(1, at(100ms)));
    EXPECT_EQ(ring_.lag(stuck), 60U);
}

TEST_F(Ring, TellsAReaderThatWasLeftBehindWhatItMissedAndServesItAgain) {
    const reader r = join(1);
    publish_batches(10);
    ASSERT_FALSE(publish(1, at(0s)));
    ASSERT_TRUE(publish(1, at(100ms)));
    expect_gone(r, range(1, 1));
    ASSERT_TRUE(publish(2, at(100ms)));
    expect_gone(r, range(1, 3));
    take(r);
    EXPECT_FALSE(ring_.left_behind(r));
    expect_batch(r, 4);
    EXPECT_FALSE(publish(1, at(101ms))) << "it is waited for again";
}

TEST_F(Ring, WaitsOnceForAllReadersThatStallTogether) {
    std::vector<reader> stuck;
    for (std::uint64_t next = 1; next <= 5; ++next) {
        publish_batches(2);
        stuck.push_back(join(next));
    }
    ASSERT_FALSE(publish(1, at(0s)));
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(publish(1, at(100ms))) << i;
    for (const reader r : stuck) EXPECT_TRUE(ring_.left_behind(r));
}

TEST_F(Ring, GivesAReaderThatHadNothingToTakeItsWholePatience) {
    use(10, 100ms);
    const reader quiet = join(1);
    const reader stuck = join(1);
    publish_batches(1);
    take(quiet);
    ASSERT_FALSE(publish(1, at(0s)));
    ASSERT_TRUE(publish(1, at(10s))) << "the other is left behind meanwhile";
    EXPECT_TRUE(ring_.left_behind(stuck));
    const admission answer = publish(1, at(10s));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.wait_until, at(10s + 100ms));
}

TEST_F(Ring, LeavesNobodyBehindWhoseRoomWouldNotHelp) {
    const reader stuck = join(1);
    const reader slow = join(1);
    publish_batches(10);
    ASSERT_FALSE(publish(1, at(0s)));
    ring_.note_progress(slow, at(80ms));
    const admission answer = publish(1, at(120ms));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.wait_until, at(180ms));
    EXPECT_FALSE(ring_.left_behind(stuck));
}

TEST_F(Ring, NeverWaitsWithoutPatience) {
    use(20, 0ms);
    const reader r = join(1);
    publish_batches(3);
    EXPECT_TRUE(ring_.left_behind(r));
    expect_gone(r, range(1, 1));
}

TEST_F(Ring, WaitsForEverWithEndlessPatience) {
    use(20, forever);
    join(1);
    publish_batches(2);
    for (const auto now : {at(0s), at(24h), at(24h * 365 * 100)}) {
        const admission answer = publish(1, now);
        ASSERT_FALSE(answer);
        EXPECT_EQ(answer.wait_until, time_point::max());
    }
}

TEST_F(Ring, ForgetsAReaderThatIsRemoved) {
    const reader r = join(1);
    publish_batches(10);
    ASSERT_FALSE(publish(1, at(0s)));
    ring_.remove(r);
    EXPECT_TRUE(publish(1, at(0s)));
    EXPECT_EQ(ring_.readers(), 0U);
    EXPECT_EQ(join(1), r) << "its number is used again";
}

TEST_F(Ring, SendsAgainFromWhereAReaderRewinds) {
    const reader r = join(1);
    publish_batches(3, 2);
    for (int i = 0; i < 3; ++i) take(r);
    expect_nothing(r);
    ring_.rewind(r, seq(4), at(0s));
    expect_batch(r, 3);
    EXPECT_EQ(ring_.lag(r), 3U);
}

TEST_F(Ring, HoldsBackForAReaderThatRewound) {
    const reader r = join(1);
    publish_batches(10);
    for (int i = 0; i < 10; ++i) take(r);
    ring_.rewind(r, seq(1), at(0s));
    EXPECT_FALSE(publish(1, at(0s)));
}

TEST_F(Ring, AcceptsThatABatchWasSentThoughItWasEvictedMeanwhile) {
    const reader r = join(1);
    publish_batches(10);
    expect_batch(r, 1);
    ASSERT_FALSE(publish(1, at(0s)));
    ASSERT_TRUE(publish(3, at(100ms)));
    ring_.passed(r, at(100ms));
    EXPECT_EQ(ring_.wanted(r), seq(2));
    expect_gone(r, range(2, 3));
}

TEST_F(Ring, VisitsReadersThatAreDueSomethingAndNoOthers) {
    const reader a = join(1);
    const reader b = join(1);
    publish_batches(1);
    take(a);
    std::vector<reader> visited;
    ring_.for_each_pending([&](reader r) { visited.push_back(r); });
    EXPECT_EQ(visited, std::vector<reader>{b});
    take(b);
    EXPECT_FALSE(ring_.any_pending());
}

TEST_F(Ring, LetsAReaderBeServedOrRemovedWhileItIsVisited) {
    std::vector<reader> readers;
    for (int i = 0; i < 4; ++i) readers.push_back(join(1));
    publish_batches(2);
    std::vector<reader> visited;
    ring_.for_each_pending([&](reader r) {
        visited.push_back(r);
        if (r == readers[1]) return ring_.remove(r);
        if (r == readers[2]) return ring_.rewind(r, seq(1), at(0s));
        take(r);
        take(r);
    });
    EXPECT_EQ(visited, readers);
    EXPECT_TRUE(ring_.any_pending());
    EXPECT_TRUE(ring_.pending(readers[2]));
}

TEST_F(Ring, LetsGoOfABatchWhenItEvictsIt) {
    struct shared_batch : plain_batch {
        std::shared_ptr<int> memory;
    };
    protocol::ring<shared_batch> shared(10, 0ms);
    const auto memory = std::make_shared<int>(0);
    ASSERT_TRUE(shared.admit(10, at(0s)));
    shared.push({{seq(1), seq(1), 10}, memory});
    EXPECT_EQ(memory.use_count(), 2);
    ASSERT_TRUE(shared.admit(10, at(0s)));
    EXPECT_EQ(memory.use_count(), 1);
}

}  // namespace
}  // namespace cairn::test
