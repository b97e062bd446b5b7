#include "hand.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>

// Who takes messages and who looks which one was taken agree.
namespace cairn::patterns {
namespace {

class AHand : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Fenced, AHand, ::testing::Bool(), [](const auto& by_loop) {
    return by_loop.param ? "by_the_loop" : "by_both";
});

TEST_P(AHand, SaysWhatWasTakenLast) {
    hand h(GetParam() && runtime::can_fence_all_threads());
    EXPECT_EQ(h.look(), sequence{0});
    h.let_go();
    EXPECT_TRUE(h.take({7}));
    EXPECT_EQ(h.look(), sequence{7});
    EXPECT_FALSE(h.take({8}));
    h.let_go();
    EXPECT_TRUE(h.take({9}));
    h.open();
    EXPECT_EQ(h.look(), sequence{0});
}

TEST_P(AHand, TakesNothingBehindWhatIsSeenWhileItIsLookedAt) {
    hand h(GetParam() && runtime::can_fence_all_threads());
    std::atomic<std::uint64_t> taken{0};
    std::atomic<bool> over{false};
    std::thread application([&] {
        for (std::uint64_t next = 1; !over; std::this_thread::yield())
            while (h.take({next})) taken.store(next++);
    });
    for (int looks = 0; looks != 2'000; ++looks) {
        const auto last = h.look();
        for (int i = 0; i != 20; ++i) {
            EXPECT_LE(taken.load(), last.value_or(sequence{}).value);
            std::this_thread::yield();
        }
        h.let_go();
    }
    over = true;
    application.join();
}

}  // namespace
}  // namespace cairn::patterns
