#include "contract.hpp"

#include <limits>
#include <optional>
#include <thread>

// Options and arguments at the ends of their ranges.
namespace cairn::test {

using Extremes = contract;
CAIRN_OVER_EACH_TRANSPORT(Extremes);

constexpr std::size_t all_there_is = std::numeric_limits<std::size_t>::max();
constexpr auto for_ever = std::chrono::milliseconds::max();

TEST_P(Extremes, OfLimitsBoundNothing) {
    const node_options none{.peers_max = all_there_is,
                            .topics_per_peer_max = all_there_is,
                            .subscriptions_per_peer_max = all_there_is};
    node& here = listening(none);
    node& there = connected_to(here, none);
    publisher sender(here, "weather", {.patience = for_ever});
    subscriber reader(there, "weather", {.ack_delay_max = for_ever, .history_wait = for_ever});
    pusher jobs(here, "jobs");
    puller worker(there, "jobs");
    ASSERT_TRUE(sender.wait_for_subscribers(1, for_ever));
    ASSERT_TRUE(reader.wait_attached(1, for_ever));
    publish_numbers(sender, 1, 100);
    push_numbers(jobs, 1, 100);
    EXPECT_EQ(texts(reader, 100), numbers(1, 100));
    EXPECT_EQ(texts(worker, 100), numbers(1, 100));
}

TEST_P(Extremes, OfTheNumberOfTopicsCountThoseThatAreThereAtOnce) {
    const node_options few{.topics_per_peer_max = 4};
    node& here = listening(few);
    node& there = connected_to(here, few);
    subscriber reader(there, "*");
    for (int n = 0; n != 50; ++n) {
        publisher sender(here, "weather." + std::to_string(n));
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        sender.publish(std::to_string(n));
        EXPECT_EQ(texts(reader, 1), std::vector<std::string>{std::to_string(n)});
        EXPECT_EQ(sender.close(patience), 0U);
    }
    EXPECT_EQ(there.stats().frames_malformed, 0U);
}

TEST_P(Extremes, OfTheNumberOfSourcesCountThoseThatAreThereAtOnce) {
    const node_options few{.topics_per_peer_max = 4};
    node& here = listening(few);
    node& there = connected_to(here, few);
    puller worker(there, "jobs");
    const auto work = [&](pusher& from) {
        push_numbers(from, 1, 50);
        EXPECT_EQ(texts(worker, 50), numbers(1, 50));
        EXPECT_FALSE(worker.try_receive()) << "and acks the last";
        EXPECT_TRUE(from.flush(patience));
    };
    pusher stays(here, "jobs", {.source = "stays"});
    work(stays);
    for (int n = 0; n != 20; ++n) {
        pusher comes_and_goes(here, "jobs", {.source = std::to_string(n)});
        work(comes_and_goes);
    }
    work(stays);
    EXPECT_EQ(there.stats().frames_malformed, 0U);
}

TEST_P(Extremes, OfTheDelayOfANack) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", {.acks = ack_mode::on_request});
    jobs.push("1");
    for (const std::chrono::milliseconds delay : {std::chrono::milliseconds(-5), for_ever}) {
        const auto given = worker.receive_for(patience);
        ASSERT_TRUE(given);
        EXPECT_TRUE(worker.nack(given->id(), delay));
    }
    EXPECT_FALSE(worker.receive_for(silence)) << "for ever, or very nearly";
}

TEST_P(Extremes, OfTheHeartbeatKeepAConnection) {
    const node_options eager{.heartbeat = 1ms, .silence_max = 10'000ms};
    node& here = listening(eager);
    node& there = connected_to(here, eager);
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    const std::uint64_t before = here.stats().frames_sent;
    ASSERT_TRUE(eventually([&] { return here.stats().frames_sent >= before + 20; }, patience));
    publish_numbers(sender, 1, 10);
    EXPECT_EQ(texts(reader, 10), numbers(1, 10));
    EXPECT_EQ(there.stats().reconnects, 0U);
}

TEST_P(Extremes, OfWhatIsCounted) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather", {.batch_bytes_max = 1});
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    const std::uint64_t before = here.stats().frames_sent;
    publish_numbers(sender, 1, 10);
    EXPECT_EQ(texts(reader, 10), numbers(1, 10));
    EXPECT_GE(here.stats().frames_sent, before + 10) << "a message a batch";
}

TEST_P(Extremes, OfTheTimeToCloseEndWithTheNode) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather",
                     {.ring_bytes_max = 10'000, .patience = publisher_options::forever});
    pusher jobs(here, "jobs");
    subscriber stuck(there, "weather", {.credit_bytes = 100});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    while (sender.try_publish(std::string(1'000, 'x'))) {
    }
    jobs.push("for nobody");
    std::optional<std::uint64_t> unsent;
    std::optional<std::uint64_t> undone;
    std::jthread closing([&] { unsent = sender.close(for_ever); });
    std::jthread giving_up([&] { undone = jobs.close(for_ever); });
    ASSERT_TRUE(eventually([&] { return sender.try_publish("").status == send_status::closed; }));
    ASSERT_TRUE(eventually([&] { return jobs.try_push("").status == send_status::closed; }));
    EXPECT_GT(here.close(0ms), 0U);
    closing.join();
    giving_up.join();
    EXPECT_GT(unsent, 0U);
    EXPECT_GT(undone, 0U);
    EXPECT_EQ(sender.close(0ms), *unsent) << "it stays so";
}

}  // namespace cairn::test
