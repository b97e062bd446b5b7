#include "history.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/rounds.hpp"
#include "support/temp_directory.hpp"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

// Publisher, store and subscribers as processes, killed and stopped at random.
// Six seconds of faults for each policy, or two minutes in a long test. CAIRN_TEST_SEED repeats a
// run's choices.
namespace cairn::test {
namespace {

using namespace std::chrono_literals;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

class DurableProcesses : public testing::TestWithParam<const char*> {
protected:
    using process = std::unique_ptr<child_process>;

    static process start(std::vector<std::string> words) {
        words.insert(words.begin(), CAIRN_TORTURE_PARTY);
        return std::make_unique<child_process>(words);
    }
    std::string file(const std::string& name) const { return (directory_ / name).string(); }
    process store() const { return start({"store", file("data"), store_}); }
    process publisher(const std::string& messages) const {
        return start({"publisher", home_, store_, file("state"), file("publisher.log"), GetParam(),
                      messages});
    }
    process subscriber(const std::string& group) const {
        return start({"subscriber", home_, store_, group, file(group + ".log")});
    }
    static void pass(std::chrono::milliseconds time) {
        static_cast<void>(throughout(time, [] { return true; }));
    }
    /// What the store has in the end.
    std::vector<fact> stored() const {
        node here({.name = "checker", .store = store_});
        std::vector<fact> all;
        for (const message& m : replay(here, "torture"))
            all.push_back({fact::kind::stored, "", m.epoch().value, m.sequence().value, 0,
                           std::string(m.text())});
        return all;
    }

    temp_directory directory_;
    std::string store_ = "ipc://" + file("store");
    std::string home_ = "ipc://" + file("home");
};

TEST_P(DurableProcesses, LoseNothingThatWasConfirmedHoweverTheyAreKilledAndStopped) {
    const std::uint64_t seed = from_environment("CAIRN_TEST_SEED", std::random_device{}());
    const std::chrono::seconds span(long_test() ? 120 : 6);
    SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed) + " policy " + GetParam());
    std::mt19937_64 random(seed);
    const std::vector<std::string> groups{"alarms", "archive"};
    std::vector<process> all(4);
    const auto begin = [&](std::size_t which) {
        all[which].reset();  // what still runs of it is killed and reaped
        if (which == 0)
            all[which] = store();
        else if (which == 1)
            all[which] = publisher("0");
        else
            all[which] = subscriber(groups[which - 2]);
    };
    for (std::size_t which = 0; which != all.size(); ++which) begin(which);

    const auto end = std::chrono::steady_clock::now() + span;
    while (std::chrono::steady_clock::now() < end) {
        pass(std::chrono::milliseconds(random() % 400));
        const std::size_t which = random() % all.size();
        if (random() % 3 != 0) {
            begin(which);
            continue;
        }
        all[which]->signal(SIGSTOP);
        // Now and then so long that its peers give it up.
        pass(random() % 4 == 0 ? 4'000ms : std::chrono::milliseconds(random() % 500));
        all[which]->signal(SIGCONT);
    }
    // Whoever is alive goes on; the publisher's last run comes to an end.
    all[1].reset();
    all[1] = publisher("500");
    EXPECT_EQ(all[1]->wait(90s), 0) << all[1]->output();
    // C8: then all is quiet in time.
    for (const std::size_t which : {2, 3})
        EXPECT_EQ(all[which]->wait(90s), 0) << all[which]->output();

    std::vector<fact> facts = read_history(file("publisher.log"));
    const std::vector<fact> kept = stored();
    facts.insert(facts.end(), kept.begin(), kept.end());
    for (const std::string& g : groups) {
        const auto seen = read_history(file(g + ".log"));
        facts.insert(facts.end(), seen.begin(), seen.end());
    }
    const auto wrong = check_history(facts, groups);
    for (std::size_t i = 0; i < wrong.size() && i != 20; ++i) ADD_FAILURE() << wrong[i];
    RecordProperty("stored", static_cast<int>(kept.size()));
    EXPECT_GT(kept.size(), 500U);
}

TEST_P(DurableProcesses, GoOnWithoutAStoreThatHangs) {
    process kept = store();
    node_options o{.name = "here", .store = store_};
    o.state_directory = file("state");
    o.reconnect_min = 10ms;
    o.reconnect_max = 200ms;
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
