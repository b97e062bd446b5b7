#include <cairn/error.hpp>
#include <cairn/runtime/ipc_lock.hpp>

#include "support/temp_directory.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace cairn;
using cairn::runtime::ipc_lock;

class IpcLock : public testing::Test {
protected:
    cairn::test::temp_directory temp_;
    std::filesystem::path path_ = temp_ / "a.sock";
    std::filesystem::path file_ = temp_ / "a.sock.lock";
};

TEST_F(IpcLock, IsHeldByOneAndNamesTheHolderToTheOther) {
    const ipc_lock first(path_, "bind here");
    try {
        const ipc_lock second(path_, "bind here");
        FAIL() << "both hold it";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::address_in_use);
        EXPECT_EQ(std::string(e.what()), "bind here: in use by process " +
                                             std::to_string(::getpid()) + " (it holds " +
                                             file_.string() + "); choose another path");
    }
}

TEST_F(IpcLock, IsFreeAgainWhenItsHolderIsGoneAndLeavesNoFile) {
    { const ipc_lock first(path_, "bind"); }
    EXPECT_FALSE(std::filesystem::exists(file_));
    EXPECT_NO_THROW(ipc_lock(path_, "bind"));
}

TEST_F(IpcLock, IsTakenOverFromADeadProcessThatLeftItsFile) {
    ASSERT_EQ(::close(::creat(file_.c_str(), 0600)), 0);
    EXPECT_NO_THROW(ipc_lock(path_, "bind"));
}

TEST_F(IpcLock, MovesWithItsObject) {
    std::optional<ipc_lock> first(std::in_place, path_, "bind");
    const ipc_lock moved = std::move(*first);
    first.reset();
    EXPECT_THROW(ipc_lock(path_, "bind"), error);
}

TEST_F(IpcLock, FollowsNoSymbolicLink) {
    std::filesystem::create_symlink(temp_ / "elsewhere", file_);
    EXPECT_THROW(ipc_lock(path_, "bind"), error);
    EXPECT_FALSE(std::filesystem::exists(temp_ / "elsewhere"));
}

TEST_F(IpcLock, SaysWhichDirectoryIsMissing) {
    try {
        const ipc_lock lock(temp_ / "missing/a.sock", "bind");
        FAIL() << "it was made";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::address_invalid);
        EXPECT_NE(std::string(e.what()).find("missing/a.sock.lock"), std::string::npos);
    }
}

TEST_F(IpcLock, HasAtMostOneHolderWhileManyTakeAndLeaveIt) {
    std::atomic<int> holders{0};
    std::atomic<int> collisions{0};
    std::atomic<int> taken{0};
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 500; ++i) {
                try {
                    const ipc_lock lock(path_, "bind");
                    if (holders.fetch_add(1) != 0) ++collisions;
                    ++taken;
                    holders.fetch_sub(1);
                } catch (const error&) {
                    continue;
                }
            }
        });
    threads.clear();
    EXPECT_EQ(collisions, 0);
    EXPECT_GT(taken, 0);
}

}  // namespace
