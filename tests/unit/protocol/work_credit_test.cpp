#include "values.hpp"

#include <cairn/protocol/work_credit.hpp>

#include <gtest/gtest.h>

#include <algorithm>

namespace cairn::test {
namespace {

using protocol::pace;
using protocol::work_credit_reader;
using protocol::work_credit_sender;
using protocol::work_grant;

constexpr std::uint64_t most = 65'536;

TEST(WorkCreditSender, SendsAsManyMessagesAsWereGranted) {
    work_credit_sender sender({.messages = 3, .bytes = 100});
    EXPECT_EQ(sender.left(), (work_grant{.messages = 3, .bytes = 100}));
    sender.spend(2, 50);
    EXPECT_EQ(sender.left(), (work_grant{.messages = 1, .bytes = 50}));
    sender.spend(1, 10);
    EXPECT_FALSE(sender.may_send());
}

TEST(WorkCreditSender, SendsNothingWhenTheBytesAreUsedUp) {
    work_credit_sender sender({.messages = 100, .bytes = 10});
    sender.spend(1, 11);
    EXPECT_FALSE(sender.may_send());
    EXPECT_EQ(sender.left(), work_grant{});
}

TEST(WorkCreditSender, NeverTakesAGrantBack) {
    work_credit_sender sender({.messages = 5, .bytes = 10});
    EXPECT_FALSE(sender.raise({.messages = 1, .bytes = 1}));
    EXPECT_TRUE(sender.raise({.messages = 1, .bytes = 20}));
    EXPECT_EQ(sender.left(), (work_grant{.messages = 5, .bytes = 20}));
    EXPECT_TRUE(sender.raise({.messages = ~0ULL, .bytes = ~0ULL}));
    sender.spend(~0ULL, ~0ULL);
    sender.spend(1, 1);
    EXPECT_FALSE(sender.may_send());
}

/// A puller whose pusher always has more, and whose application takes `each` for a message.
struct working_puller {
    work_credit_reader reader;
    work_credit_sender sender{reader.initial()};
    time_point now = at(0s);

