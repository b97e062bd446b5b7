#include "store/support/fixture.hpp"
#include "store/support/noted_waits.hpp"

#include <cairn/store/committer.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <latch>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace cairn::test {
namespace {

using namespace store;
using namespace std::chrono_literals;

/// Keeps replies by token, and lets a test wait for them.
class inbox final : public completion {
public:
    void replied(std::uint64_t token, const reply& answer, bool flushed) override {
        const std::lock_guard hold(mutex_);
        answers_[token] = {answer, flushed};
        if (!flushed) early_.insert(token);
        changed_.notify_all();
    }
    reply wait(std::uint64_t token) {
        std::unique_lock hold(mutex_);
        changed_.wait(hold, [&] { return answers_.contains(token); });
        return answers_[token].first;
    }
    bool came_early(std::uint64_t token) {
        const std::lock_guard hold(mutex_);
        return early_.contains(token);
    }
    void kept(std::uint64_t token) override {
        const std::lock_guard hold(mutex_);
        answers_[token].second = true;
        changed_.notify_all();
    }
    void wait_until_flushed(std::uint64_t token) {
        std::unique_lock hold(mutex_);
        changed_.wait(hold, [&] { return answers_.contains(token) && answers_[token].second; });
    }
    std::size_t count() {
        const std::lock_guard hold(mutex_);
        return answers_.size();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::uint64_t, std::pair<reply, bool>> answers_;  // and whether it is flushed
    std::set<std::uint64_t> early_;
};

using Committer = Database;

TEST_F(Committer, AnswersEveryProducerAndKeepsItsOrder) {
    constexpr int producers = 8;
    static constexpr std::uint64_t messages = 50;
    std::vector<source_opened> sources;
    for (int i = 0; i < producers; ++i) sources.push_back(opened("jobs", "s" + std::to_string(i)));
    std::vector<inbox> inboxes(producers);
    committer group(*db_);
    std::vector<std::jthread> threads;
    for (std::size_t n = 0; n != sources.size(); ++n)
        threads.emplace_back([&group, s = sources[n], &answers = inboxes[n]] {
            for (std::uint64_t i = 1; i <= messages; ++i) {
                command one = batch(s, {1}, i, 1, records({std::to_string(i)}));
                ASSERT_EQ(group.submit_until(one, answers, i, clock::now() + 60s), errc::ok);
                if (i % 10 == 0) {
                    ASSERT_TRUE(answers.wait(i).ok());
                }
            }
            answers.wait(messages);
            EXPECT_EQ(answers.count(), messages);
        });
    threads.clear();
    group.close();
    EXPECT_EQ(texts("jobs").size(), producers * messages);
}

TEST_F(Committer, ConfirmsWrittenTopicsWithoutTheSync) {
    topic_config early;
    early.confirm = durability::written;
    one(create_topic{"ticks", early});
    const auto s = opened("ticks", "a");
    inbox answers;
    committer group(*db_);
    command wanted = batch(s, {1}, 1, 1, records({"x"}));
    ASSERT_EQ(group.try_submit(wanted, answers, 1), errc::ok);
    EXPECT_TRUE(answers.wait(1).ok());
    EXPECT_TRUE(answers.came_early(1));
    answers.wait_until_flushed(1);
    EXPECT_EQ(texts("ticks"), strings{"x"});
}

TEST_F(Committer, CommitsWhatWasSubmittedBeforeItCloses) {
    const auto s = opened("jobs", "a");
    inbox answers;
    committer group(*db_);
    for (std::uint64_t i = 1; i <= 100; ++i) {
        command wanted = batch(s, {1}, i, 1, records({"x"}));
        ASSERT_EQ(group.try_submit(wanted, answers, i), errc::ok);
    }
    group.close();
    EXPECT_EQ(answers.count(), 100U);
    command late = trim{s.topic, {1}};
    EXPECT_EQ(group.try_submit(late, answers, 101), errc::closed);
    EXPECT_TRUE(std::holds_alternative<trim>(late)) << "what is not taken stays the caller's";
}

TEST_F(Committer, LetsManyThreadsWaitForTheirOwnCommits) {
    constexpr int producers = 16;
    static constexpr std::uint64_t messages = 40;
    std::vector<source_opened> sources;
    for (int i = 0; i < producers; ++i) sources.push_back(opened("jobs", "s" + std::to_string(i)));
    committer group(*db_);
    std::vector<std::jthread> threads;
    for (const source_opened& s : sources)
        threads.emplace_back([&group, &s] {
            for (std::uint64_t i = 1; i <= messages; ++i) {
                const reply answer = group.commit(batch(s, {1}, i, 1, records({"x"})));
                ASSERT_TRUE(answer.ok());
                ASSERT_TRUE(std::holds_alternative<appended>(answer.value));
            }
        });
    threads.clear();
    group.close();  // a commit is counted after its replies
    EXPECT_EQ(group.stats().commands, producers * messages);
    EXPECT_EQ(texts("jobs").size(), producers * messages);
}

TEST_F(Committer, AnswersAWaitingThreadWithWhatIsWrong) {
    const auto s = opened("jobs", "a");
    committer group(*db_);
    EXPECT_TRUE(group.commit(batch(s, {1}, 1, 1, records({"x"}))).ok());
    const reply hole = group.commit(batch(s, {1}, 3, 1, records({"x"})));
    EXPECT_EQ(hole.code, errc::hole);
    EXPECT_EQ(std::get<expected>(hole.value).next, cairn::sequence{2});
    group.close();
    EXPECT_EQ(group.commit(trim{s.topic, {1}}).code, errc::closed);
}

/// Holds the committer's thread inside a reply until it is let go.
class gate final : public completion {
public:
    void replied(std::uint64_t, const reply&, bool) override {
        entered_.count_down();
        open_.wait();
    }
    void wait_until_entered() { entered_.wait(); }
    void open() { open_.count_down(); }

private:
    std::latch entered_{1};
    std::latch open_{1};
};

/// Lets a committer's thread be held while commands gather.
class Gathered : public Database {
protected:
    /// So many transactions hold commands that were submitted while one commit ran.
    std::uint64_t transactions_of(std::vector<command> commands, committer_options chosen) {
        chosen.idle_interval = 1h;
        gate closed;
        inbox answers;
        committer group(*db_, chosen);
        command first = alter_topic{topic_, {}};
        EXPECT_EQ(group.try_submit(first, closed, 0), errc::ok);
        closed.wait_until_entered();
        for (std::uint64_t i = 0; i < commands.size(); ++i)
            EXPECT_EQ(group.try_submit(commands[i], answers, i), errc::ok);
        closed.open();
        group.close();
        EXPECT_EQ(answers.count(), commands.size());
        return group.stats().transactions - 1;
    }
    std::vector<command> appends(std::size_t count, std::size_t bytes) {
        std::vector<command> all;
        for (; count > 0; --count)
            all.emplace_back(batch(source_, {1}, next_++, 1, records({std::string(bytes, 'x')})));
        return all;
    }

