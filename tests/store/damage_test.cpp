// One damaged record spoils nothing beside itself.
#include "store/support/fixture.hpp"
#include "unit/protocol/random.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using namespace store;
namespace fs = std::filesystem;

class Damaged : public Database {
protected:
    Damaged() : source_(opened("jobs", "a")), topic_(source_.topic) {}

    void append_many(std::uint64_t first, std::uint32_t count) {
        const body_bytes body(std::size_t{count} * wire::record_word_bytes);
        ASSERT_TRUE(one(batch(source_, {1}, first, count, body)).ok());
    }
    /// Flips a bit of a value of `state`.
    void damage(const key& which) {
        spoil([which](const databases& dbs) { return std::pair(dbs.state, which); });
    }
    void damage_batch(topic_id t, std::uint64_t first) {
        spoil([=](const databases& dbs) {
            return std::pair(dbs.log, log_key(t, {first}, part_kind::piece, 0));
        });
    }

    /// Flips bits of the value that `place` names; flip_back() undoes it.
    template <typename Place>
    void spoil(Place&& place, std::size_t at = 1, std::byte bits = std::byte{1}) {
        db_.reset();
        inside([&](lmdb::transaction& txn, const databases& dbs) {
            const auto [dbi, which] = place(dbs);
            const auto value = txn.get(dbi, which);
            ASSERT_TRUE(value.has_value());
            before_ = {dbi, which, {value->begin(), value->end()}};
            std::vector<std::byte> wrong = before_.value;
            wrong.at(at) ^= bits;
            txn.put(dbi, which, wrong);
            note_commit(txn, dbs);
        });
        reopen();
    }
    void flip_back() {
        db_.reset();
        inside([&](lmdb::transaction& txn, const databases& dbs) {
            txn.put(before_.dbi, before_.which, before_.value);
            note_commit(txn, dbs);
        });
        reopen();
    }

    static void note_commit(lmdb::transaction& txn, const databases& dbs) {
        auto counters = counters_in(txn, dbs);
        counters.commit = txn.id();
        put(txn, dbs, counters_key(), counters);
    }

    source_opened source_;
    topic_id topic_;

private:
    struct {
        MDB_dbi dbi = 0;
        key which;
        std::vector<std::byte> value;
    } before_;
};

