// Every error that a command or a call of a reader can answer; what failed changes nothing.
#include "store/support/fixture.hpp"

#include <cairn/store/maintenance.hpp>
#include <cairn/wire/limits.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using namespace store;

constexpr topic_id no_topic{99};
constexpr source_id no_source{99};
constexpr group_id no_group{99};

std::string too_long(std::size_t most) { return std::string(most + 1, 'n'); }

class Refusal : public Database {
protected:
    Refusal() : source_(opened("jobs", "a")), topic_(source_.topic) {
        append_to(source_, 1, {"one", "two", "three"});
        group_ = group_of(topic_, "workers");
    }

    /// The code that a command is answered with, and that it left no trace.
    errc code_of(command wanted) {
        const auto before = db_->stats();
        const errc code = one(std::move(wanted)).code;
        EXPECT_EQ(db_->stats().commits, before.commits) << "a refused command changed something";
        EXPECT_EQ(db_->stats().refused, before.refused + 1);
        return code;
    }
    append good(std::uint64_t first = 4) { return batch(source_, {1}, first, 1, records({"x"})); }
    topic_id letters() {
        const reply answer = one(dead_letter{topic_, group_, {1}, "dead", 3, errc::rejected, "no"});
        return std::get<moved>(answer.value).topic;
    }

    source_opened source_;
    topic_id topic_;
    group_id group_;
};

TEST_F(Refusal, OfASource) {
    const auto open = [](std::string topic, std::string source, std::uint64_t e, bool create = true,
                         std::string owner = "") {
        return open_source{std::move(topic), std::move(source), {e}, std::move(owner), create};
    };
    EXPECT_EQ(code_of(open("nowhere", "a", 1, false)), errc::topic_unknown);
    EXPECT_EQ(code_of(open("", "a", 1)), errc::topic_invalid);
    EXPECT_EQ(code_of(open(too_long(wire::topic_bytes_max), "a", 1)), errc::topic_invalid);
    EXPECT_EQ(code_of(open("jobs", "", 1)), errc::invalid_argument);
    EXPECT_EQ(code_of(open("jobs", "@own", 1)), errc::invalid_argument);
    EXPECT_EQ(code_of(open("jobs", too_long(wire::source_bytes_max), 1)), errc::invalid_argument);
    EXPECT_EQ(code_of(open("jobs", "a", 0)), errc::invalid_argument);
    EXPECT_EQ(code_of(open("jobs", "a", ~std::uint64_t{0})), errc::invalid_argument);
    EXPECT_EQ(code_of(open("jobs", "a", 1, true, too_long(owner_bytes_max))),
              errc::invalid_argument);
    ASSERT_TRUE(one(open("jobs", "owned", 1, true, "alice")).ok());
    EXPECT_EQ(code_of(open("jobs", "owned", 2, true, "mallory")), errc::not_authorised);
    opened("jobs", "a", 5);
    EXPECT_EQ(code_of(open("jobs", "a", 4)), errc::fenced);
}

TEST_F(Refusal, OfABatch) {
    append wrong = good();
    wrong.topic = no_topic;
    EXPECT_EQ(code_of(wrong), errc::topic_unknown);
    wrong = good();
    wrong.source = no_source;
    EXPECT_EQ(code_of(wrong), errc::source_unknown);
    wrong = good();
    wrong.epoch = {2};
    EXPECT_EQ(code_of(wrong), errc::source_unknown) << "a run that was not opened";
    wrong = good();
    wrong.count = 0;
    EXPECT_EQ(code_of(wrong), errc::invalid_argument);
    wrong = good();
    wrong.first = {0};
    EXPECT_EQ(code_of(wrong), errc::invalid_argument);
    wrong = good();
    wrong.first = {number_max};
    EXPECT_EQ(code_of(wrong), errc::invalid_argument);
    wrong = good();
    wrong.count = 2;
    EXPECT_EQ(code_of(wrong), errc::malformed);
    wrong = good();
    ++wrong.checksum;
    EXPECT_EQ(code_of(wrong), errc::checksum_mismatch);
    EXPECT_EQ(code_of(good(6)), errc::hole);
    EXPECT_EQ(code_of(batch(source_, {1}, 1, 1, records({"uno"}))), errc::conflict);
    EXPECT_EQ(code_of(batch(source_, {1}, 4, 1, body_bytes(wire::batch_bytes_max + 1))),
              errc::too_large);
    opened("jobs", "a", 2);
    EXPECT_EQ(code_of(good()), errc::fenced);
}

