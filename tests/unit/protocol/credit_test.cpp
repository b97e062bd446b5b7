#include "values.hpp"

#include <cairn/protocol/credit.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using protocol::credit_reader;
using protocol::credit_sender;
using protocol::grant;

TEST(CreditSender, SendsWhileAByteIsLeft) {
    credit_sender sender(10);
    EXPECT_TRUE(sender.may_send());
    sender.spend(9);
    EXPECT_TRUE(sender.may_send());
    sender.spend(1'000);
    EXPECT_FALSE(sender.may_send());
}

TEST(CreditSender, SendsNothingWithoutCredit) { EXPECT_FALSE(credit_sender().may_send()); }

TEST(CreditSender, GoesOnWhenMoreIsGranted) {
    credit_sender sender(10);
    sender.spend(15);
    EXPECT_TRUE(sender.raise({.granted = 15, .consumed = 10}));
    EXPECT_FALSE(sender.may_send()) << "15 are spent";
    EXPECT_EQ(sender.outstanding(), 5U);
    EXPECT_TRUE(sender.raise({.granted = 16, .consumed = 10}));
    EXPECT_TRUE(sender.may_send());
}

TEST(CreditSender, NeverTakesAGrantBack) {
    credit_sender sender(100);
    sender.spend(50);
    EXPECT_TRUE(sender.raise({.granted = 200, .consumed = 50}));
    EXPECT_FALSE(sender.raise({.granted = 10, .consumed = 20}));
    EXPECT_TRUE(sender.may_send());
    EXPECT_EQ(sender.outstanding(), 0U);
}

TEST(CreditSender, LearnsTheWindowOfAReaderThatHadMessagesWaiting) {
    credit_sender sender(10);
    EXPECT_EQ(sender.window(), 10U);
    sender.spend(10);
    (void)sender.raise({.granted = 40, .consumed = 0});
    EXPECT_EQ(sender.window(), 40U);
    (void)sender.raise({.granted = 100, .consumed = 10});
    EXPECT_EQ(sender.window(), 90U);
    (void)sender.raise({.granted = 101, .consumed = 10});
    EXPECT_EQ(sender.window(), 91U);
    credit_sender none;
    none.spend(100);
    (void)none.raise({.granted = 50, .consumed = 80});
    EXPECT_EQ(none.window(), 0U);
}

TEST(CreditSender, BelievesNoReaderThatItTookMoreThanWasSent) {
    credit_sender sender(100);
    sender.spend(50);
    (void)sender.raise({.granted = ~0ULL, .consumed = ~0ULL});
    EXPECT_EQ(sender.outstanding(), 0U);
    sender.spend(~0ULL);
    EXPECT_FALSE(sender.may_send());
}

TEST(CreditReader, GrantsItsWindowAtFirst) {
    EXPECT_EQ(credit_reader(100).initial(), 100U);
    EXPECT_EQ(credit_reader(100).due(), std::nullopt);
}

TEST(CreditReader, GrantsAgainWhenAQuarterOfTheWindowWasTaken) {
    credit_reader reader(100);
    for (int i = 0; i != 90; ++i) EXPECT_TRUE(reader.received(1));
    reader.consumed(24);
    EXPECT_EQ(reader.due(), std::nullopt);
    reader.consumed(1);
    EXPECT_EQ(reader.due(), (grant{.granted = 124, .consumed = 25})) << "a batch of 1 less";
    EXPECT_EQ(reader.due(), std::nullopt);
}

TEST(CreditReader, ReportsSoonerThanAQuarterOfALargeWindow) {
    credit_reader reader(8 << 20);
    for (int i = 0; i != 1 << 10; ++i) EXPECT_TRUE(reader.received(1 << 10));
    reader.consumed(protocol::report_bytes - 1);
    EXPECT_EQ(reader.due(), std::nullopt);
    reader.consumed(1);
    EXPECT_EQ(reader.due(), (grant{.granted = (8 << 20) + protocol::report_bytes - (1 << 10),
                                   .consumed = protocol::report_bytes}));
    EXPECT_EQ(reader.due(), std::nullopt);
}

TEST(CreditReader, ToleratesOneBatchBeyondAndNoMore) {
    credit_reader reader(100);
    EXPECT_TRUE(reader.received(99));
    EXPECT_TRUE(reader.received(1'000));
    EXPECT_FALSE(reader.received(1));
}

// Of the batch that reaches what is granted, all may lie beyond it but a byte.
TEST(CreditReader, StaysInsideItsWindowOnceItKnowsHowLargeBatchesAre) {
    credit_reader reader(1'000);
    credit_sender sender(reader.initial());
    const auto send_all = [&] {
        while (sender.may_send()) {
            sender.spend(90);
            EXPECT_TRUE(reader.received(90));
        }
    };
    send_all();
    EXPECT_EQ(reader.waiting(), 1'080U);
    for (int i = 0; i != 100; ++i) {
        while (reader.waiting() > 700) reader.consumed(90);
        if (const auto due = reader.due()) sender.raise(*due);
        send_all();
        EXPECT_LT(reader.waiting(), 1'000U);
        EXPECT_GE(reader.waiting(), 900U);
    }
}

TEST(CreditReader, LeavesSevenEighthsOfItsWindowToLargeBatches) {
    credit_reader reader(100);
    EXPECT_TRUE(reader.received(1'000));
    reader.consumed(990);
    EXPECT_EQ(reader.due(), (grant{.granted = 1'078, .consumed = 990}));
}

TEST(CreditReader, CountsWhatStillWaitsFromAnEarlierLink) {
    credit_reader reader(100, 70);
    EXPECT_EQ(reader.initial(), 30U);
    for (int i = 0; i != 30; ++i) EXPECT_TRUE(reader.received(1));
    EXPECT_FALSE(reader.received(1));
    reader.consumed(70);
    EXPECT_EQ(reader.due(), (grant{.granted = 99, .consumed = 0}));
    reader.consumed(31);
    EXPECT_EQ(reader.due(), (grant{.granted = 130, .consumed = 31}));
}

TEST(CreditReader, GrantsNothingWhileAnEarlierLinkFillsItsWindow) {
    credit_reader reader(100, 150);
    EXPECT_EQ(reader.initial(), 0U);
    reader.consumed(60);
    EXPECT_EQ(reader.due(), (grant{.granted = 10, .consumed = 0}));
}

TEST(CreditReader, IgnoresWhatItNeverReceived) {
    credit_reader reader(100);
    reader.consumed(1'000);
    EXPECT_EQ(reader.due(), std::nullopt);
}

TEST(CreditReader, MayHaveAWindowWithoutEnd) {
    credit_reader reader(~0ULL);
    EXPECT_TRUE(reader.received(1 << 20));
    reader.consumed(1 << 20);
    EXPECT_EQ(reader.due(), (grant{.granted = ~0ULL, .consumed = 1 << 20}));
}

TEST(CreditReader, MayHaveAWindowOfOneByte) {
    credit_reader reader(1);
    EXPECT_TRUE(reader.received(500));
    reader.consumed(500);
    EXPECT_EQ(reader.due(), (grant{.granted = 501, .consumed = 500}));
}

}  // namespace
}  // namespace cairn::test
