#include <cairn/protocol/convergence.hpp>

#include <gtest/gtest.h>

#include <chrono>

namespace {

using namespace cairn;
using namespace std::chrono_literals;

class Convergence : public testing::Test {
protected:
    bool look(std::uint64_t lag, std::chrono::seconds later) {
        return reader_.look(true, lag, now_ += later);
    }

    protocol::convergence reader_{30s};
    time_point now_{};
};

TEST_F(Convergence, IsThereAsLongAsTheLagFalls) {
    for (std::uint64_t lag = 100; lag != 0; --lag) EXPECT_FALSE(look(lag, 29s)) << lag;
    EXPECT_TRUE(reader_.converging());
}

TEST_F(Convergence, EndsWhenTheLagDoesNotFallForTheWait) {
    EXPECT_FALSE(look(100, 0s));
    EXPECT_FALSE(look(120, 15s));
    EXPECT_FALSE(look(100, 14s));
    EXPECT_TRUE(reader_.converging());
    EXPECT_TRUE(look(110, 1s));
    EXPECT_FALSE(reader_.converging());
}

TEST_F(Convergence, IsToldToBeMissingOnceAWait) {
    static_cast<void>(look(100, 0s));
    EXPECT_TRUE(look(200, 30s));
    EXPECT_FALSE(look(300, 29s));
    EXPECT_TRUE(look(400, 1s));
}

TEST_F(Convergence, ComesBackWithTheNextStepForward) {
    static_cast<void>(look(100, 0s));
    EXPECT_TRUE(look(200, 30s));
    EXPECT_FALSE(look(199, 1s));
    EXPECT_TRUE(reader_.converging());
}

TEST_F(Convergence, AsksNothingOfWhoIsNotBehind) {
    static_cast<void>(look(100, 0s));
    EXPECT_TRUE(reader_.next(now_));
    EXPECT_FALSE(reader_.look(false, 100, now_ + 60s));
    EXPECT_FALSE(reader_.next(now_));
    EXPECT_FALSE(look(100, 120s)) << "it begins anew";
}

TEST_F(Convergence, MayBeWaitedForWithoutEnd) {
    protocol::convergence patient(duration::max());
    EXPECT_FALSE(patient.look(true, 1, now_));
    EXPECT_FALSE(patient.look(true, 1, now_ + 10'000h));
}

}  // namespace
