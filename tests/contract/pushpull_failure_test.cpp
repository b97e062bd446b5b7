#include "contract.hpp"

#include "support/rounds.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <thread>

namespace cairn::test {

/// What becomes of a worker's messages when it fails.
class Failure : public contract {
protected:
    struct taken {
        std::string text;
        std::uint32_t attempt;
        auto operator<=>(const taken&) const = default;
    };

    Failure() : here(listening(quick_to_notice())), there(connected_to(here, quick_to_notice())) {}

    static node_options quick_to_notice() { return {.heartbeat = 100ms, .silence_max = 1'000ms}; }
    /// Holds many messages before it acks one.
    static puller_options explicitly() { return {.acks = ack_mode::on_request, .prefetch = 0ms}; }

    /// Takes `count` messages without acking them.
    static std::vector<taken> take(puller& by, std::size_t count) {
        std::vector<taken> all;
        while (all.size() != count) {
            const auto j = by.receive_for(patience);
            if (!j) break;
            all.push_back({std::string(j->text()), j->attempt()});
        }
        return all;
    }
    static std::vector<taken> all_at(std::uint64_t first, std::uint64_t last,
                                     std::uint32_t attempt) {
        std::vector<taken> all;
        for (std::uint64_t n = first; n <= last; ++n) all.push_back({std::to_string(n), attempt});
        return all;
    }

    node& here;
    node& there;
};
CAIRN_OVER_EACH_TRANSPORT(Failure);

TEST_P(Failure, GivesWhatAClosedPullerHeldToAnother) {
    pusher jobs(here, "jobs");
    puller first(there, "jobs", explicitly());
    push_numbers(jobs, 1, 10);
    ASSERT_EQ(take(first, 10), all_at(1, 10, 1));
    puller second(there, "jobs", explicitly());

    first.close();

    const auto got = take(second, 10);
    ASSERT_EQ(got.size(), 10U);
    for (std::uint64_t i = 0; i != 10; ++i) EXPECT_EQ(got[i].text, std::to_string(i + 1));
}

TEST_P(Failure, CountsWhatAClosedPullerHadReceivedAsADeliveryAndNothingElse) {
    pusher jobs(here, "jobs");
    puller first(there, "jobs", explicitly());
    push_numbers(jobs, 1, 10);
    for (int n = 1; n <= 4; ++n) {
        const auto j = first.receive_for(patience);
        ASSERT_TRUE(j);
        if (n == 2) first.ack(j->id());
    }
    ASSERT_TRUE(eventually([&] { return first.stats().queue_messages == 9; }, patience));

    first.close();

    puller second(there, "jobs", explicitly());
    std::vector<taken> expected{{"1", 2}, {"3", 2}, {"4", 2}};
    const std::vector<taken> others = all_at(5, 10, 1);
    expected.insert(expected.end(), others.begin(), others.end());
    EXPECT_EQ(take(second, 9), expected);
}

TEST_P(Failure, CountsWhatAPullerHadReceivedWhenItsNodeClosesAndNothingElse) {
    pusher jobs(here, "jobs");
    node& leaves = connected_to(here, quick_to_notice());
    puller first(leaves, "jobs", explicitly());
    push_numbers(jobs, 1, 10);
    ASSERT_EQ(take(first, 4), all_at(1, 4, 1));
    ASSERT_TRUE(eventually([&] { return first.stats().queue_messages == 10; }, patience));

    leaves.close(patience);

    puller second(there, "jobs", explicitly());
    std::vector<taken> expected = all_at(1, 4, 2);
    const std::vector<taken> others = all_at(5, 10, 1);
    expected.insert(expected.end(), others.begin(), others.end());
    EXPECT_EQ(take(second, 10), expected);
}

TEST_P(Failure, GivesUpWhatItsPullersLeaveWithAgainAndAgain) {
    given_up_texts given_up(3);
    pusher_options options{.deliveries_max = 3};
    options.on_rejected = given_up.sink();
    pusher jobs(here, "jobs", options);
    jobs.push("poison");
    push_numbers(jobs, 1, 10);
    for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
        puller worker(there, "jobs");
        // What comes for the last time comes alone.
        for (;;) {
            const auto j = worker.receive_for(patience);
            ASSERT_TRUE(j);
            if (j->text() != "poison") continue;
            EXPECT_EQ(j->attempt(), attempt);
            break;
        }
    }
    puller worker(there, "jobs");
    worker.start([](const message&) {});
    EXPECT_TRUE(jobs.flush(patience));
    EXPECT_EQ(given_up.all(), std::vector<std::string>{"poison"});
}

TEST_P(Failure, PassesOverADeliveryThatCameAgainWhileItWaited) {
    pusher jobs(here, "jobs", {.batch_bytes_max = 1, .ack_wait = 50ms, .deliveries_max = 0});
    puller worker(there, "jobs", explicitly());
    push_numbers(jobs, 1, 10);
    const auto first = worker.receive_for(patience);
    ASSERT_TRUE(first);
    // The lease of what is in hand ends, and it comes again; so does what waits, given back before.
    ASSERT_TRUE(eventually([&] { return worker.stats().batches >= 20; }, patience));
    std::set<std::string> done;
    while (done.size() != 10) {
        const auto m = worker.receive_for(patience);
        ASSERT_TRUE(m);
        if (m->text() == "1") {
            EXPECT_GT(m->attempt(), 1U);
        }
        if (worker.ack(m->id())) done.emplace(m->text());
    }
    const std::uint64_t refused = worker.stats().refused;
    EXPECT_FALSE(worker.ack(first->id())) << "that delivery is over";
    EXPECT_EQ(worker.stats().refused, refused + 1);
}

TEST_P(Failure, CountsNoDeliveryOfWhatWaitsBehindWorkThatTakesLong) {
    pusher jobs(here, "jobs", {.batch_bytes_max = 1, .ack_wait = 4s, .deliveries_max = 1});
    puller worker(there, "jobs", explicitly());
    push_numbers(jobs, 1, 10);
    const auto first = worker.receive_for(patience);
    ASSERT_TRUE(first);
    ASSERT_TRUE(worker.extend(first->id(), patience));
    // Given back and lent again, more often than it may be delivered.
    ASSERT_TRUE(eventually([&] { return worker.stats().batches >= 10 + 9; }, patience));
    EXPECT_TRUE(worker.ack(first->id()));
    for (std::uint64_t n = 2; n <= 10; ++n) {
        const auto m = worker.receive_for(patience);
        ASSERT_TRUE(m);
        EXPECT_EQ(m->attempt(), 1U) << m->text();
        worker.ack(m->id());
    }
    EXPECT_EQ(jobs.stats().rejected, 0U);
}

TEST_P(Failure, IsSentNothingAgainThatItGaveBackBeforeItGoesOn) {
    pusher jobs(here, "jobs", {.batch_bytes_max = 1, .ack_wait = 4s});
    puller_options ten = explicitly();
    ten.credit_messages = 10;
    puller worker(there, "jobs", ten);
    push_numbers(jobs, 1, 20);
    const auto first = worker.receive_for(patience);
    ASSERT_TRUE(first);
    ASSERT_TRUE(worker.extend(first->id(), patience));
    ASSERT_TRUE(eventually([&] { return worker.stats().batches == 10; }, patience));
    ASSERT_TRUE(eventually([&] { return worker.stats().queue_messages == 1; }, patience));
    EXPECT_TRUE(throughout(silence, [&] { return worker.stats().batches == 10; }));
    EXPECT_TRUE(worker.ack(first->id()));
    for (std::uint64_t n = 2; n <= 20; ++n) {
        const auto m = worker.receive_for(patience);
        ASSERT_TRUE(m);
        EXPECT_EQ(m->text(), std::to_string(n));
        EXPECT_EQ(m->attempt(), 1U);
        EXPECT_TRUE(worker.ack(m->id()));
    }
    EXPECT_TRUE(jobs.flush(patience));
}

TEST_P(Failure, GivesWhatWaitsBehindWorkThatTakesLongToAnother) {
    pusher jobs(here, "jobs", {.ack_wait = 4s});
    puller busy(there, "jobs", explicitly());
    push_numbers(jobs, 1, 10);
    const auto first = busy.receive_for(patience);
    ASSERT_TRUE(first);
    ASSERT_TRUE(busy.extend(first->id(), patience));
    puller idle(there, "jobs", explicitly());
    EXPECT_EQ(take(idle, 9), all_at(2, 10, 1));
}

// Who works on it says so before its puller leaves, or does not get it.
TEST_P(Failure, GivesNoDeliveryTwiceThoughPullersCloseWhileTheyReceive) {
    pusher jobs(here, "jobs", {.deliveries_max = 0});
    std::set<taken> seen;
    std::uint64_t pushed = 0;
    for (int n = 0; n != (long_test() ? 2'000 : 200); ++n) {
        puller worker(there, "jobs", explicitly());
        push_numbers(jobs, pushed + 1, pushed + 50);
        pushed += 50;
        std::thread closing([&] {
            if (n % 2 == 0) static_cast<void>(worker.wait_attached(1, patience));
            for (int turns = 0; turns != n % 50; ++turns) std::this_thread::yield();
            worker.close();
        });
        while (const auto j = worker.receive()) {
            EXPECT_TRUE(seen.insert({std::string(j->text()), j->attempt()}).second)
                << j->text() << " at " << j->attempt();
            if (n % 3 != 0) worker.ack(j->id());
        }
        closing.join();
    }
}

TEST_P(Failure, GivesMessagesThoughTheirAckWaitIsAMillisecond) {
    pusher jobs(here, "jobs", {.ack_wait = 1ms, .deliveries_max = 0});
    puller worker(there, "jobs", explicitly());
    push_numbers(jobs, 1, 100);
    std::set<std::string> seen;
    while (seen.size() != 100) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j) << seen.size();
        worker.ack(j->id());
        seen.emplace(j->text());
    }
}

TEST_P(Failure, GivesTheMessageInHandBackWhenAnAckOnNextPullerCloses) {
    pusher jobs(here, "jobs", {.batch_bytes_max = 1});
    std::optional<puller> first(std::in_place, there, "jobs");
    push_numbers(jobs, 1, 3);
    EXPECT_EQ(texts(*first, 2), numbers(1, 2));
    ASSERT_TRUE(eventually([&] { return jobs.unacked() == 2; }, patience));

    first.reset();

    puller second(there, "jobs");
    EXPECT_EQ(texts(second, 2), numbers(2, 3));
}

TEST_P(Failure, AcksWhatWasTakenBeforeTheMessageInHandOfOneBatch) {
    pusher jobs(here, "jobs");
    push_numbers(jobs, 1, 100);
    std::optional<puller> first(std::in_place, there, "jobs");
    EXPECT_EQ(texts(*first, 60), numbers(1, 60));

    first.reset();

    puller second(there, "jobs");
    auto rest = texts(second, 41);
    std::sort(rest.begin(), rest.end(), [](const std::string& a, const std::string& b) {
        return std::stoul(a) < std::stoul(b);
    });
    EXPECT_EQ(rest, numbers(60, 100));
    EXPECT_FALSE(second.receive_for(0ms));
    EXPECT_TRUE(jobs.flush(patience));
}

TEST_P(Failure, DeliversANackedMessageAgainThoughLaterOnesWereTaken) {
    pusher jobs(here, "jobs");
    push_numbers(jobs, 1, 10);
    puller worker(there, "jobs", {.prefetch = 0ms});
    std::vector<std::string> got;
    for (int i = 0; i != 5; ++i) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        if (j->text() == "3") {
            EXPECT_TRUE(worker.nack(j->id()));
        }
    }
    ASSERT_TRUE(eventually([&] { return jobs.stats().redeliveries == 1; }, patience));
    ASSERT_TRUE(eventually([&] { return worker.stats().batches >= 2; }, patience));

