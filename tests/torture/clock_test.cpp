#include "support/rounds.hpp"
#include "torture.hpp"

#include <cairn/store/database.hpp>
#include <cairn/store/reader.hpp>

#include <algorithm>
#include <csignal>
#include <fstream>

// Wall clocks that go back between two runs of a process.
namespace cairn::test {
namespace {

class WrongClock : public Torture {
protected:
    static constexpr std::chrono::hours day{24};

    static process start_at(std::chrono::seconds wrong, std::vector<std::string> words) {
        return start_by(std::to_string(wrong.count()), std::move(words));
    }
    /// By a clock that a test may set while they run.
    process start_by_the_clock(std::vector<std::string> words) const {
        return start_by(file("clock"), std::move(words));
    }
    void set_clock(std::chrono::seconds wrong) const {
        std::ofstream(file("clock.new")) << wrong.count() << '\n';
        std::filesystem::rename(file("clock.new"), file("clock"));
    }
    process store_at(std::chrono::seconds wrong) const {
        return start_at(wrong, {"store", file("data"), store_});
    }
    /// `state`: "-" without.
    process publisher_at(std::chrono::seconds wrong, const std::string& messages,
                         const std::string& state) const {
        return start_at(wrong, {"publisher", "publisher", home_, store_, state,
                                file("publisher.log"), "block", messages});
    }
    void start_subscribers(std::chrono::seconds wrong = 0s) {
        for (const std::string& g : groups_)
            subscribers_.push_back(
                start_at(wrong, {"subscriber", g, store_, file(g + ".log"), home_}));
    }
    /// Epochs of what a log tells, in its order.
    std::vector<std::uint64_t> runs(fact::kind what, const std::string& log) const {
        std::vector<std::uint64_t> all;
        for (const fact& f : read_history(file(log)))
            if (f.what == what && (all.empty() || all.back() != f.epoch)) all.push_back(f.epoch);
        return all;
    }
    /// Until each group was given something of that many runs.
    bool given_of(std::size_t count) const {
        return eventually(
            [&] {
                return std::all_of(groups_.begin(), groups_.end(), [&](const std::string& g) {
                    return runs(fact::kind::given, g + ".log").size() >= count;
                });
            },
            patience);
    }
    /// When each batch was stored, in the order of the store.
    std::vector<wall_time> stored_times() const {
        const store::database data(file("data"));
        store::reader reader(data);
        const auto topic = reader.find_topic("torture");
        EXPECT_EQ(topic.error(), errc::ok);
        std::vector<wall_time> all;
        std::vector<std::byte> buffer;
        store::page page;
        for (store::offset at{1};; at = page.next) {
            EXPECT_EQ(reader.read(*topic, at, std::size_t{1} << 20, buffer, page), errc::ok);
            for (const store::entry& e : page.entries) all.push_back(e.stored);
            if (page.next >= page.end) return all;
        }
    }

