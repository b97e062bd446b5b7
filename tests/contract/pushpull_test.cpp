#include "contract.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

namespace cairn::test {

using Pusher = contract;
using Puller = contract;
CAIRN_OVER_EACH_TRANSPORT(Pusher);
CAIRN_OVER_EACH_TRANSPORT(Puller);

namespace {

// Holds many messages before it acks one.
puller_options explicitly() { return {.acks = ack_mode::on_request, .prefetch = 0ms}; }

}  // namespace

// --- Every day --------------------------------------------------------------------------------

TEST_P(Puller, ReceivesEverythingInOrderWhenAlone) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs");
    ASSERT_TRUE(worker.wait_attached(1, patience));

    push_numbers(jobs, 1, 1'000);

    EXPECT_EQ(texts(worker, 1'000), numbers(1, 1'000));
}

TEST_P(Puller, ReceivesWhatWasPushedBeforeItCame) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    push_numbers(jobs, 1, 100);

    puller worker(there, "jobs");

    EXPECT_EQ(texts(worker, 100), numbers(1, 100));
}

TEST_P(Puller, MayBeOnTheListeningSide) {
    node& there = listening();
    node& here = connected_to(there);
    puller worker(there, "jobs");
    pusher jobs(here, "jobs");

    push_numbers(jobs, 1, 100);

    EXPECT_EQ(texts(worker, 100), numbers(1, 100));
}

TEST_P(Puller, WorksBesideItsPusherOnOneNode) {
    node& here = listening();
    puller worker(here, "jobs");
    pusher jobs(here, "jobs");

    push_numbers(jobs, 1, 1'000);

    EXPECT_EQ(texts(worker, 1'000), numbers(1, 1'000));
}

TEST_P(Puller, TakesFromSeveralPushers) {
    node& there = listening();
    node& one = connected_to(there);
    node& two = connected_to(there);
    pusher first(one, "jobs", {.source = "first"});
    pusher second(two, "jobs", {.source = "second"});
    pusher third(two, "jobs", {.source = "third"});
    puller worker(there, "jobs");
    ASSERT_TRUE(worker.wait_attached(3, patience));

    for (pusher* p : {&first, &second, &third}) push_numbers(*p, 1, 100);

    std::map<std::string, std::vector<std::string>> by_source;
    for (int i = 0; i != 300; ++i) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        by_source[std::string(j->source())].emplace_back(j->text());
    }
    for (const std::string source : {"first", "second", "third"})
        EXPECT_EQ(by_source[source], numbers(1, 100)) << source;
}

TEST_P(Puller, SeesOnlyItsTopic) {
    node& here = listening();
    node& there = connected_to(here);
    pusher other(here, "other");
    pusher jobs(here, "jobs");
    puller worker(there, "jobs");
    ASSERT_TRUE(jobs.wait_for_pullers(1, patience));

    other.push("not this");
    jobs.push("this");

    EXPECT_EQ(texts(worker, 1), std::vector<std::string>{"this"});
    EXPECT_EQ(other.pullers(), 0U);
    EXPECT_FALSE(worker.receive_for(silence));
}

TEST_P(Puller, ReceivesAttributesAndPosition) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs", {.source = "works"});
    puller worker(there, "jobs");
    attributes sent;
    sent.key = "k";
    sent.headers = {{"a", "b"}};

    EXPECT_EQ(jobs.push("body", sent), sequence{1});
    const auto j = worker.receive_for(patience);

    ASSERT_TRUE(j);
    EXPECT_EQ(j->attributes(), sent);
    EXPECT_EQ(j->position(), (position{"works", jobs.epoch(), sequence{1}}));
    EXPECT_EQ(j->attempt(), 1U);
    EXPECT_EQ(j->copy().text(), "body");
}