TEST_F(Damaged, KeepsNoNeighbourFromDroppingTheOldestOfTheStore) {
    chosen_.quota_bytes = 1'000'000;
    chosen_.when_full = full_policy::drop_oldest;
    damage(topic_key(topic_));
    const auto other = opened("other", "b");
    for (std::uint64_t i = 1; i <= 30; ++i)
        ASSERT_EQ(append_to(other, i, {std::string(100'000, 'x')}).code, errc::ok);
    EXPECT_EQ(one(trim{topic_, {1}}).code, errc::store_damaged);
}

TEST_F(Damaged, IsToldByVerifyWhereSmallRecordsDoNotFitTheOthers) {
    append_many(1, 3);
    db_.reset();
    const auto number = [](auto n) {
        std::vector<std::byte> value;
        packer(value).number(n);
        return value;
    };
    std::vector<std::byte> story;
    encode(story_record{}, story);
    const std::pair<key, std::vector<std::byte>> strangers[] = {
        {source_name_key(topic_, "nobody"), number(source_.source.value)},
        {source_key(topic_, {7}),
         [] {
             source_record nameless;
             nameless.name = "nameless";
             nameless.epoch = {1};
             std::vector<std::byte> value;
             encode(nameless, value);
             return value;
         }()},
        {ended_run_key(topic_, {9}, {1}), number(std::uint64_t{1})},
        {ended_run_key(topic_, source_.source, {1}), number(std::uint64_t{1})},
        {last_of_key_key(topic_, "oil"), number(std::uint64_t{99})},
        {story_key(topic_, {1}), story}};
    for (const auto& [where, content] : strangers) {
        const auto rewrite = [&](bool there) {
            inside([&](lmdb::transaction& txn, const databases& dbs) {
                std::vector<std::byte> value = content;
                add_seal(where, value);
                if (there)
                    txn.put(dbs.state, where, value);
                else
                    txn.erase(dbs.state, where);
                auto counters = counters_in(txn, dbs);
                counters.commit = txn.id();
                put(txn, dbs, counters_key(), counters);
            });
            return verify(directory_ / "db").sound();
        };
        EXPECT_FALSE(rewrite(true)) << text_of(where);
        EXPECT_TRUE(rewrite(false)) << text_of(where);
    }
}

// Whichever byte of a batch is flipped, it is told with its offsets, and no other.
TEST_F(Damaged, IsABatchOfWhichAnyByteIsFlippedAndNoOther) {
    constexpr std::uint64_t batches = 3;
    constexpr std::size_t bytes_each = 10'000;
    for (std::uint64_t i = 0; i < batches; ++i)
        append_to(source_, 3 * i + 1, strings(3, std::string(bytes_each, 'x')));
    expect_no_failure(100, [&](std::uint64_t seed) -> std::optional<std::string> {
        dice random(seed);
        const offset first{3 * random.below(batches) + 1};
        const key piece =
            log_key(topic_, first, part_kind::piece,
                    static_cast<std::uint32_t>(random.below(3 * bytes_each / piece_bytes_max)));
        const std::size_t at = random.below(piece_bytes_max);
        const auto flip = [&] {
            spoil([&](const databases& dbs) { return std::pair(dbs.log, piece); }, at,
                  std::byte{1} << random.below(8));
        };
        flip();
        std::string told;
        for (const entry& e : read("jobs").entries)
            told += std::to_string(e.offsets.first.value) + "-" +
                    std::to_string(e.offsets.last.value) +
                    (e.what == entry::kind::damaged ? "! " : " ");
        std::string wanted;
        for (std::uint64_t o = 1; o <= 3 * batches; o += 3)
            wanted +=
                std::to_string(o) + "-" + std::to_string(o + 2) + (o == first.value ? "! " : " ");
        flip_back();
        if (told != wanted) return "told " + told + "of byte " + std::to_string(at);
        return std::nullopt;
    });
}

// A flipped bit in the size of a key is such a one.
TEST_F(Damaged, IsAKeyOfTheLogThatIsNoneOfOursAndNothingBesideIt) {
    for (std::uint64_t i = 1; i <= 9; ++i) append_to(source_, i, {std::to_string(i)});
    db_.reset();
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        for (const std::uint64_t at : {1U, 5U}) {
            const key right = log_key(topic_, {at}, part_kind::piece, 0);
            const auto value = txn.get(dbs.log, right).value();
            const std::vector<std::byte> content(value.begin(), value.end());
            key longer = copy_of(right);
            txn.erase(dbs.log, right);
            txn.put(dbs.log, longer.number(std::uint8_t{1}), content);
        }
        note_commit(txn, dbs);
    });
    EXPECT_FALSE(verify(directory_ / "db").sound());
    reopen();
    EXPECT_EQ(texts("jobs"), (strings{"2", "3", "4", "6", "7", "8", "9"}));
    EXPECT_EQ(read("jobs").entries.front().what, entry::kind::damaged);
    EXPECT_TRUE(append_to(source_, 10, {"10"}).ok());
    for (const std::uint64_t last : {3U, 10U}) {
        EXPECT_TRUE(one(trim{topic_, {last}}).ok());
        while (more_) all({});
    }
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "db").sound()) << "all of it has gone";
}

TEST_F(Damaged, IsAKeyThatIsLongerThanOursCanBe) {
    append_many(1, 100);
    const group_id g = group_of(topic_, "workers");
    EXPECT_TRUE(one(note_attempts{topic_, g, {1}, 1, {}, ""}).ok());
    db_.reset();
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        std::string name(bytes(attempt_key(topic_, g, {1})).size(), '\0');
        std::memcpy(name.data(), bytes(attempt_key(topic_, g, {1})).data(), name.size());
        name += std::string(490, 'k');
        txn.put(dbs.state, bytes_of(name), {});
        note_commit(txn, dbs);
    });
    reopen();
    EXPECT_TRUE(one(ack{topic_, g, {{{1}, {2}}}}).ok());
    EXPECT_TRUE(one(delete_topic{topic_}).ok());
    while (more_) all({});
    EXPECT_TRUE(append_to(opened("jobs", "a"), 1, {"anew"}).ok());
}

