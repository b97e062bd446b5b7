#include <cairn/runtime/waiting_line.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace cairn::runtime {
namespace {

TEST(WaitingLine, LetsInWhoCameFirstAndThenTheOthers) {
    for (int repeat = 0; repeat != 50; ++repeat) {
        waiting_line line;
        std::mutex mutex;
        std::string order;
        const auto come = [&](char name, std::latch& in) {
            return std::jthread([&, name] {
                waiting_line::place mine(line);
                mine.wait();
                in.count_down();
                mine.wait();
                const std::lock_guard lock(mutex);
                order += name;
            });
        };
        std::latch first(1);
        std::latch others(2);
        std::vector<std::jthread> threads;
        threads.push_back(come('a', first));
        first.wait();
        threads.push_back(come('b', others));
        threads.push_back(come('b', others));
        others.wait();
        line.let_in();
        threads.clear();
        EXPECT_EQ(order, "abb");
    }
}

TEST(WaitingLine, ForgetsNobodyWhereRoomIsForOneAtATime) {
    constexpr int threads = 8;
    constexpr int turns = 2'000;
    waiting_line line;
    std::atomic<bool> room{true};
    std::atomic<int> served{0};
    {
        std::vector<std::jthread> all;
        for (int t = 0; t != threads; ++t)
            all.emplace_back([&] {
                for (int n = 0; n != turns; ++n) {
                    waiting_line::place mine(line);
                    while (!room.exchange(false)) mine.wait();
                    served.fetch_add(1, std::memory_order_relaxed);
                    std::this_thread::yield();  // others find no room meanwhile
                    room.store(true);
                    line.let_in();
                }
            });
    }
    EXPECT_EQ(served.load(), threads * turns);
}

TEST(WaitingLine, WakesAllForAnotherReasonThanRoom) {
    waiting_line line;
    std::atomic<bool> over{false};
    std::latch in(4);
    std::vector<std::jthread> all;
    for (int t = 0; t != 4; ++t)
        all.emplace_back([&] {
            waiting_line::place mine(line);
            mine.wait();
            in.count_down();
            while (!over) mine.wait();
        });
    in.wait();
    over = true;
    line.wake_all();
}

}  // namespace
}  // namespace cairn::runtime
