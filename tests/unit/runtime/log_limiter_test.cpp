#include <cairn/runtime/log_limiter.hpp>

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace cairn;
using namespace cairn::runtime;
using namespace std::chrono_literals;

constexpr time_point noon{12h};

int admitted(log_limiter& limiter, std::string_view cause, int tries, time_point now) {
    int lines = 0;
    for (int i = 0; i < tries; ++i) lines += limiter.admit(cause, now);
    return lines;
}

TEST(LogLimiter, LetsTenLinesOfACauseThroughInASecond) {
    log_limiter limiter;
    EXPECT_EQ(admitted(limiter, "handshake", 25, noon), 10);
    EXPECT_EQ(admitted(limiter, "handshake", 5, noon + 999ms), 0);
    EXPECT_EQ(limiter.suppressed_total(), 20);
}

TEST(LogLimiter, TellsHowManyLinesWereLeftOutWhenTheSecondIsOver) {
    log_limiter limiter;
    admitted(limiter, "handshake", 25, noon);
    EXPECT_EQ(limiter.next_due(), noon + 1s);
    EXPECT_TRUE(limiter.due(noon + 999ms).empty());
    const auto told = limiter.due(noon + 1s);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].text(), "handshake: (15 more suppressed)");
    EXPECT_EQ(limiter.next_due(), time_point::max());
    EXPECT_EQ(admitted(limiter, "handshake", 25, noon + 1s), 10);
}

TEST(LogLimiter, CountsEachCauseForItself) {
    log_limiter limiter;
    admitted(limiter, "handshake", 25, noon);
    EXPECT_EQ(admitted(limiter, "malformed", 3, noon), 3);
}

TEST(LogLimiter, StartsAnewAfterAQuietSecond) {
    log_limiter limiter;
    EXPECT_EQ(admitted(limiter, "handshake", 10, noon), 10);
    EXPECT_EQ(admitted(limiter, "handshake", 10, noon + 1s), 10);
    EXPECT_EQ(limiter.suppressed_total(), 0);
}

TEST(LogLimiter, LosesNoCountWhenNobodyAskedInTime) {
    log_limiter limiter;
    admitted(limiter, "handshake", 11, noon);
    EXPECT_EQ(admitted(limiter, "handshake", 4, noon + 5s), 0);
    const auto told = limiter.due(noon + 5s);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].suppressed, 5U);
}

TEST(LogLimiter, HoldsNoMoreCausesThanItsLimit) {
    log_limiter limiter;
    int lines = 0;
    for (int i = 0; i < 10'000; ++i) lines += limiter.admit("peer " + std::to_string(i), noon);
    EXPECT_EQ(lines, static_cast<int>(log_limiter::causes_max) - 1 + 10);
    EXPECT_EQ(limiter.due(noon + 1s).size(), 1U) << "all further causes share one counter";
    EXPECT_TRUE(limiter.admit("peer 20000", noon + 2s)) << "quiet causes make room";
}

}  // namespace
