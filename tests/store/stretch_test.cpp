// What the index has an entry for, and that every position is found all the same.
#include "store/support/fixture.hpp"

#include "../../store/src/run_index.hpp"

#include <cairn/store/maintenance.hpp>
#include <cairn/wire/limits.hpp>

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
    /// The sources take turns from now on: a at odd offsets, b at even ones, each in their order.
    void take_turns(std::uint64_t turns) {
        std::vector<command> commands;
        for (std::uint64_t at = 1; at <= turns; ++at) {
            commands.emplace_back(batch(a_, {1}, at, 1, records({"x"})));
            commands.emplace_back(batch(b_, {1}, at, 1, records({"x"})));
        }
        for (const reply& answer : all(commands)) ASSERT_EQ(answer.code, errc::ok);
    }
    void expect_all_found_from(offset first, std::uint64_t turns) {
        for (std::uint64_t at = 1; at <= turns; ++at) {
            const std::uint64_t odd = 2 * at - 1;
            ASSERT_EQ(place(a_, at), odd < first.value ? "gone" : std::to_string(odd));
            ASSERT_EQ(place(b_, at), odd + 1 < first.value ? "gone" : std::to_string(odd + 1));
        }
    }
    /// What older formats had: an entry of the index for each of these batches, and no links.
    void make_older(std::uint32_t format, const std::vector<std::uint64_t>& indexed) {
        db_.reset();
        inside([&](lmdb::transaction& txn, const databases& dbs) {
            const auto shorten = [&](const key& k, std::size_t by) {
                const bytes content = unsealed(k, *txn.get(dbs.state, k));
                std::vector<std::byte> older(content.begin(),
                                             content.end() - static_cast<std::ptrdiff_t>(by));
                add_seal(k, older);
                txn.put(dbs.state, k, older);
            };
            for (const std::uint64_t first : indexed) {
                const key piece = log_key(a_.topic, {first}, part_kind::piece, 0);
                const bytes present = *txn.get(dbs.log, piece);
                std::vector<std::byte> older(present.begin(), present.end());
                batch_record header = *decode_batch_record(older, a_.topic, {first});
                header.back = 0;
                encode(header, a_.topic, {first}, older.data());
                txn.put(dbs.log, piece, older);
                const key k = index_key(a_.topic, header.source, header.epoch, header.first);
                std::vector<std::byte> value;
                packer(value).number(first).number(std::uint32_t{1} << 24);
                add_seal(k, value);
                txn.put(dbs.index, k, value);
            }
            for (const source_opened& s : {a_, b_}) shorten(source_key(s.topic, s.source), 17);
            if (format == 1) shorten(topic_key(a_.topic), 12);
            auto meta = *decode_meta(unsealed(meta_key(), *txn.get(dbs.state, meta_key())));
            meta.format = format;
            put(txn, dbs, meta_key(), meta);
            auto counters = counters_in(txn, dbs);
            counters.commit = txn.id();
            put(txn, dbs, counters_key(), counters);
        });
        reopen();
    }
    void damage(offset first) {
        db_.reset();
        inside([&](lmdb::transaction& txn, const databases& dbs) {
            const key k = log_key(a_.topic, first, part_kind::piece, 0);
            const auto stored = txn.get(dbs.log, k);
            std::vector<std::byte> changed(stored->begin(), stored->end());
            changed[20] ^= std::byte{1};
            txn.put(dbs.log, k, changed);
            auto counters = counters_in(txn, dbs);
            counters.commit = txn.id();
            put(txn, dbs, counters_key(), counters);
        });
        reopen();
    }

    source_opened a_;
    source_opened b_;
};

