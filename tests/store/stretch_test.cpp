// What the index has an entry for, and that every position is found by it all the same.
#include "store/support/fixture.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using namespace store;

class Stretch : public Database {
protected:
    Stretch() : a_(opened("quakes", "a")), b_(opened("quakes", "b")) {}

    void append_each(const source_opened& s, std::uint64_t first, std::uint64_t last,
                     std::uint64_t e = 1) {
        std::vector<command> commands;
        for (std::uint64_t at = first; at <= last; ++at)
            commands.emplace_back(batch(s, {e}, at, 1, records({"x"})));
        for (const reply& answer : all(commands)) ASSERT_EQ(answer.code, errc::ok);
    }
    void trim_to(std::uint64_t last) {
        ASSERT_TRUE(one(trim{a_.topic, {last}}).ok());
        while (db_->commit({}, now_, replies_)) {
        }
    }
    /// The closed file's, oldest first: "source run:sequence@offset", and "!" for marks.
    strings entries() {
        db_.reset();
        strings found;
        inside([&](lmdb::transaction& txn, const databases& dbs) {
            lmdb::cursor walk(txn, dbs.index);
            for (auto item = walk.first(); item; item = walk.next()) {
                const index_entry entry = decode_index(item->key, item->value);
                const auto source = load_be<std::uint32_t>(item->key.data() + 4);
                found.push_back(
                    std::to_string(source) + " " + std::to_string(epoch_of_index(item->key).value) +
                    ":" + std::to_string(entry.first.value) +
                    (entry.kind == part_kind::mark ? "!" : "@") + std::to_string(entry.at.value));
            }
        });
        EXPECT_TRUE(verify(directory_ / "db").sound());
        reopen();
        return found;
    }
    std::string place(const source_opened& s, std::uint64_t sequence, std::uint64_t e = 1) const {
        const auto at = reader(*db_).offset_of(s.topic, s.source, {e}, {sequence});
        return at ? std::to_string(at->value) : std::string(name(at.error()));
    }

    source_opened a_;
    source_opened b_;
};