TEST_F(Refusal, OfABatchThatWasDeclaredLost) {
    EXPECT_TRUE(one(declare_lost{topic_, source_.source, {1}, {{4}, {6}}, errc::lost}).ok());
    EXPECT_EQ(code_of(good(5)), errc::lost);
}

TEST_F(Refusal, OfMoreThanACommitTakes) {
    const body_bytes large = records({std::string(wire::body_bytes_max, 'x')});
    std::vector<command> commands;
    for (std::uint64_t i = 4; i < 8; ++i) commands.emplace_back(batch(source_, {1}, i, 1, large));
    const auto answers = all(commands);
    EXPECT_TRUE(answers[1].ok());
    EXPECT_EQ(answers[3].code, errc::limit_exceeded);
    EXPECT_TRUE(one(batch(source_, {1}, 6, 1, records({"next time"}))).ok());
}

TEST_F(Refusal, OfALostRange) {
    const auto lost = [&](std::uint64_t first, std::uint64_t last) {
        return declare_lost{topic_, source_.source, {1}, {{first}, {last}}, errc::lost};
    };
    EXPECT_EQ(code_of(lost(5, 9)), errc::hole);
    EXPECT_EQ(code_of(lost(5, 4)), errc::invalid_argument);
    EXPECT_EQ(code_of(lost(0, 4)), errc::invalid_argument);
    EXPECT_EQ(code_of(lost(4, number_max)), errc::invalid_argument);
    EXPECT_EQ(code_of(declare_lost{no_topic, source_.source, {1}, {{4}, {4}}, errc::lost}),
              errc::topic_unknown);
    EXPECT_EQ(code_of(declare_lost{topic_, no_source, {1}, {{4}, {4}}, errc::lost}),
              errc::source_unknown);
    opened("jobs", "a", 2);
    EXPECT_EQ(code_of(lost(4, 4)), errc::fenced);
}

TEST_F(Refusal, OfATopic) {
    EXPECT_EQ(code_of(create_topic{"", {}}), errc::topic_invalid);
    EXPECT_EQ(code_of(create_topic{too_long(wire::topic_bytes_max), {}}), errc::topic_invalid);
    EXPECT_EQ(code_of(create_topic{"jobs", {.last_per_key = true}}), errc::topic_exists);
    EXPECT_EQ(code_of(alter_topic{no_topic, {}}), errc::topic_unknown);
    EXPECT_EQ(code_of(alter_topic{topic_, {.last_per_key = true}}), errc::not_supported);
    EXPECT_EQ(code_of(delete_topic{no_topic}), errc::topic_unknown);
    EXPECT_EQ(code_of(trim{no_topic, {1}}), errc::topic_unknown);
    EXPECT_EQ(code_of(trim{topic_, {4}}), errc::not_stored);
    EXPECT_EQ(code_of(purge{no_topic}), errc::topic_unknown);
}