    EXPECT_EQ(texts(worker, 6), (std::vector<std::string>{"6", "7", "8", "9", "10", "3"}));
    EXPECT_FALSE(worker.receive_for(0ms));
    EXPECT_TRUE(jobs.flush(patience));
}

TEST_P(Failure, GivesWhatADestroyedNodeHeldToAnotherAndCountsTheAttempt) {
    pusher jobs(here, "jobs");
    node& doomed = connected_to(here);
    std::optional<puller> first(std::in_place, doomed, "jobs", explicitly());
    push_numbers(jobs, 1, 10);
    ASSERT_EQ(take(*first, 10), all_at(1, 10, 1));
    puller second(there, "jobs", explicitly());
    ASSERT_TRUE(jobs.wait_for_pullers(2, patience));

    doomed.close(0ms);

    EXPECT_EQ(take(second, 10), all_at(1, 10, 2));
    EXPECT_EQ(jobs.stats().redeliveries, 10U);
    first.reset();
}

TEST_P(Failure, GivesWhatACutOffPullerHeldToAnother) {
    pusher jobs(here, "jobs");
    node& away = connected_to(here);
    puller first(away, "jobs", explicitly());
    push_numbers(jobs, 1, 10);
    ASSERT_EQ(take(first, 10), all_at(1, 10, 1));
    puller second(there, "jobs", explicitly());

    cut(away, here);

    EXPECT_EQ(take(second, 10), all_at(1, 10, 2));
}

