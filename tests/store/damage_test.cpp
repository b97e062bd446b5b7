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
             std::vector<std::byte> value;
             encode(source_record{"nameless", "", {1}, {}}, value);
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