TEST_P(Puller, CallsAHandlerAndAcksWhenItReturns) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    std::mutex mutex;  // acks that came over the network order no memory
    std::vector<std::string> got;
    puller worker(there, "jobs");
    worker.start([&](const job& j) {
        const std::lock_guard lock(mutex);
        got.emplace_back(j.text());
    });

    push_numbers(jobs, 1, 100);

    EXPECT_TRUE(jobs.flush(patience));
    const std::lock_guard lock(mutex);
    EXPECT_EQ(got, numbers(1, 100));
}

TEST_P(Puller, WithAHandlerRefusesToReceiveBesideIt) {
    node& here = listening();
    puller worker(here, "jobs");
    worker.start([](const job&) {});

    EXPECT_EQ(thrown_by([&] { worker.receive(); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { worker.receive_for(0ms); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { worker.try_receive(); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { worker.start([](const job&) {}); }), errc::invalid_argument);
}

TEST_P(Puller, EndsALoopOverJobsWhenClosed) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs");
    push_numbers(jobs, 1, 10);
    std::vector<std::string> got;
    for (const job& j : worker) {
        got.emplace_back(j.text());
        if (got.size() == 10) worker.close();
    }
    EXPECT_EQ(got, numbers(1, 10));
    EXPECT_TRUE(worker.closed());
}

TEST_P(Pusher, RefusesWhatIsAboveItsLimits) {
    node& here = listening({.body_bytes_max = 1'000});
    pusher jobs(here, "jobs");
    attributes large;
    large.key = std::string(256, 'k');

    EXPECT_EQ(thrown_by([&] { jobs.push(std::string(1'001, 'x')); }), errc::too_large);
    EXPECT_EQ(jobs.try_push(std::string(1'001, 'x')).status, send_status::too_large);
    EXPECT_EQ(thrown_by([&] { jobs.push("x", large); }), errc::too_large);
    EXPECT_EQ(jobs.push("next"), sequence{1});
}

TEST_P(Pusher, RefusesInvalidTopicsAndOptions) {
    node& here = listening();
    EXPECT_EQ(thrown_by([&] { pusher(here, "a*"); }), errc::topic_invalid);
    EXPECT_EQ(thrown_by([&] { pusher(here, "a", {.source = "@own"}); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { puller(here, ""); }), errc::topic_invalid);
    EXPECT_EQ(thrown_by([&] { pusher(here, "jobs", {.ack_wait = 0ms}); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { puller(here, "jobs", {.credit_messages = 0}); }),
              errc::invalid_argument);
}

// --- Spreading --------------------------------------------------------------------------------

TEST_P(Pusher, SpreadsOverItsPullersAndGivesEachMessageToOne) {
    node& here = listening();
    node& there = connected_to(here);
    node& elsewhere = connected_to(here);
    pusher jobs(here, "jobs", {.batch_bytes_max = 100});
    puller one(there, "jobs", {.credit_messages = 20});
    puller two(elsewhere, "jobs", {.credit_messages = 20});
    ASSERT_TRUE(jobs.wait_for_pullers(2, patience));
    push_numbers(jobs, 1, 1'000);

    std::multiset<std::string> got;
    std::size_t of_one = 0;
    while (got.size() != 1'000) {
        for (puller* p : {&one, &two}) {
            const auto j = p->receive_for(1ms);
            if (!j) continue;
            got.emplace(j->text());
            if (p == &one) ++of_one;
        }
    }

    const auto expected = numbers(1, 1'000);
    EXPECT_EQ(got, std::multiset<std::string>(expected.begin(), expected.end()));
    EXPECT_GT(of_one, 200U);
    EXPECT_LT(of_one, 800U);
}

TEST_P(Pusher, LendsNoMoreMessagesThanGranted) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller stuck(there, "jobs",
                 {.acks = ack_mode::on_request, .credit_messages = 10, .prefetch = 0ms});
    ASSERT_TRUE(jobs.wait_for_pullers(1, patience));

    push_numbers(jobs, 1, 100);

    EXPECT_EQ(texts(stuck, 10), numbers(1, 10));
    EXPECT_FALSE(stuck.receive_for(silence));
}

TEST_P(Pusher, LendsNoMoreBytesThanGranted) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller stuck(there, "jobs",
                 {.acks = ack_mode::on_request, .credit_bytes = 10'000, .prefetch = 0ms});
    ASSERT_TRUE(jobs.wait_for_pullers(1, patience));
    const std::string body(1'000, 'x');

    for (int i = 0; i != 100; ++i) jobs.push(body);

    int got = 0;
    while (stuck.receive_for(got < 9 ? patience : silence)) ++got;
    EXPECT_GE(got, 9);
    EXPECT_LE(got, 11);
}

TEST_P(Pusher, LendsOneBodyLargerThanTheBytesGranted) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller small(there, "jobs", {.credit_bytes = 100});
    for (int i = 0; i != 3; ++i) jobs.push(std::string(100'000, 'x'));

    EXPECT_EQ(texts(small, 3).size(), 3U);
}

TEST_P(Puller, DoesNotHoardSlowJobs) {
    node& here = listening();
    node& slow_home = connected_to(here);
    node& quick_home = connected_to(here);
    pusher jobs(here, "jobs", {.batch_bytes_max = 1});
    puller slow(slow_home, "jobs", {.prefetch = 20ms});
    ASSERT_TRUE(jobs.wait_for_pullers(1, patience));
    // The slow one learns what a job costs here: more than its prefetch.
    push_numbers(jobs, 1, 2'000);
    for (int i = 0; i != 5; ++i) {
        const auto j = slow.receive_for(patience);
        ASSERT_TRUE(j);
        EXPECT_FALSE(eventually([] { return false; }, 30ms));  // the work
    }

    puller quick(quick_home, "jobs");
    std::size_t got = 0;
    while (quick.receive_for(500ms)) ++got;

    EXPECT_GT(got, 1'000U);
}

TEST_P(Pusher, FlushesWhatWasPushedBeforeAndWaitsForNothingBehindIt) {
    node& here = listening();
    pusher jobs(here, "resize");
    puller worker(connected_to(here), "resize", {.acks = ack_mode::on_request});
    std::atomic<bool> over = false;
    // Something is unacked all the while.
    std::jthread busy([&] {
        std::optional<job> in_hand;
        while (!over) {
            jobs.push("next");
            auto next = worker.receive_for(patience);
            if (in_hand) worker.ack(in_hand->id());
            in_hand = std::move(next);
        }
    });
    EXPECT_TRUE(eventually([&] { return worker.stats().messages > 0; }, patience));
    EXPECT_TRUE(jobs.flush(patience));
    over = true;
}

TEST_P(Pusher, WaitsWithAFullBacklogForAPuller) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs", {.backlog_bytes_max = 100'000});
    const std::string body(1'000, 'x');
    std::uint64_t accepted = 0;
    ASSERT_TRUE(eventually([&] {
        const send_result r = jobs.try_push(body);
        if (r) ++accepted;
        return r.status == send_status::full;
    }));
    EXPECT_GT(accepted, 50U);
    EXPECT_LT(accepted, 200U);
    EXPECT_EQ(jobs.stats().refused, 1U);
    std::thread pushing([&] { EXPECT_EQ(jobs.push(body), sequence{accepted + 1}); });

    puller worker(there, "jobs");

    EXPECT_EQ(texts(worker, accepted + 1).size(), accepted + 1);
    pushing.join();
}

// --- Verbs ------------------------------------------------------------------------------------

TEST_P(Puller, AcksTheMessageBeforeWhenTheNextIsTaken) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs", {.batch_bytes_max = 1});
    puller worker(there, "jobs");
    push_numbers(jobs, 1, 2);

    EXPECT_EQ(texts(worker, 1), numbers(1, 1));
    EXPECT_TRUE(throughout(silence, [&] { return jobs.unacked() == 2; }));
    EXPECT_EQ(texts(worker, 1), numbers(2, 2));
    EXPECT_TRUE(eventually([&] { return jobs.unacked() == 1; }, patience));
    EXPECT_FALSE(worker.receive_for(0ms));
    EXPECT_TRUE(jobs.flush(patience));
}

TEST_P(Puller, AcksInAnyOrderWhenAsked) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", explicitly());
    push_numbers(jobs, 1, 10);
    std::vector<job_id> ids;
    for (int i = 0; i != 10; ++i) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        ids.push_back(j->id());
    }
    EXPECT_EQ(jobs.unacked(), 10U);

    for (const std::size_t i : {3, 9, 0, 1, 5, 2, 8, 4, 7, 6}) EXPECT_TRUE(worker.ack(ids[i]));

    EXPECT_TRUE(jobs.flush(patience));
    EXPECT_EQ(jobs.unacked(), 0U);
}

TEST_P(Puller, HoldsAsManyUnackedAsItsCreditSays) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", {.acks = ack_mode::on_request, .credit_messages = 500});
    push_numbers(jobs, 1, 1'000);
    std::vector<job_id> held;
    while (held.size() != 500) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j) << "it waits with " << held.size() << " in hand";
        held.push_back(j->id());
    }
    EXPECT_FALSE(worker.receive_for(silence));

    for (int i = 0; i != 10; ++i) EXPECT_TRUE(worker.ack(held[i]));

    EXPECT_EQ(texts(worker, 10), numbers(501, 510));
    EXPECT_FALSE(worker.receive_for(silence));
    EXPECT_EQ(jobs.stats().redeliveries, 0U);
}

TEST_P(Puller, GoesOnWhenAnotherThreadAcksOneOfAllItMayHold) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", {.acks = ack_mode::on_request, .credit_messages = 100});
    push_numbers(jobs, 1, 101);
    std::optional<job_id> last;
    for (int i = 0; i != 100; ++i) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        last = j->id();
    }
    std::thread acking([&] { EXPECT_TRUE(worker.ack(*last)); });

    EXPECT_EQ(texts(worker, 1), numbers(101, 101));
    acking.join();
}

TEST_P(Puller, HoldsJobsOfSeveralPushersUnacked) {
    node& there = listening();
    pusher one(connected_to(there), "jobs", {.source = "one"});
    pusher two(connected_to(there), "jobs", {.source = "two"});
    puller worker(there, "jobs", {.acks = ack_mode::on_request});
    push_numbers(one, 1, 300);
    push_numbers(two, 1, 300);

    EXPECT_EQ(texts(worker, 600).size(), 600U);
}

TEST_P(Puller, GetsANackedMessageAgainAfterTheDelay) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", explicitly());
    jobs.push("1");
    const auto first = worker.receive_for(patience);
    ASSERT_TRUE(first);

    const auto start = clock::now();
    EXPECT_TRUE(worker.nack(first->id(), 100ms));
    const auto second = worker.receive_for(patience);

    ASSERT_TRUE(second);
    EXPECT_GE(clock::now() - start, 100ms);
    EXPECT_EQ(second->text(), "1");
    EXPECT_EQ(second->attempt(), 2U);
    EXPECT_TRUE(worker.ack(second->id()));
    EXPECT_TRUE(jobs.flush(patience));
    EXPECT_EQ(jobs.stats().redeliveries, 1U);
}

TEST_P(Puller, GivesAReleasedMessageToAnotherWithoutCounting) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", explicitly());
    jobs.push("1");
    const auto first = worker.receive_for(patience);
    ASSERT_TRUE(first);

    EXPECT_TRUE(worker.release(first->id()));
    const auto second = worker.receive_for(patience);

    ASSERT_TRUE(second);
    EXPECT_EQ(second->attempt(), 1U);
}

TEST_P(Puller, RejectsWithAReasonThatThePusherHears) {
    node& here = listening();
    node& there = connected_to(here);
    std::vector<std::string> rejected;
    pusher_options options{.source = "works"};
    options.on_rejected = [&](const rejected_message& r) {
        EXPECT_EQ(r.cause, errc::rejected);
        EXPECT_EQ(r.message.topic, "jobs");
        EXPECT_EQ(r.message.attributes.key, "k");
        EXPECT_EQ(r.message.position.sequence, sequence{2});
        rejected.push_back(std::string(r.message.text()) + ": " + std::string(r.reason));
    };
    pusher jobs(here, "jobs", options);
    puller worker(there, "jobs", explicitly());
    jobs.push("1");
    attributes keyed;
    keyed.key = "k";
    jobs.push("2", keyed);

    for (int i = 0; i != 2; ++i) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        const bool done =
            j->text() == "1" ? worker.ack(j->id()) : worker.reject(j->id(), "not a number");
        EXPECT_TRUE(done);
    }

    EXPECT_TRUE(jobs.flush(patience));
    EXPECT_EQ(rejected, std::vector<std::string>{"2: not a number"});
    EXPECT_EQ(jobs.stats().rejected, 1U);
}

TEST_P(Puller, RejectsWhatItsHandlerThrowsAt) {
    node& here = listening();
    node& there = connected_to(here);
    std::vector<std::string> rejected;
    pusher_options options;
    options.on_rejected = [&](const rejected_message& r) {
        rejected.push_back(std::string(r.message.text()) + ": " + std::string(r.reason));
    };
    pusher jobs(here, "jobs", options);
    puller worker(there, "jobs");
    worker.start([](const job& j) {
        if (j.text() == "5") throw std::runtime_error("five is right out");
    });

    push_numbers(jobs, 1, 10);

    EXPECT_TRUE(jobs.flush(patience));
    EXPECT_EQ(rejected, std::vector<std::string>{"5: five is right out"});
}

TEST_P(Puller, IsToldThatAnAckCameTwice) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", explicitly());
    jobs.push("1");
    const auto j = worker.receive_for(patience);
    ASSERT_TRUE(j);
    const job_id id = j->id();

    EXPECT_TRUE(worker.ack(id));

    EXPECT_FALSE(worker.ack(id));
    EXPECT_FALSE(worker.nack(id));
    EXPECT_FALSE(worker.reject(id, "no"));
    EXPECT_FALSE(worker.extend(id, 1s));
    EXPECT_FALSE(worker.release(id));
    EXPECT_TRUE(jobs.flush(patience));
}

TEST_P(Puller, RefusesTheIdsOfAnother) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", explicitly());
    puller other(there, "jobs", explicitly());
    ASSERT_TRUE(jobs.wait_for_pullers(2, patience));
    jobs.push("1");
    std::optional<job> j;
    puller* holder = nullptr;
    ASSERT_TRUE(eventually(
        [&] {
            for (puller* p : {&worker, &other}) {
                if (j) break;
                j = p->try_receive();
                holder = p;
            }
            return j.has_value();
        },
        patience));

    EXPECT_FALSE((holder == &worker ? other : worker).ack(j->id()));
    EXPECT_TRUE(holder->ack(j->id()));
}

// --- Order by key -----------------------------------------------------------------------------

TEST_P(Pusher, HoldsBackMessagesOfAKeyThatIsOut) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs", {.ordered_by_key = true});
    puller worker(there, "jobs", explicitly());
    const auto push = [&](std::string_view key, std::string_view body) {
        attributes a;
        a.key = key;
        jobs.push(body, a);
    };
    push("a", "a1");
    push("a", "a2");
    push("b", "b1");
    jobs.push("no key");
    std::map<std::string, job_id> out;
    for (int i = 0; i != 3; ++i) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        out[std::string(j->text())] = j->id();
    }
    EXPECT_TRUE(out.contains("a1") && out.contains("b1") && out.contains("no key"));
    EXPECT_FALSE(worker.receive_for(silence));

    EXPECT_TRUE(worker.ack(out["a1"]));

    EXPECT_EQ(texts(worker, 1), std::vector<std::string>{"a2"});
}

}  // namespace cairn::test
