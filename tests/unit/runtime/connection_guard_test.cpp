#include <cairn/runtime/connection_guard.hpp>

#include <gtest/gtest.h>

namespace {

using cairn::runtime::connection_guard;

TEST(ConnectionGuard, AcceptsSomeMoreThanPeersMaxSoThatTheyCanBeToldWhy) {
    connection_guard guard(100, 65'536);
    guard.update(100 + connection_guard::spare - 1);
    EXPECT_FALSE(guard.must_stop());
    guard.update(100 + connection_guard::spare);
    EXPECT_TRUE(guard.must_stop());
    EXPECT_FALSE(guard.limited_by_descriptors());
}

// Z9
TEST(ConnectionGuard, StopsAtFourFifthsOfTheDescriptorsThatAreLeft) {
    const connection_guard guard(1'024, 1'024, 36);
    EXPECT_EQ(guard.stop_at(), (1'024U - 64 - 36) / 5 * 4);
    EXPECT_TRUE(guard.limited_by_descriptors());
}

TEST(ConnectionGuard, GoesOnOnlyWhenThereIsRoomForSeveral) {
    connection_guard guard(64, 65'536);
    guard.update(80);
    ASSERT_TRUE(guard.must_stop());
    guard.update(79);
    EXPECT_FALSE(guard.must_stop());
    EXPECT_FALSE(guard.may_resume());
    guard.update(70);
    EXPECT_TRUE(guard.may_resume());
}

TEST(ConnectionGuard, LeavesOneConnectionEvenWithTheTightestLimit) {
    connection_guard guard(1'024, 16);
    EXPECT_EQ(guard.stop_at(), 1U);
    EXPECT_TRUE(guard.may_resume());
    guard.update(1);
    EXPECT_TRUE(guard.must_stop());
    guard.update(0);
    EXPECT_TRUE(guard.may_resume());
}

TEST(ConnectionGuard, KnowsTheLimitOfTheProcess) {
    EXPECT_GE(cairn::runtime::descriptor_limit(), 16U);
}

}  // namespace
