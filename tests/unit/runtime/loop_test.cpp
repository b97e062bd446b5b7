#include <cairn/runtime/loop.hpp>

#include <gtest/gtest.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

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
    noted_task a(runs_, 'a', [] { throw 1; });
    loop_.flag(a);
    EXPECT_DEATH(take(), "terminate");
    loop_.remove(a);
}

TEST_F(Turn, RunsATaskThatIsFlaggedAndDueOnce) {
    noted_task a(runs_, 'a');
    loop_.flag(a);
    loop_.at(a, loop_.now());
    take();
    EXPECT_EQ(runs_, "a");
}

}  // namespace
