// What leaves the log before a group is done with it: where the group's next reader begins.
#include "store/support/fixture.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using namespace store;

class Untold : public Database {
protected:
    Untold() : source_(opened("jobs", "a")), group_(group_of(source_.topic, "workers")) {}

    void append_each(std::uint64_t first, std::uint64_t last, std::uint64_t e = 1) {
        std::vector<command> commands;
        for (std::uint64_t at = first; at <= last; ++at)
            commands.emplace_back(batch(source_, {e}, at, 1, records({"x"})));
        for (const reply& answer : all(commands)) ASSERT_EQ(answer.code, errc::ok);
    }
    void trim_to(std::uint64_t last) { ASSERT_TRUE(one(trim{source_.topic, {last}}).ok()); }
    void finish_work() {
        while (db_->commit({}, now_, replies_)) {
        }
    }
    void ack_offsets(std::uint64_t first, std::uint64_t last) {
        ASSERT_TRUE(one(ack{source_.topic, group_, {{{first}, {last}}}}).ok());
    }
    void ack_run(std::uint64_t e, std::uint64_t first, std::uint64_t last) {
        ASSERT_TRUE(
            one(ack_positions{source_.topic, group_, source_.source, {e}, {{{first}, {last}}}})
                .ok());
    }
    void lose(std::uint64_t first, std::uint64_t last, std::uint64_t e = 1) {
        ASSERT_TRUE(
            one(declare_lost{source_.topic, source_.source, {e}, {{first}, {last}}, errc::lost})
                .ok());
    }
    /// Where a reader of the group goes on with the source, and what is done behind it.
    std::string position() const {
        const auto at = reader(*db_).position_of(source_.topic, group_, source_.source);
        if (!at) return std::string(name(at.error()));
        std::string text = text_of(at->next.epoch, at->next.sequence);
        for (const range_of_run& done : at->done)
            text += " " + text_of(done.epoch, done.range.first) + "-" +
                    std::to_string(done.range.last.value);
        return text;
    }
    static std::string text_of(epoch e, sequence s) {
        return std::to_string(e.value) + ":" + std::to_string(s.value);
    }
    void expect_sound() {
        db_.reset();
        EXPECT_TRUE(verify(directory_ / "db").sound());
    }

    source_opened source_;
    group_id group_;
};

// What is known of the groups in one transaction follows what becomes of them in it.
TEST_F(Untold, IsWhatLeavesAfterItsGroupWasSettledMovedOrMadeInTheSameCommit) {
    append_each(1, 2);
    topic_config narrow;
    narrow.retention.bytes_max = db_->stats().stored_bytes;
    ASSERT_TRUE(one(alter_topic{source_.topic, narrow}).ok());
    const auto next = [&](std::uint64_t at) { return batch(source_, {1}, at, 1, records({"x"})); };
    const std::pair<command, std::string> between[] = {
        {ack_positions{source_.topic, group_, source_.source, {1}, {{{1}, {1}}}}, "1:2"},
        {seek_group{source_.topic, group_, {4}}, "1:4"},
        {delete_group{source_.topic, group_}, "1:6"}};
    std::uint64_t at = 3;
    for (const auto& [command_between, wanted] : between) {
        std::vector<command> commands{next(at), command_between};
        if (std::holds_alternative<delete_group>(command_between)) {
            commands.emplace_back(create_group{source_.topic, "workers", "", {6}});
            group_ = {group_.value + 1};
        }
        commands.emplace_back(next(at + 1));
        for (const reply& answer : all(commands)) EXPECT_EQ(answer.code, errc::ok);
        EXPECT_EQ(position(), wanted);
        at += 2;
    }
    expect_sound();
}

TEST_F(Untold, IsWhatWasTrimmedBeforeItWasAcked) {
    for (std::uint64_t at = 1; at <= 9; at += 2) append_to(source_, at, {"x", "y"});
    ack_offsets(1, 3);
    EXPECT_EQ(position(), "1:4");
    trim_to(7);
    EXPECT_EQ(position(), "1:4");
    finish_work();
    reopen();
    EXPECT_EQ(position(), "1:4");
    ack_run(1, 8, 8);
    EXPECT_EQ(position(), "1:4 1:8-8") << "who acks what came before the trim was not told of it";
    ack_run(1, 4, 5);
    EXPECT_EQ(position(), "1:6 1:8-8");
    reopen();
    ack_run(1, 1, 7);
    EXPECT_EQ(position(), "1:9");
    expect_sound();
}

