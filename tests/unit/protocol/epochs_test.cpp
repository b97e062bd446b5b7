#include "random.hpp"
#include "values.hpp"

#include <cairn/protocol/epochs.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cairn::test {
namespace {

using protocol::choose_epoch;
using protocol::epoch_standing;
using protocol::epoch_table;

constexpr node_id here{};

constexpr wall_time wall(std::chrono::milliseconds since) { return wall_time(since); }

TEST(EpochChoice, TakesTheClockWhenNothingIsSaved) {
    EXPECT_EQ(choose_epoch({}, {}, wall(1'700'000'000'123ms)), epoch{1'700'000'000'123});
}

TEST(EpochChoice, RisesWhenTheClockWentBack) {
    EXPECT_EQ(choose_epoch(epoch{5'000}, {}, wall(3s)), epoch{5'001});
}

TEST(EpochChoice, RisesAboveARunThatItMetWhileStarting) {
    EXPECT_EQ(choose_epoch(epoch{5'000}, epoch{7'000}, wall(6s)), epoch{7'001});
}

TEST(EpochChoice, IsNeverZero) {
    EXPECT_EQ(choose_epoch({}, {}, wall(0s)), epoch{1});
    EXPECT_EQ(choose_epoch({}, {}, wall(-5s)), epoch{1});
}

TEST(EpochChoice, FailsWhenThereIsNoHigherNumber) {
    EXPECT_EQ(choose_epoch(epoch{~0ULL}, {}, wall(1s)), std::nullopt);
    EXPECT_EQ(choose_epoch({}, epoch{~0ULL}, wall(1s)), std::nullopt);
}

TEST(EpochTable, KnowsNewerFromOlderRuns) {
    epoch_table table(10);
    EXPECT_EQ(table.judge("t", "s", epoch{5}, here), epoch_standing::newer);
    EXPECT_EQ(table.judge("t", "s", epoch{5}, here), epoch_standing::current);
    EXPECT_EQ(table.judge("t", "s", epoch{4}, here), epoch_standing::older);
    EXPECT_EQ(table.judge("t", "s", epoch{6}, here), epoch_standing::newer);
    EXPECT_EQ(table.judge("t", "s", epoch{5}, here), epoch_standing::older);
    EXPECT_EQ(table.highest("t", "s"), epoch{6});
}

TEST(EpochTable, KnowsTwinsByTheirNodes) {
    const node_id there{{std::byte{1}}};
    epoch_table table(10);
    (void)table.judge("t", "s", epoch{5}, here);
    EXPECT_EQ(table.judge("t", "s", epoch{5}, there), epoch_standing::twin);
    EXPECT_EQ(table.judge("t", "s", epoch{5}, here), epoch_standing::current);
    EXPECT_EQ(table.judge("t", "s", epoch{4}, there), epoch_standing::older);
    EXPECT_EQ(table.judge("t", "s", epoch{6}, there), epoch_standing::newer);
    EXPECT_EQ(table.judge("t", "s", epoch{6}, here), epoch_standing::twin);
}

TEST(EpochTable, KeepsTopicsAndSourcesApart) {
    epoch_table table(10);
    (void)table.judge("ab", "c", epoch{5}, here);
    EXPECT_EQ(table.judge("a", "bc", epoch{1}, here), epoch_standing::newer);
    EXPECT_EQ(table.highest("ab", "d"), std::nullopt);
}

TEST(EpochTable, ForgetsWhatWasJudgedLongestAgo) {
    epoch_table table(2);
    (void)table.judge("t", "a", epoch{5}, here);
    (void)table.judge("t", "b", epoch{5}, here);
    (void)table.judge("t", "a", epoch{5}, here);
    (void)table.judge("t", "c", epoch{5}, here);
    EXPECT_EQ(table.size(), 2U);
    EXPECT_EQ(table.highest("t", "b"), std::nullopt);
    EXPECT_EQ(table.highest("t", "a"), epoch{5});
}

/// The same, looked up from the front: what was judged last is first.
struct obvious_table {
    struct entry {
        std::string topic;
        std::string source;
        std::uint64_t highest;
    };
    std::size_t entries_max;
    std::vector<entry> entries{};

    epoch_standing judge(const std::string& topic, const std::string& source, std::uint64_t run) {
        entry e{topic, source, 0};
        for (auto it = entries.begin(); it != entries.end(); ++it) {
            if (it->topic != topic || it->source != source) continue;
            e = *it;
            entries.erase(it);
            break;
        }
        const auto standing = run < e.highest    ? epoch_standing::older
                              : run == e.highest ? epoch_standing::current
                                                 : epoch_standing::newer;
        e.highest = std::max(e.highest, run);
        entries.insert(entries.begin(), e);
        if (entries.size() > entries_max) entries.pop_back();
        return standing;
    }
};

// Sources that start again, twins that go on, and more of them than there is room for, in any
// order.
std::optional<std::string> judge_like_an_obvious_one(std::uint64_t seed) {
    dice random(seed);
    const std::size_t room = random.between(1, 6);
    epoch_table table(room);
    obvious_table obvious{room};
    for (int step = 0; step != 100; ++step) {
        const std::string topic(1, static_cast<char>('a' + random.below(2)));
        const std::string source(random.between(1, 4), 's');
        const std::uint64_t run = random.between(1, 5);
        if (table.judge(topic, source, epoch{run}, here) != obvious.judge(topic, source, run))
            return "step " + std::to_string(step) + ": run " + std::to_string(run) + " of " +
                   topic + " " + source;
        if (table.size() != obvious.entries.size()) return "it has more or fewer sources";
        if (table.highest(topic, source) != epoch{obvious.entries.front().highest})
            return "another highest run";
    }
    return std::nullopt;
}

TEST(RandomEpochTable, FencesWhatAnObviousOneFences) {
    expect_no_failure(10'000, judge_like_an_obvious_one);
}

}  // namespace
}  // namespace cairn::test
