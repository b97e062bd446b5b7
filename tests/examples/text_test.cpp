#include "support/text.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

namespace {

using namespace examples;

TEST(HelloPrograms, HaveTenLinesAtMost) {
    for (const char* name : {"hello_sender.cpp", "hello_receiver.cpp"}) {
        std::ifstream file(std::string(CAIRN_HELLO_DIRECTORY "/") + name);
        ASSERT_TRUE(file) << name;
        int lines = 0;
        for (std::string line; std::getline(file, line);) lines += line.empty() ? 0 : 1;
        EXPECT_LE(lines, 10) << name;
    }
}

TEST(Thousands, AreParted) {
    EXPECT_EQ(thousands(0), "0");
    EXPECT_EQ(thousands(999), "999");
    EXPECT_EQ(thousands(1'000), "1,000");
    EXPECT_EQ(thousands(12'345'678), "12,345,678");
}

TEST(Mean, IsRoundedHalfAwayFromZero) {
    EXPECT_EQ(mean(1, 20), "0.1");
    EXPECT_EQ(mean(-1, 20), "-0.1");
    EXPECT_EQ(mean(149, 1'000), "0.1");
    EXPECT_EQ(mean(10, 3), "3.3");
    EXPECT_EQ(mean(-20, 3), "-6.7");
}

TEST(Mean, OfNearlyNothingHasNoSign) { EXPECT_EQ(mean(-1, 1'000), "0.0"); }

TEST(Mean, OfNothingIsZero) { EXPECT_EQ(mean(0, 0), "0.0"); }

TEST(Bar, IsDrawnInEighths) {
    EXPECT_EQ(bar(1, 1, 3), "███");
    EXPECT_EQ(bar(1, 2, 3), "█▌");
    EXPECT_EQ(bar(1, 24, 3), "▏");
}

TEST(Bar, IsEmptyForWhatIsNotPositive) {
    EXPECT_EQ(bar(0, 1, 8), "");
    EXPECT_EQ(bar(-3, 1, 8), "");
    EXPECT_EQ(bar(1, 0, 8), "");
    EXPECT_EQ(bar(std::numeric_limits<double>::quiet_NaN(), 1, 8), "");
}

TEST(Bar, NeverLeavesItsWidth) { EXPECT_EQ(bar(5, 1, 2), "██"); }

TEST(Columns, KeepWhatIsTooLong) {
    EXPECT_EQ(right("ab", 4), "  ab");
    EXPECT_EQ(left("ab", 4), "ab  ");
    EXPECT_EQ(right("abcde", 4), "abcde");
    EXPECT_EQ(left("abcde", 4), "abcde");
}

TEST(Colours, AreLeftOutWhenNoColorIsSet) {
    setenv("CLICOLOR_FORCE", "1", 1);
    EXPECT_EQ(coloured(31, "x"), "\x1b[31mx\x1b[0m");
    setenv("NO_COLOR", "1", 1);
    EXPECT_EQ(coloured(31, "x"), "x");
    unsetenv("NO_COLOR");
    unsetenv("CLICOLOR_FORCE");
}

TEST(Number, IsTheWholeText) {
    EXPECT_EQ(number<int>("-12"), -12);
    EXPECT_FALSE(number<int>(""));
    EXPECT_FALSE(number<int>("12 "));
    EXPECT_FALSE(number<int>("1.5"));
    EXPECT_FALSE(number<unsigned>("-1"));
    EXPECT_FALSE(number<std::int8_t>("128"));
}

TEST(Fields, AreOneMoreThanTheCommas) {
    EXPECT_EQ(fields("a,,b").size(), 3u);
    EXPECT_EQ(fields("a,,b")[1], "");
    EXPECT_EQ(fields("").size(), 1u);
    EXPECT_EQ(fields("a,")[1], "");
}

}  // namespace