TEST_F(Untold, BeginsBehindWhatWasAckedOfEachSource) {
    const auto a = source_;
    const auto b = opened("jobs", "b");
    append_to(a, 1, {"1", "2"});
    append_to(b, 1, {"1", "2"});
    append_to(a, 3, {"3", "4", "5"});
    append_to(b, 3, {"3"});
    ack_run(1, 1, 3);
    trim_to(6);
    finish_work();
    EXPECT_EQ(position(), "1:4");
    source_ = b;
    EXPECT_EQ(position(), "1:1");
    ack_run(1, 1, 2);
    EXPECT_EQ(position(), "1:3");
    source_ = a;
    EXPECT_EQ(position(), "1:4");
    ack_run(1, 4, 4);
    EXPECT_EQ(position(), "1:5");
    expect_sound();
}

TEST_F(Untold, GoesThroughTheRunsThatLeft) {
    append_each(1, 5, 1);
    for (const std::uint64_t run : {2, 4, 7}) {
        source_ = opened("jobs", "a", run);
        append_each(1, 5, run);
    }
    trim_to(17);
    finish_work();
    EXPECT_EQ(position(), "1:1");
    ack_run(1, 1, 5);
    EXPECT_EQ(position(), "2:1");
    ack_run(4, 1, 5);
    ack_run(7, 3, 3);
    EXPECT_EQ(position(), "2:1 7:3-3");
    ack_run(2, 1, 5);
    EXPECT_EQ(position(), "4:1 7:3-3");
    ack_run(4, 1, 5);
    EXPECT_EQ(position(), "7:1 7:3-3");
    ack_run(7, 1, 2);
    EXPECT_EQ(position(), "7:4");
    expect_sound();
}

TEST_F(Untold, IsAlsoALossThatNoAckedMessageLiesBehind) {
    append_to(source_, 1, {"1"});
    lose(2, 3);
    append_to(source_, 4, {"4"});
    lose(5, 6);
    append_to(opened("jobs", "b"), 1, {"other"});
    ack_offsets(1, 3);
    trim_to(3);
    finish_work();
    EXPECT_EQ(position(), "1:5");
    append_to(source_, 7, {"7"});
    lose(8, 9);
    append_to(source_, 10, {"10"});
    lose(11, 12);
    append_to(opened("jobs", "b"), 2, {"other"});
    ack_offsets(4, 6);
    EXPECT_EQ(position(), "1:5 1:7-10");
    ack_run(1, 5, 6);
    EXPECT_EQ(position(), "1:11");
    lose(13, 13);
    ASSERT_TRUE(one(purge{source_.topic}).ok());
    EXPECT_EQ(position(), "1:11");
    ack_run(1, 11, 13);
    EXPECT_EQ(position(), "1:14");
    expect_sound();
}

TEST_F(Untold, IsNothingThatAllGroupsHadAcked) {
    ASSERT_TRUE(one(alter_topic{source_.topic, {.retention = {.until_acked = true}}}).ok());
    append_each(1, 3);
    lose(4, 6);
    append_to(source_, 7, {"7", "8"});
    ack_run(1, 1, 8);
    finish_work();
    EXPECT_EQ(read("jobs").first, offset{6});
    EXPECT_EQ(position(), "1:9");
    db_.reset();
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        EXPECT_FALSE(txn.get(dbs.state, untold_key(source_.topic, group_, source_.source)));
    });
}

// Many are trimmed at once, and dropped in steps: the floor does not pass over what is still there.
TEST_F(Untold, IsKnownInFrontOfAnAckOfWhatIsBehind) {
    append_each(1, 20'000);
    trim_to(19'000);
    EXPECT_TRUE(more_);
    ack_run(1, 19'500, 20'000);
    EXPECT_EQ(position(), "1:1");
    finish_work();
    ack_run(1, 19'001, 19'001);
    EXPECT_EQ(position(), "1:1 1:19001-19001");
    EXPECT_EQ(reader(*db_).group(source_.topic, group_)->floor, offset{19'001});
    ack_run(1, 1, 19'000);
    EXPECT_EQ(position(), "1:19002");
    expect_sound();
}

TEST_F(Untold, EndsWithTheGroupAndWhenItIsTakenElsewhere) {
    append_each(1, 10);
    trim_to(4);
    finish_work();
    EXPECT_EQ(position(), "1:1");
    EXPECT_TRUE(one(seek_group{source_.topic, group_, {7}}).ok());
    EXPECT_EQ(position(), "1:7");
    trim_to(8);
    EXPECT_EQ(position(), "1:7");
    EXPECT_TRUE(one(delete_group{source_.topic, group_}).ok());
    EXPECT_EQ(position(), "group_unknown");
    group_ = group_of(source_.topic, "workers");
    EXPECT_EQ(position(), "1:9");
    expect_sound();
}

}  // namespace
}  // namespace cairn::test
