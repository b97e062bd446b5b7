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
        sources_ = {"east", "north", "west"};
        groups_ = {"alarms", "archive", "audit"};
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
        if (all_[which]) ++kills_;
        all_[which].reset();  // what still runs of it is killed and reaped
        if (which == 0)
            all_[which] = store();
        else if (which <= sources_.size())
            all_[which] = publisher(sources_[which - 1], "0");
        else
            all_[which] = subscriber(groups_[which - 1 - sources_.size()]);
    }
    /// What happens to processes, until enough of it did and the store confirmed enough meanwhile.
    void torment(bool wipes) {
        const std::size_t kills = long_test() ? 340 : sanitized ? 10 : 20;
        const std::uint64_t messages = long_test() ? 200'000 : sanitized ? 500 : 5'000;
        for (std::size_t which = 0; which != all_.size(); ++which) begin(which);
        const auto end = std::chrono::steady_clock::now() + (long_test() ? 30min : 1min);
        const auto enough = [&] {
            return (kills_ >= kills && confirmed() >= messages) ||
                   std::chrono::steady_clock::now() >= end;
        };
        while (!enough()) {
            pass(std::chrono::milliseconds(random_() % 400));
            const std::size_t which = random_() % all_.size();
            if (wipes && which == 0 && random_() % 2 == 0) {
                all_[0].reset();
                std::filesystem::remove_all(file("data"));
                ++kills_;
            }
            if (random_() % 3 != 0 || !all_[which]) {
                begin(which);
                continue;
            }
            all_[which]->signal(SIGSTOP);
            // Now and then so long that its peers give it up.
            pass(random_() % 8 == 0 ? 4'000ms : std::chrono::milliseconds(random_() % 500));
            all_[which]->signal(SIGCONT);
        }
        EXPECT_GE(kills_, kills);
        EXPECT_GE(confirmed(), messages);
        RecordProperty("kills", static_cast<int>(kills_));
        RecordProperty("confirmed", static_cast<int>(confirmed()));
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

    std::vector<process> all_;  // the store, publishers, groups
    std::size_t kills_ = 0;
};

TEST_P(DurableProcesses, LoseNothingThatWasConfirmedHoweverTheyAreKilledAndStopped) {
    SCOPED_TRACE(seed_);
    torment(false);
    come_to_an_end();
    all_[0].reset();
    check(found_on_the_disk());
}

TEST_P(DurableProcesses, LoseNothingThatWasConfirmedAfterTheStoreWasWiped) {
    SCOPED_TRACE(seed_);
    torment(true);
    std::vector<fact> forgotten;
    for (const std::string& source : sources_) {
        std::uint64_t newest = 0;
        for (const fact& f : read_history(file(source + ".log")))
            newest = std::max(newest, f.epoch);
        forgotten.push_back({fact::kind::wiped, "", source, newest, 0, 0, ""});
    }
    come_to_an_end();
    all_[0].reset();
    check(found_on_the_disk(), forgotten);
}

TEST_P(DurableProcesses, GoOnWithoutAStoreThatHangs) {
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

INSTANTIATE_TEST_SUITE_P(WithPolicy, DurableProcesses,
                         testing::Values("block", "spill", "drop_history"),
                         [](const auto& policy) { return std::string(policy.param); });

}  // namespace
}  // namespace cairn::test
