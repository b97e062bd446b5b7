#include "store/support/fixture.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

namespace cairn::test {
namespace {

using namespace store;

TEST_F(Database, GivesDenseOffsetsAcrossSourcesAndBatches) {
    const auto a = opened("quakes", "a");
    const auto b = opened("quakes", "b");
    EXPECT_EQ(stored(append_to(a, 1, {"a1", "a2"})), (offset_range{{1}, {2}}));
    EXPECT_EQ(stored(append_to(b, 1, {"b1"})), (offset_range{{3}, {3}}));
    EXPECT_EQ(stored(append_to(a, 3, {"a3"})), (offset_range{{4}, {4}}));
    EXPECT_EQ(texts("quakes"), (strings{"a1", "a2", "b1", "a3"}));
}

TEST_F(Database, ConfirmsARepeatAgainWithItsFirstOffsets) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one", "two"});
    const auto again = append_to(s, 1, {"one", "two"});
    EXPECT_TRUE(std::get<appended>(again.value).repeated);
    EXPECT_EQ(stored(again), (offset_range{{1}, {2}}));
    EXPECT_EQ(texts("quakes").size(), 2U);
}

TEST_F(Database, StoresTheRestOfABatchThatIsPartlyStored) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one", "two"});
    EXPECT_EQ(stored(append_to(s, 2, {"two", "three", "four"})), (offset_range{{3}, {4}}));
    EXPECT_EQ(texts("quakes"), (strings{"one", "two", "three", "four"}));
}

TEST_F(Database, RefusesAnotherContentForAPosition) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one", "two"});
    EXPECT_EQ(append_to(s, 1, {"one", "TWO"}).code, errc::conflict);
    EXPECT_EQ(append_to(s, 2, {"TWO", "three"}).code, errc::conflict);
    EXPECT_EQ(texts("quakes"), (strings{"one", "two"}));
}

TEST_F(Database, AnswersAHoleWithThePositionThatItExpects) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one"});
    const reply answer = append_to(s, 3, {"three"});
    EXPECT_EQ(answer.code, errc::hole);
    EXPECT_EQ(std::get<expected>(answer.value).next, sequence{2});
}

TEST_F(Database, FencesTheOlderRunOfASource) {
    const auto s = opened("quakes", "a", 1);
    append_to(s, 1, {"old"});
    const auto newer = opened("quakes", "a", 2);
    EXPECT_EQ(newer.last, sequence{0});
    const reply late = append_to(s, 2, {"late"});
    EXPECT_EQ(late.code, errc::fenced);
    EXPECT_EQ(std::get<fenced_by>(late.value).newer, epoch{2});
    EXPECT_EQ(one(open_source{"quakes", "a", {1}, "", true}).code, errc::fenced);
    EXPECT_TRUE(append_to(newer, 1, {"new"}, 2).ok());
}

TEST_F(Database, LetsASourceToTheOwnerWhoOpenedItFirst) {
    EXPECT_TRUE(one(open_source{"quakes", "a", {1}, "alice", true}).ok());
    EXPECT_EQ(one(open_source{"quakes", "a", {2}, "mallory", true}).code, errc::not_authorised);
}

TEST_F(Database, RefusesWhatIsNotAsItsSenderHashedIt) {
    const auto s = opened("quakes", "a");
    append wrong = batch(s, {1}, 1, 1, records({"x"}));
    ++wrong.checksum;
    EXPECT_EQ(one(wrong).code, errc::checksum_mismatch);
    append torn = batch(s, {1}, 1, 2, records({"x"}));
    EXPECT_EQ(one(torn).code, errc::malformed);
}

TEST_F(Database, LeavesNeighboursOfAFailedCommandAlone) {
    const auto s = opened("quakes", "a");
    const auto answers = all({batch(s, {1}, 1, 1, records({"one"})), ack{{99}, {1}, {}},
                              batch(s, {1}, 2, 1, records({"two"}))});
    EXPECT_TRUE(answers[0].ok());
    EXPECT_EQ(answers[1].code, errc::topic_unknown);
    EXPECT_TRUE(answers[2].ok());
    EXPECT_EQ(texts("quakes"), (strings{"one", "two"}));
}

TEST_F(Database, NeverGivesAnOffsetTwice) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one", "two"});
    EXPECT_TRUE(one(purge{s.topic}).ok());
    reopen();
    EXPECT_EQ(stored(append_to(opened("quakes", "a"), 3, {"three"})), (offset_range{{3}, {3}}));
}