TEST_F(Refusal, OfANameThatIsTooLongHoweverLongItIs) {
    const auto letter_to = [&](std::string to) {
        return dead_letter{topic_, group_, {1}, std::move(to), 1, errc::rejected, ""};
    };
    for (const std::size_t size : {std::size_t{256}, std::size_t{503}, std::size_t{508},
                                   std::size_t{600}, std::size_t{1} << 20}) {
        SCOPED_TRACE(size);
        const std::string name(size, 'x');
        EXPECT_EQ(code_of(create_topic{name, {}}), errc::topic_invalid);
        EXPECT_EQ(code_of(open_source{name, "a", {1}, "", true}), errc::topic_invalid);
        EXPECT_EQ(code_of(open_source{name, "a", {1}, "", false}), errc::topic_invalid);
        EXPECT_EQ(code_of(letter_to(name)), errc::topic_invalid);
        EXPECT_EQ(code_of(open_source{"jobs", name, {1}, "", true}), errc::invalid_argument);
        EXPECT_EQ(code_of(open_source{"jobs", "a", {1}, name, true}), errc::invalid_argument);
        EXPECT_EQ(code_of(create_group{topic_, name, "", {1}}), errc::invalid_argument);
        EXPECT_EQ(reader(*db_).find_topic(name).error(), errc::topic_unknown);
        EXPECT_EQ(reader(*db_).find_group(topic_, name).error(), errc::group_unknown);
    }
    const std::string longest(255, 'x');
    EXPECT_TRUE(one(create_topic{longest, {}}).ok());
    EXPECT_TRUE(one(open_source{longest, longest, {1}, "", true}).ok());
    EXPECT_TRUE(one(create_group{topic_, longest, "", {1}}).ok());
    EXPECT_TRUE(one(letter_to(std::string(255, 'y'))).ok());
}

TEST(Key, OfATextThatDoesNotFitIsLongerThanAnyThatIsStored) {
    constexpr std::size_t key_bytes_max = 511;  // LMDB's
    for (const std::size_t size : {std::size_t{508}, std::size_t{600}, std::size_t{1} << 20}) {
        const key k = topic_name_key(std::string(size, 'x'));
        EXPECT_EQ(bytes(k).size(), key_bytes_max + 1);
    }
    EXPECT_EQ(bytes(topic_name_key(std::string(506, 'x'))).size(), key_bytes_max);
}

TEST_F(Refusal, OfMoreTopicsThanAllowed) {
    chosen_.topics_max = 2;
    reopen();
    EXPECT_TRUE(one(create_topic{"second", {}}).ok());
    EXPECT_EQ(code_of(create_topic{"third", {}}), errc::limit_exceeded);
    EXPECT_EQ(code_of(open_source{"third", "a", {1}, "", true}), errc::limit_exceeded);
    EXPECT_EQ(code_of(dead_letter{topic_, group_, {1}, "third", 1, errc::rejected, ""}),
              errc::limit_exceeded);
}

TEST_F(Refusal, OfMoreSourcesOfATopicThanAllowed) {
    chosen_.sources_per_topic_max = 2;
    reopen();
    opened("jobs", "b");
    EXPECT_EQ(code_of(open_source{"jobs", "c", {1}, "", true}), errc::limit_exceeded);
    EXPECT_TRUE(one(open_source{"jobs", "a", {2}, "", true}).ok()) << "it is there";
    EXPECT_TRUE(one(open_source{"other", "c", {1}, "", true}).ok()) << "another topic";
    const topic_id dead = letters();
    EXPECT_TRUE(one(redrive{dead, {{1}, {1}}}).ok()) << "the store's own source";
}

TEST_F(Refusal, OfMoreGroupsOfATopicThanAllowed) {
    chosen_.groups_per_topic_max = 2;
    reopen();
    const group_id second = group_of(topic_, "second");
    const create_group third{topic_, "third", "", {1}};
    EXPECT_EQ(code_of(third), errc::limit_exceeded);
    EXPECT_TRUE(one(create_group{topic_, "second", "", {1}}).ok()) << "it is there";
    EXPECT_TRUE(one(create_group{opened("other", "a").topic, "third", "", {1}}).ok());
    EXPECT_TRUE(one(delete_group{topic_, second}).ok());
    EXPECT_TRUE(one(third).ok());
}

