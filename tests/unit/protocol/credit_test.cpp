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
    EXPECT_TRUE(reader.received(90));
    reader.consumed(24);
    EXPECT_EQ(reader.due(), std::nullopt);
    reader.consumed(1);
    EXPECT_EQ(reader.due(), (grant{.granted = 125, .consumed = 25}));
    EXPECT_EQ(reader.due(), std::nullopt);
}

TEST(CreditReader, ReportsSoonerThanAQuarterOfALargeWindow) {
    credit_reader reader(8 << 20);
    EXPECT_TRUE(reader.received(1 << 20));
    reader.consumed(protocol::report_bytes - 1);
    EXPECT_EQ(reader.due(), std::nullopt);
    reader.consumed(1);
    EXPECT_EQ(reader.due(), (grant{.granted = (8 << 20) + protocol::report_bytes,
                                   .consumed = protocol::report_bytes}));
    EXPECT_EQ(reader.due(), std::nullopt);
}

TEST(CreditReader, ToleratesOneBatchBeyondAndNoMore) {
    credit_reader reader(100);
    EXPECT_TRUE(reader.received(99));
    EXPECT_TRUE(reader.received(1'000));
    EXPECT_FALSE(reader.received(1));
}

TEST(CreditReader, CountsWhatStillWaitsFromAnEarlierLink) {
    credit_reader reader(100, 70);
    EXPECT_EQ(reader.initial(), 30U);
    EXPECT_TRUE(reader.received(30));
    EXPECT_FALSE(reader.received(1));
    reader.consumed(70);
    EXPECT_EQ(reader.due(), (grant{.granted = 100, .consumed = 0}));
    reader.consumed(31);
    EXPECT_EQ(reader.due(), (grant{.granted = 131, .consumed = 31}));
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