TEST_F(Database, KeepsAMessageOf64MiB) {
    const auto s = opened("large", "a");
    const std::string large(std::size_t{64} << 20, 'x');
    ASSERT_TRUE(append_to(s, 1, {large}).ok());
    EXPECT_EQ(texts("large"), strings{large});
}

TEST_F(Database, TellsReadersWhatASourceDeclaredLostInItsPlace) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one"});
    ASSERT_TRUE(one(declare_lost{s.topic, s.source, {1}, {{2}, {9}}, errc::gone}).ok());
    append_to(s, 10, {"ten"});
    const auto entries = read("quakes").entries;
    ASSERT_EQ(entries.size(), 3U);
    EXPECT_EQ(entries[1].what, entry::kind::lost);
    EXPECT_EQ(entries[1].sequences, (sequence_range{{2}, {9}}));
    EXPECT_EQ(entries[1].cause, errc::gone);
    EXPECT_EQ(entries[2].offsets.first, offset{2});
}

TEST_F(Database, FindsAPositionAndATimeByTheIndex) {
    const auto s = opened("quakes", "a");
    now_ = at_ms(2'000);
    append_to(s, 1, {"one", "two"});
    now_ = at_ms(3'000);
    append_to(s, 3, {"three"});
    reader from(*db_);
    EXPECT_EQ(from.offset_of(s.topic, s.source, {1}, {3}).value(), offset{3});
    EXPECT_EQ(from.offset_of(s.topic, s.source, {1}, {4}).error(), errc::not_stored);
    EXPECT_EQ(from.offset_at(s.topic, at_ms(2'500)).value(), offset{3});
    EXPECT_EQ(from.offset_at(s.topic, at_ms(1'500)).value(), offset{1});
    EXPECT_EQ(from.offset_at(s.topic, at_ms(9'000)).value(), offset{4});
}

// No source can open it, but a file may hold it.
TEST_F(Database, TellsThePositionBehindARunOfTheHighestEpoch) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one"});
    append_to(opened("quakes", "b"), 1, {"two"});
    db_.reset();
    constexpr epoch highest{~std::uint64_t{0}};
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        const body_bytes body = records({"one"});
        batch_record header;
        header.count = 1;
        header.body_bytes = static_cast<std::uint32_t>(body.size());
        header.source = s.source;
        header.epoch = highest;
        header.first = {1};
        header.checksum = wire::checksum(body);
        write_batch(txn, dbs, s.topic, {1}, header, body);
        source_record source;
        source.name = "a";
        source.epoch = highest;
        source.last = {1};
        source.tail = {{1}, {1}};
        put(txn, dbs, source_key(s.topic, s.source), source);
        auto counters = counters_in(txn, dbs);
        counters.commit = txn.id();
        put(txn, dbs, counters_key(), counters);
    });
    reopen();
    const auto at = reader(*db_).position_at(s.topic, s.source, {2});
    ASSERT_TRUE(at.has_value());
    EXPECT_EQ(at->epoch, highest);
    EXPECT_EQ(at->sequence, sequence{2});
}

TEST_F(Database, KeepsStoredTimesInOrderWhenTheClockGoesBack) {
    const auto s = opened("quakes", "a");
    now_ = at_ms(1'000'000);
    append_to(s, 1, {"one"});
    now_ = at_ms(5);
    append_to(s, 2, {"two"});
    const auto entries = read("quakes").entries;
    EXPECT_EQ(entries[1].stored, entries[0].stored);
}

TEST_F(Database, ListsTheLastMessageOfEachKey) {
    const auto created = std::get<topic_created>(
        one(create_topic{"prices", {.retention = {}, .confirm = {}, .last_per_key = true}}).value);
    const auto s = opened("prices", "a");
    body_bytes body;
    for (const auto& [text, key] : {std::pair{"1", "oil"}, {"2", "tin"}, {"3", "oil"}})
        add_record(body, text, key);
    ASSERT_TRUE(one(batch(s, {1}, 1, 3, std::move(body))).ok());
    reader from(*db_);
    EXPECT_EQ(from.last_of_key(created.topic, "oil").value(), offset{3});
    EXPECT_EQ(from.last_per_key(created.topic, {})->size(), 2U);
    EXPECT_EQ(from.last_of_key(created.topic, "gold").error(), errc::gone);
}

TEST_F(Database, ConfirmsWrittenMessagesBeforeTheSyncAndSaysSo) {
    topic_config early;
    early.confirm = durability::written;
    one(create_topic{"ticks", early});
    const auto s = opened("ticks", "a");
    const std::vector<command> commands{batch(s, {1}, 1, 1, records({"x"}))};
    std::vector<reply> replies;
    int told = 0;
    db_->commit(commands, now_, replies, [&](std::size_t, const reply& r) {
        ++told;
        EXPECT_EQ(std::get<appended>(r.value).level, durability::written);
    });
    EXPECT_EQ(told, 1);
}

TEST_F(Database, IsOpenOnceOnly) {
    try {
        const database second(directory_ / "db", small_options());
        FAIL();
    } catch (const error& refused) {
        EXPECT_EQ(refused.code(), errc::store_in_use);
        EXPECT_NE(std::string(refused.what()).find("open in this process"), std::string::npos);
    }
}

TEST_F(Database, ShowsWhetherItWasClosedInGoodOrder) {
    opened("quakes", "a");
    reopen();
    EXPECT_TRUE(db_->opened().clean);
    EXPECT_FALSE(db_->opened().created);
    db_.reset();
    std::ofstream(directory_ / "db" / "cairn.lock") << 'o';
    reopen();
    EXPECT_FALSE(db_->opened().clean);
    reopen();
    EXPECT_TRUE(db_->opened().clean) << "though nothing was committed in between";
    db_.reset();
    std::filesystem::remove(directory_ / "db" / "cairn.lock");  // as in a copy
    reopen();
    EXPECT_TRUE(db_->opened().clean);
}

// A file that is mapped for writing can be written to by anybody's stray pointer, and a full disk
// is a signal then.
TEST_F(Database, MapsItsFileForReadingAlone) {
    const std::string file = std::filesystem::canonical(directory_ / "db" / "data.mdb").string();
    std::ifstream maps("/proc/self/maps");
    int found = 0;
    for (std::string line; std::getline(maps, line);) {
        if (!line.ends_with(" " + file)) continue;
        EXPECT_NE(line.find(" r--s "), std::string::npos) << line;
        ++found;
    }
    EXPECT_EQ(found, 1);
}

TEST_F(Database, ShowsAnotherGenerationInARestoredCopy) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one"});
    backup(*db_, directory_ / "copy");
    append_to(s, 2, {"two"});
    const auto generation = db_->opened().generation;
    db_ = std::make_unique<database>(directory_ / "copy", small_options());
    EXPECT_NE(db_->opened().generation, generation);
    EXPECT_EQ(texts("quakes"), strings{"one"});
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "copy").sound());
}

TEST_F(Database, GivesDiskSpaceBackWhenItIsCompacted) {
    const auto s = opened("quakes", "a");
    for (std::uint64_t i = 1; i <= 40; ++i) append_to(s, i, {std::string(100'000, 'x')});
    one(trim{s.topic, {39}});
    while (db_->commit({}, now_, replies_)) {
    }
    db_.reset();
    EXPECT_GT(compact(directory_ / "db").given_back, 3'000'000U);
    EXPECT_TRUE(verify(directory_ / "db").sound());
    reopen();
    EXPECT_EQ(read("quakes").first, offset{40});
}

TEST_F(Database, RefusesAFormatThatIsNewerAndNamesTheVersionToInstall) {
    db_.reset();
    rewrite_meta([](meta_record& m) { m.format = format_version + 1, m.needs = "0.9.0"; });
    const std::string data = content("data.mdb");
    const std::string lock = content("cairn.lock");
    EXPECT_EQ(refusal(), errc::store_newer);
    EXPECT_NE(text_.find("0.9.0"), std::string::npos) << text_;
    EXPECT_EQ(content("data.mdb"), data);
    EXPECT_EQ(content("cairn.lock"), lock);
}

TEST_F(Database, RefusesPagesOfAnotherSize) {
    db_.reset();
    rewrite_meta([](meta_record& m) { m.page_bytes = 16'384; });
    EXPECT_EQ(refusal(), errc::not_supported);
}

TEST_F(Database, TellsItsFiguresWhileItIsClosed) {
    opened("quakes", "a");
    const std::uint64_t bytes = db_->stats().file_bytes;
    std::atomic<bool> begun{false};
    std::jthread asking([&](const std::stop_token& enough) {
        while (!enough.stop_requested()) {
            EXPECT_GE(db_->stats().file_bytes, bytes);
            begun = true;
            begun.notify_one();
        }
    });
    begun.wait(false);
    db_->close();
}

TEST_F(Database, RefusesUnknownIncompatibleFlagsAndTakesCompatibleOnes) {
    db_.reset();
    rewrite_meta([](meta_record& m) { m.incompatible = 4; });
    EXPECT_EQ(refusal(), errc::store_newer);
    rewrite_meta([](meta_record& m) { m.incompatible = 0, m.compatible = 4; });
    EXPECT_EQ(refusal(), errc::ok);
}

TEST_F(Database, RefusesAFileWhoseMetaPageIsTorn) {
    db_.reset();
    rewrite_counters([](counters_record& c) { c.commit = 0; });
    EXPECT_EQ(refusal(), errc::store_damaged);
}

TEST_F(Database, IsToldToHaveLostACommitToATornMetaPageWhateverIsDoneToIt) {
    // Of LMDB's two meta pages each is written by every second commit.
    constexpr std::size_t page_bytes = 4'096;
    constexpr std::size_t number_at = 144;
    const auto s = opened("jobs", "a");
    append_to(s, 1, {"one"});
    const std::string before = content("data.mdb");
    append_to(s, 2, {"confirmed"});
    db_.reset();
    std::string torn = content("data.mdb");
    const auto number = [&](std::size_t page) {
        std::uint64_t n = 0;
        std::memcpy(&n, torn.data() + page * page_bytes + number_at, sizeof n);
        return n;
    };
    const std::size_t newest = number(0) > number(1) ? 0 : page_bytes;
    torn.replace(newest, number_at, before, newest, number_at);
    std::ofstream(directory_ / "db" / "data.mdb", std::ios::binary) << torn;
    const auto text_of = [&](auto&& call) -> std::string {
        try {
            call();
        } catch (const error& refused) {
            EXPECT_EQ(refused.code(), errc::store_damaged);
            return refused.what();
        }
        return "done";
    };
    EXPECT_EQ(refusal(), errc::store_damaged);
    const verify_report found = verify(directory_ / "db");
    ASSERT_FALSE(found.sound());
    EXPECT_NE(found.findings.front().what.find("torn"), std::string::npos);
    const auto by_path = [&] { backup(directory_ / "db", directory_ / "copy"); };
    EXPECT_NE(text_of([&] { compact(directory_ / "db"); }).find("torn"), std::string::npos);
    EXPECT_NE(text_of(by_path).find("torn"), std::string::npos);
    EXPECT_EQ(content("data.mdb"), torn);
    EXPECT_EQ(refusal(), errc::store_damaged);
}

TEST_F(Database, IsNotBroughtUpWithATornMetaPage) {
    db_.reset();
    rewrite_meta([](meta_record& m) { m.format = 3; });
    rewrite_counters([](counters_record& c) { --c.commit; });
    EXPECT_EQ(refusal(), errc::store_damaged);
    EXPECT_EQ(refusal(), errc::store_damaged) << "nothing was done to it";
}

TEST_F(Database, BringsAnOlderFormatUpInOneStep) {
    db_.reset();
    rewrite_meta([](meta_record& m) { m.format = 0; });
    EXPECT_EQ(refusal(), errc::store_damaged) << "no step leads on from format 0";
    std::vector<upgrade_step> steps(known_steps().begin(), known_steps().end());
    steps.push_back({0, [](lmdb::transaction& txn, const databases& dbs) {
                         txn.put(dbs.state, last_of_key_key({7}, "upgraded"), {});
                     }});
    EXPECT_TRUE(upgraded(steps));
    EXPECT_FALSE(upgraded(steps));
    EXPECT_EQ(refusal(), errc::ok);
}

TEST_F(Database, NamesTheFirstCairnThatOpensItWhateverFormatItCameFrom) {
    const auto needed = [&] {
        std::string needs;
        rewrite_meta([&](meta_record& m) { needs = m.needs; });
        return needs;
    };
    db_.reset();
    const std::string made_with = needed();
    EXPECT_EQ(made_with, known_steps().back().needs);
    rewrite_meta([](meta_record& m) { m.format = 1, m.needs = "0.0.1"; });
    EXPECT_EQ(refusal(), errc::ok);
    EXPECT_EQ(needed(), made_with);
}

TEST(Directory, KnowsNetworkFileSystems) {
    EXPECT_EQ(network_filesystem(0x6969), "nfs");
    EXPECT_EQ(network_filesystem(0xff534d42), "cifs");
    EXPECT_EQ(network_filesystem(0xef53), "");
}

TEST(Directory, IsRefusedWithoutParentOrSense) {
    const temp_directory directory;
    EXPECT_THROW(database(directory / "no/parent", small_options()), error);
    options absurd = small_options();
    absurd.map_bytes = 1;
    EXPECT_THROW(database(directory / "db", absurd), error);
    absurd = small_options();
    absurd.sources_per_topic_max = 0;
    EXPECT_THROW(database(directory / "db", absurd), error);
    std::ofstream(directory / "file") << "x";
    EXPECT_THROW(database(directory / "file", small_options()), error);
}

}  // namespace
}  // namespace cairn::test
