#include "quakes/quake.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace quakes;

constexpr const char* hualian = "1517932242400,us1000chhc,6.40,22km NNE of Hualian; Taiwan";

TEST(Quake, IsReadFromALine) {
    const auto event = parse_quake(hualian);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->time_ms, 1'517'932'242'400);
    EXPECT_EQ(event->magnitude, 640);
    EXPECT_EQ(event->place, "22km NNE of Hualian; Taiwan");
}

TEST(Quake, MayHaveAMagnitudeBelowZero) { EXPECT_EQ(parse_quake("1,a,-0.80,x")->magnitude, -80); }

TEST(Quake, IsRefusedWhenItIsNone) {
    for (const char* line : {"", "1,a,6.40", "x,a,6.40,p", "1,a,6.4,p", "1,a,,p", "1,a,640,p"}) {
        EXPECT_FALSE(parse_quake(line)) << line;
    }
}

TEST(Quake, IsDescribedInOneShortLine) {
    EXPECT_EQ(describe(*parse_quake(hualian)), "02-06 15:50  M  6.4  22km NNE of Hualian, Taiwan");
    const std::string far = "1,a,1.00," + std::string(200, 'x');
    EXPECT_LE(describe(*parse_quake(far)).size(), 68u);
}

TEST(Topic, FollowsTheMagnitude) {
    EXPECT_EQ(topic({0, -80, ""}), "quakes.small.m0");
    EXPECT_EQ(topic({0, 99, ""}), "quakes.small.m0");
    EXPECT_EQ(topic({0, 399, ""}), "quakes.small.m3");
    EXPECT_EQ(topic({0, 400, ""}), "quakes.big.m4");
    EXPECT_EQ(topic({0, 640, ""}), "quakes.big.m6");
}

TEST(Pattern, MatchesWhatBeginsAlike) {
    EXPECT_TRUE(matches("*", "quakes.big.m4"));
    EXPECT_TRUE(matches("quakes.big.*", "quakes.big.m4"));
    EXPECT_FALSE(matches("quakes.big.*", "quakes.small.m1"));
    EXPECT_TRUE(matches("quakes.big.m4", "quakes.big.m4"));
    EXPECT_FALSE(matches("quakes.big.m4", "quakes.big.m40"));
}

TEST(QuakesFile, HoldsAWeekInTheOrderOfTime) {
    const auto lines = read_last(CAIRN_QUAKES_FILE, 168);
    EXPECT_EQ(lines.size(), 1'679u);
    for (std::size_t i = 1; i < lines.size(); ++i) {
        ASSERT_LE(parse_quake(lines[i - 1])->time_ms, parse_quake(lines[i])->time_ms) << lines[i];
    }
}

TEST(QuakesFile, IsCutToItsLastHours) {
    const auto lines = read_last(CAIRN_QUAKES_FILE, 10);
    EXPECT_LT(lines.size(), 200u);
    EXPECT_TRUE(by_topic(lines, "quakes.big.*").contains("quakes.big.m6")) << "the one of Hualian";
}

TEST(QuakesFile, IsDividedIntoTopicsWithoutLoss) {
    const auto lines = read_last(CAIRN_QUAKES_FILE, 168);
    std::size_t sum = 0;
    for (const auto& [name, events] : by_topic(lines, "*")) sum += events.size();
    EXPECT_EQ(sum, lines.size());
}

TEST(QuakesFile, ThatIsNotThereIsNamed) {
    EXPECT_THROW(read_last("/nowhere/quakes.csv", 1), std::runtime_error);
}

}  // namespace
