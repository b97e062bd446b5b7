#include "done_ahead.hpp"

#include "unit/protocol/random.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

namespace cairn::test {
namespace {

using ranges = std::vector<sequence_range>;

constexpr sequence_range range(std::uint64_t first, std::uint64_t last) {
    return {sequence{first}, sequence{last}};
}

class DoneAhead : public testing::Test {
protected:
    void add(std::uint64_t run, sequence_range of) { done_.add({run}, of); }
    ranges take(std::uint64_t run, sequence_range batch) { return done_.take({run}, batch); }

    patterns::done_ahead done_;
};

TEST_F(DoneAhead, OfABatchIsWhatLiesInIt) {
    add(1, range(2, 4));
    add(1, range(6, 6));
    add(1, range(9, 30));
    EXPECT_EQ(take(1, range(3, 10)), (ranges{range(3, 4), range(6, 6), range(9, 10)}));
    EXPECT_EQ(take(1, range(11, 20)), (ranges{range(11, 20)})) << "as long as it reaches beyond";
    EXPECT_EQ(take(1, range(21, 40)), (ranges{range(21, 30)}));
    EXPECT_TRUE(done_.empty());
}

TEST_F(DoneAhead, OfARunIsForgottenWithItsEnd) {
    add(1, range(5, 9));
    add(2, range(2, 3));
    add(4, range(1, 1));
    EXPECT_EQ(take(2, range(1, 9)), (ranges{range(2, 3)}));
    EXPECT_EQ(take(3, range(1, 9)), ranges{});
    EXPECT_FALSE(done_.empty());
    EXPECT_EQ(take(4, range(1, 9)), (ranges{range(1, 1)}));
    EXPECT_TRUE(done_.empty());
}

TEST_F(DoneAhead, ToldInAnyOrderAndTwiceCountsOnce) {
    add(2, range(3, 8));
    add(1, range(5, 6));
    add(2, range(1, 4));
    add(2, range(7, 7));
    add(2, range(9, 8));
    EXPECT_EQ(take(1, range(1, 9)), (ranges{range(5, 6)}));
    EXPECT_EQ(take(2, range(1, 9)), (ranges{range(1, 8)}));
}

// With a look at all of them for each batch this would be four thousand million looks.
TEST_F(DoneAhead, OfAsManyRangesAsAStoreTellsIsTakenByAsManyBatches) {
    constexpr std::uint64_t count = 65'536;
    for (std::uint64_t i = 1; i <= count; ++i) add(1, range(2 * i, 2 * i));
    for (std::uint64_t i = 1; i <= count; ++i)
        ASSERT_EQ(take(1, range(2 * i - 1, 2 * i)), (ranges{range(2 * i, 2 * i)}));
    EXPECT_TRUE(done_.empty());
}

TEST_F(DoneAhead, OfRandomRangesIsThatOfEachMessageAlone) {
    dice random(1);
    for (int round = 0; round != 2'000; ++round) {
        std::set<std::pair<std::uint64_t, std::uint64_t>> messages;
        done_.clear();
        const auto tell = [&](std::uint64_t run, std::uint64_t first, std::uint64_t count) {
            add(run, range(first, first + count - 1));
            for (std::uint64_t i = 0; i != count; ++i) messages.emplace(run, first + i);
        };
        for (auto i = random.below(12); i != 0; --i)
            tell(1 + random.below(3), 1 + random.below(40), 1 + random.below(8));
        for (std::uint64_t run = 1; run <= 3; ++run)
            for (std::uint64_t next = 1; next <= 50;) {
                const sequence_range batch = range(next, next + random.below(10));
                ranges expected;
                for (sequence at = batch.first; at <= batch.last; ++at) {
                    if (!messages.contains({run, at.value})) continue;
                    if (!expected.empty() && expected.back().last + 1 == at)
                        expected.back().last = at;
                    else
                        expected.push_back({at, at});
                }
                ranges taken;
                for (const sequence_range& r : take(run, batch))
                    if (!taken.empty() && taken.back().last + 1 == r.first)
                        taken.back().last = r.last;
                    else
                        taken.push_back(r);
                ASSERT_EQ(taken, expected) << "round " << round << ", run " << run;
                next = batch.last.value + 1 + random.below(3);
                if (random.below(8) == 0) tell(run, next, 1 + random.below(5));
            }
    }
}

}  // namespace
}  // namespace cairn::test
