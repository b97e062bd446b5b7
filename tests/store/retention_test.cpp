#include "store/support/fixture.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using namespace store;

using Retention = Database;
using Full = Database;

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

TEST_F(Retention, ThatRefusesTakesABatchLargerThanItsLimitWhileTheTopicHoldsNothing) {
    const strings three{std::string(400, 'a'), std::string(400, 'b'), std::string(400, 'c')};
    for (const retention& keep : {retention{.messages_max = 2, .when_full = full_policy::refuse},
                                  retention{.bytes_max = 500, .when_full = full_policy::refuse}}) {
        const std::string topic = keep.messages_max > 0 ? "few" : "small";
        one(create_topic{topic, {.retention = keep}});
        const auto s = opened(topic, "a");
        EXPECT_TRUE(append_to(s, 1, three).ok()) << topic;
        EXPECT_EQ(texts(topic), three) << topic;
        EXPECT_EQ(append_to(s, 4, {"4"}).code, errc::store_full) << topic;
        one(trim{s.topic, {2}});
        EXPECT_EQ(append_to(s, 4, three).code, errc::store_full) << topic;
        one(trim{s.topic, {3}});
        EXPECT_TRUE(append_to(s, 4, three).ok()) << topic;
        EXPECT_EQ(texts(topic), three) << topic;
    }
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

TEST_F(Retention, DropsWhatIsOlderThanTheStoresAgeInEveryTopic) {
    chosen_.age_max = std::chrono::seconds(1);
    reopen();
    const auto create = [&](const char* name, std::chrono::milliseconds age) {
        one(create_topic{name, {.retention = {.age_max = age}}});
        append_to(opened(name, "a"), 1, {name});
    };
    create("none", {});
    create("longer", std::chrono::seconds(10));
    create("shorter", std::chrono::milliseconds(500));
    now_ += std::chrono::milliseconds(600);
    all({});
    EXPECT_EQ(texts("none"), strings{"none"});
    EXPECT_EQ(texts("longer"), strings{"longer"});
    EXPECT_TRUE(texts("shorter").empty());
    now_ += std::chrono::milliseconds(600);
    all({});
    EXPECT_TRUE(texts("none").empty());
    EXPECT_TRUE(texts("longer").empty());
}

TEST_F(Retention, DropsABoundedShareOfALargeTrimWithEachCommit) {
    const auto s = opened("jobs", "a");
    constexpr std::uint64_t count = 20'000;
    std::vector<command> commands;
    for (std::uint64_t at = 1; at <= count; ++at)
        commands.emplace_back(batch(s, {1}, at, 1, records({"x"})));
    ASSERT_TRUE(all(commands).back().ok());
    EXPECT_TRUE(one(trim{s.topic, {count}}).ok());
    EXPECT_TRUE(read("jobs").entries.empty()) << "at once, though it is there";
    std::uint64_t dropped = db_->stats().trimmed_batches;
    EXPECT_LE(dropped, 4'100U);
    while (more_) {
        all({});
        EXPECT_LE(db_->stats().trimmed_batches - dropped, 4'100U);
        EXPECT_GT(db_->stats().trimmed_batches, dropped);
        dropped = db_->stats().trimmed_batches;
    }
    EXPECT_EQ(dropped, count);
    EXPECT_EQ(db_->stats().stored_bytes, 0U);
}

class Keyed : public Database {
protected:
    const source_opened source_ = std::get<source_opened>(
        one(open_source{"prices", "a", {1}, "", true, {.last_per_key = true}}).value);

    /// So many messages with as many keys.
    append keyed(std::uint64_t first, std::uint32_t count) const {
        body_bytes body;
        for (std::uint64_t at = first; at < first + count; ++at)
            add_record(body, "x", std::to_string(at));
        return batch(source_, {1}, first, count, std::move(body));
    }
};

TEST_F(Keyed, MessagesAreDroppedWithABoundedNumberOfKeysInEachCommit) {
    for (std::uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(one(keyed(2'000 * i + 1, 2'000)).ok());
    EXPECT_TRUE(one(trim{source_.topic, {40'000}}).ok());
    std::uint64_t dropped = db_->stats().trimmed_batches;
    EXPECT_LE(dropped, 3U);
    while (more_) {
        all({});
        EXPECT_LE(db_->stats().trimmed_batches - dropped, 3U);
        dropped = db_->stats().trimmed_batches;
    }
    EXPECT_EQ(dropped, 20U);
    EXPECT_EQ(db_->stats().stored_bytes, 0U);
}

TEST_F(Keyed, MessagesGoIntoAsManyTransactionsAsTheirKeysNeed) {
    const std::uint64_t before = db_->stats().commits;
    for (const reply& answer : all({keyed(1, 20'000), keyed(20'001, 20'000), keyed(40'001, 9'000)}))
        EXPECT_TRUE(answer.ok());
    EXPECT_EQ(db_->stats().commits, before + 2);
    EXPECT_EQ(read("prices").end, offset{49'001});
}

TEST_F(Database, PutsVeryManyCommandsIntoSeveralTransactions) {
    const auto s = opened("jobs", "a");
    const std::uint64_t before = db_->stats().commits;
    std::vector<command> commands;
    for (std::uint64_t at = 1; at <= 30'000; ++at)
        commands.emplace_back(batch(s, {1}, at, 1, records({"x"})));
    for (const reply& answer : all(commands)) ASSERT_TRUE(answer.ok());
    EXPECT_EQ(db_->stats().commits, before + 2);
    EXPECT_EQ(read("jobs").end, offset{30'001});
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
    append_to(s, 1, {"1", "2", "3"});
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

TEST_F(Full, RefusesManyAppendsThatDropForNothingAndNoneOfAnotherTopic) {
    options small = small_options();
    small.quota_bytes = 1'000'000;
    reopen(small);
    ASSERT_TRUE(append_to(opened("jobs", "a"), 1, {std::string(900'000, 'a')}).ok());
    one(create_topic{"short", {.retention = {.bytes_max = 50'000}}});
    const auto hopeless = opened("short", "a");
    ASSERT_TRUE(append_to(hopeless, 1, {"stays"}).ok());
    const auto good = opened("good", "a");
    std::vector<command> commands;
    for (int i = 0; i < 40; ++i)
        commands.emplace_back(batch(hopeless, {1}, 2, 1, records({std::string(200'000, 'x')})));
    commands.emplace_back(batch(good, {1}, 1, 1, records({"good"})));
    all(commands);
    EXPECT_TRUE(replies_.back().ok()) << name(replies_.back().code);
    replies_.pop_back();
    for (const reply& answer : replies_) EXPECT_EQ(answer.code, errc::store_full);
    EXPECT_EQ(texts("short"), strings{"stays"});
    EXPECT_EQ(texts("good"), strings{"good"});
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
