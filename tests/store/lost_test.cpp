// Marks of what sources declared lost: where readers find them, and what bounds them.
#include "store/support/fixture.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <algorithm>

namespace cairn::test {
namespace {

using namespace store;

class Lost : public Database {
protected:
    Lost() { begin(); }
    void begin() {
        source_ = opened("quakes", "a");
        append_to(source_, 1, {"one"});
        next_ = 2;
    }

    declare_lost lost(std::uint64_t first, std::uint64_t last, errc cause = errc::lost) const {
        return {source_.topic, source_.source, {1}, {{first}, {last}}, cause};
    }
    /// Declares messages lost one by one, each for another cause than the one before, so that each
    /// has a mark of its own. How many were taken, and in code_ why no more were.
    std::size_t lose(std::size_t count) {
        std::vector<command> commands;
        for (std::size_t i = 0; i < count; ++i, ++next_)
            commands.emplace_back(lost(next_, next_, next_ % 2 == 0 ? errc::lost : errc::gone));
        std::size_t taken = 0;
        code_ = errc::ok;
        for (const reply& answer : all(commands)) {
            if (answer.ok())
                ++taken;
            else if (code_ == errc::ok)
                code_ = answer.code;
        }
        next_ -= count - taken;
        return taken;
    }
    void finish_work() {
        while (db_->commit({}, now_, replies_)) {
        }
    }
    void expect_sound() {
        db_.reset();
        EXPECT_TRUE(verify(directory_ / "db").sound());
    }

    source_opened source_;
    std::uint64_t next_ = 2;
    errc code_ = errc::ok;
};

TEST_F(Lost, OneByOneIsOneRangeForOneCause) {
    for (std::uint64_t at = 2; at <= 5; ++at) EXPECT_TRUE(one(lost(at, at)).ok());
    EXPECT_TRUE(one(lost(6, 9, errc::gone)).ok());
    append_to(source_, 10, {"ten"});
    EXPECT_TRUE(one(lost(11, 11, errc::gone)).ok());
    const auto entries = read("quakes").entries;
    ASSERT_EQ(entries.size(), 5U);
    EXPECT_EQ(entries[1].sequences, (sequence_range{{2}, {5}}));
    EXPECT_EQ(entries[2].sequences, (sequence_range{{6}, {9}}));
    EXPECT_EQ(entries[2].cause, errc::gone);
    EXPECT_EQ(entries[4].sequences, (sequence_range{{11}, {11}}));
    EXPECT_EQ(reader(*db_).offset_of(source_.topic, source_.source, {1}, {5}).error(), errc::lost);
    EXPECT_EQ(append_to(source_, 4, {"four"}).code, errc::lost);
    expect_sound();
}

TEST_F(Lost, LiesBehindWhereOneGoesOnWhoIsDoneWithTheMessages) {
    const group_id g = group_of(source_.topic, "readers");
    const auto behind = [&](std::uint64_t done) {
        EXPECT_TRUE(one(seek_group{source_.topic, g, {done + 1}}).ok());
        const auto at = reader(*db_).position_of(source_.topic, g, source_.source)->next;
        return std::to_string(at.epoch.value) + ":" + std::to_string(at.sequence.value);
    };
    const auto lost_of_2 = [&](std::uint64_t first, std::uint64_t last) {
        return declare_lost{source_.topic, source_.source, {2}, {{first}, {last}}, errc::lost};
    };
    EXPECT_EQ(behind(1), "1:2");
    EXPECT_TRUE(one(lost(2, 3)).ok());
    EXPECT_TRUE(one(lost(4, 4, errc::gone)).ok());
    EXPECT_EQ(behind(1), "1:2");
    source_ = opened("quakes", "a", 2);
    EXPECT_TRUE(one(lost_of_2(1, 9)).ok());
    EXPECT_EQ(behind(0), "1:1");
    EXPECT_EQ(behind(1), "1:2");
    append_to(opened("quakes", "b"), 1, {"other"});
    EXPECT_EQ(behind(2), "1:2") << "nothing tells that the losses are done with";
    append_to(source_, 10, {"ten"}, 2);
    EXPECT_EQ(behind(2), "1:2");
    EXPECT_EQ(behind(3), "2:11");
    EXPECT_TRUE(one(lost_of_2(11, 12)).ok());
    EXPECT_EQ(behind(3), "2:11");
}

TEST_F(Lost, InMoreRangesThanAPageHasEntriesHidesNothingBehindThem) {
    EXPECT_EQ(lose(1'100), 1'100U);
    append_to(source_, next_, {"behind"});
    for (const std::uint64_t from : {1U, 2U}) {
        const page found = read("quakes", from);
        EXPECT_EQ(found.next, found.end);
        EXPECT_EQ(std::count_if(found.entries.begin(), found.entries.end(),
                                [](const entry& e) { return e.what == entry::kind::lost; }),
                  1'100);
        EXPECT_EQ(found.entries.back().sequences.first, sequence{next_});
    }
}

TEST_F(Lost, IsChargedAsMessagesAreAndGivenBackByAPurge) {
    chosen_.quota_bytes = 100'000;
    reopen();
    const auto before = db_->stats().stored_bytes;
    EXPECT_LT(lose(1'000), 1'000U);
    EXPECT_EQ(code_, errc::store_full);
    EXPECT_LE(db_->stats().stored_bytes, chosen_.quota_bytes);
    EXPECT_GT(db_->stats().stored_bytes, before + 90'000);
    EXPECT_EQ(append_to(source_, next_, {std::string(1'000, 'x')}).code, errc::store_full);
    EXPECT_TRUE(one(lost(next_, next_ + 3, next_ % 2 == 0 ? errc::gone : errc::lost)).ok())
        << "a longer mark takes no more room";
    EXPECT_TRUE(one(purge{source_.topic}).ok());
    EXPECT_EQ(db_->stats().stored_bytes, 0U);
    EXPECT_TRUE(read("quakes").entries.empty());
    EXPECT_TRUE(append_to(source_, next_ + 4, {"goes on"}).ok());
    expect_sound();
}

TEST_F(Lost, GoesWithTheMessageBehindItAndWithItsTopic) {
    EXPECT_EQ(lose(100), 100U);
    append_to(source_, next_++, {"behind"});
    EXPECT_EQ(lose(50), 50U);
    one(trim{source_.topic, {2}});
    finish_work();
    EXPECT_EQ(read("quakes").entries.size(), 50U);
    EXPECT_GT(db_->stats().stored_bytes, 0U);
    reopen();
    one(delete_topic{source_.topic});
    finish_work();
    EXPECT_EQ(db_->stats().stored_bytes, 0U);
    expect_sound();
}

TEST_F(Lost, IsBoundedInFrontOfOneMessage) {
    EXPECT_EQ(lose(marks_max + 1), marks_max);
    EXPECT_EQ(code_, errc::store_full);
    EXPECT_TRUE(append_to(source_, next_++, {"behind"}).ok());
    EXPECT_EQ(lose(1), 1U);
    expect_sound();
}

}  // namespace
}  // namespace cairn::test