    std::string home_ = "ipc://" + file("home");
    std::vector<process> subscribers_;

private:
    static process start_by(const std::string& clock, std::vector<std::string> words) {
        words.insert(words.begin(),
                     {"/usr/bin/env", "CAIRN_TEST_CLOCK=" + clock, CAIRN_TORTURE_PARTY});
        return std::make_unique<child_process>(words);
    }
};

TEST_F(WrongClock, OfAPublisherTakesNoEpochDown) {
    const process kept = store();
    start_subscribers();
    for (int run = 0; run != 3; ++run) {
        const process sender = publisher_at(-run * day, "0", file("state"));
        ASSERT_TRUE(given_of(static_cast<std::size_t>(run) + 1)) << "run " << run;
        sender->signal(SIGKILL);
    }
    const process last = publisher_at(-3 * day, "500", file("state"));
    EXPECT_EQ(last->wait(60s), 0) << last->output();
    for (const process& s : subscribers_) EXPECT_EQ(s->wait(60s), 0) << s->output();
    const auto epochs = runs(fact::kind::published, "publisher.log");
    EXPECT_EQ(epochs.size(), 4U);
    EXPECT_TRUE(std::is_sorted(epochs.begin(), epochs.end()));
    check();
}

TEST_F(WrongClock, OfAPublisherWithoutAStateDirectoryFencesIt) {
    process kept = store();
    start_subscribers();
    {
        const process sender = publisher_at(0s, "0", "-");
        ASSERT_TRUE(given_of(1));
    }
    const auto known = runs(fact::kind::published, "publisher.log");
    process earlier = publisher_at(-day, "0", "-");
    EXPECT_EQ(earlier->wait(60s), 1);
    for (const char* part : {"a newer run of this source exists", "state_directory"})
        EXPECT_NE(earlier->output().find(part), std::string::npos) << earlier->output();

    // With a right clock again it goes on; of the fenced run nothing was given or stored.
    const process last = publisher_at(0s, "500", "-");
    EXPECT_EQ(last->wait(60s), 0) << last->output();
    for (const process& s : subscribers_) EXPECT_EQ(s->wait(60s), 0) << s->output();
    for (const std::string& g : groups_)
        EXPECT_EQ(runs(fact::kind::given, g + ".log").front(), known.front());
    check();
}

TEST_F(WrongClock, OfAStoreTakesNoStoredTimeDown) {
    start_subscribers();
    {
        const process kept = store();
        const process sender = publisher_at(0s, "0", file("state"));
        ASSERT_TRUE(given_of(1));
    }
    const wall_time right = std::chrono::system_clock::now();
    {
        const process kept = store_at(-day);
        const process sender = publisher_at(-day, "0", file("state"));
        ASSERT_TRUE(given_of(2));
    }
    process kept = store_at(-2 * day);
    const process last = publisher_at(-2 * day, "500", file("state"));
    EXPECT_EQ(last->wait(60s), 0) << last->output();
    for (const process& s : subscribers_) EXPECT_EQ(s->wait(60s), 0) << s->output();
    check();
    kept.reset();
    const auto times = stored_times();
    EXPECT_GT(times.size(), 2U);
    EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
    EXPECT_LE(times.back(), right) << "the clock that it was opened with is behind what it has";
}

TEST_F(WrongClock, OfEverybodyAtTheBeginningOf1970IsAClockAsAnyOther) {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    const auto begin = -std::chrono::duration_cast<std::chrono::seconds>(since) + 60s;
    process kept = store_at(begin);
    start_subscribers(begin);
    {
        const process sender = publisher_at(begin, "0", file("state"));
        ASSERT_TRUE(given_of(1));
    }
    // Its clock is set, and then the store's is.
    {
        const process sender = publisher_at(0s, "0", file("state"));
        ASSERT_TRUE(given_of(2));
    }
    kept.reset();
    kept = store_at(0s);
    const process last = publisher_at(0s, "500", file("state"));
    EXPECT_EQ(last->wait(60s), 0) << last->output();
    for (const process& s : subscribers_) EXPECT_EQ(s->wait(60s), 0) << s->output();
    check();
}

TEST_F(WrongClock, AYearAheadLosesNothingWhenItIsSetRight) {
    constexpr auto year = 365 * day;
    process kept = store_at(year);
    start_subscribers(year);
    {
        const process sender = publisher_at(year, "0", file("state"));
        ASSERT_TRUE(given_of(1));
    }
    kept.reset();
    kept = store_at(0s);
    const process last = publisher_at(0s, "500", file("state"));
    EXPECT_EQ(last->wait(60s), 0) << last->output();
    for (const process& s : subscribers_) EXPECT_EQ(s->wait(60s), 0) << s->output();
    const auto epochs = runs(fact::kind::published, "publisher.log");
    EXPECT_EQ(epochs.size(), 2U);
    EXPECT_TRUE(std::is_sorted(epochs.begin(), epochs.end()));
    check();
    kept.reset();
    const auto times = stored_times();
    EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
}

// What has an age limit is gone for good, and the clock may be right again a second later.
TEST_F(WrongClock, AheadForAWhileTakesNothingThatHasAnAgeLimit) {
    set_clock(0s);
    process kept = start_by_the_clock({"store", file("data"), store_});
    node here(with_store("here"));
    admin store(here);
    store.create_topic("torture", {.age_max = 1h});
    cairn::publisher sender(here, "torture");
    publish_numbers(sender, 1, 100);
    ASSERT_EQ(sender.flush(patience), 0U);

    set_clock(day);
    publish_numbers(sender, 101, 200);
    ASSERT_EQ(sender.flush(patience), 0U);
    // Also when nothing comes: limits are looked after once a second.
    pass(1'500ms);
    set_clock(0s);
    publish_numbers(sender, 201, 300);
    ASSERT_EQ(sender.flush(patience), 0U);

    EXPECT_EQ(stored(), numbers(1, 300));
}

TEST_F(WrongClock, ThatIsSetWhileAllRunHoldsNobodyUpAndLosesNothing) {
    set_clock(0s);
    process kept = start_by_the_clock({"store", file("data"), store_});
    for (const std::string& g : groups_)
        subscribers_.push_back(
            start_by_the_clock({"subscriber", g, store_, file(g + ".log"), home_}));
    const auto publisher = [&](const std::string& messages) {
        return start_by_the_clock({"publisher", "publisher", home_, store_, file("state"),
                                   file("publisher.log"), "block", messages});
    };
    process sender = publisher("0");
    ASSERT_TRUE(given_of(1));
    const std::chrono::seconds times[] = {1h, -1h, day, -day, 100'000s, -365 * day, 365 * day, 0s};
    for (const std::chrono::seconds wrong : times) {
        set_clock(wrong);
        for (const std::string& g : groups_)
            EXPECT_TRUE(followed(file(g + ".log"), fact::kind::acked).grows(100)) << wrong.count();
        EXPECT_TRUE(followed(file("publisher.log"), fact::kind::durable).grows(10));
    }
    sender->signal(SIGKILL);
    sender = publisher("500");
    EXPECT_EQ(sender->wait(60s), 0) << sender->output();
    for (const process& s : subscribers_) EXPECT_EQ(s->wait(60s), 0) << s->output();
    check();
    kept.reset();
    const auto stored = stored_times();
    EXPECT_TRUE(std::is_sorted(stored.begin(), stored.end()));
}

// As on a machine that was asleep: for each of them all timers are due at once.
TEST_F(WrongClock, ThatEverybodySleptThroughIsCaughtUpWith) {
    std::vector<process> all;
    all.push_back(store());
    start_subscribers();
    process sender = publisher_at(0s, "0", file("state"));
    ASSERT_TRUE(given_of(1));
    const auto all_get = [&](int number) {
        sender->signal(number);
        all.front()->signal(number);
        for (const process& s : subscribers_) s->signal(number);
    };
    all_get(SIGSTOP);
    pass(long_test() ? 120s : 4'500ms);  // longer than any peer may be silent
    all_get(SIGCONT);
    for (const std::string& g : groups_)
        EXPECT_TRUE(followed(file(g + ".log"), fact::kind::given).grows(100));
    EXPECT_TRUE(followed(file("publisher.log"), fact::kind::durable).grows(10));
    sender.reset();
    const process last = publisher_at(0s, "500", file("state"));
    EXPECT_EQ(last->wait(60s), 0) << last->output();
    for (const process& s : subscribers_) EXPECT_EQ(s->wait(60s), 0) << s->output();
    check();
}

}  // namespace
}  // namespace cairn::test