TEST_F(Stretch, OfOneSourceNeedsNoEntryUntilItsBeginIsTrimmed) {
    append_each(a_, 1, 1'000);
    EXPECT_TRUE(entries().empty());
    for (const std::uint64_t at : {1U, 2U, 500U, 1'000U})
        EXPECT_EQ(place(a_, at), std::to_string(at));
    EXPECT_EQ(place(a_, 1'001), "not_stored");
    trim_to(700);
    append_each(a_, 1'001, 1'001);
    EXPECT_EQ(entries(), strings{"1 1:2@2"});
    EXPECT_EQ(place(a_, 700), "gone");
    EXPECT_EQ(place(a_, 701), "701");
    EXPECT_EQ(place(a_, 1'001), "1001");
    const run_info run = reader(*db_).run_from(a_.topic, a_.source, {1}).value();
    EXPECT_EQ(run.first_held, sequence{701});
    EXPECT_EQ(run.at, offset{701});
    trim_to(1'001);
    EXPECT_TRUE(entries().empty());
    append_each(a_, 1'002, 1'003);
    EXPECT_TRUE(entries().empty());
    EXPECT_EQ(place(a_, 1'001), "gone");
    EXPECT_EQ(place(a_, 1'003), "1003");
}

TEST_F(Stretch, HasItsEntryInFrontOfALossAndAtTheEndOfItsRun) {
    append_each(a_, 1, 2);
    append_each(b_, 1, 2);
    append_each(a_, 3, 4);
    ASSERT_TRUE(one(declare_lost{a_.topic, b_.source, {1}, {{3}, {9}}, errc::lost}).ok());
    append_each(a_, 5, 6);
    ASSERT_TRUE(one(declare_lost{a_.topic, a_.source, {1}, {{7}, {8}}, errc::lost}).ok());
    append_each(a_, 9, 10);
    EXPECT_EQ(entries(), (strings{"1 1:3@5", "1 1:7!9", "2 1:1@3", "2 1:3!7"}));
    a_ = opened("quakes", "a", 2);
    append_each(a_, 1, 2, 2);
    EXPECT_EQ(entries(), (strings{"1 1:3@5", "1 1:7!9", "1 1:9@9", "2 1:1@3", "2 1:3!7"}));
    EXPECT_EQ(place(a_, 2), "2");
    EXPECT_EQ(place(a_, 4), "6");
    EXPECT_EQ(place(a_, 6), "8");
    EXPECT_EQ(place(a_, 8), "lost");
    EXPECT_EQ(place(a_, 10), "10");
    EXPECT_EQ(place(a_, 2, 2), "12");
    trim_to(5);
    EXPECT_EQ(entries(), (strings{"1 1:3@5", "1 1:7!9", "1 1:9@9", "2 1:3!7"}));
    EXPECT_EQ(place(a_, 3), "gone");
    EXPECT_EQ(place(a_, 4), "6");
    EXPECT_EQ(place(b_, 9), "lost");
}

TEST_F(Stretch, OfSourcesThatTakeTurnsIsFoundByLinksFromOneEntryInThirtyTwo) {
    constexpr std::uint64_t turns = 200;
    take_turns(turns);
    expect_all_found_from({1}, turns);
    EXPECT_EQ(entries().size(), 12U) << "six of each source";
    for (std::uint64_t last = 1; last < 2 * turns; last += 7) {
        trim_to(last);
        expect_all_found_from({last + 1}, turns);
        const run_info run = reader(*db_).run_from(a_.topic, a_.source, {1}).value();
        EXPECT_EQ(run.at.value, last + 1 + last % 2);
    }
    EXPECT_LE(entries().size(), 1U);
}

TEST_F(Stretch, TooFarFromTheOneBehindItToBeLinkedHasAnEntry) {
    append_each(a_, 1, 1);
    const auto many = static_cast<std::uint32_t>(wire::batch_messages_max);
    const std::vector<std::byte> empty_records(std::size_t{4} * many);
    std::uint64_t others = 0;
    while (others <= back_max) {
        ASSERT_TRUE(one(batch(b_, {1}, others + 1, many, empty_records)).ok());
        others += many;
    }
    append_each(a_, 2, 2);
    EXPECT_EQ(entries(), strings{"1 1:1@1"});
    EXPECT_EQ(place(a_, 1), "1");
    EXPECT_EQ(place(a_, 2), std::to_string(others + 2));
    EXPECT_EQ(place(b_, others), std::to_string(others + 1));
}

TEST_F(Stretch, OfFormatTwoHasItsEntryAndIsFollowedByLinks) {
    append_each(a_, 1, 5);
    append_each(b_, 1, 1);
    append_each(a_, 6, 9);
    make_older(2, {1, 6, 7});
    append_each(a_, 10, 12);
    append_each(b_, 2, 2);
    append_each(a_, 13, 13);
    for (const std::uint64_t at : {6U, 9U, 10U, 12U})
        EXPECT_EQ(place(a_, at), std::to_string(at + 1));
    EXPECT_EQ(place(b_, 2), "14");
    EXPECT_EQ(place(a_, 13), "15");
    EXPECT_EQ(entries(), (strings{"1 1:1@1", "1 1:6@7", "2 1:1@6"}));
    trim_to(8);
    EXPECT_EQ(entries(), strings{"1 1:6@7"});
    EXPECT_EQ(place(a_, 12), "13");
    trim_to(13);
    EXPECT_TRUE(entries().empty());
    EXPECT_EQ(place(a_, 13), "15");
}

TEST_F(Stretch, OfFormatOneHasAnEntryForEachBatchAndGoesOn) {
    append_each(a_, 1, 5);
    append_each(b_, 1, 1);
    append_each(a_, 6, 9);
    make_older(1, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    append_each(a_, 10, 12);
    for (const std::uint64_t at : {6U, 9U, 10U, 12U})
        EXPECT_EQ(place(a_, at), std::to_string(at + 1));
    trim_to(8);
    EXPECT_EQ(entries(), (strings{"1 1:8@9", "1 1:9@10"}));
    trim_to(11);
    EXPECT_EQ(entries(), strings{"1 1:9@10"});
    EXPECT_EQ(place(a_, 12), "13");
}

TEST_F(Stretch, IsFoundOnBothSidesOfADamagedBatch) {
    append_each(a_, 1, 9);
    damage({5});
    EXPECT_EQ(place(a_, 4), "4");
    EXPECT_EQ(place(a_, 5), "store_damaged");
    EXPECT_EQ(place(a_, 6), "6");
    trim_to(5);
    EXPECT_EQ(place(a_, 6), "6");
    EXPECT_EQ(reader(*db_).run_from(a_.topic, a_.source, {1})->first_held, sequence{6});
    append_each(a_, 10, 10);
    EXPECT_EQ(place(a_, 10), "10");
}

TEST_F(Stretch, IsFoundInTheLogWhereTheLinkToItIsDamaged) {
    constexpr std::uint64_t turns = 100;
    take_turns(turns);
    damage({61});
    for (std::uint64_t at = 1; at <= turns; ++at) {
        EXPECT_EQ(place(a_, at), at == 31 ? "store_damaged" : std::to_string(2 * at - 1)) << at;
        EXPECT_EQ(place(b_, at), std::to_string(2 * at)) << at;
    }
    trim_to(61);
    EXPECT_EQ(place(a_, 32), "63");
    EXPECT_EQ(reader(*db_).run_from(a_.topic, a_.source, {1})->first_held, sequence{32});
}

TEST_F(Stretch, IsLedToThoughAnotherSourcesDamagedBatchLiesInFrontOfIt) {
    constexpr std::uint64_t turns = 100;
    take_turns(turns);
    damage({2});
    trim_to(1);
    for (std::uint64_t at = 2; at <= turns; ++at)
        ASSERT_EQ(place(a_, at), std::to_string(2 * at - 1));
    EXPECT_EQ(reader(*db_).run_from(a_.topic, a_.source, {1})->first_held, sequence{2});
}

TEST_F(Stretch, IsLedToWhenItsDamagedBeginIsTrimmed) {
    append_each(a_, 1, 3);
    append_each(b_, 1, 1);
    append_each(a_, 4, 4);
    damage({1});
    trim_to(1);
    EXPECT_EQ(place(a_, 2), "2");
    EXPECT_EQ(place(a_, 3), "3");
    EXPECT_EQ(place(a_, 4), "5");
    EXPECT_EQ(place(b_, 1), "4");
}

/// As reader.hpp says it is done.
class Reading : public Database {
protected:
    /// Positions first to last of a run: "2" is a message, "3-4!" a loss.
    strings range(const source_opened& s, std::uint64_t e, sequence_range wanted) {
        strings found;
        reader from(*db_);
        std::vector<std::byte> buffer;
        page one_page;
        const auto begin = from.offset_from(s.topic, s.source, {e}, wanted.first);
        EXPECT_TRUE(begin.has_value());
        for (offset at = *begin;; at = one_page.next) {
            EXPECT_EQ(from.read(s.topic, at, 1, buffer, one_page), errc::ok);
            for (const entry& one_entry : one_page.entries) {
                if (one_entry.source != s.source || one_entry.epoch.value != e) continue;
                const std::uint64_t gone =
                    one_page.first - std::min(one_page.first, one_entry.offsets.first);
                const sequence first = std::max(wanted.first, one_entry.sequences.first + gone);
                const sequence last = std::min(wanted.last, one_entry.sequences.last);
                if (one_entry.what == entry::kind::lost)
                    found.push_back(std::to_string(first.value) + "-" + std::to_string(last.value) +
                                    "!");
                else
                    for (sequence n = first; n <= last; n = n + 1)
                        found.push_back(texts_of(one_entry.body)[n - one_entry.sequences.first]);
                if (one_entry.sequences.last >= wanted.last) return found;
            }
            if (at == one_page.end) return found;
        }
    }
    strings last(topic_id t, std::uint64_t n) {
        const topic_info info = reader(*db_).topic(t).value();
        const std::uint64_t stored = info.end - info.first;
        const offset from = info.end - std::min(n, stored);
        strings found;
        for (const entry& one_entry : read(info.name, from.value).entries) {
            const auto all_texts = texts_of(one_entry.body);
            const std::uint64_t before = from - std::min(from, one_entry.offsets.first);
            found.insert(found.end(), all_texts.begin() + static_cast<std::ptrdiff_t>(before),
                         all_texts.end());
        }
        return found;
    }
};

TEST_F(Reading, OfARangeOfPositionsPassesOverOthersAndTellsLosses) {
    const auto a = opened("quakes", "a");
    const auto b = opened("quakes", "b");
    append_to(a, 1, {"1", "2", "3"});
    append_to(b, 1, {"other"});
    append_to(a, 4, {"4"});
    one(declare_lost{a.topic, a.source, {1}, {{5}, {7}}, errc::lost});
    append_to(b, 2, {"other"});
    append_to(a, 8, {"8", "9"});
    opened("quakes", "a", 2);
    append_to(a, 1, {"again"}, 2);
    EXPECT_EQ(range(a, 1, {{2}, {4}}), (strings{"2", "3", "4"}));
    EXPECT_EQ(range(a, 1, {{3}, {6}}), (strings{"3", "4", "5-6!"}));
    EXPECT_EQ(range(a, 1, {{6}, {8}}), (strings{"6-7!", "8"})) << "it begins in a loss";
    EXPECT_EQ(range(a, 1, {{9}, {20}}), strings{"9"});
    EXPECT_EQ(range(a, 1, {{10}, {20}}), strings{});
    EXPECT_EQ(range(a, 2, {{1}, {1}}), strings{"again"});
    EXPECT_EQ(range(a, 3, {{1}, {1}}), strings{}) << "no such run";
    ASSERT_TRUE(one(trim{a.topic, {2}}).ok());
    EXPECT_EQ(range(a, 1, {{1}, {3}}), strings{"3"}) << "some are gone";
    ASSERT_TRUE(one(trim{a.topic, {5}}).ok());
    EXPECT_EQ(range(a, 1, {{1}, {8}}), (strings{"5-7!", "8"}));
    EXPECT_EQ(reader(*db_).offset_from(a.topic, {9}, {1}, {1}).error(), errc::source_unknown);
    EXPECT_EQ(reader(*db_).offset_from({9}, a.source, {1}, {1}).error(), errc::topic_unknown);
}

TEST_F(Reading, OfTheLastMessages) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"1", "2", "3"});
    append_to(s, 4, {"4", "5"});
    EXPECT_EQ(last(s.topic, 1), strings{"5"});
    EXPECT_EQ(last(s.topic, 3), (strings{"3", "4", "5"}));
    ASSERT_TRUE(one(trim{s.topic, {2}}).ok());
    EXPECT_EQ(last(s.topic, 9), (strings{"3", "4", "5"}));
    ASSERT_TRUE(one(purge{s.topic}).ok());
    EXPECT_EQ(last(s.topic, 9), strings{});
}

}  // namespace
}  // namespace cairn::test
