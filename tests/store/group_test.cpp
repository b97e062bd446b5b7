#include "store/support/fixture.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using namespace store;

using Group = Database;
using Letters = Database;
using Retention = Database;
using Full = Database;

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

TEST_F(Group, TakesLessThanTwoMegabytesForAMillionScatteredMessages) {
    const auto s = opened("jobs", "a");
    // 16 million messages of which every sixteenth stays open.
    constexpr std::uint32_t batch_count = 1U << 20;
    const body_bytes body(std::size_t{batch_count} * wire::record_word_bytes);
    for (std::uint64_t i = 0; i < 16; ++i)
        ASSERT_TRUE(one(batch(s, {1}, i * batch_count + 1, batch_count, body)).ok());
    const auto g = group_of(s.topic, "workers");
    const std::uint64_t before = db_->stats().file_bytes;
    ack scattered{s.topic, g, {}};
    for (std::uint64_t o = 1; o < 16 * std::uint64_t{batch_count}; o += 16)
        scattered.ranges.push_back({{o + 1}, {o + 15}});
    ASSERT_TRUE(one(std::move(scattered)).ok());
    EXPECT_EQ(reader(*db_).group(s.topic, g)->pending, 1U << 20);
    EXPECT_LT(db_->stats().file_bytes - before, 2'000'000U);
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

TEST_F(Retention, CountsTheRecordsOfKeys) {
    const auto stored_of = [&](const char* topic, bool last_per_key) {
        const std::uint64_t before = db_->stats().stored_bytes;
        const auto s = std::get<source_opened>(
            one(open_source{topic, "a", {1}, "", true, {.last_per_key = last_per_key}}).value);
        body_bytes body;
        for (int i = 0; i < 100; ++i)
            add_record(body, "x", std::string(200, 'k') + std::to_string(i % 50));
        EXPECT_TRUE(one(batch(s, {1}, 1, 100, body)).ok());
        const std::uint64_t stored = db_->stats().stored_bytes - before;
        EXPECT_TRUE(one(purge{s.topic}).ok());
        EXPECT_EQ(db_->stats().stored_bytes, before);
        return stored;
    };
    const std::uint64_t without = stored_of("without", false);
    EXPECT_GT(stored_of("with", true), without + std::uint64_t{50} * 200);
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

TEST_F(Retention, DropsTheOldestBeyondItsLimits) {
    one(create_topic{"few", {.retention = {.messages_max = 3}}});
    const auto s = opened("few", "a");
    for (std::uint64_t i = 1; i <= 5; ++i) append_to(s, i, {std::to_string(i)});
    EXPECT_EQ(texts("few"), (strings{"3", "4", "5"}));
}

TEST_F(Retention, RefusesBeyondItsLimitsWhenAskedTo) {
    one(create_topic{"few", {.retention = {.messages_max = 1, .when_full = full_policy::refuse}}});
    const auto s = opened("few", "a");
    EXPECT_TRUE(append_to(s, 1, {"1"}).ok());
    EXPECT_EQ(append_to(s, 2, {"2"}).code, errc::store_full);
    one(trim{s.topic, {1}});
    EXPECT_TRUE(append_to(s, 2, {"2"}).ok());
}

TEST_F(Retention, DropsWhatIsOlderThanItsAge) {
    one(create_topic{"news", {.retention = {.age_max = std::chrono::seconds(1)}}});
    const auto s = opened("news", "a");
    append_to(s, 1, {"old"});
    now_ += std::chrono::milliseconds(900);
    append_to(s, 2, {"new"});
    now_ += std::chrono::milliseconds(200);
    all({});
    EXPECT_EQ(texts("news"), strings{"new"});
}

TEST_F(Retention, DropsWhatAllGroupsHaveAcked) {
    one(create_topic{"jobs", {.retention = {.until_acked = true}}});
    const auto s = opened("jobs", "a");
    append_to(s, 1, {"1"});
    append_to(s, 2, {"2"});
    const auto g = group_of(s.topic, "g");
    const auto h = group_of(s.topic, "h");
    one(ack{s.topic, g, {{{1}, {2}}}});
    EXPECT_EQ(texts("jobs").size(), 2U);
    one(ack{s.topic, h, {{{1}, {1}}}});
    EXPECT_EQ(texts("jobs"), strings{"2"});
}

TEST_F(Retention, DropsWhatAllGroupsHaveAckedInEveryTopicWhenTheStoreIsToldTo) {
    chosen_.until_acked = true;
    reopen();
    for (const char* const topic : {"jobs", "mails"}) {
        const auto s = opened(topic, "a");
        append_to(s, 1, {"1"});
        append_to(s, 2, {"2"});
        const auto g = group_of(s.topic, "g");
        one(ack{s.topic, g, {{{1}, {1}}}});
        EXPECT_EQ(texts(topic), strings{"2"});
    }
    append_to(opened("nobody's", "a"), 1, {"stays"});
    all({});
    EXPECT_EQ(texts("nobody's"), strings{"stays"});
}

TEST_F(Retention, DropsAsMuchAsACommitOfSmallBatchesBrings) {
    for (const retention& keep : {retention{.messages_max = 10}, retention{.bytes_max = 10'000}}) {
        const std::string topic = keep.messages_max > 0 ? "few" : "small";
        one(create_topic{topic, {.retention = keep}});
        const auto s = opened(topic, "a");
        for (std::uint64_t at = 1; at < 12'000;) {
            std::vector<command> commands;
            for (int i = 0; i < 4'000; ++i)
                commands.emplace_back(batch(s, {1}, at++, 1, records({"x"})));
            for (const reply& answer : all(commands)) ASSERT_EQ(answer.code, errc::ok);
        }
        const topic_info info = reader(*db_).topic(s.topic).value();
        EXPECT_LE(info.end - info.first, 100U) << topic;
        EXPECT_GE(info.end - info.first, 10U) << topic;
    }
}

// Small batches stand where a large one needs room: more of them than one commit cleans up.
TEST_F(Retention, DropsAsManySmallBatchesAsALargeOneNeeds) {
    constexpr std::uint64_t bytes_max = 2'000'000;
    chosen_.quota_bytes = 2 * bytes_max;
    chosen_.when_full = full_policy::drop_oldest;
    reopen();
    one(create_topic{"own limit", {.retention = {.bytes_max = bytes_max}}});
    for (const char* const topic : {"own limit", "limit of the store"}) {
        const auto s = opened(topic, "a");
        std::vector<command> commands;
        for (std::uint64_t at = 1; at <= 20'000; ++at)
            commands.emplace_back(batch(s, {1}, at, 1, records({"x"})));
        for (const reply& answer : all(commands)) ASSERT_EQ(answer.code, errc::ok);
        EXPECT_EQ(append_to(s, 20'001, {std::string(1'800'000, 'x')}).code, errc::ok) << topic;
        EXPECT_LE(db_->stats().stored_bytes, chosen_.quota_bytes);
    }
    EXPECT_LE(reader(*db_).topic(reader(*db_).find_topic("own limit").value())->bytes, bytes_max);
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "db").sound());
}

TEST_F(Retention, KeepsTheNewestBatchThoughItAloneIsAboveTheLimit) {
    one(create_topic{"small", {.retention = {.bytes_max = 100'000}}});
    const auto s = opened("small", "a");
    for (std::uint64_t i = 1; i <= 10; ++i) append_to(s, i, {std::string(1'000, 'x')});
    const std::string large(300'000, 'l');
    EXPECT_TRUE(append_to(s, 11, {large}).ok());
    all({});
    EXPECT_EQ(texts("small"), strings{large});
    EXPECT_TRUE(one(declare_lost{s.topic, s.source, {1}, {{12}, {12}}, errc::lost}).ok());
    EXPECT_EQ(texts("small"), strings{large}) << "a mark takes no message's place";
    EXPECT_TRUE(append_to(s, 13, {"next"}).ok());
    EXPECT_EQ(texts("small"), strings{"next"});
}

TEST_F(Retention, WaitsForTheGroupsThatExist) {
    one(create_topic{"jobs", {.retention = {.until_acked = true}}});
    const auto s = opened("jobs", "a");
    append_to(s, 1, many(3));
    const auto g = group_of(s.topic, "g");
    const auto h = group_of(s.topic, "h");
    EXPECT_EQ(reader(*db_).topic(s.topic)->groups, 2U);
    one(ack{s.topic, g, {{{1}, {2}}}});
    reopen();
    EXPECT_TRUE(one(delete_group{s.topic, h}).ok());
    EXPECT_EQ(reader(*db_).topic(s.topic)->groups, 1U);
    EXPECT_EQ(read("jobs").first, offset{3});
}

TEST_F(Retention, DeletesALargeTopicInSteps) {
    const auto s = opened("large", "a");
    for (std::uint64_t i = 1; i <= 30; ++i) append_to(s, i, {std::string(1'000'000, 'x')});
    EXPECT_TRUE(one(delete_topic{s.topic}).ok());
    EXPECT_TRUE(more_);
    EXPECT_EQ(reader(*db_).find_topic("large").error(), errc::topic_unknown);
    while (db_->commit({}, now_, replies_)) {
    }
    EXPECT_EQ(db_->stats().stored_bytes, 0U);
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "db").sound());
}

TEST_F(Retention, IsSoundWhenItIsClosedAmidADeletion) {
    const auto s = opened("large", "a");
    append_to(s, 1, strings(6'000, ""));
    const auto g = group_of(s.topic, "workers");
    std::vector<command> notes;
    for (std::uint64_t o = 1; o <= 6'000; ++o)
        notes.emplace_back(note_attempts{s.topic, g, {o}, 1, {}, ""});
    ASSERT_TRUE(all(notes).back().ok());
    EXPECT_TRUE(one(delete_topic{s.topic}).ok());
    EXPECT_TRUE(more_);
    db_.reset();
    const verify_report report = verify(directory_ / "db");
    EXPECT_TRUE(report.sound()) << report.findings.front().what;
}

TEST_F(Retention, ForgetsTheEndsOfRunsThatEndedLongAgo) {
    const auto s = opened("jobs", "a");
    const auto run = [&](std::uint64_t e) {
        opened("jobs", "a", e);
        ASSERT_TRUE(append_to(s, 1, {"x"}, e).ok());
    };
    run(1);
    const auto g = group_of(s.topic, "workers");
    const auto acked_of = [&](std::uint64_t e) {
        return one(ack_positions{s.topic, g, s.source, {e}, {{{1}, {1}}}}).code;
    };
    for (std::uint64_t e = 2; e <= ended_runs_max + 10; ++e) run(e);
    EXPECT_EQ(acked_of(1), errc::ok) << "it is stored";
    ASSERT_TRUE(one(trim{s.topic, {ended_runs_max}}).ok());
    all({});
    for (std::uint64_t e = ended_runs_max + 11; e <= ended_runs_max + 20; ++e) run(e);
    EXPECT_EQ(acked_of(1), errc::not_stored);
    EXPECT_EQ(acked_of(19), errc::not_stored);
    EXPECT_EQ(acked_of(20), errc::ok);
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "db").sound());
}

TEST_F(Full, RefusesAppendsAndGoesOnWithAcksAndTrims) {
    options tight = small_options();
    tight.map_bytes = std::size_t{192} << 20;
    reopen(tight);
    const auto s = opened("jobs", "a");
    const auto g = group_of(s.topic, "workers");
    std::uint64_t next = 1;
    while (append_to(s, next, {std::string(1'000'000, 'x')}).ok()) ++next;
    EXPECT_EQ(replies_[0].code, errc::store_full);
    for (std::uint64_t o = 1; o < next; o += 2)
        ASSERT_TRUE(one(ack{s.topic, g, {{{o}, {o}}}}).ok()) << o;
    for (std::uint64_t o = 1; o < next; ++o) ASSERT_TRUE(one(trim{s.topic, {o}}).ok()) << o;
    while (db_->commit({}, now_, replies_)) {
    }
    EXPECT_TRUE(append_to(s, next, {"room again"}).ok());
}

TEST_F(Full, DropsTheOldestOfTheStoreWhenAskedTo) {
    options small = small_options();
    small.quota_bytes = 3'000'000;
    small.when_full = full_policy::drop_oldest;
    reopen(small);
    const auto a = opened("first", "a");
    const auto b = opened("second", "b");
    append_to(a, 1, {std::string(1'000'000, 'a')});
    now_ += std::chrono::seconds(1);
    for (std::uint64_t i = 1; i <= 5; ++i)
        ASSERT_TRUE(append_to(b, i, {std::string(1'000'000, 'b')}).ok());
    EXPECT_TRUE(texts("first").empty());
    EXPECT_EQ(texts("second").size(), 2U);
    EXPECT_LE(db_->stats().stored_bytes, small.quota_bytes);
}

TEST_F(Full, DropsNothingForAnAppendThatItRefuses) {
    options small = small_options();
    small.quota_bytes = 1'000'000;
    reopen(small);
    append_to(opened("others", "b"), 1, {std::string(700'000, 'b')});
    one(create_topic{"own", {.retention = {.bytes_max = 250'000}}});
    const auto s = opened("own", "a");
    for (std::uint64_t i = 1; i <= 2; ++i) append_to(s, i, {std::string(100'000, 'a')});
    EXPECT_EQ(append_to(s, 3, {std::string(400'000, 'a')}).code, errc::store_full);
    EXPECT_EQ(texts("own").size(), 2U);
    EXPECT_TRUE(append_to(s, 3, {std::string(100'000, 'a')}).ok());
    small.when_full = full_policy::drop_oldest;
    reopen(small);
    EXPECT_EQ(append_to(s, 4, {std::string(2'000'000, 'a')}).code, errc::store_full);
    EXPECT_EQ(texts("others").size(), 1U) << "it would not fit if all went";
}

TEST_F(Full, FindsTheOldestAmongManyTopicsThatHoldNothing) {
    options small = small_options();
    small.quota_bytes = 3'000'000;
    small.when_full = full_policy::drop_oldest;
    reopen(small);
    const auto create_many = [&](const std::string& prefix) {
        for (int i = 0; i < 100; ++i)
            ASSERT_TRUE(one(create_topic{prefix + std::to_string(i), {}}).ok());
    };
    create_many("before");
    const auto large = opened("large", "a");
    append_to(large, 1, {std::string(2'900'000, 'x')});
    create_many("behind");
    const auto other = opened("other", "b");
    EXPECT_TRUE(append_to(other, 1, {std::string(500'000, 'y')}).ok());
    EXPECT_TRUE(texts("large").empty());
}

// A consumer that is slow for a long time reads in short transactions: nothing is pinned.
TEST_F(Full, DoesNotGrowWhileASlowReaderLagsBehind) {
    const auto s = opened("jobs", "a");
    reader slow(*db_);
    page found;
    std::uint64_t grown = 0;
    for (std::uint64_t i = 1; i <= 3'000; ++i) {
        append_to(s, i, {std::string(50'000, 'x')});
        if (i > 20) one(trim{s.topic, {i - 20}});
        if (i % 10 == 0) {
            ASSERT_EQ(slow.read(s.topic, {i > 15 ? i - 15 : 1}, 1, buffer_, found), errc::ok);
        }
        if (i == 300) grown = db_->stats().file_bytes;
    }
    EXPECT_LE(db_->stats().file_bytes, grown + grown / 10);
}

}  // namespace
}  // namespace cairn::test
