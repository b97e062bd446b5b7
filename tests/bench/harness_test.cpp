#include "harness/board.hpp"
#include "harness/report.hpp"
#include "harness/statistics.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <string>

namespace cairn::bench {
namespace {

TEST(Median, IsTheMiddleValueWhateverTheOrder) {
    EXPECT_EQ(median({9, 1, 5}), 5);
    EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
    EXPECT_EQ(median({}), 0);
}

TEST(Histogram, IsExactForSmallValues) {
    histogram durations;
    for (std::uint64_t ns = 1; ns <= 100; ++ns) durations.add(ns);
    EXPECT_EQ(durations.count(), 100U);
    EXPECT_EQ(durations.percentile(0.50), 50);
    EXPECT_EQ(durations.percentile(0.99), 99);
    EXPECT_EQ(durations.percentile(1.0), 100);
}

TEST(Histogram, StaysWithinOnePercentForLargeValues) {
    for (std::uint64_t ns = 100; ns < std::uint64_t{1} << 40; ns = ns * 3 / 2 + 1) {
        histogram durations;
        durations.add(ns);
        const auto exact = static_cast<double>(ns);
        EXPECT_NEAR(durations.percentile(0.5), exact, exact * 0.008) << ns;
    }
}

TEST(Histogram, CountsWhatIsTooLargeAsTheLargest) {
    histogram durations;
    durations.add(~std::uint64_t{0});
    EXPECT_NEAR(durations.percentile(0.5), 0x1p41, 0x1p41 * 0.008);
}

TEST(Histogram, GivesNothingWithoutValues) { EXPECT_EQ(histogram().percentile(0.99), 0); }

TEST(Histogram, MergesWhatSeveralReadersCounted) {
    histogram first;
    histogram second;
    first.add(10);
    second.add(20);
    second.add(30);
    first.add_all_of(second);
    EXPECT_EQ(first.count(), 3U);
    EXPECT_EQ(first.percentile(0.5), 20);
}

TEST(Board, ShowsTheHarnessWhatARoleWrites) {
    board harness(2);
    board role(::dup(harness.descriptor()), 2);
    role.at(1).messages.store(7);
    harness.set_phase(phase::measuring);
    EXPECT_EQ(harness.at(1).messages.load(), 7U);
    EXPECT_EQ(harness.at(0).messages.load(), 0U);
    EXPECT_EQ(role.phase(), phase::measuring);
}

TEST(Report, SaysNullForWhatDoesNotApply) {
    row result;
    result.scenario = "idle-topics";
    result.transport = "tcp";
    const auto json = to_json(result);
    EXPECT_NE(json.find("\"messages_per_s\": null"), std::string::npos) << json;
    EXPECT_NE(json.find("\"met\": null"), std::string::npos) << json;
}

TEST(Report, NamesATargetThatIsNotMet) {
    row result;
    result.scenario = "push";
    result.ratio = 2.5;
    result.target = ">= 3";
    result.met = false;
    EXPECT_NE(to_table_line(result).find(">= 3: NOT MET"), std::string::npos);
    EXPECT_NE(to_json(result).find("\"met\": false"), std::string::npos);
}

}  // namespace
}  // namespace cairn::bench
