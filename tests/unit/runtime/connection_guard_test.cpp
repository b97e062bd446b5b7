#include <cairn/runtime/connection_guard.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <limits>

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

TEST(ConnectionGuard, HasNoBoundWithTheLargestPeersMax) {
    connection_guard guard(std::numeric_limits<std::size_t>::max(), 65'536);
    guard.update(40'000);
    EXPECT_FALSE(guard.must_stop());
    EXPECT_TRUE(guard.limited_by_descriptors());
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

TEST(ConnectionGuard, StopsAtOnceWhenTheRestOfTheProcessNeedsTheDescriptors) {
    connection_guard guard(100, 1'024);
    guard.update(50);
    ASSERT_FALSE(guard.must_stop());
    guard.update_process(1'024, 900);
    EXPECT_TRUE(guard.must_stop());
    EXPECT_TRUE(guard.limited_by_descriptors());
    guard.update_process(1'024, 100);
    EXPECT_TRUE(guard.may_resume());
}

TEST(ConnectionGuard, AcceptsNobodyWithTheLastDescriptors) {
    connection_guard guard(100, 64, 64 - connection_guard::last);
    EXPECT_TRUE(guard.must_stop());
    EXPECT_FALSE(guard.may_resume());
}

TEST(ConnectionGuard, CountsWhatTheProcessHasOpen) {
    const std::size_t before = cairn::runtime::open_descriptors();
    EXPECT_GE(before, 3U);
    const int one = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(cairn::runtime::open_descriptors(), before + 1);
    ::close(one);
    EXPECT_EQ(cairn::runtime::open_descriptors(), before);
}

TEST(ConnectionGuard, KnowsTheLimitOfTheProcess) {
    EXPECT_GE(cairn::runtime::descriptor_limit(), 16U);
}

}  // namespace
