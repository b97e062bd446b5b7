// The store that the simulations of publishers and readers play with (unit/protocol), and the real
// one: the same commands, the same answers, the same log.
#include "store/support/fixture.hpp"
#include "support/rounds.hpp"
#include "unit/protocol/store_model.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace cairn::test {
namespace {

using namespace store;

class SimulatedStore : public Database {
protected:
    static std::string text_of(std::uint64_t run, std::uint64_t at) {
        return std::to_string(run) + ":" + std::to_string(at);
    }
    /// One of four neighbours is like the others: lost, or messages that say where they belong.
    static bool is_lost(std::uint64_t run, std::uint64_t at) { return (at / 4 + run) % 3 == 0; }

    void begin(const std::string& topic) {
        topic_ = topic;
        model_ = {};
        pending_.clear();
        expected_.clear();
        run_ = 1;
        open();
    }
    void open() {
        sync();
        ASSERT_TRUE(model_.open({run_}));
        at_ = opened(topic_, "station", run_);
        EXPECT_EQ(at_.last, model_.last(epoch{run_}));
    }
    void open_older() {
        if (run_ == 1) return;
        sync();
        EXPECT_FALSE(model_.open({run_ - 1}));
        EXPECT_EQ(one(open_source{topic_, "station", {run_ - 1}, "", true}).code, errc::fenced);
    }
    /// What follows, what is stored already, or what leaves a hole, of this run or of one before.
    void append(std::mt19937_64& random) {
        const std::uint64_t run = run_ - (run_ > 1 && random() % 8 == 0 ? 1 : 0);
        std::uint64_t first = model_.last({run}).value + 1;
        if (random() % 6 == 0) first += 1 + random() % 9;
        if (first > 1 && first % 4 != 0 && random() % 4 == 0) --first;
        const std::uint64_t last = first + random() % (4 - first % 4);
        const bool lost = is_lost(run, first);
        expected_.push_back(model_.append({run}, {{first}, {last}}, lost));
        if (lost) {
            pending_.emplace_back(
                declare_lost{at_.topic, at_.source, {run}, {{first}, {last}}, errc::lost});
            return;
        }
        strings texts;
        for (std::uint64_t s = first; s <= last; ++s) texts.push_back(text_of(run, s));
        pending_.emplace_back(
            batch(at_, {run}, first, static_cast<std::uint32_t>(texts.size()), records(texts)));
    }
    void sync() {
        model_.sync();
        if (pending_.empty()) return;
        const std::vector<reply> replies = all(pending_);
        ASSERT_EQ(replies.size(), expected_.size());
        for (std::size_t i = 0; i != replies.size(); ++i) {
            using taken = store_model::taken;
            const errc code = expected_[i] == taken::hole     ? errc::hole
                              : expected_[i] == taken::fenced ? errc::fenced
                                                              : errc::ok;
            EXPECT_EQ(replies[i].code, code) << "command " << i;
        }
        pending_.clear();
        expected_.clear();
    }
    void crash() {
        model_.crash();
        pending_.clear();
        expected_.clear();
        reopen();
    }
    void expect_same() {
        sync();
        EXPECT_TRUE(model_.whole());
        strings modelled;
        for (const store_model::entry& e : model_.log())
            for (sequence at = e.range.first; at <= e.range.last; ++at)
                modelled.push_back(text_of(e.epoch.value, at.value) + (e.lost ? " lost" : ""));
        strings stored;
        for (const entry& e : read(topic_).entries) {
            if (e.what == entry::kind::batch)
                for (const std::string& text : texts_of(e.body)) stored.push_back(text);
            else
                for (sequence at = e.sequences.first; at <= e.sequences.last; ++at)
                    stored.push_back(text_of(e.epoch.value, at.value) + " lost");
        }
        EXPECT_EQ(stored, modelled);
        for (std::uint64_t run = 1; run <= run_; ++run)
            for (std::uint64_t at = 1; at <= model_.last({run}).value; ++at)
                EXPECT_EQ(model_.holds({run}, {{at}, {at}}), !is_lost(run, at));
    }

    std::string topic_;
    store_model model_;
    source_opened at_;
    std::uint64_t run_ = 1;
    std::vector<command> pending_;
    std::vector<store_model::taken> expected_;
};

TEST_F(SimulatedStore, AnswersAndKeepsAsTheRealOneDoes) {
    for (std::size_t round = 0; round != rounds(300) && !HasFailure(); ++round) {
        SCOPED_TRACE("round " + std::to_string(round));
        std::mt19937_64 random(round);
        begin("t" + std::to_string(round));
        for (int step = 0; step != 60 && !HasFailure(); ++step) {
            switch (random() % 16) {
                case 0:
                    ++run_;
                    open();
                    break;
                case 1:
                    open();
                    break;
                case 2:
                    open_older();
                    break;
                case 3:
                case 4:
                    sync();
                    break;
                case 5:
                    crash();
                    break;
                default:
                    append(random);
            }
        }
        expect_same();
    }
}

}  // namespace
}  // namespace cairn::test
