#include "stream_simulation.hpp"
#include "values.hpp"

#include <cairn/protocol/tracker.hpp>

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace cairn::test {
namespace {

using protocol::stream_tracker;
using protocol::verdict;

TEST(RandomStream, GivesOrTellsEveryMessageOnceAndInOrder) {
    expect_no_failure(10'000, [](std::uint64_t seed) { return run_stream_schedule(seed); });
}

struct RandomStreamNotices : testing::TestWithParam<sabotage> {};

TEST_P(RandomStreamNotices, AMistakeOfItsDrivers) {
    int noticed = 0;
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        if (run_stream_schedule(seed, GetParam())) ++noticed;
    }
    EXPECT_GE(noticed, 3);
}

constexpr std::array names = {"None",          "NeverRepairs",    "IgnoresHeads",
                              "IgnoresGone",   "GivesAllRecords", "GrantsNothing",
                              "IgnoresRepair", "IgnoresCredit",   "KeepsItsEpoch"};

INSTANTIATE_TEST_SUITE_P(
    All, RandomStreamNotices,
    testing::Values(sabotage::reader_never_repairs, sabotage::reader_ignores_heads,
                    sabotage::reader_ignores_gone, sabotage::reader_gives_all_records,
                    sabotage::reader_grants_nothing, sabotage::publisher_ignores_repair,
                    sabotage::publisher_ignores_credit, sabotage::publisher_keeps_its_epoch),
    [](const auto& of) { return std::string(names.at(static_cast<std::size_t>(of.param))); });

/// Sequences that break arithmetic: small ones, and those around the end of the numbers.
sequence any_sequence(dice& random) {
    if (random.chance(70)) return {random.below(40)};
    return {~0ULL - random.below(4)};
}

/// Any frames at all, from several runs at a time.
std::optional<std::string> feed_nonsense(std::uint64_t seed) {
    dice random(seed);
    stream_tracker tracker;
    if (random.chance(50)) tracker = stream_tracker(epoch{2}, any_sequence(random));
    time_point now = at(0s);
    for (int i = 0; i < 60; ++i) {
        const bool knew = tracker.known();
        const epoch run_before = tracker.epoch();
        const sequence next_before = tracker.next();
        const epoch run{random.chance(90) ? random.between(1, 4) : ~0ULL};
        const sequence a = any_sequence(random);
        const sequence b = any_sequence(random);
        const auto count = static_cast<std::uint32_t>(random.chance(90) ? random.below(9) : ~0ULL);
        now += std::chrono::milliseconds(random.below(400));

        verdict v;
        const std::uint64_t frame = random.below(5);
        if (frame < 2) v = tracker.on_batch(run, a, count);
        if (frame == 2) v = tracker.on_gone(run, {a, b});
        if (frame == 3) v = tracker.on_head({run, a, b, any_sequence(random)});
        if (frame == 4) v = tracker.on_end(run, a);
        if (random.chance(10)) tracker.resubscribed();

        // The reader's own account, from what it is told alone.
        epoch at_run = knew ? run_before : tracker.epoch();
        sequence at_next = knew ? next_before : sequence{};
        if (v.tail) {
            if (v.tail->epoch != at_run || v.tail->range.empty()) return "a tail of another run";
            if (v.tail->range.first != at_next) return "a tail that does not begin at next";
            if (!v.restart) return "a tail without a restart";
        }
        if (v.restart) {
            if (v.restart->before != at_run || v.restart->now <= at_run) return "a false restart";
            at_run = v.restart->now;
            at_next = {1};
        }
        if (v.gap) {
            if (v.gap->epoch != at_run || v.gap->range.empty()) return "a gap of another run";
            if (v.gap->range.first != at_next) return "a gap that does not begin at next";
            at_next = v.gap->range.last + 1;
        }
        if (v.what == verdict::kind::deliver) {
            if (v.skip >= count) return "a batch of which nothing is left";
            if (knew && a + v.skip != at_next) return "a message out of order";
            at_next = a + count;
        } else if (knew && v.skip != 0) {
            return "records of a dropped batch";
        }
        if (tracker.epoch() != at_run) return "a run that was not told";
        if (knew && tracker.next() != at_next) return "a step that was not told";
        if (tracker.known() && tracker.next().value == 0) return "before the first message";
        const auto missing = tracker.missing();
        if (missing && (missing->empty() || missing->first != tracker.next())) {
            return "a hole elsewhere";
        }
        const auto repair = tracker.take_repair(now);
        if (repair && (!missing || *repair != tracker.next())) return "a repair of no hole";
        if (tracker.take_repair(now)) return "a repair asked twice";
    }
    return std::nullopt;
}

TEST(RandomTracker, KeepsItsOrderWhateverAPublisherSends) {
    expect_no_failure(10'000, feed_nonsense);
}

}  // namespace
}  // namespace cairn::test