TEST_F(Refusal, OfAGroup) {
    const auto create = [&](std::string group, std::string settings = "") {
        return create_group{topic_, std::move(group), std::move(settings), {1}};
    };
    EXPECT_EQ(code_of(create_group{no_topic, "g", "", {1}}), errc::topic_unknown);
    EXPECT_EQ(code_of(create("")), errc::invalid_argument);
    EXPECT_EQ(code_of(create("@own")), errc::invalid_argument);
    EXPECT_EQ(code_of(create(too_long(group_name_bytes_max))), errc::invalid_argument);
    EXPECT_EQ(code_of(create("g", too_long(settings_bytes_max))), errc::invalid_argument);
    EXPECT_EQ(code_of(create("workers", "other")), errc::group_exists);
    EXPECT_EQ(code_of(alter_group{topic_, no_group, ""}), errc::group_unknown);
    EXPECT_EQ(code_of(alter_group{no_topic, group_, ""}), errc::topic_unknown);
    EXPECT_EQ(code_of(alter_group{topic_, group_, too_long(settings_bytes_max)}),
              errc::invalid_argument);
    EXPECT_EQ(code_of(delete_group{topic_, no_group}), errc::group_unknown);
    EXPECT_EQ(code_of(seek_group{topic_, no_group, {1}}), errc::group_unknown);
    const topic_id dead = letters();
    const group_id own{1};
    EXPECT_EQ(code_of(delete_group{dead, own}), errc::not_supported);
}

TEST_F(Refusal, OfAnAck) {
    EXPECT_EQ(code_of(ack{no_topic, group_, {{{1}, {1}}}}), errc::topic_unknown);
    EXPECT_EQ(code_of(ack{topic_, no_group, {{{1}, {1}}}}), errc::group_unknown);
    EXPECT_EQ(code_of(ack{topic_, group_, {{{2}, {1}}}}), errc::invalid_argument);
    EXPECT_EQ(code_of(ack{topic_, group_, {{{3}, {4}}}}), errc::not_stored);
    const auto at = [&](source_id s, std::uint64_t e, std::uint64_t first, std::uint64_t last) {
        return ack_positions{topic_, group_, s, {e}, {{{first}, {last}}}};
    };
    EXPECT_EQ(code_of(at(no_source, 1, 1, 1)), errc::source_unknown);
    EXPECT_EQ(code_of(at(source_.source, 1, 0, 1)), errc::invalid_argument);
    EXPECT_EQ(code_of(at(source_.source, 1, 2, 1)), errc::invalid_argument);
    EXPECT_EQ(code_of(at(source_.source, 1, 3, 4)), errc::not_stored);
    EXPECT_EQ(code_of(at(source_.source, 2, 1, 1)), errc::not_stored);
}

TEST_F(Refusal, OfAnAckThatSpansTooMuch) {
    constexpr std::uint32_t count = 1U << 20;
    const body_bytes body(std::size_t{count} * wire::record_word_bytes);
    const std::uint64_t end = 3 + 10 * std::uint64_t{count};
    for (std::uint64_t first = 4; first <= end; first += count)
        ASSERT_TRUE(one(batch(source_, {1}, first, count, body)).ok());
    EXPECT_EQ(code_of(ack{topic_, group_, {{{3}, {end}}}}), errc::limit_exceeded);
    EXPECT_EQ(code_of(ack{topic_, group_, {{{3}, {end / 2}}, {{end / 2 + 2}, {end}}}}),
              errc::limit_exceeded);
    EXPECT_TRUE(one(ack{topic_, group_, {{{1}, {end}}}}).ok()) << "cumulative";
}

TEST_F(Refusal, OfAnAckOfTooManyRanges) {
    ack many{topic_, group_, {}};
    ack_positions by_position{topic_, group_, source_.source, {1}, {}};
    many.ranges.assign(ack_ranges_max + 1, {{2}, {2}});
    by_position.ranges.assign(ack_ranges_max + 1, {{2}, {2}});
    EXPECT_EQ(code_of(many), errc::limit_exceeded);
    EXPECT_EQ(code_of(by_position), errc::limit_exceeded);
    many.ranges.pop_back();
    EXPECT_TRUE(one(many).ok());
    by_position.ranges.pop_back();
    EXPECT_TRUE(one(by_position).ok());
}

