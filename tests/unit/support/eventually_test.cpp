#include "support/eventually.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

using namespace std::chrono_literals;

namespace cairn::test {

TEST(Eventually, ReturnsWhenAnotherThreadMakesTheConditionTrue) {
    std::atomic<bool> done = false;
    std::jthread other([&] { done = true; });
    EXPECT_TRUE(eventually([&] { return done.load(); }));
}

TEST(Eventually, GivesUpAtItsDeadline) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(eventually([] { return false; }, 20ms));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 20ms);
}

TEST(Throughout, NoticesAConditionThatFailsLate) {
    int asked = 0;
    EXPECT_FALSE(throughout(10s, [&] { return ++asked < 100; }));
    EXPECT_TRUE(throughout(5ms, [] { return true; }));
}

}  // namespace cairn::test
