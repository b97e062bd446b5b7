#include "contract.hpp"

#include <algorithm>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace cairn::test {

using Node = contract;
CAIRN_OVER_EACH_TRANSPORT(Node);

TEST_P(Node, ReachesAPeerThatBindsLater) {
    node early({.reconnect_min = 10ms, .reconnect_max = 50ms});
    subscriber reader(early, "weather");
    // A port that was free a moment ago stands for one that nobody listens on yet.
    node late;
    std::string endpoint = late.bind(fresh_endpoint());
    ASSERT_TRUE(late.unbind(endpoint));
    early.connect(endpoint);
    publisher sender(late, "weather");
    ASSERT_FALSE(sender.wait_for_subscribers(1, silence));

    ASSERT_TRUE(
        eventually([&] { return thrown_by([&] { late.bind(endpoint); }) == errc::ok; }, patience));

    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    sender.publish("1");
    EXPECT_EQ(texts(reader, 1), numbers(1, 1));
}

TEST_P(Node, FindsItsPeerAgainAfterTheListenerRestarted) {
    node reading(
        {.heartbeat = 100ms, .silence_max = 1'000ms, .reconnect_min = 10ms, .reconnect_max = 50ms});
    subscriber reader(reading, "weather");
    auto serving = std::make_unique<node>(node_options{.name = "station"});
    const std::string endpoint = serving->bind(fresh_endpoint());
    reading.connect(endpoint);
    {
        publisher sender(*serving, "weather");
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        sender.publish("1");
        EXPECT_EQ(texts(reader, 1), numbers(1, 1));
    }
    serving.reset();

    serving = std::make_unique<node>(node_options{.name = "station"});
    ASSERT_TRUE(eventually([&] { return thrown_by([&] { serving->bind(endpoint); }) == errc::ok; },
                           patience));
    publisher sender(*serving, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    sender.publish("2");

    EXPECT_EQ(texts(reader, 1), numbers(2, 2));
}

TEST_P(Node, IsClosedForHandlesThatAreMadeMeanwhile) {
    for (int n = 0; n != 50; ++n) {
        node closing;
        std::jthread closer([&] { closing.close(0ms); });
        try {
            publisher sender(closing, "weather");
            pusher jobs(closing, "resize");
            closer.join();
            EXPECT_EQ(sender.try_publish("1").status, send_status::closed);
            EXPECT_EQ(jobs.try_push("1").status, send_status::closed);
        } catch (const error& e) {
            EXPECT_EQ(e.code(), errc::closed);
        }
    }
}

TEST_P(Node, ThatWaitsForItsHandlesToCloseLetsGoOfOneThatIsDestroyed) {
    node& here = listening();
    subscriber reader(connected_to(here), "weather", {.credit_bytes = 1});
    auto sender = std::make_unique<publisher>(here, "weather");
    ASSERT_TRUE(sender->wait_for_subscribers(1, patience));
    for (int n = 0; n != 10; ++n) sender->publish("1");
    auto jobs = std::make_unique<pusher>(here, "resize");
    jobs->push("1");
    auto closed = std::async(std::launch::async, [&] { return here.close(10min); });
    EXPECT_TRUE(eventually([&] { return sender->try_publish("2").status == send_status::closed; },
                           patience));
    sender.reset();
    jobs.reset();
    EXPECT_EQ(closed.wait_for(patience), std::future_status::ready);
}

TEST_P(Node, ConnectsToSeveralEndpoints) {
    node& one = listening();
    node& two = listening();
    node& reading = connected_to(one);
    mend(reading, two);
    publisher first(one, "weather", {.source = "first"});
    publisher second(two, "weather", {.source = "second"});
    subscriber reader(reading, "weather");
    ASSERT_TRUE(reader.wait_attached(2, patience));

    first.publish("1");
    EXPECT_EQ(texts(reader, 1), numbers(1, 1));
    second.publish("2");
    EXPECT_EQ(texts(reader, 1), numbers(2, 2));
}

TEST_P(Node, ListensOnSeveralEndpoints) {
    node& serving = listening();
    const std::string another = serving.bind(fresh_endpoint());
    node& one = connected_to(serving);
    node two({.connect = {another}});
    publisher sender(serving, "weather");
    subscriber first(one, "weather");
    subscriber second(two, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(2, patience));

    sender.publish("1");

    EXPECT_EQ(texts(first, 1), numbers(1, 1));
    EXPECT_EQ(texts(second, 1), numbers(1, 1));
}

TEST_P(Node, MakesOneConnectionOfTwoToOneEndpoint) {
    node& serving = listening();
    node& reading = connected_to(serving);

    reading.connect(endpoint_of(serving));

    EXPECT_TRUE(throughout(silence, [&] { return serving.stats().links == 1; }));
}

TEST_P(Node, KeepsASecondConnectionToAPeerAsAStandBy) {
    node& serving = listening();
    const std::string another = serving.bind(fresh_endpoint());
    node& reading = connected_to(serving);
    reading.connect(another);
    ASSERT_TRUE(eventually([&] { return serving.stats().links == 2; }, patience));
    publisher sender(serving, "weather");
    subscriber reader(reading, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_numbers(sender, 1, 10);
    EXPECT_EQ(texts(reader, 10), numbers(1, 10));

    cut(reading, serving);
    publish_numbers(sender, 11, 20);

    EXPECT_EQ(texts(reader, 10), numbers(11, 20));
    EXPECT_EQ(reader.stats().gaps, 0U);
    EXPECT_EQ(reader.stats().duplicates, 0U);
    EXPECT_TRUE(eventually([&] { return sender.subscribers() == 1; }, patience));
}

TEST_P(Node, WorksConnectedToItself) {
    node& alone = listening();
    alone.connect(endpoint_of(alone));
    publisher sender(alone, "weather");
    subscriber reader(alone, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    publish_numbers(sender, 1, 10);

    EXPECT_EQ(texts(reader, 10), numbers(1, 10));
    EXPECT_EQ(sender.subscribers(), 1U);
}

TEST_P(Node, WaitsForItsPeers) {
    node& serving = listening();
    EXPECT_FALSE(serving.wait_for_peers(1, silence));
    connected_to(serving);
    EXPECT_TRUE(serving.wait_for_peers(1, patience));
    EXPECT_FALSE(serving.wait_for_peers(2, silence));
}

TEST_P(Node, NoticesAPeerThatGoes) {
    node& serving = listening();
    node& leaving = connected_to(serving);
    publisher sender(serving, "weather");
    {
        subscriber reader(leaving, "weather");
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        leaving.close(0ms);
        EXPECT_TRUE(eventually([&] { return sender.subscribers() == 0; }, patience));
    }
    EXPECT_EQ(serving.stats().links, 0U);
}

TEST_P(Node, SaysWhatItDidNotConnectToOrListenOn) {
    node& serving = listening();
    const std::string unused =
        GetParam() == transport::tcp ? "tcp://127.0.0.1:1" : fresh_endpoint();
    EXPECT_FALSE(serving.disconnect(unused));
    EXPECT_FALSE(serving.unbind(unused));
    EXPECT_TRUE(serving.unbind(endpoint_of(serving)));
    EXPECT_FALSE(serving.unbind(endpoint_of(serving)));
}

TEST_P(Node, RefusesASecondListenerOnOneEndpoint) {
    node& serving = listening();
    node other;
    EXPECT_EQ(thrown_by([&] { other.bind(endpoint_of(serving)); }), errc::address_in_use);
    EXPECT_EQ(thrown_by([&] { other.bind("carrier-pigeon://x"); }), errc::address_invalid);
}

// --- Closing ----------------------------------------------------------------------------------

TEST_P(Node, ClosesItsPublisherAfterWhatWasPublishedArrived) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_numbers(sender, 1, 10'000);

    EXPECT_EQ(sender.close(patience), 0U);

    EXPECT_EQ(thrown_by([&] { sender.publish("late"); }), errc::closed);
    EXPECT_EQ(sender.try_publish("late").status, send_status::closed);
    EXPECT_EQ(sender.close(0ms), 0U);
    here.close(0ms);
    EXPECT_EQ(texts(reader, 10'000), numbers(1, 10'000));
}

TEST_P(Node, ReturnsWhatAPublisherCouldNotHandOver) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather", {.batch_bytes_max = 1});
    subscriber stuck(there, "weather", {.credit_bytes = 1'000});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_numbers(sender, 1, 100);

    std::uint64_t left = 0;
    // Its node answers although its user takes nothing: what came there is known to the message.
    const bool exact = eventually(
        [&] {
            left = sender.close(silence);
            return stuck.stats().batches + left == 100;
        },
        patience);

    EXPECT_TRUE(exact) << left << " left, " << stuck.stats().batches << " came";
    EXPECT_GT(left, 50U);
}

TEST_P(Node, WaitsForNoReaderThatLeavesWhileItsPublisherCloses) {
    node& here = listening();
    node& there = connected_to(here);
    node& elsewhere = connected_to(here);
    publisher sender(here, "weather", {.batch_bytes_max = 1});
    const subscriber_options stuck{.credit_bytes = 1'000};
    subscriber ending(here, "weather", stuck);
    subscriber on_a_node_that_closes(there, "weather", stuck);
    subscriber disconnected(elsewhere, "weather", stuck);
    ASSERT_TRUE(sender.wait_for_subscribers(3, patience));
    publish_numbers(sender, 1, 100);
    EXPECT_GT(sender.close(0ms), 0U);

    ending.close();
    there.close(0ms);
    cut(elsewhere, here);

    EXPECT_EQ(sender.close(patience), 0U);
}

TEST_P(Node, ClosesWithAPublisherAndItsSubscriberInSilence) {
    std::mutex mutex;
    std::vector<std::string> said;
    node_options o;
    o.log = [&](log_level level, std::string_view line) {
        const std::lock_guard hold(mutex);
        if (level >= log_level::warning) said.emplace_back(line);
    };
    node& here = listening(o);
    publisher quiet(here, "weather");
    subscriber reader(here, "*");
    ASSERT_TRUE(quiet.wait_for_subscribers(1, patience));
    here.close(patience);
    EXPECT_EQ(here.stats().frames_malformed, 0U);
    const std::lock_guard hold(mutex);
    EXPECT_EQ(said, std::vector<std::string>());
}

TEST_P(Node, ClosesAPublisherWithoutSubscribersAtOnce) {
    publisher sender(listening(), "weather");
    publish_numbers(sender, 1, 100);
    EXPECT_EQ(sender.close(patience), 0U);
}

TEST_P(Node, HandsOverWhatItsHandlesHoldWhenItCloses) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    pusher jobs(here, "jobs");
    subscriber reader(there, "weather");
    puller worker(there, "jobs");
    worker.start([](const job&) {});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_numbers(sender, 1, 1'000);
    push_numbers(jobs, 1, 1'000);

    EXPECT_GT(here.stats().links, 0U);
    EXPECT_EQ(here.close(patience), 0U);

    EXPECT_EQ(here.stats().links, 0U);
    EXPECT_EQ(texts(reader, 1'000), numbers(1, 1'000));
    EXPECT_EQ(here.close(patience), 0U);
}

TEST_P(Node, ReturnsWhatItsHandlesCouldNotHandOver) {
    node& here = listening();
    pusher jobs(here, "jobs");
    push_numbers(jobs, 1, 10);
    EXPECT_EQ(here.close(silence), 10U);
}

TEST_P(Node, EndsItsHandlesWhenItCloses) {
    node& here = listening();
    publisher sender(here, "weather");
    pusher jobs(here, "jobs");
    subscriber reader(here, "weather");
    puller worker(here, "jobs");

    here.close(patience);

    EXPECT_EQ(thrown_by([&] { sender.publish("late"); }), errc::closed);
    EXPECT_EQ(thrown_by([&] { jobs.push("late"); }), errc::closed);
    EXPECT_EQ(sender.try_publish("late").status, send_status::closed);
    EXPECT_TRUE(reader.closed());
    EXPECT_TRUE(worker.closed());
    EXPECT_FALSE(reader.receive());
    EXPECT_FALSE(worker.receive());
    EXPECT_EQ(thrown_by([&] { publisher(here, "another"); }), errc::closed);
    EXPECT_EQ(thrown_by([&] { subscriber(here, "another"); }), errc::closed);
    EXPECT_EQ(thrown_by([&] { pusher(here, "another"); }), errc::closed);
    EXPECT_EQ(thrown_by([&] { puller(here, "another"); }), errc::closed);
    EXPECT_EQ(thrown_by([&] { here.connect("inproc://x"); }), errc::closed);
}

TEST_P(Node, ClosesWhileAPublisherWaitsForRoom) {
    node& here = listening();
    publisher sender(here, "weather",
                     {.ring_bytes_max = 10'000, .patience = publisher_options::forever});
    subscriber stuck(here, "weather", {.credit_bytes = 100});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    std::thread publishing([&] {
        EXPECT_EQ(thrown_by([&] {
                      for (;;) sender.publish(std::string(1'000, 'x'));
                  }),
                  errc::closed);
    });
    ASSERT_TRUE(eventually([&] { return sender.stats().refused > 0; }, patience));

    EXPECT_GT(here.close(0ms), 0U);

    publishing.join();
}

TEST_P(Node, EndsWaitsForPeersThatNeverComeWhenItCloses) {
    node& alone = listening();
    publisher news(alone, "news");
    pusher work(alone, "work");
    subscriber reader(alone, "other");
    puller worker(alone, "jobs");
    std::vector<std::future<bool>> waits;
    const auto wait = [&](auto how) { waits.push_back(std::async(std::launch::async, how)); };
    wait([&] { return news.wait_for_subscribers(1, 1h); });
    wait([&] { return work.wait_for_pullers(1, 1h); });
    wait([&] { return reader.wait_attached(1, 1h); });
    wait([&] { return worker.wait_attached(1, 1h); });
    alone.close(1s);
    for (auto& w : waits) EXPECT_FALSE(w.get());
}

TEST_P(Node, RefusesOptionsOfNoUse) {
    const auto refused = [](const node_options& options) {
        try {
            node made(options);
        } catch (const error& e) {
            return e.code() == errc::invalid_argument;
        }
        return false;
    };
    EXPECT_TRUE(refused({.topics_per_peer_max = 0}));
    EXPECT_TRUE(refused({.silence_max = std::chrono::milliseconds::max()}));
    EXPECT_TRUE(refused({.reconnect_max = std::chrono::milliseconds::max()}));
    node& fine = listening();
    EXPECT_THROW(subscriber(fine, "news", {.from = from::after({{"", {"me", {1}, {1}}}})}), error);
    puller worker(fine, "jobs");
    EXPECT_THROW(worker.start({}), error);
}

TEST_P(Node, TakesWaitsWithoutADeadline) {
    constexpr auto forever = std::chrono::milliseconds::max();
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    EXPECT_TRUE(here.wait_for_peers(1, forever));
    EXPECT_TRUE(sender.wait_for_subscribers(1, forever));
    EXPECT_TRUE(reader.wait_attached(1, forever));
    sender.publish("1");
    EXPECT_TRUE(reader.receive_for(forever));
    EXPECT_EQ(sender.close(forever), 0U);
    EXPECT_EQ(here.close(forever), 0U);
}

// --- Counters and log -------------------------------------------------------------------------

TEST_P(Node, CountsItsLinksAndReconnects) {
    node& here = listening();
    node& there = connected_to(here);
    EXPECT_EQ(here.stats().links, 1U);
    EXPECT_EQ(here.stats().reconnects, 0U);

    cut(there, here);
    mend(there, here);

    EXPECT_EQ(here.stats().links, 1U);
    EXPECT_EQ(here.stats().reconnects, 1U);
    EXPECT_EQ(there.stats().reconnects, 1U);
    EXPECT_EQ(here.stats().frames_malformed, 0U);
}

handle_stats counters(node& of, enum handle_stats::role role) {
    for (const handle_stats& s : of.stats().handles)
        if (s.role == role) return s;
    ADD_FAILURE() << "no such handle";
    return {};
}

TEST_P(Node, ListsTheCountersOfItsPublishersAndSubscribers) {
    using role = enum handle_stats::role;
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    subscriber reader(there, "wea*");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_numbers(sender, 1, 10);
    ASSERT_TRUE(eventually([&] { return counters(there, role::subscriber).queue_messages == 10; },
                           patience));

    EXPECT_EQ(here.stats().handles.size(), 1U);
    const handle_stats sent = counters(here, role::publisher);
    EXPECT_EQ(sent.topic, "weather");
    EXPECT_EQ(sent.messages, 10U);
    EXPECT_EQ(sent.bytes, 11U);
    EXPECT_GE(sent.batches, 1U);
    EXPECT_LE(sent.batches, 10U);
    EXPECT_EQ(sent.queue_messages, 0U);
    EXPECT_EQ(sent.peers, 1U);
    ASSERT_EQ(sent.readers.size(), 1U);
    EXPECT_EQ(sent.readers[0].pattern, "wea*");
    EXPECT_EQ(sent.readers[0].lag_messages, 0U);
    EXPECT_GT(sent.readers[0].unread_bytes, 0U);
    EXPECT_EQ(sent.drops + sent.repairs + sent.refused + sent.owed_messages, 0U);

    const handle_stats waiting = counters(there, role::subscriber);
    EXPECT_EQ(waiting.topic, "wea*");
    EXPECT_EQ(waiting.messages, 0U);
    EXPECT_EQ(waiting.batches, sent.batches);
    EXPECT_GT(waiting.queue_bytes, 11U);
    EXPECT_EQ(waiting.peers, 1U);

    ASSERT_EQ(texts(reader, 10), numbers(1, 10));
    EXPECT_FALSE(reader.try_receive());
    const handle_stats received = counters(there, role::subscriber);
    EXPECT_EQ(received.messages, 10U);
    EXPECT_EQ(received.bytes, 11U);
    EXPECT_EQ(received.queue_messages, 0U);
    EXPECT_EQ(received.queue_bytes, 0U);
    EXPECT_EQ(received.drops + received.gaps + received.repairs + received.duplicates, 0U);
}

TEST_P(Node, ListsTheCountersOfItsPushersAndPullers) {
    using role = enum handle_stats::role;
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", {.acks = ack_mode::on_request});
    ASSERT_TRUE(jobs.wait_for_pullers(1, patience));
    push_numbers(jobs, 1, 10);
    std::vector<job> in_hand;
    while (in_hand.size() != 10) {
        auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        in_hand.push_back(std::move(*j));
    }

    EXPECT_EQ(here.stats().handles.size(), 1U);
    const handle_stats pushed = counters(here, role::pusher);
    EXPECT_EQ(pushed.topic, "jobs");
    EXPECT_EQ(pushed.messages, 10U);
    EXPECT_EQ(pushed.bytes, 11U);
    EXPECT_GE(pushed.batches, 1U);
    EXPECT_LE(pushed.batches, 10U);
    EXPECT_EQ(pushed.queue_messages, 10U);
    EXPECT_GE(pushed.queue_bytes, 11U);
    EXPECT_EQ(pushed.peers, 1U);
    EXPECT_EQ(pushed.redeliveries + pushed.rejected + pushed.refused, 0U);

    const handle_stats held = counters(there, role::puller);
    EXPECT_EQ(held.topic, "jobs");
    EXPECT_EQ(held.batches, pushed.batches);
    EXPECT_EQ(held.queue_messages, 10U);
    EXPECT_GE(held.queue_bytes, 11U);
    EXPECT_EQ(held.peers, 1U);

    EXPECT_TRUE(worker.nack(in_hand[0].id()));
    EXPECT_TRUE(worker.reject(in_hand[1].id(), "no"));
    for (std::size_t i = 2; i != 10; ++i) EXPECT_TRUE(worker.ack(in_hand[i].id()));
    const auto again = worker.receive_for(patience);
    ASSERT_TRUE(again);
    EXPECT_TRUE(worker.ack(again->id()));
    ASSERT_TRUE(jobs.flush(patience));
    const handle_stats done = counters(here, role::pusher);
    EXPECT_EQ(done.queue_messages, 0U);
    EXPECT_EQ(done.queue_bytes, 0U);
    EXPECT_EQ(done.redeliveries, 1U);
    EXPECT_EQ(done.rejected, 1U);
    EXPECT_FALSE(worker.try_receive());
    const handle_stats worked = counters(there, role::puller);
    EXPECT_EQ(worked.messages, 11U);
    EXPECT_EQ(worked.bytes, 12U);
    EXPECT_EQ(worked.queue_messages, 0U);
    EXPECT_EQ(worked.refused, 0U);
}

TEST_P(Node, TellsItsLogOfPeersThatComeAndGo) {
    std::mutex mutex;
    std::string lines;
    node_options options;
    options.log = [&](log_level, std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.append(line).append("\n");
    };
    node& here = listening(options);
    node& there = connected_to(here, {.name = "visitor"});
    cut(there, here);
    const std::lock_guard lock(mutex);
    EXPECT_NE(lines.find("connected with peer visitor"), std::string::npos) << lines;
    EXPECT_NE(lines.find("lost peer visitor"), std::string::npos) << lines;
}

}  // namespace cairn::test