TEST_F(Refusal, OfAnAttempt) {
    const auto note = [&](std::uint64_t o, std::string reason = "") {
        return note_attempts{topic_, group_, {o}, 1, {}, std::move(reason)};
    };
    EXPECT_EQ(code_of(note_attempts{topic_, no_group, {1}, 1, {}, ""}), errc::group_unknown);
    EXPECT_EQ(code_of(note(4)), errc::not_stored);
    EXPECT_EQ(code_of(note(1, too_long(wire::text_bytes_max))), errc::invalid_argument);
    EXPECT_TRUE(one(ack{topic_, group_, {{{2}, {2}}}}).ok());
    EXPECT_EQ(code_of(note(2)), errc::gone);
    EXPECT_TRUE(one(trim{topic_, {1}}).ok());
    EXPECT_EQ(code_of(note(1)), errc::gone);
}

TEST_F(Refusal, OfADeadLetter) {
    const auto move = [&](std::uint64_t o, std::string to = "dead", std::string reason = "") {
        return dead_letter{topic_,         group_,           {o}, std::move(to), 1,
                           errc::rejected, std::move(reason)};
    };
    EXPECT_EQ(code_of(move(4)), errc::not_stored);
    EXPECT_EQ(code_of(move(1, "jobs")), errc::invalid_argument) << "to where it comes from";
    EXPECT_EQ(code_of(move(1, "dead", too_long(wire::text_bytes_max))), errc::invalid_argument);
    EXPECT_EQ(code_of(move(1, "")), errc::topic_invalid);
    EXPECT_EQ(code_of(dead_letter{topic_, no_group, {1}, "dead", 1, errc::rejected, ""}),
              errc::group_unknown);
    EXPECT_TRUE(one(create_topic{"other", {}}).ok());
    EXPECT_EQ(code_of(move(1, "other")), errc::topic_exists) << "which is no topic of letters";
    EXPECT_TRUE(one(ack{topic_, group_, {{{2}, {2}}}}).ok());
    EXPECT_EQ(code_of(move(2)), errc::gone);
}

TEST_F(Refusal, OfARedrive) {
    const topic_id dead = letters();
    EXPECT_EQ(code_of(redrive{no_topic, {{1}, {1}}}), errc::topic_unknown);
    EXPECT_EQ(code_of(redrive{topic_, {{1}, {1}}}), errc::not_supported);
    EXPECT_EQ(code_of(redrive{dead, {{1}, {2}}}), errc::not_stored);
    EXPECT_EQ(code_of(redrive{dead, {{2}, {1}}}), errc::not_stored);
    EXPECT_TRUE(one(delete_topic{topic_}).ok());
    EXPECT_EQ(code_of(redrive{dead, {{1}, {1}}}), errc::topic_unknown) << "it came from there";
}

TEST_F(Refusal, OfARedriveIsNotForWhatSomebodyAppendedAmongTheLetters) {
    const topic_id dead = letters();
    ASSERT_TRUE(append_to(opened("dead", "a person"), 1, {"a note"}).ok());
    ASSERT_TRUE(one(dead_letter{topic_, group_, {2}, "dead", 1, errc::rejected, ""}).ok());
    EXPECT_EQ(std::get<counted>(one(redrive{dead, {{1}, {3}}}).value).messages, 2U);
    EXPECT_EQ(texts("dead").front(), "a note");
    EXPECT_EQ(std::get<counted>(one(redrive{dead, {{1}, {3}}}).value).messages, 0U);
}

TEST_F(Refusal, OfTooManyLettersAtOnce) {
    constexpr std::uint32_t count = 10'001;
    EXPECT_TRUE(
        one(batch(source_, {1}, 4, count, body_bytes(count * wire::record_word_bytes))).ok());
    std::vector<command> commands;
    for (std::uint64_t o = 4; o < 4 + count; ++o)
        commands.emplace_back(dead_letter{topic_, group_, {o}, "dead", 1, errc::rejected, ""});
    const topic_id dead = std::get<moved>(all(commands).back().value).topic;
    EXPECT_EQ(code_of(redrive{dead, {{1}, {count}}}), errc::limit_exceeded);
    EXPECT_TRUE(one(redrive{dead, {{1}, {count - 1}}}).ok());
}

