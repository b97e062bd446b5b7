#include "../../store/src/acks.hpp"
#include "store/support/fixture.hpp"
#include "store/support/lowered_bounds.hpp"
#include "unit/protocol/random.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

namespace cairn::test {
namespace {

using namespace store;

using Group = Database;
using Letters = Database;

strings many(std::size_t count, std::size_t bytes = 3) {
    return strings(count, std::string(bytes, 'x'));
}

TEST_F(Group, KeepsAcksOutOfOrderOverARestart) {
    const auto s = opened("jobs", "a");
    append_to(s, 1, many(10));
    const auto g = group_of(s.topic, "workers");
    const reply answer = one(ack{s.topic, g, {{{5}, {6}}, {{9}, {9}}}});
    EXPECT_EQ(std::get<acked>(answer.value), (acked{3, {0}}));
    reopen();
    EXPECT_EQ(pending(s.topic, g),
              (std::vector<offset_range>{{{1}, {4}}, {{7}, {8}}, {{10}, {10}}}));
    EXPECT_EQ(std::get<acked>(one(ack{s.topic, g, {{{1}, {4}}}}).value), (acked{4, {6}}));
}

TEST_F(Group, RefusesAnAckOfWhatIsNotStoredYet) {
    const auto s = opened("jobs", "a");
    append_to(s, 1, many(2));
    const auto g = group_of(s.topic, "workers");
    EXPECT_EQ(one(ack{s.topic, g, {{{2}, {3}}}}).code, errc::not_stored);
    EXPECT_EQ(one(ack_positions{s.topic, g, s.source, {1}, {{{3}, {3}}}}).code, errc::not_stored);
    EXPECT_EQ(one(ack_positions{s.topic, g, s.source, {2}, {{{1}, {1}}}}).code, errc::not_stored);
    EXPECT_EQ(one(ack{s.topic, {9}, {}}).code, errc::group_unknown);
}

TEST_F(Group, AcksByPositionAcrossBatchesOfOtherSourcesAndFormerRuns) {
    const auto a = opened("jobs", "a");
    const auto b = opened("jobs", "b");
    append_to(a, 1, many(2));
    append_to(b, 1, many(1));
    append_to(a, 3, many(2));
    const auto g = group_of(a.topic, "workers");
    opened("jobs", "a", 2);
    EXPECT_TRUE(one(ack_positions{a.topic, g, a.source, {1}, {{{2}, {4}}}}).ok());
    EXPECT_EQ(pending(a.topic, g), (std::vector<offset_range>{{{1}, {1}}, {{3}, {3}}}));
    EXPECT_EQ(one(ack_positions{a.topic, g, a.source, {1}, {{{5}, {5}}}}).code, errc::not_stored);
}

TEST_F(Group, AcksALongRangeOfPositionsInSteps) {
    const auto s = opened("jobs", "a");
    constexpr std::uint64_t count = ack_batches_max + 10;
    std::vector<command> appends;
    for (std::uint64_t n = 1; n <= count; ++n)
        appends.emplace_back(batch(s, {1}, n, 1, records(many(1))));
    ASSERT_TRUE(all(appends).back().ok());
    const auto g = group_of(s.topic, "workers");
    const std::vector<sequence_range> ranges{{{count}, {count}}, {{1}, {count - 2}}};
    const reply begun = one(ack_positions{s.topic, g, s.source, {1}, ranges});
    const sequence next{ack_batches_max + 1};
    EXPECT_EQ(std::get<acked>(begun.value), (acked{ack_batches_max, {ack_batches_max}, next}));
    const reply rest =
        one(ack_positions{s.topic, g, s.source, {1}, {{next, {count - 2}}, {{count}, {count}}}});
    EXPECT_EQ(std::get<acked>(rest.value), (acked{9, {count - 2}, {}}));
    EXPECT_EQ(pending(s.topic, g), (std::vector<offset_range>{{{count - 1}, {count - 1}}}));
}

TEST_F(Group, AcksOfAFewPositionsAreCountedInMessagesToo) {
    constexpr std::uint32_t batch_count = 1U << 20;
    const body_bytes body(std::size_t{batch_count} * wire::record_word_bytes);
    const auto s = opened("jobs", "a");
    constexpr std::uint64_t end = 9 * std::uint64_t{batch_count};
    for (std::uint64_t first = 1; first < end; first += batch_count)
        ASSERT_TRUE(one(batch(s, {1}, first, batch_count, body)).ok());
    const auto g = group_of(s.topic, "workers");
    const reply begun = one(ack_positions{s.topic, g, s.source, {1}, {{{1}, {end}}}});
    EXPECT_EQ(std::get<acked>(begun.value),
              (acked{ack_range_max, {ack_range_max}, {ack_range_max + 1}}));
    const reply rest = one(ack_positions{s.topic, g, s.source, {1}, {{{1}, {end}}}});
    EXPECT_EQ(std::get<acked>(rest.value), (acked{batch_count, {end}, {}}));
}

TEST_F(Group, AcksInAsManyTransactionsAsTheChunksNeedThatTheyTouch) {
    const lowered_bounds lowered({.transaction_pages_max = 64});
    const auto s = opened("jobs", "a");
    constexpr std::uint32_t batch_count = 1U << 20;
    const body_bytes body(std::size_t{batch_count} * wire::record_word_bytes);
    ASSERT_TRUE(one(batch(s, {1}, 1, batch_count, body)).ok());
    constexpr std::uint64_t chunks = batch_count / chunk_offsets;
    std::vector<command> acks;
    for (const std::uint64_t apart : {std::uint64_t{1}, chunks / 32}) {
        const auto g = group_of(s.topic, std::to_string(apart));
        for (std::uint64_t n = 1; n <= 8; ++n) {
            ack scattered{s.topic, g, {}};
            for (std::uint64_t chunk = 1; chunk < chunks; chunk += apart)
                scattered.ranges.push_back(
                    {{chunk * chunk_offsets + 2 * n}, {chunk * chunk_offsets + 2 * n}});
            acks.emplace_back(std::move(scattered));
        }
    }
    const std::uint64_t before = db_->stats().commits;
    for (const reply& answer : all(acks)) EXPECT_EQ(answer.code, errc::ok);
    // 127 chunks each, then 32 with four pages beside them.
    EXPECT_EQ(db_->stats().commits, before + 8 + 8);
}

TEST_F(Group, AcksOfPositionsAreChargedForThePlacesWhereTheyLie) {
    const lowered_bounds lowered({.transaction_pages_max = 64});
    const auto near = opened("jobs", "near");
    const auto far = opened("jobs", "far");
    constexpr std::uint32_t count = 20;
    append_to(near, 1, many(count));
    const body_bytes filling(chunk_offsets * wire::record_word_bytes);
    for (std::uint64_t n = 1; n <= count; ++n) {
        append_to(far, n, {"x"});
        ASSERT_TRUE(
            one(batch(near, {1}, count + 1 + (n - 1) * chunk_offsets, chunk_offsets, filling))
                .ok());
    }
    const auto commits_of = [&](const source_opened& s) {
        std::vector<command> acks;
        for (int i = 0; i < 6; ++i)
            acks.emplace_back(ack_positions{
                s.topic,
                group_of(s.topic, s == near ? "n" + std::to_string(i) : "f" + std::to_string(i)),
                s.source,
                {1},
                {{{2}, {count}}}});
        const std::uint64_t before = db_->stats().commits;
        for (const reply& answer : all(acks)) EXPECT_EQ(answer.code, errc::ok);
        return db_->stats().commits - before;
    };
    EXPECT_EQ(commits_of(near), 1U);
    EXPECT_EQ(commits_of(far), 3U) << "two fit";
}

class MillionScattered : public Database {
protected:
    static constexpr std::uint64_t open_messages = 1'000'000;

