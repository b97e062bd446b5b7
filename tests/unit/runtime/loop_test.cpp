#include <cairn/runtime/loop.hpp>

#include <gtest/gtest.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// Turns are taken by run_once() here: no thread, no sockets.
namespace {

using namespace cairn;
using namespace cairn::runtime;

struct noted_task final : task {
    noted_task(std::string& runs, char letter, std::function<void()> then = {})
        : runs_(runs), letter_(letter), then_(std::move(then)) {}
    void run(time_point) override {
        runs_ += letter_;
        if (then_) then_();
    }

private:
    std::string& runs_;
    const char letter_;
    const std::function<void()> then_;
};

class Turn : public testing::Test {
protected:
    void take() { loop_.run_once({}); }

    std::string runs_;
    loop loop_;
};

TEST_F(Turn, RunsEachFlaggedTaskOnceInTheirOrder) {
    noted_task a(runs_, 'a');
    noted_task b(runs_, 'b');
    loop_.flag(a);
    loop_.flag(b);
    loop_.flag(a);
    take();
    take();
    EXPECT_EQ(runs_, "ab");
}

TEST_F(Turn, RunsWhatATaskFlags) {
    noted_task b(runs_, 'b');
    noted_task a(runs_, 'a', [&] { loop_.flag(b); });
    loop_.flag(a);
    take();
    EXPECT_EQ(runs_, "ab");
}

// The only turns here that the loop's own thread takes.
TEST_F(Turn, IsFollowedByALookAtDescriptorsThoughTasksFlagThemselvesForever) {
    struct restless_task final : task {
        explicit restless_task(loop& l) : l_(l) {}
        void run(time_point) override { l_.flag(*this); }
        loop& l_;
    };
    struct reading_task final : task {
        void run(time_point) override {
            std::uint64_t rung = 0;
            if (::read(bell, &rung, sizeof rung) == sizeof rung) done.set_value();
        }
        int bell = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        std::promise<void> done;
    };
    restless_task restless(loop_);
    reading_task reading;
    std::optional<loop::watching> watching(std::in_place, loop_, reading.bell, reading);
    loop_.flag(restless);
    loop_.start("restless");
    const std::uint64_t one = 1;
    ASSERT_EQ(::write(reading.bell, &one, sizeof one), static_cast<ssize_t>(sizeof one));
    EXPECT_EQ(reading.done.get_future().wait_for(std::chrono::seconds(30)),
              std::future_status::ready);
    loop_.stop();
    watching.reset();
    loop_.remove(restless);
    ::close(reading.bell);
}

// Another thread sets the time at any moment between the turn of the loop's thread and its sleep.
TEST_F(Turn, ComesForATimeThatIsSetWhileTheThreadGoesToSleep) {
    struct counting_task final : task {
        void run(time_point) override { ++runs; }
        std::atomic<int> runs = 0;
    };
    counting_task other;
    counting_task timed;
    loop_.start("timed");
    constexpr int rounds = 10'000;
    for (int n = 0; n != rounds && !HasFailure(); ++n) {
        loop_.flag(other);
        loop_.wake();
        for (std::atomic<int> spin = n % 2'000; spin > 0;) --spin;
        const int before = timed.runs;
        {
            const loop::guard holding(loop_);
            loop_.at(timed, loop_.now());
        }
        const time_point end = loop_.now() + std::chrono::seconds(30);
        while (timed.runs == before && loop_.now() < end) std::this_thread::yield();
        EXPECT_NE(timed.runs, before) << "in round " << n;
    }
    loop_.stop();
    loop_.remove(other);
    loop_.remove(timed);
}

TEST_F(Turn, DoesNotRunATaskThatAnotherOneRemovedAndEnded) {
    auto b = std::make_unique<noted_task>(runs_, 'b');
    noted_task a(runs_, 'a', [&] {
        loop_.remove(*b);
        b.reset();
    });
    noted_task c(runs_, 'c');
    loop_.flag(a);
    loop_.flag(*b);
    loop_.flag(c);
    take();
    EXPECT_EQ(runs_, "ac");
}

TEST_F(Turn, RunsATaskThatAnotherOneRemovedAndFlaggedAgainAndAllBehindIt) {
    noted_task b(runs_, 'b');
    noted_task a(runs_, 'a', [&] {
        loop_.remove(b);
        loop_.flag(b);
    });
    noted_task c(runs_, 'c');
    noted_task d(runs_, 'd');
    loop_.flag(a);
    loop_.flag(b);
    loop_.flag(c);
    loop_.flag(d);
    take();
    EXPECT_EQ(runs_, "acdb");
    loop_.flag(c);
    take();
    EXPECT_EQ(runs_, "acdbc");
}

TEST_F(Turn, RunsATaskAtItsTimeAndNotWhenThatIsTakenBack) {
    noted_task a(runs_, 'a');
    noted_task b(runs_, 'b');
    loop_.at(a, loop_.now());
    loop_.at(b, loop_.now());
    loop_.at(b, loop::never);
    take();
    take();
    EXPECT_EQ(runs_, "a");
}

TEST_F(Turn, EndsThoughATaskIsAlwaysLate) {
    noted_task b(runs_, 'b');
    noted_task a(runs_, 'a', [&] { loop_.at(a, time_point::min()); });
    loop_.at(a, loop_.now());
    loop_.flag(b);
    take();
    EXPECT_EQ(runs_.substr(0, 3), "baa");
    loop_.remove(a);
}

TEST_F(Turn, EndsTheProcessWhenATaskThrows) {
    const auto turn = [&] {
        loop of_the_child;  // which takes no turns of the parent's
        noted_task a(runs_, 'a', [] { throw 1; });
        of_the_child.flag(a);
        of_the_child.run_once({});
    };
    EXPECT_DEATH(turn(), "terminate");
}

TEST_F(Turn, RunsATaskThatIsFlaggedAndDueOnce) {
    noted_task a(runs_, 'a');
    loop_.flag(a);
    loop_.at(a, loop_.now());
    take();
    EXPECT_EQ(runs_, "a");
}

// Whoever waits first drives, the others sleep.
class Change : public testing::Test {
protected:
    static constexpr auto patience = std::chrono::seconds(30);

    ~Change() override {
        for (std::thread& t : threads_) t.join();
    }
    /// A thread that waits until `reached` is at least `wanted`.
    std::future<bool> waits_for(int wanted, std::function<void()> act = {}) {
        std::promise<bool> promise;
        std::future<bool> over = promise.get_future();
        const std::size_t asked = wait_count();
        threads_.emplace_back([this, wanted, act, over = std::move(promise)]() mutable {
            over.set_value(loop_.wait_until(loop_.now() + patience, [&] {
                ++asked_;
                if (reached_ < wanted) return false;
                if (act) act();
                return true;
            }));
        });
        while (wait_count() == asked) std::this_thread::yield();
        return over;
    }
    void reach(int value) {
        const loop::guard holding(loop_);
        reached_ = value;
        loop_.changed();
    }
    std::size_t wait_count() {
        const loop::guard holding(loop_);
        return asked_;
    }

    loop loop_;
    int reached_ = 0;        // guarded by the loop's lock
    std::size_t asked_ = 0;  // guarded by the loop's lock

private:
    std::vector<std::thread> threads_;
};

TEST_F(Change, EndsTheWaitOfADriverAndOfWhoSleeps) {
    auto driver = waits_for(1);
    auto sleeper = waits_for(1);
    reach(1);
    EXPECT_TRUE(driver.get());
    EXPECT_TRUE(sleeper.get());
}

TEST_F(Change, LeavesThoseAloneWhomItDoesNotConcern) {
    auto driver = waits_for(2);
    auto sleeper = waits_for(1);
    reach(1);
    EXPECT_TRUE(sleeper.get());
    EXPECT_EQ(driver.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
    reach(2);
    EXPECT_TRUE(driver.get());
}

TEST_F(Change, ThatOneWaiterMakesIsToldToTheOthers) {
    auto last = waits_for(3);
    auto second = waits_for(2, [&] {
        reached_ = 3;
        loop_.changed();
    });
    auto first = waits_for(1, [&] {
        reached_ = 2;
        loop_.changed();
    });
    reach(1);
    EXPECT_TRUE(first.get());
    EXPECT_TRUE(second.get());
    EXPECT_TRUE(last.get());
}

TEST_F(Change, IsWaitedForUntilTheDeadlineOnly) {
    EXPECT_FALSE(loop_.wait_until(loop_.now(), [] { return false; }));
    EXPECT_TRUE(loop_.wait_until(loop_.now(), [] { return true; }));
    EXPECT_FALSE(
        loop_.wait_until(loop_.now() + std::chrono::milliseconds(2), [] { return false; }));
}

TEST_F(Change, ThatWaitersMakeForEverDoesNotKeepTheLoop) {
    std::promise<void> told;
    std::size_t rounds = 0;
    std::thread restless([&] {
        EXPECT_TRUE(loop_.wait_until(loop_.now() + patience, [&] {
            loop_.changed();
            if (++rounds == 3) told.set_value();
            return reached_ == 1;
        }));
    });
    told.get_future().wait();
    reach(1);
    restless.join();
}

}  // namespace