TEST_P(Failure, RefusesAcksForWhatAReconnectTookAway) {
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", explicitly());
    jobs.push("1");
    const auto before = worker.receive_for(patience);
    ASSERT_TRUE(before);
    const job_id stale = before->id();

    cut(there, here);
    EXPECT_FALSE(worker.ack(stale));
    mend(there, here);

    const auto again = worker.receive_for(patience);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->attempt(), 2U);
    EXPECT_FALSE(worker.ack(stale));
    EXPECT_TRUE(worker.ack(again->id()));
    EXPECT_TRUE(jobs.flush(patience));
}

TEST_P(Failure, IsForgottenAfterEachOfManyReconnects) {
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", explicitly());
    for (std::uint64_t n = 1; n <= 20; ++n) {
        jobs.push(std::to_string(n));
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        EXPECT_EQ(j->text(), std::to_string(n));
        EXPECT_TRUE(worker.ack(j->id()));
        ASSERT_TRUE(jobs.flush(patience));
        cut(there, here);
        mend(there, here);
    }
    EXPECT_TRUE(eventually([&] { return worker.attached() == 1; }, patience));
    EXPECT_EQ(worker.stats().queue_messages, 0U);
    EXPECT_EQ(worker.stats().queue_bytes, 0U);
}

TEST_P(Failure, OfARunEndsWithTheNextRunOfItsSource) {
    puller worker(there, "jobs", explicitly());
    for (std::uint64_t n = 1; n <= 20; ++n) {
        pusher jobs(here, "jobs", {.source = "works"});
        jobs.push(std::to_string(n));
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        EXPECT_EQ(j->text(), std::to_string(n));
    }
    EXPECT_TRUE(eventually([&] { return worker.attached() == 0; }, patience));
    EXPECT_TRUE(eventually([&] { return worker.stats().queue_messages == 0; }, patience));
}

