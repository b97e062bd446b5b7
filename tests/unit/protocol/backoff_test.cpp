#include "values.hpp"

#include <cairn/protocol/backoff.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using protocol::backoff;

constexpr std::uint32_t lowest = 0;
constexpr std::uint32_t highest = ~0U;

TEST(Backoff, DoublesUpToItsMaximum) {
    backoff delays(100ms, 500ms);
    for (const auto expected : {50ms, 100ms, 200ms, 250ms, 250ms}) {
        EXPECT_EQ(delays.next(lowest), expected);
    }
}

TEST(Backoff, StaysInTheUpperHalfOfItsStep) {
    backoff delays(100ms, 100ms);
    EXPECT_EQ(delays.next(lowest), 50ms);
    EXPECT_EQ(delays.next(1U << 31), 75ms);
    const duration longest = delays.next(highest);
    EXPECT_GT(longest, 99ms);
    EXPECT_LE(longest, 100ms);
}

TEST(Backoff, BeginsAnewAfterASuccess) {
    backoff delays(100ms, 5s);
    for (int i = 0; i < 10; ++i) (void)delays.next(highest);
    delays.reset();
    EXPECT_LE(delays.next(highest), 100ms);
}

TEST(Backoff, NeverGrowsPastItsMaximum) {
    backoff delays(1h, 24h);
    for (int i = 0; i < 1'000; ++i) EXPECT_LE(delays.next(highest), 24h);
}

}  // namespace
}  // namespace cairn::test