TEST_F(Refusal, OfWhatHasNoRoom) {
    const topic_id dead = letters();
    EXPECT_TRUE(
        one(alter_topic{topic_,
                        {.retention = {.messages_max = 3, .when_full = full_policy::refuse}}})
            .ok());
    EXPECT_EQ(code_of(good()), errc::store_full);
    EXPECT_EQ(code_of(redrive{dead, {{1}, {1}}}), errc::store_full);
    EXPECT_TRUE(
        one(alter_topic{dead, {.retention = {.messages_max = 1, .when_full = full_policy::refuse}}})
            .ok());
    EXPECT_EQ(code_of(dead_letter{topic_, group_, {2}, "dead", 1, errc::rejected, ""}),
              errc::store_full);
}

TEST_F(Refusal, OfAClosedDatabase) {
    db_->close();
    EXPECT_EQ(code_of(trim{topic_, {1}}), errc::closed);
}

// --- Damage -------------------------------------------------------------------------------------

TEST_F(Refusal, OfADamagedTopicLeavesOthersAlone) {
    const auto other = opened("other", "b");
    db_.reset();
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        auto value = txn.get(dbs.state, topic_key(topic_));
        std::vector<std::byte> wrong(value->begin(), value->end());
        wrong[3] ^= std::byte{1};
        txn.put(dbs.state, topic_key(topic_), wrong);
        auto counters = counters_in(txn, dbs);
        counters.commit = txn.id();
        put(txn, dbs, counters_key(), counters);
    });
    reopen();
    EXPECT_EQ(one(trim{topic_, {1}}).code, errc::store_damaged);
    EXPECT_EQ(one(open_source{"jobs", "a", {1}, "", true}).code, errc::store_damaged);
    page found;
    EXPECT_EQ(reader(*db_).read(topic_, {1}, 1, buffer_, found), errc::store_damaged);
    EXPECT_EQ(reader(*db_).topic(topic_).error(), errc::store_damaged);
    EXPECT_TRUE(append_to(other, 1, {"goes on"}).ok());
    EXPECT_EQ(texts("other"), strings{"goes on"});
    db_.reset();
    EXPECT_FALSE(verify(directory_ / "db").sound());
}

// --- Readers ------------------------------------------------------------------------------------

TEST_F(Refusal, OfReadersBeyondTheirNumber) {
    chosen_.readers_max = 1;
    db_.reset();
    std::filesystem::remove(directory_ / "db" / "lock.mdb");  // which keeps its size otherwise
    reopen();
    std::vector<std::unique_ptr<reader>> all_readers;
    try {
        for (int i = 0; i < 10; ++i) all_readers.push_back(std::make_unique<reader>(*db_));
        ADD_FAILURE() << "ten readers where one is allowed";
    } catch (const error& refused) {
        EXPECT_EQ(refused.code(), errc::limit_exceeded);
    }
    EXPECT_GE(all_readers.size(), 1U);
}

