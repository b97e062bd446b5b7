#include <cairn/protocol/ack_batcher.hpp>
#include <cairn/wire/limits.hpp>

#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "random.hpp"
#include "values.hpp"

namespace cairn::test {
namespace {

using namespace protocol;
using ranges = std::vector<sequence_range>;

constexpr epoch run{9};

/// The acks of one stream of a group.
class AckBatcher : public testing::Test {
protected:
    std::vector<ranges> send() {
        std::vector<ranges> frames;
        batcher_.send(now_,
                      [&](std::string_view source, epoch e, std::span<const sequence_range> r) {
                          EXPECT_EQ(source, "usgs");
                          EXPECT_EQ(e, run);
                          frames.emplace_back(r.begin(), r.end());
                      });
        return frames;
    }
    void ack(std::uint64_t first, std::uint64_t last) {
        batcher_.ack(stream_, range(first, last), now_);
    }
    void attach() { batcher_.attached(now_); }

    ack_batcher batcher_;
    ack_batcher::stream stream_ = batcher_.find_or_add("usgs", run, seq(0));
    time_point now_ = at(0s);
};

TEST_F(AckBatcher, WaitsForOthersAsLongAsItMay) {
    attach();
    ack(1, 1);
    now_ += 99ms;
    EXPECT_TRUE(send().empty());
    ack(2, 2);
    now_ += 1ms;
    EXPECT_EQ(send(), (std::vector<ranges>{{range(1, 2)}}));
    EXPECT_EQ(batcher_.due_at(), time_point::max());
}

TEST_F(AckBatcher, SendsAtOnceWhenManyWait) {
    attach();
    ack(1, 999);
    EXPECT_TRUE(send().empty());
    ack(1'005, 1'005);
    EXPECT_EQ(send(), (std::vector<ranges>{{range(1, 999), range(1'005, 1'005)}}));
}

TEST_F(AckBatcher, TakesOtherLimits) {
    batcher_ = ack_batcher({.delay_max = 5ms, .messages_max = 2});
    stream_ = batcher_.find_or_add("usgs", run, seq(0));
    attach();
    ack(1, 1);
    EXPECT_EQ(batcher_.due_at(), now_ + 5ms);
    ack(2, 2);
    EXPECT_EQ(send().size(), 1u);
}

TEST_F(AckBatcher, MergesWhatIsAckedOutOfOrder) {
    attach();
    for (const std::uint64_t n : {5, 1, 3, 2, 3, 9, 8}) ack(n, n);
    batcher_.flush(now_);
    EXPECT_EQ(send(), (std::vector<ranges>{{range(1, 3), range(5, 5), range(8, 9)}}));
}

TEST_F(AckBatcher, AcksAllBeforeAPosition) {
    attach();
    ack(4, 4);
    batcher_.ack_through(stream_, seq(6), now_);
    EXPECT_EQ(batcher_.waiting(), 6u);
    batcher_.flush(now_);
    EXPECT_EQ(send(), (std::vector<ranges>{{range(1, 6)}}));
}

TEST_F(AckBatcher, GathersWhileAFlightIsUnderWay) {
    attach();
    ack(1, 1'000);
    EXPECT_EQ(send().size(), 1u);
    ack(1'001, 3'000);
    EXPECT_TRUE(send().empty());
    batcher_.acked(1);
    EXPECT_EQ(send(), (std::vector<ranges>{{range(1'001, 3'000)}}));
    EXPECT_FALSE(batcher_.settled(stream_));
    batcher_.acked(2);
    EXPECT_TRUE(batcher_.settled(stream_));
    EXPECT_EQ(batcher_.waiting(), 0u);
}

TEST_F(AckBatcher, QueuesWhileTheStoreIsAwayAndSendsAgainWhatWasNotConfirmed) {
    attach();
    ack(1, 1'000);
    EXPECT_EQ(send().size(), 1u);
    batcher_.link_lost();
    ack(1'001, 1'001);
    now_ += 1h;
    EXPECT_TRUE(send().empty());
    attach();
    EXPECT_EQ(send(), (std::vector<ranges>{{range(1, 1'001)}}));
}

TEST_F(AckBatcher, ForgetsNoAckThatAStoreCountsTooEarly) {
    attach();
    batcher_.acked(7);
    ack(1, 1'000);
    EXPECT_EQ(send().size(), 1u);
    EXPECT_EQ(batcher_.waiting(), 1'000u);
    batcher_.acked(1);
    EXPECT_EQ(batcher_.waiting(), 0u);
}

TEST_F(AckBatcher, SendsNoMoreInAFlightThanAStoreLetsWait) {
    attach();
    for (std::uint64_t n = 0; n <= ack_batcher::flight_ranges_max; ++n) ack(2 * n + 1, 2 * n + 1);
    const std::vector<ranges> frames = send();
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].size(), ack_batcher::flight_ranges_max);
    EXPECT_EQ(batcher_.waiting(), ack_batcher::flight_ranges_max + 1);
    EXPECT_TRUE(send().empty());
    batcher_.acked(1);
    EXPECT_EQ(batcher_.waiting(), 1u);
    EXPECT_EQ(send().size(), 1u) << "the rest waits for nothing else";
}

TEST_F(AckBatcher, SendsAtItsEndWhatAStoreLetsWaitBesideTheFlight) {
    const auto last = [&] {
        ranges all;
        static_cast<void>(
            batcher_.send_last([&](std::string_view, epoch, std::span<const sequence_range> r) {
                all.insert(all.end(), r.begin(), r.end());
            }));
        return all;
    };
    ack(1, 1);
    EXPECT_TRUE(last().empty()) << "nobody is there to take it";
    attach();
    ASSERT_EQ(send().size(), 1U);
    constexpr std::size_t room = ack_batcher::flight_ranges_max - 1;
    for (std::uint64_t n = 0; n != room + 5; ++n) ack(3 + 2 * n, 3 + 2 * n);
    const ranges sent = last();
    ASSERT_EQ(sent.size(), room);
    EXPECT_EQ(sent.front(), range(3, 3));
    batcher_.acked(1);
    EXPECT_EQ(last().size(), room + 1) << "what was confirmed makes room";
}

TEST_F(AckBatcher, GivesEachStreamItsTurn) {
    attach();
    const auto other = batcher_.find_or_add("other", run, seq(0));
    for (std::uint64_t n = 0; n <= ack_batcher::flight_ranges_max; ++n) ack(2 * n + 1, 2 * n + 1);
    batcher_.ack(other, range(1, 1), now_);
    EXPECT_EQ(send().size(), 1u);
    batcher_.acked(1);
    std::vector<std::string> sources;
    batcher_.send(now_, [&](std::string_view source, epoch, std::span<const sequence_range>) {
        sources.emplace_back(source);
    });
    EXPECT_EQ(sources, (std::vector<std::string>{"other", "usgs"}));
}

TEST_F(AckBatcher, DoesNotAckAgainWhatIsDone) {
    attach();
    stream_ = batcher_.find_or_add("usgs", epoch{10}, seq(50));
    ack(1, 50);
    EXPECT_EQ(batcher_.waiting(), 0u);
}

TEST_F(AckBatcher, AcksAllAgainForAStoreThatWasReplacedAlsoBehindAHole) {
    attach();
    ack(1, 3);
    ack(5, 6);
    ack(9, 9);
    batcher_.flush(now_);
    EXPECT_EQ(send().size(), 1u);
    batcher_.acked(1);
    batcher_.repeat_all();
    EXPECT_EQ(batcher_.waiting(), 6u);
    attach();
    EXPECT_EQ(send(), (std::vector<ranges>{{range(1, 3), range(5, 6), range(9, 9)}}));
    batcher_.acked(1);
    ack(4, 4);
    batcher_.flush(now_);
    EXPECT_EQ(send().size(), 1u);
    batcher_.acked(1 + 1);
    batcher_.repeat_all();
    attach();
    EXPECT_EQ(send(), (std::vector<ranges>{{range(1, 6), range(9, 9)}}));
}

TEST_F(AckBatcher, GivesBackWhatAReplacedStoreHasYetToGet) {
    attach();
    ack(1, 3);
    ack(5, 6);
    batcher_.flush(now_);
    EXPECT_EQ(send().size(), 1u);
    batcher_.acked(1);
    batcher_.repeat_all();
    EXPECT_EQ(batcher_.take_back(stream_), (ranges{range(1, 3), range(5, 6)}));
    EXPECT_EQ(batcher_.waiting(), 0u);
    attach();
    EXPECT_TRUE(send().empty());
}

/// A few streams, a store that syncs when it likes and loses what it did not, and a link that
/// breaks.
std::optional<std::string> acks_reach_the_store(std::uint64_t seed) {
    dice random(seed);
    ack_batcher batcher({.delay_max = std::chrono::milliseconds(random.below(50)),
                         .messages_max = random.between(1, 40)});
    constexpr std::uint64_t streams = 3;
    constexpr std::uint64_t messages = 60;
    std::vector<ack_batcher::stream> of;
    for (std::uint64_t s = 0; s != streams; ++s)
        of.push_back(batcher.find_or_add(std::to_string(s), run, seq(0)));
    std::set<std::pair<std::string, std::uint64_t>> given;
    std::set<std::pair<std::string, std::uint64_t>> stored;
    struct frame {
        std::string source;
        ranges what;
    };
    std::deque<frame> wire;
    std::uint64_t counted = 0;
    bool linked = false;
    time_point now = at(0s);

    const auto store_takes = [&] {
        if (wire.empty()) return;
        for (const sequence_range& r : wire.front().what)
            for (sequence n = r.first; n <= r.last; ++n)
                stored.emplace(wire.front().source, n.value);
        wire.pop_front();
        ++counted;
    };
    const auto turn = [&] {
        const bool due = linked && batcher.due_at() <= now;
        const std::size_t sent = batcher.send(
            now, [&](std::string_view source, epoch, std::span<const sequence_range> r) {
                wire.push_back({std::string(source), {r.begin(), r.end()}});
            });
        return due == (sent != 0);
    };
    for (int step = 0; step < 150; ++step) {
        now += std::chrono::milliseconds(random.below(10));
        const std::uint64_t s = random.below(streams);
        const std::uint64_t first = random.between(1, messages);
        const std::uint64_t last = std::min(messages, first + random.below(6));
        if (random.chance(50)) {
            const bool through = random.chance(10);
            if (through)
                batcher.ack_through(of[s], seq(last), now);
            else
                batcher.ack(of[s], range(first, last), now);
            for (std::uint64_t n = through ? 1 : first; n <= last; ++n)
                given.emplace(std::to_string(s), n);
        }
        if (random.chance(5)) {
            wire.clear();
            linked = false;
            batcher.link_lost();
        }
        if (!linked && random.chance(30)) {
            linked = true;
            counted = 0;
            batcher.attached(now);
        }
        if (!turn()) return "what was due was not sent, or something else was";
        if (linked && random.chance(50)) store_takes();
        if (linked && random.chance(30)) batcher.acked(counted);
        if (batcher.waiting() > streams * messages * 2) return "counts more than there is";
    }
    if (!std::exchange(linked, true)) {
        counted = 0;
        batcher.attached(now);
    }
    for (int step = 0; step < 100; ++step) {
        now += 50ms;
        if (!turn()) return "what was due was not sent, or something else was";
        while (!wire.empty()) store_takes();
        batcher.acked(counted);
    }
    if (batcher.waiting() != 0) return "acks still wait after quiet";
    if (stored != given) return "the store knows other acks than were given";
    return std::nullopt;
}

TEST(RandomAckBatcher, LosesNoAckAndInventsNone) {
    expect_no_failure(10'000, acks_reach_the_store);
}

}  // namespace
}  // namespace cairn::test
