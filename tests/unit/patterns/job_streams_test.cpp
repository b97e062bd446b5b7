#include "job_streams.hpp"

#include <cairn/runtime/hub.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using patterns::job_streams;

constexpr epoch first_run{1};
constexpr epoch second_run{2};

/// A link that nothing is sent over: a node's own.
class JobStreams : public ::testing::Test {
protected:
    runtime::hub node{{}};
    runtime::link& link = *node.links().front();
    job_streams streams{3, {10, 1'000, 100ms}};
};

TEST_F(JobStreams, AreKnownByLinkSourceAndEpoch) {
    const auto made = streams.open(link, "camera", first_run);
    ASSERT_TRUE(made);
    EXPECT_EQ(streams.find(link, "camera", first_run), made);
    EXPECT_EQ(streams.find(link, "camera", second_run), std::nullopt);
    EXPECT_EQ(streams.find(link, "scanner", first_run), std::nullopt);
    EXPECT_EQ(streams.at(*made)->source, "camera");
}

TEST_F(JobStreams, TakeNoMoreThanOneAfterTenThousandReconnects) {
    for (std::uint64_t run = 1; run <= 10'000; ++run) {
        ASSERT_TRUE(streams.open(link, "camera", {run}));
        ASSERT_EQ(streams.all().size(), 1U);
        ASSERT_EQ(streams.end(link).size(), 1U);
    }
    EXPECT_TRUE(streams.all().empty());
}

TEST_F(JobStreams, TakeNoMoreThanOneAfterTenThousandRunsOnOneLink) {
    for (std::uint64_t run = 1; run <= 10'000; ++run) {
        streams.end(link, "camera");
        ASSERT_TRUE(streams.open(link, "camera", {run}));
    }
    EXPECT_EQ(streams.all().size(), 1U);
}

TEST_F(JobStreams, NeverGiveTheNumberOfAnEndedOneToAnother) {
    const auto before = streams.open(link, "camera", first_run);
    ASSERT_EQ(streams.end(link, "camera"), before);
    const auto after = streams.open(link, "camera", second_run);
    ASSERT_TRUE(before && after);
    EXPECT_NE(*before, *after);
    EXPECT_EQ(streams.at(*before), nullptr);
}

TEST_F(JobStreams, AreAsManyAsALinkMayHave) {
    for (const char* source : {"one", "two", "three"})
        EXPECT_TRUE(streams.open(link, source, first_run));
    EXPECT_FALSE(streams.open(link, "four", first_run));
    streams.end(link, "two");
    EXPECT_TRUE(streams.open(link, "four", first_run));
}

}  // namespace
}  // namespace cairn::test