TEST_P(Failure, GivesOnWhatIsNotAckedInTimeAndRefusesTheLateAck) {
    pusher jobs(here, "jobs", {.ack_wait = 150ms});
    puller stuck(there, "jobs", {.acks = ack_mode::on_request, .credit_messages = 1});
    jobs.push("1");
    const auto held = stuck.receive_for(patience);
    ASSERT_TRUE(held);
    puller other(connected_to(here), "jobs", explicitly());

    const auto again = other.receive_for(patience);

    ASSERT_TRUE(again);
    EXPECT_GE(again->attempt(), 2U);
    EXPECT_GE(jobs.stats().redeliveries, 1U);
    // This side cannot know that its lease ended: the pusher refuses, and it is counted.
    EXPECT_TRUE(stuck.ack(held->id()));
    EXPECT_TRUE(eventually([&] { return stuck.stats().refused == 1; }, patience));
}

TEST_P(Failure, ExtendsNothingByNoTime) {
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", explicitly());
    jobs.push("1");
    const auto held = worker.receive_for(patience);
    ASSERT_TRUE(held);

    EXPECT_EQ(thrown_by([&] { worker.extend(held->id(), 0ms); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { worker.extend(held->id(), -1ms); }), errc::invalid_argument);
    EXPECT_TRUE(worker.extend(held->id(), 1min));
    EXPECT_TRUE(worker.ack(held->id()));
    EXPECT_TRUE(jobs.flush(patience));
}

TEST_P(Failure, LeavesAMessageWithAWorkerThatExtends) {
    pusher jobs(here, "jobs", {.ack_wait = 200ms});
    puller worker(there, "jobs", explicitly());
    puller other(there, "jobs", explicitly());
    jobs.push("1");
    std::optional<job> held;
    puller* holder = nullptr;
    ASSERT_TRUE(eventually(
        [&] {
            for (puller* p : {&worker, &other}) {
                if (held) break;
                held = p->try_receive();
                holder = p;
            }
            return held.has_value();
        },
        patience));

    EXPECT_TRUE(holder->extend(held->id(), 20s));

    EXPECT_TRUE(throughout(500ms, [&] { return jobs.stats().redeliveries == 0; }));
    EXPECT_TRUE(holder->ack(held->id()));
    EXPECT_TRUE(jobs.flush(patience));
}

TEST_P(Failure, GivesUpAfterTheLastAllowedDelivery) {
    given_up_texts given_up(3);
    pusher_options options{.deliveries_max = 3};
    options.on_rejected = given_up.sink();
    pusher jobs(here, "jobs", options);
    puller worker(there, "jobs", explicitly());
    jobs.push("poison");
    for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        EXPECT_EQ(j->attempt(), attempt);
        EXPECT_TRUE(worker.nack(j->id()));
    }

    EXPECT_TRUE(jobs.flush(patience));
    EXPECT_EQ(given_up.all(), std::vector<std::string>{"poison"});
    EXPECT_FALSE(worker.receive_for(0ms));
    EXPECT_EQ(jobs.stats().rejected, 1U);
}

