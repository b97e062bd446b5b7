#include "../../store/src/believed_clock.hpp"

#include "store/support/made.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;

/// A machine whose wall clock is wrong at times.
class BelievedClock : public testing::Test {
protected:
    /// What is believed when so much time passed; as a distance from what is right.
    std::chrono::nanoseconds after(std::chrono::nanoseconds passed) {
        boot_ += passed;
        return clock_.at(begun_ + boot_ + wrong_, boot_) - (begun_ + boot_);
    }

    store::believed_clock clock_;
    const wall_time begun_ = at_ms(1'000'000'000);
    std::chrono::nanoseconds boot_{5s};
    std::chrono::nanoseconds wrong_{0};
};

TEST_F(BelievedClock, IsTheFirstThatIsSeen) {
    wrong_ = 24h;
    EXPECT_EQ(after(0s), 24h);
    EXPECT_EQ(clock_.ahead(), 0s);
}

TEST_F(BelievedClock, GoesOnWhereItWasWhileTheOtherIsAheadForAWhile) {
    after(0s);
    wrong_ = 365 * 24h;
    EXPECT_EQ(after(1s), 0s);
    EXPECT_EQ(clock_.ahead(), 365 * 24h);
    EXPECT_EQ(after(5min), 0s);
    wrong_ = 2s;
    EXPECT_EQ(after(1s), 2s);
    EXPECT_EQ(clock_.ahead(), 0s);
    wrong_ = 24h;
    EXPECT_EQ(after(9min), 2s) << "it counts from its beginning";
    EXPECT_EQ(after(9min), 2s);
}

TEST_F(BelievedClock, IsAheadOnlyWhenItStaysSo) {
    after(0s);
    wrong_ = 24h;
    EXPECT_EQ(after(1s), 0s);
    EXPECT_EQ(after(store::believed_clock::jump_held - 1s), 0s);
    EXPECT_EQ(after(1s), 24h);
    EXPECT_EQ(clock_.ahead(), 0s);
    EXPECT_EQ(after(1s), 24h);
}

TEST_F(BelievedClock, FollowsOneThatGoesBackOrALittleAhead) {
    after(0s);
    wrong_ = store::believed_clock::jump_min;
    EXPECT_EQ(after(1s), wrong_);
    wrong_ = -24h;
    EXPECT_EQ(after(1s), -24h);
}

TEST_F(BelievedClock, CountsWhatTheMachineSlept) {
    after(0s);
    EXPECT_EQ(after(8h), 0s);
    EXPECT_EQ(clock_.ahead(), 0s);
}

}  // namespace
}  // namespace cairn::test