TEST_F(Damaged, IsARowOfItsOwnInListsOfOthers) {
    const auto other = opened("other", "b");
    opened("other", "c");
    const group_id g = group_of(other.topic, "workers");
    group_of(other.topic, "readers");
    damage(topic_key(topic_));
    damage(source_key(other.topic, other.source));
    damage(group_key(other.topic, g));
    reader from(*db_);
    const auto topics = from.topics().value();
    ASSERT_EQ(topics.size(), 2U);
    EXPECT_EQ(topics[0].name, "jobs");
    EXPECT_TRUE(topics[0].damaged);
    EXPECT_FALSE(topics[1].damaged);
    const auto sources = from.sources(other.topic).value();
    ASSERT_EQ(sources.size(), 2U);
    EXPECT_EQ(sources[0].name, "b");
    EXPECT_TRUE(sources[0].damaged);
    EXPECT_FALSE(sources[1].damaged);
    const auto groups = from.groups(other.topic).value();
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_EQ(groups[0].name, "workers");
    EXPECT_TRUE(groups[0].damaged);
    EXPECT_FALSE(groups[1].damaged);
}

class DamagedBatches : public Damaged {
protected:
    /// Ten messages, a second between them, of which some are damaged.
    DamagedBatches() {
        for (std::uint64_t i = 1; i <= 10; ++i) {
            now_ = at_ms(static_cast<std::int64_t>(i) * 1'000);
            append_to(source_, i, {std::to_string(i)});
        }
        for (const std::uint64_t i : {1U, 2U, 5U, 6U, 10U}) damage_batch(topic_, i);
    }
};

TEST_F(DamagedBatches, DoNotHideATimeBeyondThem) {
    reader from(*db_);
    const auto at = [&](std::int64_t ms) { return from.offset_at(topic_, at_ms(ms)).value(); };
    EXPECT_EQ(at(3'000), offset{1}) << "what is damaged in front of it may be as young";
    EXPECT_EQ(at(4'000), offset{4});
    EXPECT_EQ(at(7'000), offset{5});
    EXPECT_EQ(at(8'000), offset{8});
    EXPECT_EQ(at(9'500), offset{10});
}

TEST_F(DamagedBatches, AreToldInTheirPlaceAndOthersAreRead) {
    std::string told;
    for (const entry& e : read("jobs").entries) {
        if (e.what == entry::kind::batch) {
            told += texts_of(e.body).front() + " ";
            continue;
        }
        EXPECT_EQ(e.what, entry::kind::damaged);
        EXPECT_EQ(e.cause, errc::store_damaged);
        told += "(" + std::to_string(e.offsets.first.value) + "-" +
                std::to_string(e.offsets.last.value) + ") ";
    }
    EXPECT_EQ(told, "(1-2) 3 4 (5-6) 7 8 9 (10-10) ");
    EXPECT_EQ(read("jobs", 6).entries.front().offsets, (offset_range{{6}, {6}}));
}

TEST_F(DamagedBatches, AreToldAsRangesByVerify) {
    db_.reset();
    std::vector<offset_range> ranges;
    const verify_report report = verify(directory_ / "db");
    for (const finding& one : report.findings) {
        EXPECT_EQ(one.topic, topic_) << one.what;
        if (!one.offsets.empty()) ranges.push_back(one.offsets);
    }
    EXPECT_EQ(ranges, (std::vector<offset_range>{{{1}, {2}}, {{5}, {6}}, {{10}, {10}}}));
    EXPECT_EQ(report.helps, remedy::leave_out);
    EXPECT_TRUE(report.content_walked);
}

TEST_F(DamagedBatches, AreLeftOutBySoundDataOnceTheyAreTrimmed) {
    ASSERT_EQ(one(trim{topic_, {10}}).code, errc::ok);
    while (more_) all({});
    db_.reset();
    const verify_report report = verify(directory_ / "db");
    EXPECT_TRUE(report.sound()) << report.findings.front().what;
}

TEST_F(DamagedBatches, LeaveNothingInTheIndexWhenTheirTopicIsDeleted) {
    append_to(opened("jobs", "b"), 1, {"eleven"});
    opened("jobs", "b", 2);  // what ended has an entry of its own
    damage_batch(topic_, 11);
    one(delete_topic{topic_});
    while (more_) all({});
    db_.reset();
    const verify_report report = verify(directory_ / "db");
    EXPECT_TRUE(report.sound()) << report.findings.front().what;
}

TEST_F(DamagedBatches, GoWithTheirAge) {
    now_ = at_ms(13'500);
    EXPECT_TRUE(
        one(alter_topic{topic_, {.retention = {.age_max = std::chrono::seconds(10)}}}).ok());
    EXPECT_EQ(read("jobs").first, offset{4}) << "behind what is older for sure";
    now_ = at_ms(18'500);
    all({});
    EXPECT_EQ(read("jobs").first, offset{9});
}

// One flipped bit of a key, and acks would be taken for none: their messages given again.
TEST_F(Damaged, IsAGroupWhoseAcksLieUnderTheKeyOfAnother) {
    append_many(1, 20'000);
    const group_id g = group_of(topic_, "workers");
    ASSERT_TRUE(one(ack{topic_, g, {{{8'300}, {8'400}}}}).ok());
    db_.reset();
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        const auto value = txn.get(dbs.state, chunk_key(topic_, g, 1)).value();
        const std::vector<std::byte> content(value.begin(), value.end());
        txn.erase(dbs.state, chunk_key(topic_, g, 1));
        txn.put(dbs.state, chunk_key(topic_, {g.value ^ 0x8000}, 1), content);
        note_commit(txn, dbs);
    });
    reopen();
    EXPECT_EQ(reader(*db_).group(topic_, g).error(), errc::store_damaged);
    EXPECT_EQ(reader(*db_).pending(topic_, g, {1}, 10).error(), errc::store_damaged);
    EXPECT_EQ(reader(*db_).groups(topic_).value().size(), 1U);
    db_.reset();
    EXPECT_FALSE(verify(directory_ / "db").sound());
}

class DamagedHeads : public Damaged {
protected:
    /// Flips a bit of a record of the whole store.
    void damage_head(const key& which) {
        db_.reset();
        inside([&](lmdb::transaction& txn, const databases& dbs) {
            const auto value = txn.get(dbs.state, which).value();
            std::vector<std::byte> wrong(value.begin(), value.end());
            wrong.at(1) ^= std::byte{1};
            txn.put(dbs.state, which, wrong);
        });
    }
    void expect_a_backup_is_needed() {
        const verify_report report = verify(directory_ / "db");
        EXPECT_FALSE(report.sound());
        EXPECT_EQ(report.helps, remedy::restore);
    }
    template <typename F>
    static std::string why_not(F&& f) {
        try {
            f();
        } catch (const error& refused) {
            EXPECT_EQ(refused.code(), errc::store_damaged);
            return refused.what();
        }
        return {};
    }
};

TEST_F(DamagedHeads, AreCountersThatACompactionMakesAnew) {
    chosen_.quota_bytes = 500'000'000;
    reopen();
    const auto keyed = std::get<topic_created>(
        one(create_topic{"prices", {.retention = {}, .last_per_key = true}}).value);
    append_to(opened("prices", "a"), 1, {"one", "two"});
    one(trim{keyed.topic, {1}});
    const auto deleted = opened("deleted", "a");
    append_to(deleted, 1, {"gone"});
    now_ = at_ms(9'000);
    append_to(source_, 1, {"at nine"});
    one(delete_topic{deleted.topic});
    while (more_) all({});
    const database_stats before = db_->stats();
    const auto db = directory_ / "db";
    damage_head(counters_key());
    EXPECT_EQ(refusal(), errc::store_damaged);
    EXPECT_NE(text_.find("compact it"), std::string::npos) << text_;
    EXPECT_EQ(verify(db).helps, remedy::compact);
    EXPECT_TRUE(compact(db).counted_anew);
    const verify_report found = verify(db);
    EXPECT_TRUE(found.sound()) << found.findings.front().what;
    EXPECT_FALSE(compact(db).counted_anew);
    reopen();
    EXPECT_EQ(db_->stats().stored_bytes, before.stored_bytes);
    EXPECT_EQ(db_->stats().stored_messages, before.stored_messages);
    EXPECT_EQ(texts("jobs"), strings{"at nine"});
    now_ = at_ms(2'000);
    EXPECT_TRUE(append_to(source_, 2, {"the clock is behind"}).ok());
    EXPECT_EQ(read("jobs").entries.back().stored, at_ms(9'000));
    EXPECT_GT(opened("new", "a").topic, deleted.topic);
    db_.reset();
    EXPECT_TRUE(verify(db).sound());
}

TEST_F(DamagedHeads, AreCountersThatHideNoTornMetaPage) {
    constexpr std::size_t page_bytes = 4'096;
    constexpr std::size_t number_at = 144;
    damage_head(counters_key());
    const std::string before = content("data.mdb");
    for (const char* name : {"one", "two"})
        inside([&](lmdb::transaction& txn, const databases& dbs) {
            txn.put(dbs.state, topic_name_key(name), bytes{});
        });
    std::string torn = content("data.mdb");
    std::uint64_t numbers[2] = {};
    for (std::size_t page : {0U, 1U})
        std::memcpy(&numbers[page], torn.data() + page * page_bytes + number_at, 8);
    const std::size_t newest = numbers[0] > numbers[1] ? 0 : page_bytes;
    torn.replace(newest, number_at, before, newest, number_at);
    std::ofstream(directory_ / "db" / "data.mdb", std::ios::binary) << torn;
    const std::string why = why_not([&] { (void)compact(directory_ / "db"); });
    EXPECT_NE(why.find("torn"), std::string::npos) << why;
    EXPECT_EQ(content("data.mdb"), torn);
    expect_a_backup_is_needed();
}

// LMDB says nothing at once, and later that the transaction must abort.
TEST_F(DamagedHeads, AreToldToBeDamagedWhereATreeCannotBeEntered) {
    db_.reset();
    std::string bytes = content("data.mdb");
    constexpr std::size_t root_at = 40;  // in the tree's record, behind its name
    std::size_t found = 0;
    for (std::size_t at = bytes.find("state"); at != std::string::npos;
         at = bytes.find("state", at + 1), ++found)
        bytes.at(at + 5 + root_at + 6) ^= 1;
    ASSERT_GT(found, 0U);
    std::ofstream(directory_ / "db" / "data.mdb", std::ios::binary) << bytes;
    EXPECT_EQ(refusal(), errc::store_damaged) << text_;
}

// Of whatever is not a message: it refuses and touches nothing, or what it made opens.
TEST_F(DamagedHeads, AreNeverWorseAfterACompactionWhicheverBitIsFlipped) {
    append_to(source_, 1, {"one", "two"});
    group_of(topic_, "workers");
    db_.reset();
    const fs::path file = directory_ / "db" / "data.mdb";
    const std::string sound = content("data.mdb");
    expect_no_failure(400, [&](std::uint64_t seed) -> std::optional<std::string> {
        constexpr std::size_t page_bytes = 4'096;
        constexpr std::size_t flags_at = 10;
        constexpr std::size_t upper_at = 14;  // where the page's nodes begin
        constexpr char leaf = 0x02;
        dice random(seed);
        std::size_t page = 0;
        do page = random.below(sound.size() / page_bytes) * page_bytes;
        while (sound[page + flags_at] != leaf);
        std::uint16_t upper = 0;
        std::memcpy(&upper, sound.data() + page + upper_at, sizeof upper);
        const std::size_t at = page + random.between(upper, page_bytes - 1);
        std::string flipped = sound;
        flipped[at] = static_cast<char>(flipped[at] ^ 1 << random.below(8));
        std::ofstream(file, std::ios::binary) << flipped;
        const std::string where = "byte " + std::to_string(at) + ": ";
        try {
            (void)compact(directory_ / "db");
        } catch (const error& refused) {
            if (refused.code() != errc::store_damaged) return where + refused.what();
            if (content("data.mdb") != flipped) return where + "it is changed";
            return {};
        }
        if (verify(directory_ / "db").helps > remedy::leave_out) return where + "it is not whole";
        if (refusal() != errc::ok) return where + text_;
        return {};
    });
}

TEST_F(DamagedHeads, AreAMetaRecordThatABackupAloneReplaces) {
    damage_head(meta_key());
    const auto db = directory_ / "db";
    EXPECT_EQ(refusal(), errc::store_damaged);
    for (const std::string& why : {text_, why_not([&] { (void)compact(db); })})
        EXPECT_NE(why.find("restore a backup"), std::string::npos) << why;
    expect_a_backup_is_needed();
}

TEST_F(DamagedHeads, AreATreeThatABackupAloneReplaces) {
    db_.reset();
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        lmdb::expect_success("mdb_drop", mdb_drop(txn.handle(), dbs.index, 1));
    });
    EXPECT_EQ(refusal(), errc::store_damaged);
    EXPECT_NE(text_.find("restore a backup"), std::string::npos) << text_;
    expect_a_backup_is_needed();
}

TEST_F(Damaged, IsAGroupForWhichMessagesAreKeptUpToTheOtherLimitsOfTheirTopic) {
    retention keep{.until_acked = true};
    ASSERT_TRUE(one(alter_topic{topic_, {.retention = keep}}).ok());
    const group_id g = group_of(topic_, "workers");
    const group_id other = group_of(topic_, "readers");
    for (std::uint64_t i = 1; i <= 10; ++i) append_to(source_, i, {std::string(1'000, 'x')});
    damage(group_key(topic_, g));
    EXPECT_TRUE(one(ack{topic_, other, {{{1}, {10}}}}).ok());
    EXPECT_EQ(read("jobs").first, offset{1}) << "nobody knows what it has acked";
    keep.messages_max = 8;
    EXPECT_TRUE(one(alter_topic{topic_, {.retention = keep}}).ok());
    EXPECT_EQ(read("jobs").first, offset{3});
    const std::uint64_t before = db_->stats().stored_bytes;
    EXPECT_TRUE(one(trim{topic_, {4}}).ok());
    EXPECT_LT(db_->stats().stored_bytes, before) << "what is trimmed gives its room back";
    keep.bytes_max = before / 2;
    EXPECT_TRUE(one(alter_topic{topic_, {.retention = keep}}).ok());
    EXPECT_GT(read("jobs").first, offset{5});
    keep.age_max = std::chrono::seconds(10);
    now_ += std::chrono::seconds(11);
    EXPECT_TRUE(one(alter_topic{topic_, {.retention = keep}}).ok());
    EXPECT_EQ(read("jobs").first, offset{11});
}

class DamagedAcks : public Damaged {
protected:
    DamagedAcks() {
        append_many(1, 20'000);
        group_ = group_of(topic_, "workers");
        EXPECT_TRUE(one(ack{topic_, group_, {{{8'300}, {8'400}}}}).ok());
        damage(chunk_key(topic_, group_, 1));
        EXPECT_TRUE(one(trim{topic_, {8'250}}).ok());
    }

    group_id group_;
};

TEST_F(DamagedAcks, StopACommandWholeAndNotItsNeighbours) {
    std::vector<command> commands{batch(source_, {1}, 20'001, 1, records({"before"}))};
    // What they need first lies in another chunk.
    for (std::uint64_t at = 17'000; at < 17'100; ++at)
        commands.emplace_back(
            dead_letter{topic_, group_, {at}, "dead", 1, errc::rejected, "reason"});
    commands.emplace_back(batch(source_, {1}, 20'002, 1, records({"behind"})));
    const auto answers = all(commands);
    EXPECT_TRUE(answers.front().ok());
    EXPECT_TRUE(answers.back().ok());
    for (std::size_t i = 1; i + 1 < answers.size(); ++i)
        EXPECT_EQ(answers[i].code, errc::store_damaged);
    EXPECT_EQ(reader(*db_).find_topic("dead").error(), errc::topic_unknown);
    EXPECT_EQ(reader(*db_).topic(topic_)->end, offset{20'003});
}

TEST_F(DamagedAcks, DoNotKeepAGroupFromBeingSought) {
    EXPECT_TRUE(one(seek_group{topic_, group_, {9'000}}).ok());
    EXPECT_EQ(pending(topic_, group_), (std::vector<offset_range>{{{9'000}, {20'000}}}));
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "db").sound());
}

TEST_F(DamagedAcks, DoNotKeepAGroupFromBeingDeleted) {
    EXPECT_TRUE(one(delete_group{topic_, group_}).ok());
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "db").sound());
}

}  // namespace
}  // namespace cairn::test
