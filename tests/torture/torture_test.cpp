#include "torture.hpp"
#include "support/rounds.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>

// Publishers, a store and groups as processes, killed and stopped at random.
// CAIRN_TEST_SEED repeats a run's choices.
namespace cairn::test {
namespace {

class DurableProcesses : public Torture, public testing::WithParamInterface<const char*> {
protected:
    void SetUp() override {
        seed_ += std::string(" policy ") + GetParam();
        sources_ = {"east", "north", "south", "west"};
        groups_ = {"alarms", "archive", "audit"};
        if (sanitized) {  // each takes a processor of its own
            sources_.resize(2);
            groups_.pop_back();
        }
        for (const std::string& source : sources_) confirmed_.emplace_back(file(source + ".log"));
        all_.resize(1 + sources_.size() + groups_.size());
    }

    std::string home(const std::string& source) const { return "ipc://" + file("home-" + source); }
    process publisher(const std::string& source, const std::string& messages) const {
        return start({"publisher", source, home(source), store_, file("state-" + source),
                      file(source + ".log"), GetParam(), messages});
    }
    process subscriber(const std::string& group) const {
        std::vector<std::string> words{"subscriber", group, store_, file(group + ".log")};
        for (const std::string& source : sources_) words.push_back(home(source));
        return start(words);
    }
    void begin(std::size_t which) {
        if (all_[which]) ++(which == 0 ? store_kills_ : kills_);
        all_[which].reset();  // what still runs of it is killed and reaped
        if (which == 0)
            all_[which] = store();
        else if (which <= sources_.size())
            all_[which] = publisher(sources_[which - 1], "0");
        else
            all_[which] = subscriber(groups_[which - 1 - sources_.size()]);
    }
    /// How much the store confirmed.
    std::uint64_t confirmed() {
        std::uint64_t sum = 0;
        for (followed_confirms& of : confirmed_) sum += of.count();
        return sum;
    }
    /// And has, unless it was wiped since.
    std::uint64_t stored() {
        std::uint64_t sum = 0;
        for (followed_confirms& of : confirmed_) sum += of.stored();
        return sum;
    }
    /// Faults come to processes that begin, and to those that are at work.
    void let_go_on() {
        if (random_() % 2 == 0) return pass(std::chrono::milliseconds(random_() % 100));
        const std::uint64_t enough = confirmed() + 1 + random_() % 300;
        EXPECT_TRUE(eventually([&] { return confirmed() >= enough; }, patience))
            << "nothing stands still, and nothing goes on";
    }
    /// C7, also before publishers have sent again what they still hold.
    void expect_heads() {
        for (std::size_t i = 0; i != sources_.size(); ++i)
            EXPECT_GE(head_on_the_disk(sources_[i]), confirmed_[i].newest()) << sources_[i];
    }
    void stop(std::size_t which, std::chrono::milliseconds time) {
        all_[which]->signal(SIGSTOP);
        pass(time);
        all_[which]->signal(SIGCONT);
    }
    struct enough {
        std::size_t kills;       ///< of the store, and of its peers
        std::uint64_t messages;  ///< that the store confirmed
    };
    /// In the runs of all policies together 60 kills of the store, 60 of others, 200,000 messages.
    /// With drop_history it is not sent most of them.
    static enough a_lot() {
        const bool drops = GetParam() == std::string_view("drop_history");
        if (sanitized) return {6, 1'000};
        if (long_test()) return {680, drops ? 1'000U : 2'500'000U};
        return {20, drops ? 1'000U : 100'000U};
    }
    static enough a_little() {
        return sanitized ? enough{3, 500} : long_test() ? enough{340, 1'000} : enough{10, 1'000};
    }
    /// What happens to processes until it was enough.
    void torment(const enough& wanted, bool wipes) {
        const std::size_t kills = store_kills_ + wanted.kills;
        const std::size_t other_kills = kills_ + wanted.kills;
        const std::uint64_t messages = stored() + wanted.messages;
        for (std::size_t which = 0; which != all_.size(); ++which)
            if (!all_[which]) begin(which);
        let_go_on();
        if (!wipes) stop(random_() % all_.size(), silence);
        while (!HasFailure() &&
               (store_kills_ < kills || kills_ < other_kills || stored() < messages)) {
            let_go_on();
            const std::size_t which = random_() % 2 == 0 ? 0 : random_() % all_.size();
            if (random_() % 3 == 0) {
                stop(which, std::chrono::milliseconds(random_() % 500));
                continue;
            }
            if (which == 0 && random_() % 2 == 0) {
                all_[0]->signal(SIGKILL);
                EXPECT_EQ(all_[0]->wait(patience), 128 + SIGKILL);
                if (wipes)
                    std::filesystem::remove_all(file("data"));
                else
                    expect_heads();
            }
            begin(which);
        }
        RecordProperty("kills_of_the_store", static_cast<int>(store_kills_));
        RecordProperty("kills_of_others", static_cast<int>(kills_));
        RecordProperty("confirmed", static_cast<int>(stored()));
    }
    /// The publishers' last runs come to an end, and so does who is alive.
    void come_to_an_end() {
        for (std::size_t i = 0; i != sources_.size(); ++i) {
            all_[1 + i].reset();
            all_[1 + i] = publisher(sources_[i], "500");
        }
        // C8: then all is quiet in time.
        for (std::size_t which = 1; which != all_.size(); ++which)
            EXPECT_EQ(all_[which]->wait(90s), 0) << all_[which]->output();
    }

    /// Longer than that, and peers give one up.
    static constexpr std::chrono::milliseconds silence = 4s;

    std::vector<process> all_;  // the store, publishers, groups
    std::vector<followed_confirms> confirmed_;
    std::size_t store_kills_ = 0;
    std::size_t kills_ = 0;
};

TEST_P(DurableProcesses, LoseNothingThatWasConfirmedHoweverTheyAreKilledAndStopped) {
    SCOPED_TRACE(seed_);
    torment(a_lot(), false);
    come_to_an_end();
    all_[0].reset();
    check(found_on_the_disk());
}

TEST_P(DurableProcesses, LoseNothingThatWasConfirmedAfterTheStoreWasWiped) {
    SCOPED_TRACE(seed_);
    torment(a_little(), true);
    // What comes behind the last wipe is lost as little as ever.
    std::vector<fact> forgotten;
    for (std::size_t i = 0; i != sources_.size(); ++i) {
        all_[1 + i].reset();
        forgotten.push_back({fact::kind::wiped, "", sources_[i], confirmed_[i].forget(), 0, 0, ""});
    }
    torment(a_little(), false);
    come_to_an_end();
    all_[0].reset();
    check(found_on_the_disk(), forgotten);
}

// Where a sanitizer makes all of it slow, the policy with the most to do.
std::vector<const char*> policies() {
    if (sanitized) return {"spill"};
    return {"block", "spill", "drop_history"};
}

INSTANTIATE_TEST_SUITE_P(WithPolicy, DurableProcesses, testing::ValuesIn(policies()),
                         [](const auto& policy) { return std::string(policy.param); });

using StoppedProcess = Torture;

TEST_F(StoppedProcess, ThatIsTheStoreIsNotMissedByPeers) {
    process kept = store();
    node_options o = with_store("here");
    o.state_directory = file("state");
    node here(o);
    cairn::publisher sender(here, "torture");
    cairn::subscriber reader(here, "torture");
    ASSERT_TRUE(sender.wait_for_subscribers(1, 20s));
    sender.publish("before");
    ASSERT_EQ(sender.flush(20s), 0U);
    ASSERT_TRUE(reader.receive_for(20s));
    ASSERT_TRUE(reader.wait_live(20s));

    kept->signal(SIGSTOP);
    for (int n = 0; n != 100; ++n) {
        sender.publish("meanwhile");
        ASSERT_TRUE(reader.receive_for(20s));
    }
    EXPECT_EQ(sender.flush(50ms), 100U);
    EXPECT_EQ(sender.stats().owed_messages, 100U);
    kept->signal(SIGCONT);
    EXPECT_EQ(sender.flush(20s), 0U);
}

TEST_F(StoppedProcess, ThatIsAMemberOfAGroupHoldsUpNoOtherGroup) {
    groups_ = {"alarms", "archive", "audit"};
    const std::string home = "ipc://" + file("home");
    const auto publisher = [&](const std::string& messages) {
        return start({"publisher", "publisher", home, store_, file("state"), file("publisher.log"),
                      "block", messages, "65536", "16"});
    };
    const process kept = store();
    process sender = publisher("0");
    std::vector<process> members;
    for (const std::string& group : groups_)
        members.push_back(start({"subscriber", group, store_, file(group + ".log"), home}));
    for (const std::string& group : groups_)
        ASSERT_TRUE(followed(file(group + ".log"), fact::kind::given).grows(100));

    members[0]->signal(SIGSTOP);
    // Far more than the ring and what is under way to a reader hold.
    ASSERT_TRUE(followed(file("archive.log"), fact::kind::given).grows(20'000));
    sender.reset();
    sender = publisher("500");
    EXPECT_EQ(members[1]->wait(60s), 0) << members[1]->output();
    EXPECT_EQ(members[2]->wait(60s), 0) << members[2]->output();
    EXPECT_EQ(sender->wait(60s), 0) << sender->output();
    members[0]->signal(SIGCONT);
    EXPECT_EQ(members[0]->wait(60s), 0) << members[0]->output();
    check();
}

/// A store that is away for a second, or for five minutes in a long test.
class LongOutage : public Torture {
protected:
    /// What is published meanwhile, of which the last comes when the store is back.
    void publish_through_it(full_ring policy) {
        process kept = store();
        node_options o = with_store("here");
        o.state_directory = file("state");
        node here(o);
        publisher_options p;
        p.ring_bytes_max = std::size_t{64} << 10;
        p.when_full = policy;
        cairn::publisher sender(here, "torture", p);
        cairn::subscriber reader(here, "torture", {.use_store = false});
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        kept.reset();
        const auto end = std::chrono::steady_clock::now() + (long_test() ? 5min : 1s);
        int last = 0;
        // More than the ring holds, however slow it is.
        while (last < 20'000 || std::chrono::steady_clock::now() < end) {
            sender.publish(std::to_string(++last));
            const auto m = reader.receive_for(patience);
            ASSERT_TRUE(m) << "peers go on";
            ASSERT_EQ(m->text(), std::to_string(last));
        }
        kept = store();
        const std::uint64_t left = sender.flush(patience);
        EXPECT_EQ(left, sender.stats().lost_to_store);
        EXPECT_EQ(sender.durable().value, static_cast<std::uint64_t>(last)) << "or told as lost";
        published_ = last;
        lost_ = sender.stats().lost_to_store;
        stored_ = stored();
    }

    int published_ = 0;
    std::uint64_t lost_ = 0;
    std::vector<std::string> stored_;
};

TEST_F(LongOutage, IsCaughtUpWithFromASpill) {
    publish_through_it(full_ring::spill);
    EXPECT_EQ(lost_, 0U);
    EXPECT_EQ(stored_, numbers(1, published_));
}

TEST_F(LongOutage, CostsWhatTheRingDidNotHoldAndIsCounted) {
    publish_through_it(full_ring::drop_history);
    EXPECT_GT(lost_, 0U);
    EXPECT_EQ(stored_, numbers(static_cast<int>(lost_) + 1, published_));
}

}  // namespace
}  // namespace cairn::test
