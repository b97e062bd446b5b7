#include "support/child_process.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <optional>
#include <system_error>

using namespace std::chrono_literals;

namespace cairn::test {

TEST(ChildProcess, ReportsItsExitCodeAndWhatItPrinted) {
    child_process child({"sh", "-c", "echo out; echo err >&2; exit 7"});
    EXPECT_EQ(child.wait(10s), 7);
    EXPECT_EQ(child.output(), "out\nerr\n");
}

TEST(ChildProcess, ReportsTheSignalThatEndedIt) {
    child_process child({"sleep", "60"});
    EXPECT_TRUE(child.signal(SIGKILL));
    EXPECT_EQ(child.wait(10s), 128 + SIGKILL);
    EXPECT_FALSE(child.signal(SIGKILL));
}

TEST(ChildProcess, GoesOnWhenTheDeadlinePassesFirst) {
    child_process child({"sleep", "60"});
    EXPECT_EQ(child.wait(20ms), std::nullopt);
    EXPECT_TRUE(child.signal(0));
}

TEST(ChildProcess, IsKilledWithItsObject) {
    pid_t pid = -1;
    {
        const child_process child({"sleep", "60"});
        pid = child.pid();
    }
    EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(ChildProcess, CanBeWaitedForByWhatItPrints) {
    child_process child({"sh", "-c", "echo ready; sleep 60"});
    EXPECT_TRUE(child.wait_for_output("ready", 10s));
    EXPECT_FALSE(child.wait_for_output("never", 20ms));
}

TEST(ChildProcess, MayPrintMoreThanAPipeHolds) {
    child_process child({"sh", "-c", "head -c 1000000 /dev/zero"});
    EXPECT_EQ(child.wait(10s), 0);
    EXPECT_EQ(child.output().size(), 1'000'000u);
}

TEST(ChildProcess, IsOverEvenIfItsOwnChildKeepsThePipe) {
    child_process child({"sh", "-c", "sleep 1 & exit 3"});
    EXPECT_EQ(child.wait(10s), 3);
}

TEST(ChildProcess, ThrowsWhenTheProgramDoesNotExist) {
    EXPECT_THROW(child_process({"/nowhere/program"}), std::system_error);
}

}  // namespace cairn::test
