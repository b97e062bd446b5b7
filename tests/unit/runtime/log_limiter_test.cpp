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

TEST(LogLimiter, TellsALineThatRepeatsOnceAMinuteAndHowOften) {
    log_limiter limiter;
    EXPECT_TRUE(limiter.admit_repeated("refused", "ann is unknown", noon));
    EXPECT_TRUE(limiter.admit_repeated("refused", "bob is unknown", noon));
    for (int i = 1; i != 30; ++i)
        EXPECT_FALSE(limiter.admit_repeated("refused", "ann is unknown", noon + i * 2s));
    EXPECT_EQ(limiter.next_due(), noon + 60s);
    EXPECT_TRUE(limiter.due(noon + 59s).empty());
    const auto told = limiter.due(noon + 60s);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].text(), "ann is unknown: (29 more suppressed)");
    EXPECT_FALSE(limiter.admit_repeated("refused", "ann is unknown", noon + 62s)) << "just told";
    EXPECT_TRUE(limiter.admit_repeated("refused", "bob is unknown", noon + 62s));
    EXPECT_EQ(limiter.suppressed_total(), 30U);
}

TEST(LogLimiter, LosesNoRepetitionWhenNobodyAskedInTime) {
    log_limiter limiter;
    EXPECT_TRUE(limiter.admit_repeated("refused", "ann is unknown", noon));
    EXPECT_FALSE(limiter.admit_repeated("refused", "ann is unknown", noon + 1s));
    EXPECT_FALSE(limiter.admit_repeated("refused", "ann is unknown", noon + 90s));
    const auto told = limiter.due(noon + 90s);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].suppressed, 2U);
}

TEST(LogLimiter, HoldsLinesThatRepeatToTheirCauseAndItsLimit) {
    log_limiter limiter;
    int lines = 0;
    for (int i = 0; i != 10'000; ++i) {
        const time_point now = noon + i * 10ms;
        limiter.due(now);
        lines += limiter.admit_repeated("refused", "peer " + std::to_string(i), now);
    }
    EXPECT_EQ(lines, 1'000) << "ten a second";
    limiter.due(noon + 3min);
    EXPECT_TRUE(limiter.admit_repeated("refused", "peer 20000", noon + 3min));
    EXPECT_FALSE(limiter.admit_repeated("refused", "peer 20000", noon + 3min + 1s))
        << "lines of long ago make room";
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