    /// A million messages stay open, on average one of `apart`, each as likely as any other, and
    /// all between them are acked. What a closed database takes for that.
    std::uint64_t bytes_of_one_in(std::uint64_t apart) {
        const auto s = opened(std::to_string(apart), "a");
        const auto g = group_of(s.topic, "workers");
        const std::vector<std::uint64_t> open = scattered(apart);
        pretend_end(s.topic, open.back() + 2);
        const std::uint64_t before = state_bytes();
        reopen();
        ack_between(s.topic, g, open);
        reopen();
        EXPECT_EQ(reader(*db_).group(s.topic, g)->pending, open_messages + 1);
        db_.reset();
        const std::uint64_t after = state_bytes();
        reopen();
        return after - before;
    }

private:
    static std::vector<std::uint64_t> scattered(std::uint64_t apart) {
        dice random(apart);
        std::vector<std::uint64_t> all;
        for (std::uint64_t at = 0; all.size() < open_messages; all.push_back(at)) {
            const double chance = (static_cast<double>(random.below(1U << 31)) + 0.5) / (1U << 31);
            const double share = 1.0 / static_cast<double>(apart);
            at += 1 + static_cast<std::uint64_t>(std::log(chance) / std::log1p(-share));
        }
        return all;
    }
    /// Acks do not look at messages, and a billion of them would take long.
    void pretend_end(topic_id t, std::uint64_t end) {
        db_.reset();
        inside([&](lmdb::transaction& txn, const databases& dbs) {
            const auto value = txn.get(dbs.state, topic_key(t));
            topic_record topic = *decode_topic(unsealed(topic_key(t), *value));
            topic.next = {end};
            put(txn, dbs, topic_key(t), topic);
            auto counters = counters_in(txn, dbs);
            counters.commit = txn.id();
            put(txn, dbs, counters_key(), counters);
        });
    }
    /// Of the tree that has all small records.
    std::uint64_t state_bytes() {
        MDB_stat found{};
        inside([&](lmdb::transaction& txn, const databases& dbs) {
            ASSERT_EQ(mdb_stat(txn.handle(), dbs.state, &found), 0);
            auto counters = counters_in(txn, dbs);
            counters.commit = txn.id();
            put(txn, dbs, counters_key(), counters);
        });
        return (found.ms_leaf_pages + found.ms_branch_pages + found.ms_overflow_pages) *
               std::uint64_t{found.ms_psize};
    }
    void ack_between(topic_id t, group_id g, const std::vector<std::uint64_t>& open) {
        ack next{t, g, {}};
        std::uint64_t spanned = 0;
        std::uint64_t from = 1;
        for (const std::uint64_t at : open) {
            spanned += at - from;
            if (spanned > ack_range_max || next.ranges.size() == ack_ranges_max) {
                ASSERT_TRUE(one(std::exchange(next, ack{t, g, {}})).ok());
                spanned = at - from;
            }
            if (from < at) next.ranges.push_back({{from}, {at - 1}});
            from = at + 1;
        }
        ASSERT_TRUE(one(std::move(next)).ok());
    }
};

TEST_F(MillionScattered, TakesLessThanTwoMegabytesUpToOneMessageInForty) {
    for (const std::uint64_t apart : {2U, 8U, 16U, 40U})
        EXPECT_LT(bytes_of_one_in(apart), 2'000'000U) << apart;
}

TEST_F(MillionScattered, TakesThreeBytesEachAtOneInAHundredAndThirteenAtOneInAThousand) {
    EXPECT_LT(bytes_of_one_in(100), 3'100'000U);
    EXPECT_LT(bytes_of_one_in(1'000), 13'100'000U);
}

TEST_F(Group, ForgetsAttemptsWithTheAckAndNotBefore) {
    const auto s = opened("jobs", "a");
    append_to(s, 1, many(3));
    const auto g = group_of(s.topic, "workers");
    EXPECT_TRUE(one(note_attempts{s.topic, g, {2}, 4, at_ms(77), "no paper"}).ok());
    reopen();
    const auto noted = reader(*db_).attempts(s.topic, g, {1});
    ASSERT_EQ(noted->size(), 1U);
    EXPECT_EQ(noted->front().attempts, 4U);
    EXPECT_EQ(noted->front().not_before, at_ms(77));
    EXPECT_EQ(noted->front().reason, "no paper");
    one(ack{s.topic, g, {{{2}, {2}}}});
    EXPECT_TRUE(reader(*db_).attempts(s.topic, g, {1})->empty());
    EXPECT_EQ(one(note_attempts{s.topic, g, {2}, 5, {}, ""}).code, errc::gone);
}

TEST_F(Group, SeeksBackAndForth) {
    const auto s = opened("jobs", "a");
    append_to(s, 1, many(5));
    const auto g = group_of(s.topic, "workers");
    one(ack{s.topic, g, {{{1}, {5}}}});
    EXPECT_EQ(std::get<acked>(one(seek_group{s.topic, g, {3}}).value).floor, offset{2});
    EXPECT_EQ(pending(s.topic, g), (std::vector<offset_range>{{{3}, {5}}}));
    one(seek_group{s.topic, g, {number_max}});
    EXPECT_TRUE(pending(s.topic, g).empty());
}

TEST_F(Group, ExistsOnceWithItsSettings) {
    const auto s = opened("jobs", "a");
    EXPECT_TRUE(one(create_group{s.topic, "g", "x", {1}}).ok());
    EXPECT_TRUE(one(create_group{s.topic, "g", "x", {1}}).ok());
    EXPECT_EQ(one(create_group{s.topic, "g", "y", {1}}).code, errc::group_exists);
    EXPECT_EQ(one(create_topic{"jobs", {.retention = {.messages_max = 4}}}).code,
              errc::topic_exists);
}

TEST_F(Letters, MoveWithTheirStoryAndComeBackByRedrive) {
    const auto s = opened("jobs", "a");
    append_to(s, 1, {"good", "poison"});
    const auto g = group_of(s.topic, "workers");
    const auto at = std::get<moved>(
        one(dead_letter{s.topic, g, {2}, "jobs.dead", 5, errc::deliveries_exceeded, "burns"})
            .value);
    EXPECT_EQ(pending(s.topic, g), (std::vector<offset_range>{{{1}, {1}}}));
    EXPECT_EQ(texts("jobs.dead"), strings{"poison"});
    const auto story = reader(*db_).story(at.topic, at.at);
    EXPECT_EQ(story->source, "a");
    EXPECT_EQ(story->sequence, sequence{2});
    EXPECT_EQ(story->reason, "burns");
    EXPECT_EQ(std::get<counted>(one(redrive{at.topic, {{1}, {1}}}).value).messages, 1U);
    EXPECT_EQ(texts("jobs"), (strings{"good", "poison", "poison"}));
    EXPECT_TRUE(texts("jobs.dead").empty());
    EXPECT_EQ(one(redrive{s.topic, {{1}, {1}}}).code, errc::not_supported);
}

TEST_F(Letters, AreCountedWithTheirStories) {
    chosen_.quota_bytes = 100'000;
    reopen();
    const auto s = opened("jobs", "a");
    const auto g = group_of(s.topic, "workers");
    append_to(s, 1, strings(100, "poison"));
    const std::string reason(1'000, 'r');
    std::uint64_t moved = 0;
    while (one(dead_letter{s.topic, g, {moved + 1}, "dead", 1, errc::rejected, reason}).ok())
        ++moved;
    EXPECT_EQ(replies_[0].code, errc::store_full);
    EXPECT_GT(moved, 60U);
    EXPECT_LT(moved, 95U);
    ASSERT_TRUE(one(purge{reader(*db_).find_topic("dead").value()}).ok());
    ASSERT_TRUE(one(purge{s.topic}).ok());
    EXPECT_EQ(db_->stats().stored_bytes, 0U);
}

TEST_F(Letters, ThatNeedMuchReadingAreMovedInSeveralTransactions) {
    const auto s = opened("jobs", "a");
    constexpr std::uint64_t count = 30;
    append_to(s, 1, strings(count, std::string(280'000, 'x')));
    const auto g = group_of(s.topic, "workers");
    std::vector<command> commands;
    for (std::uint64_t o = 1; o <= count; ++o)
        commands.emplace_back(dead_letter{s.topic, g, {o}, "dead", 1, errc::rejected, ""});
    const std::uint64_t before = db_->stats().commits;
    for (const reply& answer : all(commands)) ASSERT_EQ(answer.code, errc::ok);
    EXPECT_EQ(db_->stats().commits, before + 2);
    EXPECT_EQ(texts("dead").size(), count);
    EXPECT_TRUE(pending(s.topic, g).empty());
}

TEST_F(Group, KnowsOfSoManyAttemptsAndForgetsThemInSeveralTransactions) {
    const auto s = opened("jobs", "a");
    append_to(s, 1, strings(attempts_max + 1, ""));
    constexpr int groups = 10;
    const std::string reason(200, 'r');
    std::vector<command> seeks;
    for (int i = 0; i < groups; ++i) {
        const auto g = group_of(s.topic, "g" + std::to_string(i));
        std::vector<command> notes;
        for (std::uint64_t o = 1; o <= attempts_max + 1; ++o)
            notes.emplace_back(note_attempts{s.topic, g, {o}, 1, {}, reason});
        EXPECT_EQ(all(notes).back().code, errc::limit_exceeded);
        EXPECT_TRUE(one(note_attempts{s.topic, g, {1}, 2, {}, reason}).ok()) << "is known";
        seeks.emplace_back(seek_group{s.topic, g, {1}});
    }
    const std::uint64_t before = db_->stats().commits;
    for (const reply& answer : all(seeks)) EXPECT_EQ(answer.code, errc::ok);
    EXPECT_EQ(db_->stats().commits, before + 2);
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "db").sound());
}

}  // namespace
}  // namespace cairn::test