TEST_F(Refusal, OfAReadOfWhatIsUnknown) {
    reader from(*db_);
    page found;
    EXPECT_EQ(from.read(no_topic, {1}, 1, buffer_, found), errc::topic_unknown);
    EXPECT_EQ(from.find_topic("nowhere").error(), errc::topic_unknown);
    EXPECT_EQ(from.find_topic(too_long(wire::topic_bytes_max)).error(), errc::topic_unknown);
    EXPECT_EQ(from.topics(too_long(wire::topic_bytes_max)).error(), errc::invalid_argument);
    EXPECT_EQ(from.topic(no_topic).error(), errc::topic_unknown);
    EXPECT_EQ(from.sources(no_topic).error(), errc::topic_unknown);
    EXPECT_EQ(from.source(no_topic, {1}).error(), errc::topic_unknown);
    EXPECT_EQ(from.source(topic_, no_source).error(), errc::source_unknown);
    EXPECT_EQ(from.offset_at(no_topic, {}).error(), errc::topic_unknown);
    EXPECT_EQ(from.groups(no_topic).error(), errc::topic_unknown);
    EXPECT_EQ(from.group(no_topic, group_).error(), errc::topic_unknown);
    EXPECT_EQ(from.group(topic_, no_group).error(), errc::group_unknown);
    EXPECT_EQ(from.find_group(no_topic, "workers").error(), errc::topic_unknown);
    EXPECT_EQ(from.find_group(topic_, "nobody").error(), errc::group_unknown);
    EXPECT_EQ(from.find_group(topic_, too_long(group_name_bytes_max)).error(), errc::group_unknown);
    EXPECT_EQ(from.pending(no_topic, group_, {1}, 1).error(), errc::topic_unknown);
    EXPECT_EQ(from.pending(topic_, no_group, {1}, 1).error(), errc::group_unknown);
    EXPECT_EQ(from.attempts(no_topic, group_, {1}).error(), errc::topic_unknown);
    EXPECT_EQ(from.attempts(topic_, no_group, {1}).error(), errc::group_unknown);
}

TEST_F(Refusal, OfAPositionTellsWhy) {
    EXPECT_TRUE(one(declare_lost{topic_, source_.source, {1}, {{4}, {5}}, errc::lost}).ok());
    append_to(source_, 6, {"six"});
    EXPECT_TRUE(one(trim{topic_, {1}}).ok());
    reader from(*db_);
    const auto why = [&](topic_id t, source_id s, std::uint64_t e, std::uint64_t at) {
        return from.offset_of(t, s, {e}, {at}).error();
    };
    EXPECT_EQ(why(topic_, source_.source, 1, 6), errc::ok);
    EXPECT_EQ(why(topic_, source_.source, 1, 1), errc::gone);
    EXPECT_EQ(why(topic_, source_.source, 1, 4), errc::lost);
    EXPECT_EQ(why(topic_, source_.source, 1, 7), errc::not_stored);
    EXPECT_EQ(why(topic_, source_.source, 1, 0), errc::not_stored);
    EXPECT_EQ(why(topic_, source_.source, 2, 1), errc::not_stored);
    EXPECT_EQ(why(topic_, no_source, 1, 1), errc::source_unknown);
    EXPECT_EQ(why(no_topic, source_.source, 1, 1), errc::topic_unknown);
}

TEST_F(Refusal, OfAKeyTellsWhy) {
    const auto keyed = std::get<topic_created>(
        one(create_topic{"prices", {.retention = {}, .confirm = {}, .last_per_key = true}}).value);
    reader from(*db_);
    EXPECT_EQ(from.last_of_key(topic_, "oil").error(), errc::not_supported);
    EXPECT_EQ(from.last_per_key(topic_, {}).error(), errc::not_supported);
    EXPECT_EQ(from.last_of_key(no_topic, "oil").error(), errc::topic_unknown);
    EXPECT_EQ(from.last_per_key(no_topic, {}).error(), errc::topic_unknown);
    EXPECT_EQ(from.last_of_key(keyed.topic, "oil").error(), errc::gone);
    EXPECT_EQ(from.last_of_key(keyed.topic, too_long(wire::key_bytes_max)).error(), errc::gone);
    EXPECT_EQ(from.last_per_key(keyed.topic, too_long(wire::key_bytes_max)).error(),
              errc::invalid_argument);
}

TEST_F(Refusal, OfAStoryTellsWhy) {
    const topic_id dead = letters();
    reader from(*db_);
    EXPECT_EQ(from.story(no_topic, {1}).error(), errc::topic_unknown);
    EXPECT_EQ(from.story(topic_, {1}).error(), errc::not_supported);
    EXPECT_EQ(from.story(dead, {2}).error(), errc::not_stored);
    EXPECT_TRUE(one(redrive{dead, {{1}, {1}}}).ok());
    EXPECT_TRUE(one(trim{dead, {1}}).ok());
    EXPECT_EQ(from.story(dead, {1}).error(), errc::gone);
}

}  // namespace
}  // namespace cairn::test