    /// One round: what the credit allows arrives, and all of it is worked on.
    void round(duration each, duration on_the_way = 100us) {
        now += on_the_way;
        const std::uint64_t count = sender.left().messages;
        sender.spend(count, count);
        ASSERT_TRUE(reader.received(count, count, now));
        now += each * static_cast<std::int64_t>(count);
        reader.consumed(count, count, now);
        if (const auto grant = reader.due()) (void)sender.raise(*grant);
        ASSERT_TRUE(sender.may_send()) << "nothing would ever move again";
    }
};

TEST(WorkCredit, LendsAFirstSlowJobToOnePullerAtATime) {
    working_puller puller{.reader = {most, 8 << 20, 100ms}};
    EXPECT_EQ(puller.reader.initial().messages, 1U);
    for (int i = 0; i < 20; ++i) puller.round(1s);
    EXPECT_EQ(puller.reader.window_messages(), 1U);
}

TEST(WorkCredit, ReachesItsMaximumWithinTwentyRoundsWhenWorkIsFast) {
    working_puller puller{.reader = {most, 8 << 20, 100ms}};
    for (int i = 0; i < 20; ++i) puller.round(50ns);
    EXPECT_EQ(puller.reader.window_messages(), most);
    EXPECT_EQ(puller.sender.left().messages, most);
}

TEST(WorkCredit, SettlesAtThePrefetchTimeOfWork) {
    working_puller puller{.reader = {most, 8 << 20, 100ms}};
    for (int i = 0; i < 100; ++i) puller.round(1ms);
    EXPECT_NEAR(static_cast<double>(puller.reader.window_messages()), 100, 5);
}

TEST(WorkCredit, FollowsWorkThatTurnsSlowAtOnce) {
    working_puller puller{.reader = {most, 8 << 20, 100ms}};
    for (int i = 0; i < 100; ++i) puller.round(1ms);
    puller.round(500ms);
    EXPECT_EQ(puller.reader.window_messages(), 1U);
    for (int i = 0; i < 3; ++i) puller.round(500ms);
    EXPECT_LE(puller.sender.left().messages, 1U);
}

TEST(WorkCredit, KeepsItsPaceWhileThereIsNoWork) {
    working_puller puller{.reader = {most, 8 << 20, 100ms}};
    for (int i = 0; i < 100; ++i) puller.round(1ms);
    puller.round(1ms, 1h);
    EXPECT_NEAR(static_cast<double>(puller.reader.window_messages()), 100, 5);
}

TEST(WorkCredit, GrantsAllAlwaysWithoutPrefetch) {
    working_puller puller{.reader = {most, 8 << 20, 0ms}};
    EXPECT_EQ(puller.reader.initial().messages, most);
    puller.round(1s);
    EXPECT_EQ(puller.sender.left().messages, most);
}

TEST(WorkCredit, NeverTakesAGrantBackWhenWorkTurnsSlow) {
    work_credit_reader reader(100, 1'000, 0ms);
    EXPECT_TRUE(reader.received(25, 25, at(0s)));
    reader.consumed(25, 25, at(100s));
    const auto grant = reader.due();
    ASSERT_TRUE(grant);
    EXPECT_EQ(*grant, (work_grant{.messages = 125, .bytes = 1'025}));
    EXPECT_EQ(reader.due(), std::nullopt);
}

TEST(WorkCredit, WaitsForAQuarterOfTheWindow) {
    work_credit_reader reader(100, 1'000, 0ms);
    EXPECT_TRUE(reader.received(100, 100, at(0s)));
    reader.consumed(24, 24, at(0s));
    EXPECT_EQ(reader.due(), std::nullopt);
    reader.consumed(1, 1, at(0s));
    EXPECT_TRUE(reader.due());
}

TEST(WorkCredit, GrantsForBytesToo) {
    work_credit_reader reader(100, 1'000, 0ms);
    EXPECT_TRUE(reader.received(1, 900, at(0s)));
    reader.consumed(1, 250, at(0s));
    EXPECT_TRUE(reader.due());
}

TEST(WorkCredit, NoticesMoreMessagesThanWereGranted) {
    work_credit_reader reader(10, 1'000, 0ms);
    EXPECT_TRUE(reader.received(10, 10, at(0s)));
    EXPECT_FALSE(reader.received(1, 1, at(0s)));
}

TEST(WorkCredit, NoticesARunThatBeganBeyondTheBytes) {
    work_credit_reader reader(10, 100, 0ms);
    EXPECT_TRUE(reader.received(2, 150, at(0s)));
    EXPECT_FALSE(reader.received(1, 1, at(0s)));
}

TEST(WorkCredit, IgnoresWhatItNeverReceived) {
    work_credit_reader reader(10, 100, 100ms);
    reader.consumed(5, 50, at(0s));
    EXPECT_EQ(reader.due(), std::nullopt);
    EXPECT_EQ(reader.waiting(), work_grant{});
}

// --- An application that holds several --------------------------------------------------------

/// Takes all that comes and finishes nothing until it has `wanted` in hand.
struct collecting_puller : working_puller {
    std::uint64_t held = 0;
    std::size_t asks = 0;

    void collect(std::uint64_t wanted) {
        while (held < wanted) {
            const std::uint64_t count = std::min(sender.left().messages, wanted - held);
            if (count == 0) {
                ++asks;
                const auto grant = reader.asked();
                ASSERT_TRUE(grant) << "it would wait with " << held << " in hand";
                EXPECT_TRUE(sender.raise(*grant));
                continue;
            }
            sender.spend(count, count);
            EXPECT_TRUE(reader.received(count, count, now += 100us));
            held += count;
        }
    }
    void finish(std::uint64_t count, duration each) {
        reader.consumed(count, count, now += each * static_cast<std::int64_t>(count));
        if (const auto grant = reader.due()) (void)sender.raise(*grant);
        held -= count;
    }
};

TEST(WorkCredit, LetsAnApplicationHoldAsManyAsTheLimitSays) {
    collecting_puller puller{{.reader = {1'000, 8 << 20, 100ms}}};
    puller.collect(1'000);
    EXPECT_EQ(puller.reader.asked(), std::nullopt);
    EXPECT_FALSE(puller.sender.may_send());
}

TEST(WorkCredit, DoublesWhatItGrantsToWhoAsksForMore) {
    collecting_puller puller{{.reader = {most, 8 << 20, 100ms}}};
    puller.collect(60'000);
    EXPECT_LE(puller.asks, 16U);
}

TEST(WorkCredit, GrantsOneForEachThatIsFinishedAtTheLimit) {
    collecting_puller puller{{.reader = {100, 8 << 20, 100ms}}};
    puller.collect(100);
    EXPECT_EQ(puller.reader.asked(), std::nullopt);
    for (int i = 0; i != 10; ++i) {
        puller.finish(1, 1s);
        EXPECT_EQ(puller.sender.left().messages, 1U);
        puller.collect(100);
        EXPECT_EQ(puller.reader.asked(), std::nullopt);
    }
}

TEST(WorkCredit, GrantsNothingToWhoAsksWhileSomethingMayStillCome) {
    work_credit_reader reader(100, 1'000, 0ms);
    EXPECT_TRUE(reader.received(99, 99, at(0s)));
    EXPECT_EQ(reader.asked(), std::nullopt);
}

TEST(WorkCredit, GrantsNothingToWhoAsksWithEmptyHands) {
    work_credit_reader reader(100, 1'000, 100ms);
    EXPECT_TRUE(reader.received(1, 1, at(0s)));
    reader.consumed(1, 1, at(0s));
    EXPECT_EQ(reader.asked(), std::nullopt);
}

TEST(WorkCredit, GrantsNoMoreMessagesToWhoHoldsAllItsBytes) {
    work_credit_reader reader(100, 1'000, 100ms);
    EXPECT_TRUE(reader.received(1, 1'000, at(0s)));
    EXPECT_EQ(reader.asked(), std::nullopt);
    reader.consumed(1, 1'000, at(1s));
    const auto grant = reader.due();
    ASSERT_TRUE(grant);
    EXPECT_EQ(grant->bytes, 2'000U);
}

TEST(WorkCredit, LendsOneAtATimeAgainAfterACollectionOfSlowWork) {
    collecting_puller puller{{.reader = {most, 8 << 20, 100ms}}};
    puller.collect(1'000);
    puller.finish(1'000, 1s);
    EXPECT_EQ(puller.reader.window_messages(), 1U);
}

TEST(Pace, TakesWorkWithoutMeasurableTimeForFast) {
    pace measured(100, 100ms);
    measured.woke(at(0s));
    measured.worked(1, at(0s));
    for (int i = 0; i < 10; ++i) measured.adapt();
    EXPECT_EQ(measured.window(), 100U);
}

TEST(Pace, AtMostDoublesAtATime) {
    pace measured(100, 100ms);
    measured.woke(at(0s));
    measured.worked(1'000, at(1us));
    measured.adapt();
    EXPECT_EQ(measured.window(), 2U);
}

TEST(Pace, ForgetsWhatItMeasuredLongAgo) {
    pace measured(most, 100ms);
    time_point now = at(0s);
    measured.woke(now);
    measured.worked(1'000'000, now += 100ms);
    for (int i = 0; i < 100; ++i) measured.worked(1, now += 100ms);
    measured.adapt();
    EXPECT_LE(measured.window(), 2U);
}

}  // namespace
}  // namespace cairn::test