TEST_F(Stretch, OfOneSourceHasOneEntryHoweverItIsTrimmed) {
    append_each(a_, 1, 1'000);
    EXPECT_EQ(entries(), strings{"1 1:1@1"});
    for (const std::uint64_t at : {1U, 2U, 500U, 1'000U})
        EXPECT_EQ(place(a_, at), std::to_string(at));
    EXPECT_EQ(place(a_, 1'001), "not_stored");
    trim_to(700);
    append_each(a_, 1'001, 1'001);
    EXPECT_EQ(entries(), strings{"1 1:1@1"});
    EXPECT_EQ(place(a_, 700), "gone");
    EXPECT_EQ(place(a_, 701), "701");
    EXPECT_EQ(place(a_, 1'001), "1001");
    const run_info run = reader(*db_).run_from(a_.topic, a_.source, {1}).value();
    EXPECT_EQ(run.first_held, sequence{701});
    EXPECT_EQ(run.at, offset{701});
    trim_to(1'001);
    EXPECT_TRUE(entries().empty());
    append_each(a_, 1'002, 1'003);
    EXPECT_EQ(entries(), strings{"1 1:1002@1002"});
    EXPECT_EQ(place(a_, 1'001), "gone");
    EXPECT_EQ(place(a_, 1'003), "1003");
}

TEST_F(Stretch, EndsWhereAnotherSourceOrRunOrALossComesBetween) {
    append_each(a_, 1, 2);
    append_each(b_, 1, 2);
    append_each(a_, 3, 4);
    ASSERT_TRUE(one(declare_lost{a_.topic, b_.source, {1}, {{3}, {9}}, errc::lost}).ok());
    append_each(a_, 5, 6);
    ASSERT_TRUE(one(declare_lost{a_.topic, a_.source, {1}, {{7}, {8}}, errc::lost}).ok());
    append_each(a_, 9, 10);
    a_ = opened("quakes", "a", 2);
    append_each(a_, 1, 2, 2);
    EXPECT_EQ(entries(), (strings{"1 1:1@1", "1 1:3@5", "1 1:7!9", "1 1:9@9", "1 2:1@11", "2 1:1@3",
                                  "2 1:3!7"}));
    EXPECT_EQ(place(a_, 2), "2");
    EXPECT_EQ(place(a_, 4), "6");
    EXPECT_EQ(place(a_, 6), "8");
    EXPECT_EQ(place(a_, 8), "lost");
    EXPECT_EQ(place(a_, 10), "10");
    EXPECT_EQ(place(a_, 2, 2), "12");
    trim_to(5);
    EXPECT_EQ(entries(), (strings{"1 1:3@5", "1 1:7!9", "1 1:9@9", "1 2:1@11", "2 1:3!7"}));
    EXPECT_EQ(place(a_, 3), "gone");
    EXPECT_EQ(place(a_, 4), "6");
    EXPECT_EQ(place(b_, 9), "lost");
}

TEST_F(Stretch, OfFormatOneHasAnEntryForEachBatchAndGoesOn) {
    append_each(a_, 1, 5);
    append_each(b_, 1, 1);
    append_each(a_, 6, 9);
    db_.reset();
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        log_walk walk(txn, dbs, a_.topic);
        for (walk.start({1}); walk.here() == log_walk::kind::batch; walk.next()) {
            const batch_record header = walk.batch().header;
            const key k = index_key(a_.topic, header.source, header.epoch, header.first);
            std::vector<std::byte> value;
            packer(value).number(walk.at().value).number(std::uint32_t{1} << 24);
            add_seal(k, value);
            txn.put(dbs.index, k, value);
        }
        const auto stored = txn.get(dbs.state, topic_key(a_.topic));
        const bytes content = unsealed(topic_key(a_.topic), *stored);
        std::vector<std::byte> older(content.begin(), content.end() - 12);
        add_seal(topic_key(a_.topic), older);
        txn.put(dbs.state, topic_key(a_.topic), older);
        auto meta = *decode_meta(unsealed(meta_key(), *txn.get(dbs.state, meta_key())));
        meta.format = 1;
        put(txn, dbs, meta_key(), meta);
        auto counters = counters_in(txn, dbs);
        counters.commit = txn.id();
        put(txn, dbs, counters_key(), counters);
    });
    reopen();
    append_each(a_, 10, 12);
    for (const std::uint64_t at : {6U, 9U, 10U, 12U})
        EXPECT_EQ(place(a_, at), std::to_string(at + 1));
    trim_to(8);
    EXPECT_EQ(entries(), (strings{"1 1:8@9", "1 1:9@10", "1 1:10@11"}));
    trim_to(11);
    EXPECT_EQ(entries(), strings{"1 1:10@11"});
    EXPECT_EQ(place(a_, 12), "13");
}

TEST_F(Stretch, IsFoundOnBothSidesOfADamagedBatch) {
    append_each(a_, 1, 9);
    db_.reset();
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        const key k = log_key(a_.topic, {5}, part_kind::piece, 0);
        const auto stored = txn.get(dbs.log, k);
        std::vector<std::byte> changed(stored->begin(), stored->end());
        changed[20] ^= std::byte{1};
        txn.put(dbs.log, k, changed);
        auto counters = counters_in(txn, dbs);
        counters.commit = txn.id();
        put(txn, dbs, counters_key(), counters);
    });
    reopen();
    EXPECT_EQ(place(a_, 4), "4");
    EXPECT_EQ(place(a_, 5), "store_damaged");
    EXPECT_EQ(place(a_, 6), "6");
    trim_to(5);
    EXPECT_EQ(place(a_, 6), "6");
    EXPECT_EQ(reader(*db_).run_from(a_.topic, a_.source, {1})->first_held, sequence{6});
    append_each(a_, 10, 10);
    EXPECT_EQ(place(a_, 10), "10");
}

}  // namespace
}  // namespace cairn::test
