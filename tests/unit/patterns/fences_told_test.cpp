#include "fences_told.hpp"

#include <cairn/runtime/hub.hpp>

#include <gtest/gtest.h>

#include <string>

namespace cairn::test {
namespace {

class FencesTold : public ::testing::Test {
protected:
    bool due(std::uint64_t older, std::uint64_t newer, std::string_view source = "usgs") {
        return told.due(link, "quakes", source, {older}, {newer});
    }

    runtime::hub node{{}};
    runtime::link& link = *node.links().front();
    patterns::fences_told told{2};
};

TEST_F(FencesTold, AreDueOnceForEachStream) {
    EXPECT_TRUE(due(1, 2));
    EXPECT_FALSE(due(1, 2));
    EXPECT_TRUE(due(1, 2, "emsc"));
}

TEST_F(FencesTold, AreDueAgainForAnotherRun) {
    EXPECT_TRUE(due(1, 3));
    EXPECT_TRUE(due(2, 3));
    EXPECT_TRUE(due(2, 4));
    EXPECT_FALSE(due(2, 4));
}

TEST_F(FencesTold, AreForgottenWithTheirLink) {
    EXPECT_TRUE(due(1, 2));
    told.forget(link);
    EXPECT_TRUE(due(1, 2));
}

TEST_F(FencesTold, AreBoundedAndThenToldOnceMore) {
    EXPECT_TRUE(due(1, 2, "a"));
    EXPECT_TRUE(due(1, 2, "b"));
    EXPECT_TRUE(due(1, 2, "c"));
    EXPECT_TRUE(due(1, 2, "a"));
}

}  // namespace
}  // namespace cairn::test
