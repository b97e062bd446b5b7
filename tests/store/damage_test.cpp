// One damaged record spoils nothing beside itself.
#include "store/support/fixture.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using namespace store;

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

    source_opened source_;
    topic_id topic_;

private:
    template <typename Place>
    void spoil(Place&& place) {
        db_.reset();
        inside([&](lmdb::transaction& txn, const databases& dbs) {
            const auto [dbi, which] = place(dbs);
            const auto value = txn.get(dbi, which);
            ASSERT_TRUE(value.has_value());
            std::vector<std::byte> wrong(value->begin(), value->end());
            wrong[1] ^= std::byte{1};
            txn.put(dbi, which, wrong);
            auto counters = counters_in(txn, dbs);
            counters.commit = txn.id();
            put(txn, dbs, counters_key(), counters);
        });
        reopen();
    }
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
