#include "metrics/sample.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <sstream>
#include <string>

namespace {

using namespace metrics;

TEST(Sample, ComesBackAsItWasEncoded) {
    const sample one{.load = 142, .cpu = 377, .memory = 512, .own_kb = 6'144};
    EXPECT_EQ(decode(encode(one)), one);
}

TEST(Sample, IsRefusedWhenItIsNone) {
    for (const char* text : {"", "1,2,3", "1,2,3,4,5", "1,2,x,4"}) {
        EXPECT_FALSE(decode(text)) << text;
    }
}

TEST(Load, IsTheAverageOfOneMinute) {
    EXPECT_EQ(parse_load("0.42 1.30 2.00 1/213 4711\n"), 42);
    EXPECT_EQ(parse_load("12.05 1.30 2.00 1/213 4711\n"), 1'205);
    EXPECT_EQ(parse_load(""), 0);
}

TEST(Memory, IsFoundByItsName) {
    const char* text = "MemTotal:        4026532 kB\nMemFree:          12 kB\n";
    EXPECT_EQ(parse_kb(text, "MemTotal:"), 4'026'532);
    EXPECT_EQ(parse_kb(text, "MemFree:"), 12);
    EXPECT_EQ(parse_kb(text, "MemAvailable:"), 0);
    EXPECT_EQ(parse_kb("MemTotal:", "MemTotal:"), 0);
}

TEST(Processors, WaitingForTheDiskIsNotBusy) {
    const auto time = parse_cpu("cpu  100 10 40 800 50 1 2 3 7 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
    EXPECT_EQ(time.busy, 156u);
    EXPECT_EQ(time.total, 1'006u) << "the guests' time is in the users' already";
}

TEST(Processors, MayHaveFewerColumns) {
    EXPECT_EQ(parse_cpu("cpu 1 2 3 4").total, 10u);
    EXPECT_EQ(parse_cpu("").total, 0u);
}

TEST(Look, SeesThisMachine) {
    cpu_time before;
    const sample now = look(before);
    EXPECT_GT(before.total, 0u);
    EXPECT_GT(now.own_kb, 0);
    EXPECT_GT(now.memory, 0);
    EXPECT_LE(now.memory, 1'000);
    EXPECT_LE(now.cpu, 1'000);
}

TEST(MetricsTable, FitsATerminal) {
    std::istringstream lines(table(
        {{"agent-1", {.samples = 1'000, .last = {9'999, 1'000, 1'000, 1 << 20}}}, {"agent-2", {}}},
        1'000));
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
        std::size_t columns = 0;
        for (const char c : line) columns += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
        EXPECT_LE(columns, 80u) << line;
    }
    EXPECT_EQ(count, 3);
}

}  // namespace
