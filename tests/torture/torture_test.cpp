#include "torture.hpp"
#include "support/rounds.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>

// Publisher, store and subscribers as processes, killed and stopped at random.
// Six seconds of faults for each policy, or two minutes in a long test. CAIRN_TEST_SEED repeats a
// run's choices.
namespace cairn::test {
namespace {

class DurableProcesses : public Torture, public testing::WithParamInterface<const char*> {
protected:
    void SetUp() override { seed_ += std::string(" policy ") + GetParam(); }

    process publisher(const std::string& messages) const {
        return start({"publisher", home_, store_, file("state"), file("publisher.log"), GetParam(),
                      messages});
    }
    process subscriber(const std::string& group) const {
        return start({"subscriber", home_, store_, group, file(group + ".log")});
    }
    void begin(std::size_t which) {
        all_[which].reset();  // what still runs of it is killed and reaped
        if (which == 0)
            all_[which] = store();
        else if (which == 1)
            all_[which] = publisher("0");
        else
            all_[which] = subscriber(groups_[which - 2]);
    }
    /// What happens to processes, for as long as a test does it.
    void torment(bool wipes) {
        const std::chrono::seconds span(long_test() ? 120 : 6);
        for (std::size_t which = 0; which != all_.size(); ++which) begin(which);
        const auto end = std::chrono::steady_clock::now() + span;
        while (std::chrono::steady_clock::now() < end) {
            pass(std::chrono::milliseconds(random_() % 400));
            const std::size_t which = random_() % all_.size();
            if (wipes && which == 0 && random_() % 2 == 0) {
                all_[0].reset();
                std::filesystem::remove_all(file("data"));
            }
            if (random_() % 3 != 0 || !all_[which]) {
                begin(which);
                continue;
            }
            all_[which]->signal(SIGSTOP);
            // Now and then so long that its peers give it up.
            pass(random_() % 4 == 0 ? 4'000ms : std::chrono::milliseconds(random_() % 500));
            all_[which]->signal(SIGCONT);
        }
    }
    /// The publisher's last run comes to an end, and so does who is alive.
    void come_to_an_end() {
        all_[1].reset();
        all_[1] = publisher("500");
        EXPECT_EQ(all_[1]->wait(90s), 0) << all_[1]->output();
        // C8: then all is quiet in time.
        for (const std::size_t which : {2, 3})
            EXPECT_EQ(all_[which]->wait(90s), 0) << all_[which]->output();
    }
    std::string home_ = "ipc://" + file("home");
    std::vector<process> all_ = std::vector<process>(4);
};

TEST_P(DurableProcesses, LoseNothingThatWasConfirmedHoweverTheyAreKilledAndStopped) {
    SCOPED_TRACE(seed_);
    torment(false);
    come_to_an_end();
    check();
}

TEST_P(DurableProcesses, LoseNothingThatWasConfirmedAfterTheStoreWasWiped) {
    SCOPED_TRACE(seed_);
    torment(true);
    std::uint64_t newest = 0;
    for (const fact& f : read_history(file("publisher.log"))) newest = std::max(newest, f.epoch);
    come_to_an_end();
    check({{fact::kind::wiped, "", newest, 0, 0, ""}});
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
