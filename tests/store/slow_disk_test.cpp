// A disk that takes long to sync; linked with disk.cpp, which can hold it.
#include "store/support/disk.hpp"
#include "store/support/fixture.hpp"
#include "store/support/noted_waits.hpp"

#include <cairn/store/committer.hpp>

#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <latch>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using namespace store;

/// Tokens in the order of their confirms.
class ordered_inbox final : public completion {
public:
    void replied(std::uint64_t token, const reply& answer, bool flushed) override {
        EXPECT_TRUE(answer.ok() && flushed) << name(answer.code);
        const std::lock_guard hold(mutex_);
        tokens_.push_back(token);
    }
    std::vector<std::uint64_t> tokens() {
        const std::lock_guard hold(mutex_);
        return tokens_;
    }

private:
    std::mutex mutex_;
    std::vector<std::uint64_t> tokens_;
};

using SlowDisk = Database;

TEST_F(SlowDisk, LetsProducersWaitConfirmsNothingAndKeepsTheirOrder) {
    constexpr std::size_t waiting_bytes_max = 20'000;
    const auto s = opened("jobs", "a");
    ordered_inbox answers;
    std::uint64_t sent = 0;
    disk::start_recording(directory_ / "db" / "data.mdb");
    {
        disk::held_syncs held;
        committer group(*db_, {.waiting_bytes_max = waiting_bytes_max});
        const auto next = [&] {
            return command(batch(s, {1}, sent + 1, 1,
                                 records({std::to_string(sent + 1) + std::string(1'000, 'x')})));
        };
        command wanted = next();
        for (errc code = errc::ok; (code = group.try_submit(wanted, answers, sent + 1)) == errc::ok;
             wanted = next()) {
            if (++sent == 1) held.wait_until_held();
        }
        EXPECT_GT(sent, 10U);
        EXPECT_EQ(group.submit_until(wanted, answers, sent + 1, clock::now()), errc::timed_out);
        EXPECT_LE(group.stats().waiting_bytes, waiting_bytes_max);
        EXPECT_TRUE(answers.tokens().empty());
        EXPECT_TRUE(read("jobs").entries.empty()) << "and readers are shown nothing of it";
        std::jthread producer([&] {
            EXPECT_EQ(group.submit_until(wanted, answers, sent + 1, clock::now() + 60s), errc::ok);
        });
        held.let_go();
    }
    disk::stop_recording();
    std::vector<std::uint64_t> in_order(sent + 1);
    std::iota(in_order.begin(), in_order.end(), 1);
    EXPECT_EQ(answers.tokens(), in_order);
    const auto held = texts("jobs");
    ASSERT_EQ(held.size(), sent + 1);
    for (std::size_t i = 0; i < held.size(); ++i)
        EXPECT_TRUE(held[i].starts_with(std::to_string(i + 1) + "x"));
}

/// Holds the committer's thread inside a reply until it is let go.
class held_reply final : public completion {
public:
    void replied(std::uint64_t, const reply&, bool) override {
        entered_.count_down();
        open_.wait();
    }
    void wait_until_held() { entered_.wait(); }
    void let_go() { open_.count_down(); }

private:
    std::latch entered_{1};
    std::latch open_{1};
};

TEST_F(SlowDisk, KeepsNobodyWaitingForOthersWhenItsStallIsOver) {
    const auto s = opened("jobs", "a");
    noted_waits room;
    held_reply gate;
    ordered_inbox answers;
    committer group(*db_, {.idle_interval = 1h, .room = &room});
    std::uint64_t sent = 0;
    const auto submit = [&](completion& to) {
        command one = batch(s, {1}, ++sent, 1, records({"x"}));
        ASSERT_EQ(group.try_submit(one, to, sent), errc::ok);
    };
    room.wait_until_used(1);
    submit(gate);
    gate.wait_until_held();
    submit(answers);
    submit(answers);
    disk::start_recording(directory_ / "db" / "data.mdb");
    {
        disk::held_syncs stall;
        gate.let_go();
        stall.wait_until_held();
        const auto end = clock::now() + 200ms;
        while (clock::now() < end) std::this_thread::yield();
    }
    const auto waits = room.wait_until_used(3);
    disk::stop_recording();
    EXPECT_GT(waits[0], 30min);
    EXPECT_LE(waits[1], 2ms) << "a quarter of the stall is 50 ms";
    EXPECT_GT(waits[2], 30min) << "the two have nothing more to say";
}

TEST_F(SlowDisk, BeginsWithALargeTransactionBeforeItsSync) {
    const auto s = opened("jobs", "a");
    disk::start_recording(directory_ / "db" / "data.mdb");
    {
        const disk::held_write held;
        committer group(*db_);
        EXPECT_TRUE(
            group.commit(batch(s, {1}, 1, 1, records({std::string(std::size_t{2} << 20, 'x')})))
                .ok());
        EXPECT_TRUE(held.was_let_go_by_writeback());
    }
    disk::stop_recording();
    EXPECT_EQ(texts("jobs").size(), 1U);
}

/// Whether this process has the thread that lets the disk begin.
bool has_helper() {
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::getline(std::ifstream(thread.path() / "comm"), name);
        if (name == "cairn-writeback") return true;
    }
    return false;
}

TEST_F(SlowDisk, IsLeftAloneWithASmallTransactionUntilItsSync) {
    constexpr std::size_t large = std::size_t{1} << 20;
    const auto s = opened("jobs", "a");
    ordered_inbox answers;
    committer group(*db_);
    disk::start_recording(directory_ / "db" / "data.mdb");
    const auto expect_in_its_sync = [&](std::uint64_t first, std::size_t size, auto&& expected) {
        const std::size_t around = records({std::string(size, 'x')}).size() - size;
        command one = batch(s, {1}, first, 1, records({std::string(size - around, 'x')}));
        disk::held_syncs held;
        ASSERT_EQ(group.try_submit(one, answers, first), errc::ok);
        held.wait_until_held();
        expected();
        held.let_go();
        while (answers.tokens().size() < first) std::this_thread::yield();  // it is out of there
    };
    expect_in_its_sync(1, large - 1, [] { EXPECT_FALSE(has_helper()); });
    expect_in_its_sync(2, large, [] {
        const auto end = clock::now() + 60s;
        while (!has_helper() && clock::now() < end) std::this_thread::yield();
        EXPECT_TRUE(has_helper());
    });
    group.close();
    disk::stop_recording();
    EXPECT_EQ(answers.tokens(), (std::vector<std::uint64_t>{1, 2}));
}

}  // namespace
}  // namespace cairn::test
