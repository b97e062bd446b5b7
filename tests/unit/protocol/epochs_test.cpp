#include "values.hpp"

#include <cairn/protocol/epochs.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using protocol::choose_epoch;
using protocol::epoch_standing;
using protocol::epoch_table;

constexpr wall_time wall(std::chrono::milliseconds since) { return wall_time(since); }

TEST(EpochChoice, TakesTheClockWhenNothingIsSaved) {
    EXPECT_EQ(choose_epoch({}, {}, wall(1'700'000'000'123ms)), epoch{1'700'000'000'123});
}

TEST(EpochChoice, RisesWhenTheClockWentBack) {
    EXPECT_EQ(choose_epoch(epoch{5'000}, {}, wall(3s)), epoch{5'001});
}

TEST(EpochChoice, RisesAboveARunThatItMetWhileStarting) {
    EXPECT_EQ(choose_epoch(epoch{5'000}, epoch{7'000}, wall(6s)), epoch{7'001});
}

TEST(EpochChoice, IsNeverZero) {
    EXPECT_EQ(choose_epoch({}, {}, wall(0s)), epoch{1});
    EXPECT_EQ(choose_epoch({}, {}, wall(-5s)), epoch{1});
}

TEST(EpochChoice, FailsWhenThereIsNoHigherNumber) {
    EXPECT_EQ(choose_epoch(epoch{~0ULL}, {}, wall(1s)), std::nullopt);
    EXPECT_EQ(choose_epoch({}, epoch{~0ULL}, wall(1s)), std::nullopt);
}

TEST(EpochTable, KnowsNewerFromOlderRuns) {
    epoch_table table(10);
    EXPECT_EQ(table.judge("t", "s", epoch{5}), epoch_standing::newer);
    EXPECT_EQ(table.judge("t", "s", epoch{5}), epoch_standing::current);
    EXPECT_EQ(table.judge("t", "s", epoch{4}), epoch_standing::older);
    EXPECT_EQ(table.judge("t", "s", epoch{6}), epoch_standing::newer);
    EXPECT_EQ(table.judge("t", "s", epoch{5}), epoch_standing::older);
    EXPECT_EQ(table.highest("t", "s"), epoch{6});
}

TEST(EpochTable, KeepsTopicsAndSourcesApart) {
    epoch_table table(10);
    (void)table.judge("ab", "c", epoch{5});
    EXPECT_EQ(table.judge("a", "bc", epoch{1}), epoch_standing::newer);
    EXPECT_EQ(table.highest("ab", "d"), std::nullopt);
}

TEST(EpochTable, ForgetsWhatWasJudgedLongestAgo) {
    epoch_table table(2);
    (void)table.judge("t", "a", epoch{5});
    (void)table.judge("t", "b", epoch{5});
    (void)table.judge("t", "a", epoch{5});
    (void)table.judge("t", "c", epoch{5});
    EXPECT_EQ(table.size(), 2U);
    EXPECT_EQ(table.highest("t", "b"), std::nullopt);
    EXPECT_EQ(table.highest("t", "a"), epoch{5});
}

}  // namespace
}  // namespace cairn::test
