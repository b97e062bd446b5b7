#include "contract.hpp"

#include "support/child_process.hpp"

#include <csignal>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cairn::test {

/// Workers that are processes, and are killed and stopped.
class Process : public contract {
protected:
    Process() : here(listening({.heartbeat = 100ms, .silence_max = 1'000ms})) {}

    /// A worker in a process of its own that holds `count` messages of `jobs`.
    std::unique_ptr<child_process> worker_that_holds(pusher& jobs, std::uint64_t count) {
        auto started = std::make_unique<child_process>(std::vector<std::string>{
            CAIRN_PULLER_PROGRAM, endpoint_of(here), jobs.topic(), std::to_string(count)});
        EXPECT_TRUE(jobs.wait_for_pullers(1, patience));
        push_numbers(jobs, 1, count);
        EXPECT_TRUE(started->wait_for_output("holds " + std::to_string(count) + "\n", patience));
        return started;
    }
    /// What a worker on `here` gets: text and attempt.
    static std::multiset<std::string> taken_by(puller& worker, std::size_t count) {
        std::multiset<std::string> got;
        while (got.size() != count) {
            const auto j = worker.receive_for(patience);
            if (!j) break;
            got.insert(std::string(j->text()) + " at " + std::to_string(j->attempt()));
        }
        return got;
    }

    node& here;
};
INSTANTIATE_TEST_SUITE_P(Over, Process, ::testing::Values(transport::ipc, transport::tcp),
                         transport_name);

TEST_P(Process, LosesNothingWhenKilled) {
    pusher jobs(here, "jobs");
    const auto victim = worker_that_holds(jobs, 3);
    puller heir(here, "jobs");

    ASSERT_TRUE(victim->signal(SIGKILL));

    EXPECT_EQ(taken_by(heir, 3), (std::multiset<std::string>{"1 at 2", "2 at 2", "3 at 2"}));
}

TEST_P(Process, TakesNoOtherMessageAlongWhenOneKillsIt) {
    given_up_texts given_up(3);
    pusher_options options{.deliveries_max = 3};
    options.on_rejected = given_up.sink();
    pusher jobs(here, "jobs", options);
    push_numbers(jobs, 1, 20);
    jobs.push("poison");
    push_numbers(jobs, 21, 40);

    std::optional<child_process> worker;
    for (int deaths = 0; deaths <= 3; ++deaths) {
        worker.emplace(std::vector<std::string>{CAIRN_FRAGILE_PROGRAM, endpoint_of(here), "jobs"});
        if (deaths != 3) {
            ASSERT_TRUE(worker->wait(patience)) << "the poison did not kill";
        }
    }

    EXPECT_TRUE(jobs.flush(patience));
    EXPECT_EQ(given_up.all(), std::vector<std::string>{"poison"});
}

TEST_P(Process, LosesNothingWhenStopped) {
    pusher jobs(here, "jobs");
    const auto victim = worker_that_holds(jobs, 3);
    puller heir(here, "jobs");

    ASSERT_TRUE(victim->signal(SIGSTOP));

    EXPECT_EQ(taken_by(heir, 3), (std::multiset<std::string>{"1 at 2", "2 at 2", "3 at 2"}));
}

TEST_P(Process, ComesBackAfterItWasStopped) {
    pusher jobs(here, "jobs");
    const auto victim = worker_that_holds(jobs, 1);
    ASSERT_TRUE(victim->signal(SIGSTOP));
    ASSERT_TRUE(eventually([&] { return jobs.pullers() == 0; }, patience));

    ASSERT_TRUE(victim->signal(SIGCONT));

    EXPECT_TRUE(jobs.wait_for_pullers(1, patience));
}
}  // namespace cairn::test
