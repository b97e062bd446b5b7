#include "random.hpp"
#include "values.hpp"

#include <cairn/protocol/heads.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace cairn::test {
namespace {

using protocol::head_schedule;
using protocol::scheduled_stream;

std::vector<scheduled_stream> take_all(head_schedule& heads, time_point now) {
    std::vector<scheduled_stream> taken;
    while (const auto stream = heads.take_due(now)) taken.push_back(*stream);
    return taken;
}

TEST(HeadSchedule, TellsAChangeAfterHundredMilliseconds) {
    head_schedule heads(at(0s));
    const auto stream = heads.add();
    heads.changed(stream, at(0s));
    EXPECT_EQ(heads.next_time(), at(100ms));
    EXPECT_EQ(heads.take_due(at(99ms)), std::nullopt);
    EXPECT_EQ(heads.take_due(at(100ms)), stream);
    EXPECT_EQ(heads.take_due(at(100ms)), std::nullopt);
}

TEST(HeadSchedule, RepeatsAHeadEverMoreSeldomAndThenNotAtAll) {
    head_schedule heads(at(0s));
    heads.changed(heads.add(), at(0s));
    std::vector<duration> told;
    for (duration now = 0ms; now < 10s; now += 1ms) {
        if (heads.take_due(at(now))) told.push_back(now);
    }
    EXPECT_EQ(told, (std::vector<duration>{100ms, 300ms, 700ms, 1'500ms, 2'500ms}));
}

TEST(HeadSchedule, TellsABusyStreamEachHundredMilliseconds) {
    head_schedule heads(at(0s));
    const auto stream = heads.add();
    int told = 0;
    for (duration now = 0ms; now <= 1s; now += 1ms) {
        heads.changed(stream, at(now));
        if (heads.take_due(at(now))) ++told;
    }
    EXPECT_EQ(told, 9) << "each change after a head starts its 100 ms anew";
}

TEST(HeadSchedule, TellsOnlyTheDigestOfQuietStreams) {
    head_schedule heads(at(0s));
    for (int i = 0; i < 10'000; ++i) (void)heads.add();
    EXPECT_EQ(heads.next_time(), at(1s));
    EXPECT_EQ(heads.take_due(at(1h)), std::nullopt);
    EXPECT_FALSE(heads.take_digest(at(999ms)));
    EXPECT_TRUE(heads.take_digest(at(1s)));
    EXPECT_FALSE(heads.take_digest(at(1'999ms)));
    EXPECT_TRUE(heads.take_digest(at(2s)));
}

TEST(HeadSchedule, HasNothingToTellWithoutStreams) {
    head_schedule heads(at(0s));
    EXPECT_EQ(heads.next_time(), time_point::max());
    EXPECT_FALSE(heads.take_digest(at(10s)));
}

TEST(HeadSchedule, ForgetsAStreamThatIsRemoved) {
    head_schedule heads(at(0s));
    const auto gone = heads.add();
    const auto stays = heads.add();
    heads.changed(gone, at(0s));
    heads.changed(stays, at(0s));
    heads.remove(gone);
    EXPECT_EQ(take_all(heads, at(100ms)), std::vector{stays});
    EXPECT_EQ(heads.add(), gone) << "its number is used again";
    EXPECT_TRUE(take_all(heads, at(100ms)).empty());
}

/// What the schedule says it does, stream by stream and without queues.
struct obvious_schedule {
    struct stream {
        scheduled_stream id;
        time_point due = time_point::max();
        std::size_t level = head_schedule::delays.size();
    };
    std::vector<stream> streams;

    void changed(scheduled_stream id, time_point now) {
        for (stream& s : streams) {
            if (s.id != id || s.level == 0) continue;
            s.level = 0;
            s.due = now + head_schedule::delays[0];
        }
    }
    std::set<scheduled_stream> take_all(time_point now) {
        std::set<scheduled_stream> due;
        for (stream& s : streams) {
            if (s.due > now) continue;
            due.insert(s.id);
            ++s.level;
            const bool quiet = s.level == head_schedule::delays.size();
            s.due = quiet ? time_point::max() : now + head_schedule::delays[s.level];
        }
        return due;
    }
};

std::optional<std::string> compare_with_obvious(std::uint64_t seed) {
    dice random(seed);
    head_schedule heads(at(0s));
    obvious_schedule obvious;
    time_point now = at(0s);
    for (int step = 0; step < 80; ++step) {
        now += std::chrono::milliseconds(random.below(150));
        const auto taken = take_all(heads, now);
        if (std::set(taken.begin(), taken.end()) != obvious.take_all(now)) return "wrong streams";
        const std::size_t count = obvious.streams.size();
        if (count < 8 && random.chance(20)) {
            obvious.streams.push_back({.id = heads.add()});
        } else if (count != 0 && random.chance(10)) {
            const std::size_t victim = random.below(count);
            heads.remove(obvious.streams[victim].id);
            obvious.streams.erase(obvious.streams.begin() + static_cast<std::ptrdiff_t>(victim));
        } else if (count != 0) {
            const auto id = obvious.streams[random.below(count)].id;
            heads.changed(id, now);
            obvious.changed(id, now);
        }
        (void)heads.take_digest(now);
        time_point soonest = time_point::max();
        for (const auto& s : obvious.streams) soonest = std::min(soonest, s.due);
        if (heads.next_time() > soonest) return "it would sleep too long";
    }
    return std::nullopt;
}

TEST(RandomHeadSchedule, DoesWhatAnObviousOneDoes) {
    expect_no_failure(10'000, compare_with_obvious);
}

}  // namespace
}  // namespace cairn::test
