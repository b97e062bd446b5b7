#include <cairn/runtime/spill.hpp>
#include <cairn/wire/frames.hpp>
#include <cairn/wire/records.hpp>

#include <gtest/gtest.h>

#include "support/temp_directory.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

// What a source puts aside, in a program that defines the calls by which it gets to the disk.
namespace {

std::mutex guard;
bool noting = false;
std::vector<std::string> synced;  // guarded by guard
std::atomic<int> flush_fault{0};  // errno of fdatasync(); 0: none

}  // namespace

extern "C" int fsync(int fd) {
    {
        const std::lock_guard lock(guard);
        if (noting)
            synced.push_back(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)));
    }
    return static_cast<int>(::syscall(SYS_fsync, fd));
}

extern "C" int fdatasync(int fd) {
    if (const int fault = flush_fault; fault != 0) {
        errno = fault;
        return -1;
    }
    return static_cast<int>(::syscall(SYS_fdatasync, fd));
}

namespace {

using namespace cairn;
using namespace cairn::runtime;
using namespace cairn::test;

class SpillFiles : public testing::Test {
protected:
    /// A batch of one message.
    static spill::batch batch_of(std::uint64_t number, const std::string& text) {
        std::vector<std::byte> body(wire::record_bytes(0, text.size()));
        wire::write_record(body.data(), {}, std::as_bytes(std::span(text)));
        spill::batch out;
        out.first = out.last = {number};
        wire::batch_header header;
        header.topic = "weather";
        header.source = "station";
        header.epoch = run;
        header.first = {number};
        header.count = 1;
        header.checksum = wire::checksum(body);
        wire::encode(header, out.head);
        out.header_bytes = out.head.size();
        out.head.insert(out.head.end(), body.begin(), body.end());
        return out;
    }
    /// Writes them and waits for the outcome.
    spill::outcome written(spill& to, std::vector<spill::batch> some) {
        to.write(run, std::move(some));
        std::unique_lock lock(mutex_);
        told_.wait(lock, [&] { return outcomes_ != 0; });
        --outcomes_;
        lock.unlock();
        return to.take_outcome().value();
    }
    std::function<void()> tell() {
        return [this] {
            const std::lock_guard lock(mutex_);
            ++outcomes_;
            told_.notify_one();
        };
    }
    std::vector<std::filesystem::path> files() const {
        std::vector<std::filesystem::path> all;
        for (const auto& e : std::filesystem::recursive_directory_iterator(state()))
            if (e.is_regular_file()) all.push_back(e.path());
        return all;
    }
    std::filesystem::path state() const { return directory_.path() / "state"; }

    static constexpr epoch run{7};
    temp_directory directory_;

private:
    std::mutex mutex_;
    std::condition_variable told_;
    int outcomes_ = 0;
};

TEST_F(SpillFiles, AreThereAfterAPowerCutWithAllThatLeadsToThem) {
    {
        const std::lock_guard lock(guard);
        noting = true;
    }
    spill aside(state(), "weather", "station", tell());
    EXPECT_EQ(written(aside, {batch_of(1, "sunny")}).failure, "");
    const std::lock_guard lock(guard);
    noting = false;

    ASSERT_EQ(files().size(), 1U);
    for (auto at = files().front().parent_path(); at != directory_.path().parent_path();
         at = at.parent_path())
        EXPECT_TRUE(std::find(synced.begin(), synced.end(), at.string()) != synced.end())
            << at << " was not synced";
}

TEST_F(SpillFiles, AreNoneWhereTheDiskIsFullAndAreWrittenWhenThereIsRoom) {
    spill aside(state(), "weather", "station", tell());
    flush_fault = ENOSPC;
    const spill::outcome refused = written(aside, {batch_of(1, "sunny")});
    flush_fault = 0;

    EXPECT_NE(refused.failure.find("No space left"), std::string::npos) << refused.failure;
    EXPECT_EQ(aside.bytes(), 0U);
    EXPECT_TRUE(aside.runs().empty());
    EXPECT_TRUE(files().empty());

    EXPECT_EQ(written(aside, {batch_of(1, "sunny"), batch_of(2, "mild")}).failure, "");
    sequence resumes;
    const auto again = aside.read(run, sequence{2}, resumes);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->first, sequence{2});
}

TEST_F(SpillFiles, AreFoundByTheNextWhoLooks) {
    EXPECT_FALSE(spill::exists(state(), "weather", "station"));
    {
        spill aside(state(), "weather", "station", tell());
        EXPECT_EQ(written(aside, {batch_of(1, "sunny"), batch_of(2, "mild")}).failure, "");
    }
    EXPECT_TRUE(spill::exists(state(), "weather", "station"));
    EXPECT_FALSE(spill::exists(state(), "weather", "stations"));

    const spill aside(state(), "weather", "station", tell());
    ASSERT_EQ(aside.runs().size(), 1U);
    EXPECT_EQ(aside.runs().front().epoch, run);
    EXPECT_EQ(aside.runs().front().range, (sequence_range{{1}, {2}}));
}

}  // namespace