TEST_P(Failure, DeliversWithoutEndWhenThereIsNoLimit) {
    pusher jobs(here, "jobs", {.deliveries_max = 0});
    puller worker(there, "jobs", explicitly());
    jobs.push("1");
    for (std::uint32_t attempt = 1; attempt != 50; ++attempt) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        EXPECT_EQ(j->attempt(), attempt);
        EXPECT_TRUE(worker.nack(j->id()));
    }
}

TEST_P(Failure, EndsTheHoldingsOfAPusherThatIsGone) {
    auto jobs = std::make_unique<pusher>(here, "jobs");
    puller worker(there, "jobs", explicitly());
    ASSERT_TRUE(worker.wait_attached(1, patience));
    jobs->push("1");
    const auto held = worker.receive_for(patience);
    ASSERT_TRUE(held);

    jobs.reset();

    EXPECT_TRUE(eventually([&] { return worker.attached() == 0; }, patience));
    // It may still think that it holds the message, and is then told otherwise.
    EXPECT_TRUE(!worker.ack(held->id()) ||
                eventually([&] { return worker.stats().refused == 1; }, patience));
}

TEST_P(Failure, ToFinishAFewMessagesLeavesRoomForOthers) {
    const auto body = [](int n) { return std::to_string(n) + std::string(1'000, 'x'); };
    constexpr int count = 1'000;
    pusher jobs(here, "jobs", {.backlog_bytes_max = 100'000});
    int pushed = 0;
    while (jobs.try_push(body(pushed + 1))) ++pushed;
    puller worker(there, "jobs", explicitly());
    std::map<std::string, job_id> slow;  // one of each batch
    for (int n = 1; n <= count; ++n) {
        while (pushed != count && jobs.try_push(body(pushed + 1))) ++pushed;
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j) << n;
        if (n <= 120 && n % 20 == 0)
            slow.emplace(j->text(), j->id());
        else
            EXPECT_TRUE(worker.ack(j->id()));
    }
    EXPECT_TRUE(eventually([&] { return jobs.unacked() == slow.size(); }, patience));

    for (const auto& [text, id] : slow) EXPECT_TRUE(worker.nack(id));
    for (std::size_t n = 0; n != slow.size(); ++n) {
        const auto again = worker.receive_for(patience);
        ASSERT_TRUE(again);
        EXPECT_TRUE(slow.contains(std::string(again->text()))) << again->text().substr(0, 10);
        EXPECT_TRUE(worker.ack(again->id()));
    }
    EXPECT_TRUE(jobs.flush(patience));
}

// --- Deadlines --------------------------------------------------------------------------------

TEST_P(Failure, MakesFlushGiveUpAtItsDeadline) {
    pusher jobs(here, "jobs");
    jobs.push("1");
    const auto start = clock::now();
    EXPECT_FALSE(jobs.flush(silence));
    EXPECT_GE(clock::now() - start, silence);
    EXPECT_EQ(jobs.unacked(), 1U);
    EXPECT_EQ(jobs.push("2"), sequence{2});
}

TEST_P(Failure, MakesCloseReturnWhatIsLeft) {
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", explicitly());
    push_numbers(jobs, 1, 10);
    for (int i = 0; i != 4; ++i) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        EXPECT_TRUE(worker.ack(j->id()));
    }
    ASSERT_TRUE(eventually([&] { return jobs.unacked() == 6; }, patience));

    EXPECT_EQ(jobs.close(silence), 6U);

    EXPECT_EQ(thrown_by([&] { jobs.push("late"); }), errc::closed);
    EXPECT_EQ(jobs.try_push("late").status, send_status::closed);
    EXPECT_EQ(jobs.close(0ms), 6U);
}

TEST_P(Failure, MakesCloseCountWhatIsOutAndWhatWasNeverSent) {
    pusher jobs(here, "jobs", {.batch_bytes_max = 1'000});
    puller worker(there, "jobs",
                  {.acks = ack_mode::on_request, .credit_messages = 10, .prefetch = 0ms});
    push_numbers(jobs, 1, 5'000);
    std::vector<job_id> held;
    for (int i = 0; i != 10; ++i) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        held.push_back(j->id());
    }
    EXPECT_TRUE(worker.ack(held[3]));
    EXPECT_TRUE(worker.reject(held[7], "no"));
    ASSERT_TRUE(eventually([&] { return jobs.unacked() == 4'998; }, patience));

    EXPECT_EQ(jobs.close(0ms), 4'998U);
    EXPECT_EQ(here.close(0ms), 4'998U);
}

TEST_P(Failure, LetsCloseWaitForTheLastAck) {
    pusher jobs(here, "jobs");
    puller worker(there, "jobs");
    worker.start([](const job&) {});
    push_numbers(jobs, 1, 1'000);
    EXPECT_EQ(jobs.close(patience), 0U);
}

// --- Processes --------------------------------------------------------------------------------

}  // namespace cairn::test
