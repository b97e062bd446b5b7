#include "flights/delays.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <sstream>
#include <stdexcept>
#include <string>

namespace {

using namespace flights;

TEST(Flight, IsReadFromALine) {
    EXPECT_EQ(parse_flight("2001-01-01T07:46,12,1750,DTW,LAS"), (flight{7, 12}));
    EXPECT_EQ(parse_flight("2001-01-01T23:59,-5,1750,DTW,LAS"), (flight{23, -5}));
}

TEST(Flight, IsReadFromALineThatKnowsOnlyTheTime) {
    EXPECT_EQ(parse_flight("00:10,171,2227,,"), (flight{0, 171}));
}

TEST(Flight, NeedsATimeAndADelay) {
    for (const char* line :
         {"", ",", "2001-01-01T07:46", "2001-01-01T07:46,,1750,DTW,LAS", "24:00,1", "07:60,1",
          "07-30,1", "7:30,1", "07:30,soon", "07:30,1.5", "07:30,-1441", "07:30,10081"}) {
        EXPECT_FALSE(parse_flight(line)) << line;
    }
}

TEST(ParsedLine, ComesBackAsItWasEncoded) {
    const parsed_line with{{"reader", {1'700'000'000'000}, {42}}, flight{7, -12}};
    const parsed_line without{{"reader", {1}, {1}}, {}};
    EXPECT_EQ(decode(encode(with)), with);
    EXPECT_EQ(decode(encode(without)), without);
}

TEST(ParsedLine, IsRefusedWhenItIsNone) {
    for (const char* text : {"", "a", "a,1", "a,1,x", "a,1,2,3", "a,1,2,3,x", "a,1,2,3,4,5"}) {
        EXPECT_THROW(decode(text), std::invalid_argument) << text;
    }
}

TEST(File, ThatIsNotThereIsNamed) {
    try {
        read_lines("/nowhere/flights.csv");
        FAIL();
    } catch (const std::runtime_error& error) {
        EXPECT_NE(std::string(error.what()).find("/nowhere/flights.csv"), std::string::npos);
    }
}

TEST(HourDelays, AreSummedInMinutes) {
    hour_delays hour;
    for (const int delay : {-4, 15, 16, 100}) hour.add(delay);
    EXPECT_EQ(hour.flights, 4u);
    EXPECT_EQ(hour.minutes, 127);
    EXPECT_EQ(hour.late, 2u) << "15 minutes are not late yet";
}

TEST(HourDelays, HaveExactPercentiles) {
    hour_delays hour;
    for (int delay = 10; delay >= 1; --delay) hour.add(delay);
    EXPECT_EQ(hour.percentile(1), 1);
    EXPECT_EQ(hour.percentile(50), 5);
    EXPECT_EQ(hour.percentile(51), 6);
    EXPECT_EQ(hour.percentile(90), 9);
    EXPECT_EQ(hour.percentile(100), 10);
}

TEST(HourDelays, AddUpToThoseOfTheDay) {
    hour_delays seven;
    hour_delays eight;
    seven.add(20);
    eight.add(-10);
    eight.add(20);
    seven.add(eight);
    EXPECT_EQ(seven.flights, 3u);
    EXPECT_EQ(seven.minutes, 30);
    EXPECT_EQ(seven.late, 2u);
    EXPECT_EQ(seven.percentile(33), -10);
    EXPECT_EQ(seven.percentile(34), 20);
}

TEST(CountedLines, KnowAPositionTheSecondTime) {
    counted_lines lines;
    EXPECT_TRUE(lines.first_time({"reader", {1}, {7}}));
    EXPECT_TRUE(lines.first_time({"reader", {1}, {3}}));
    EXPECT_FALSE(lines.first_time({"reader", {1}, {7}}));
    EXPECT_EQ(lines.size(), 2u);
}

TEST(CountedLines, TellRunsAndSourcesApart) {
    counted_lines lines;
    EXPECT_TRUE(lines.first_time({"reader", {1}, {7}}));
    EXPECT_TRUE(lines.first_time({"reader", {2}, {7}}));
    EXPECT_TRUE(lines.first_time({"other", {1}, {7}}));
    EXPECT_EQ(lines.size(), 3u);
}

TEST(ExactFigures, DoNotDependOnTheOrder) {
    delays forwards;
    delays backwards;
    for (int i = 0; i < 1'000; ++i) {
        forwards.add(flight{i % 24, i % 77});
        backwards.add(flight{(999 - i) % 24, (999 - i) % 77});
    }
    EXPECT_EQ(exact(forwards), exact(backwards));
}

TEST(ExactFigures, ChangeWithASingleMinute) {
    delays one;
    delays other;
    one.add(flight{7, 10});
    other.add(flight{7, 11});
    EXPECT_NE(exact(one), exact(other));
    EXPECT_EQ(exact(one),
              "hour,flights,minutes,late,median,p90,worst\n7,1,10,0,10,10,10\n"
              "unreadable,0\n");
}

/// Columns of a terminal: a character is what does not continue another in UTF-8.
std::size_t columns(const std::string& line) {
    std::size_t count = 0;
    for (const char c : line) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return count;
}

TEST(Table, FitsATerminal) {
    delays all;
    for (int hour = 0; hour < 24; ++hour) {
        all.hours[hour].flights = 12'345'678;
        all.hours[hour].minutes = 12'345'678 * std::int64_t{hour + 1};
        all.hours[hour].late = 12'345'678;
        all.hours[hour].count = {{-100, 1}, {1'000, 12'345'677}};
    }
    std::istringstream lines(table(all));
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count)
        EXPECT_LE(columns(line), 80u) << line;
    EXPECT_EQ(count, 27) << "heading, hours, day, legend";
}

TEST(Table, DrawsNoBarForEarlyFlights) {
    delays all;
    all.add(flight{7, -10});
    EXPECT_EQ(table(all).find("█"), std::string::npos);
}

TEST(Table, OfNothingHasOnlyItsHeadingAndLegend) {
    std::istringstream lines(table({}));
    int count = 0;
    for (std::string line; std::getline(lines, line);) ++count;
    EXPECT_EQ(count, 2);
}

TEST(Table, LeavesOutHoursWithoutFlights) {
    delays all;
    all.add(flight{7, 10});
    all.add({});
    const std::string text = table(all);
    EXPECT_NE(text.find("7 h"), std::string::npos);
    EXPECT_EQ(text.find("8 h"), std::string::npos);
    EXPECT_NE(text.find("1 records"), std::string::npos);
}

}  // namespace