    const source_opened source_ = opened("jobs", "a");
    const topic_id topic_ = source_.topic;
    std::uint64_t next_ = 1;
};

TEST_F(Gathered, CommandsAreCommittedTogether) {
    EXPECT_EQ(transactions_of(appends(100, 10), {}), 1U);
    EXPECT_EQ(texts("jobs").size(), 100U);
}

TEST_F(Gathered, CommandsShareATransactionUpToItsLimits) {
    EXPECT_EQ(transactions_of(appends(10, 990), {.transaction_bytes_max = 3'000}), 4U);
    EXPECT_EQ(transactions_of(appends(2, 5'000), {.transaction_bytes_max = 3'000}), 2U)
        << "a larger one goes alone";
    EXPECT_EQ(transactions_of(appends(10, 10), {.transaction_commands_max = 4}), 3U);
}

TEST_F(Gathered, CommandsAreCountedWithAllThatTheyHold) {
    const group_id g = group_of(topic_, "workers");
    const ack wide{topic_, g, std::vector<offset_range>(4'000, {{1}, {1}})};
    const note_attempts wordy{topic_, g, {1}, 1, {}, std::string(64'000, 'r')};
    for (const command& large : {command{wide}, command{wordy}}) {
        gate closed;
        inbox answers;
        committer group(*db_, {.waiting_bytes_max = 100'000});
        command first = trim{topic_, {0}};
        ASSERT_EQ(group.try_submit(first, closed, 0), errc::ok);
        closed.wait_until_entered();
        command one = large;
        EXPECT_EQ(group.try_submit(one, answers, 1), errc::ok);
        EXPECT_GE(group.stats().waiting_bytes, 64'000U);
        one = large;
        EXPECT_EQ(group.try_submit(one, answers, 2), errc::full);
        closed.open();
        group.close();
        EXPECT_EQ(group.stats().waiting_bytes, 0U);
    }
}

// Nothing waits for a timer but who was just answered together with others, and for how long is a
// part of what their commit took.
TEST_F(Gathered, CommandsWaitForOthersOnlyAPartOfACommit) {
    noted_waits lobby;
    gate closed;
    inbox answers;
    committer group(*db_, {.idle_interval = 1h, .room = &lobby});
    const auto submit = [&](completion& to, std::uint64_t token) {
        command one = std::move(appends(1, 10).front());
        ASSERT_EQ(group.try_submit(one, to, token), errc::ok);
    };
    for (std::uint64_t lone = 1; lone <= 5; ++lone) {
        lobby.wait_until_used(lone);
        submit(answers, lone);
        EXPECT_TRUE(answers.wait(lone).ok());
    }
    lobby.wait_until_used(6);
    submit(closed, 6);
    closed.wait_until_entered();
    submit(answers, 7);
    submit(answers, 8);
    closed.open();
    const auto waits = lobby.wait_until_used(8);
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(waits[i] > 30min, i != 6) << i;
    EXPECT_LE(waits[6], group.stats().commit_time / 4);
}

TEST_F(Committer, WaitsForWorkWhereItIsTold) {
    class room final : public waiting_room {
    public:
        void wait(time_point deadline, const std::function<bool()>& done) override {
            std::unique_lock hold(mutex_);
            waiter_ = std::this_thread::get_id();
            ++waits_;
            changed_.notify_all();
            changed_.wait_until(hold, deadline, done);
        }
        void wake() override {
            const std::lock_guard hold(mutex_);
            EXPECT_NE(std::this_thread::get_id(), waiter_);
            ++wakes_;
            changed_.notify_all();
        }
        std::size_t wakes() {
            const std::lock_guard hold(mutex_);
            return wakes_;
        }
        void wait_until_used(std::size_t times) {
            std::unique_lock hold(mutex_);
            changed_.wait(hold, [&] { return waits_ >= times; });
        }

    private:
        std::mutex mutex_;
        std::condition_variable changed_;
        std::thread::id waiter_;
        std::size_t waits_ = 0;
        std::size_t wakes_ = 0;
    };
    const source_opened s = opened("jobs", "maker");
    inbox answers;
    room lobby;
    committer_options chosen;
    chosen.room = &lobby;
    chosen.idle_interval = 1h;
    committer group(*db_, chosen);
    for (std::uint64_t i = 1; i <= 20; ++i) {
        lobby.wait_until_used(i);
        command one = batch(s, {1}, i, 1, records({std::to_string(i)}));
        ASSERT_EQ(group.try_submit(one, answers, i), errc::ok);
        EXPECT_TRUE(answers.wait(i).ok());
    }
    lobby.wait_until_used(21);
    group.close();
    EXPECT_EQ(lobby.wakes(), 21u);
}

TEST_F(Committer, BoundsWhatWaits) {
    const auto s = opened("jobs", "a");
    gate closed;
    inbox answers;
    committer_options tight;
    tight.waiting_bytes_max = 1'000;
    committer group(*db_, tight);
    command first = create_topic{"other", {}};
    ASSERT_EQ(group.try_submit(first, closed, 1), errc::ok);
    closed.wait_until_entered();
    std::uint64_t taken = 0;
    for (;; ++taken) {
        command wanted = trim{s.topic, {0}};
        const errc code = group.try_submit(wanted, answers, taken);
        if (code != errc::ok) {
            EXPECT_EQ(code, errc::full);
            break;
        }
    }
    EXPECT_LE(taken, 4U);
    command wanted = trim{s.topic, {0}};
    EXPECT_EQ(group.submit_until(wanted, answers, 99, clock::now()), errc::timed_out);
    command large = batch(s, {1}, 1, 1, records({std::string(2'000, 'x')}));
    EXPECT_EQ(group.try_submit(large, answers, 98), errc::too_large);
    closed.open();
    EXPECT_EQ(group.submit_until(wanted, answers, 100, clock::now() + 60s), errc::ok);
    group.close();
    EXPECT_EQ(answers.count(), taken + 1);
}

/// Its thread is held while half of the room is taken.
class HalfFullCommitter : public Database {
protected:
    HalfFullCommitter() {
        command first = append_of(1, 50'000);
        EXPECT_EQ(group.try_submit(first, held, 0), errc::ok);
        held.wait_until_entered();
    }
    command append_of(std::uint64_t sequence, std::size_t bytes) const {
        return batch(source, {1}, sequence, 1, records({std::string(bytes, 'x')}));
    }

    const source_opened source = opened("jobs", "a");
    gate held;
    inbox answers;
    committer group{*db_, {.waiting_bytes_max = 100'000}};
};

TEST_F(HalfFullCommitter, LetsNobodyInBeforeALargerCommandThatWaits) {
    std::thread large([&] {
        command wanted = append_of(2, 90'000);
        EXPECT_EQ(group.submit_until(wanted, answers, 1, clock::now() + 1h), errc::ok);
    });
    while (group.stats().waiting_threads == 0) std::this_thread::yield();
    command small = trim{source.topic, {0}};
    EXPECT_EQ(group.try_submit(small, answers, 2), errc::full) << "it is not its turn";
    EXPECT_EQ(group.submit_until(small, answers, 2, clock::now()), errc::timed_out);
    EXPECT_LT(group.stats().waiting_bytes, 60'000U) << "though there was room";
    EXPECT_EQ(group.stats().waiting_threads, 1U);
    held.open();
    large.join();
    EXPECT_TRUE(answers.wait(1).ok());
    EXPECT_EQ(group.try_submit(small, answers, 2), errc::ok);
    group.close();
    EXPECT_EQ(answers.count(), 2U);
}

TEST_F(HalfFullCommitter, LetsInWhoStandsBehindSomebodyWhoseTimeIsOver) {
    command large = append_of(2, 90'000);
    std::atomic<bool> is_over{false};
    std::thread first([&] {
        EXPECT_EQ(group.submit_until(large, answers, 1, clock::now() + 50ms), errc::timed_out);
        is_over = true;
    });
    while (group.stats().waiting_threads == 0 && !is_over) std::this_thread::yield();
    command wanted = trim{source.topic, {0}};
    EXPECT_EQ(group.submit_until(wanted, answers, 2, clock::now() + 1h), errc::ok);
    first.join();
    EXPECT_EQ(group.stats().waiting_threads, 0U);
    held.open();
    group.close();
    EXPECT_EQ(answers.count(), 1U);
}

TEST_F(HalfFullCommitter, TellsWhoWaitsForRoomThatItIsClosed) {
    std::thread waiting([&] {
        command large = append_of(2, 90'000);
        EXPECT_EQ(group.submit_until(large, answers, 1, clock::now() + 1h), errc::closed);
        held.open();
    });
    while (group.stats().waiting_threads == 0) std::this_thread::yield();
    group.close();
    waiting.join();
    EXPECT_EQ(answers.count(), 0U);
}

TEST_F(Committer, RefusesOptionsOutsideTheirRangeByName) {
    const auto refused = [&](const committer_options& chosen) -> std::string {
        try {
            const committer group(*db_, chosen);
        } catch (const error& why) {
            EXPECT_EQ(why.code(), errc::invalid_argument);
            return why.what();
        }
        return "taken";
    };
    const auto names = [&](const committer_options& chosen, const char* option) {
        const std::string text = refused(chosen);
        EXPECT_NE(text.find(option), std::string::npos) << text;
    };
    names({.waiting_bytes_max = 0}, "waiting_bytes_max");
    names({.transaction_bytes_max = 0}, "transaction_bytes_max");
    names({.transaction_bytes_max = commit_bytes_max + 1}, "transaction_bytes_max");
    names({.transaction_commands_max = 0}, "transaction_commands_max");
    names({.idle_interval = 0ms}, "idle_interval");
    names({.idle_interval = -1ms}, "idle_interval");
    EXPECT_EQ(refused({.idle_interval = 1ms}), "taken");
}

TEST_F(Committer, ReadersSeeWholeBatchesWhileItWrites) {
    const auto s = opened("jobs", "a");
    inbox answers;
    committer group(*db_);
    std::jthread looking([&] {
        reader from(*db_);
        std::vector<std::byte> buffer;
        page found;
        for (offset at{1}; at.value <= 300;) {
            ASSERT_EQ(from.read(s.topic, at, 10'000, buffer, found), errc::ok);
            for (const entry& e : found.entries) {
                ASSERT_EQ(e.what, entry::kind::batch);
                ASSERT_EQ(e.offsets.first, at);
                at = e.offsets.last + 1;
            }
        }
    });
    for (std::uint64_t i = 1; i <= 300; i += 3) {
        command wanted = batch(s, {1}, i, 3, records({"a", std::string(5'000, 'b'), "c"}));
        ASSERT_EQ(group.submit_until(wanted, answers, i, clock::now() + 60s), errc::ok);
        ASSERT_TRUE(answers.wait(i).ok());
    }
}

}  // namespace
}  // namespace cairn::test
