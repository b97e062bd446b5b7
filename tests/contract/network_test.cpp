#include "contract.hpp"

#include "support/tcp_proxy.hpp"

#include <memory>
#include <set>
#include <thread>

namespace cairn::test {

/// What a network does to connections without asking either side.
class Network : public ::testing::Test {
protected:
    static node_options quick_to_notice() {
        node_options options;
        options.heartbeat = 100ms;
        options.silence_max = 500ms;
        options.reconnect_min = 10ms;
        options.reconnect_max = 50ms;
        return options;
    }

    node here{quick_to_notice()};
    tcp_proxy network{here.bind("tcp://127.0.0.1:0")};
    node there{[this] {
        node_options options = quick_to_notice();
        options.connect = {network.endpoint()};
        return options;
    }()};
};

TEST_F(Network, LosesNothingInSilenceWhenConnectionsAreReset) {
    publisher sender(here, "weather", {.patience = publisher_options::forever});
    subscriber reader(there, "weather", {.credit_bytes = 100'000});
    ASSERT_TRUE(reader.wait_attached(1, patience));
    std::thread publishing([&] { publish_numbers(sender, 1, 200'000); });
    for (std::uint64_t n = 1; n <= 200'000; ++n) {
        if (n % 40'000 == 0) network.cut();
        const auto e = reader.next_event(patience);
        ASSERT_TRUE(e) << n;
        // Who was cut off holds nothing back, so it may be overtaken: that is told.
        if (const auto* g = std::get_if<gap>(&*e)) {
            EXPECT_EQ(g->range.first, sequence{n});
            n = g->range.last.value;
            continue;
        }
        ASSERT_EQ(std::get<message>(*e).text(), std::to_string(n));
    }
    publishing.join();
    EXPECT_GE(there.stats().reconnects, 1U);
}

// What still waits from the earlier connection is not granted again, so the publisher learns how
// large the reader's window is only later.
TEST_F(Network, BringsLoneMessagesAtOnceToAReaderThatWasFullWhenItWasCutOff) {
    for (const std::size_t credit : {std::size_t{100'000}, std::size_t{1} << 20}) {
        publisher sender(here, "weather", {.patience = publisher_options::forever});
        subscriber reader(there, "weather", {.credit_bytes = credit});
        ASSERT_TRUE(reader.wait_attached(1, patience));
        constexpr int count = 1'500;
        const std::string body(2'000, 'x');
        for (int i = 0; i != count; ++i) sender.publish(body);
        ASSERT_TRUE(eventually([&] { return reader.stats().queue_bytes >= credit; }, patience));
        const std::uint64_t before = there.stats().reconnects;
        network.cut();
        ASSERT_TRUE(eventually([&] { return there.stats().reconnects > before; }, patience));
        ASSERT_TRUE(reader.wait_attached(1, patience));
        for (int i = 0; i != count; ++i) ASSERT_TRUE(reader.receive_for(patience)) << i;
        for (int i = 0; i != 20; ++i) {
            sender.publish("alone");
            ASSERT_TRUE(reader.receive_for(patience)) << i << " waits for others to come";
        }
    }
}

TEST_F(Network, LosesNoJobWhenConnectionsAreReset) {
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", {.credit_messages = 500});
    push_numbers(jobs, 1, 20'000);
    std::set<std::string> got;
    for (std::uint64_t n = 1; got.size() != 20'000; ++n) {
        if (n % 4'000 == 0) network.cut();
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j) << got.size();
        got.emplace(j->text());
    }
    EXPECT_FALSE(worker.receive_for(0ms));
    worker.start([&](const job& j) { EXPECT_GT(j.attempt(), 1U); });
    EXPECT_TRUE(jobs.flush(patience));
    EXPECT_EQ(jobs.stats().rejected, 0U);
}

TEST_F(Network, IsFoundDeadWhenItSwallowsEverything) {
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(reader.wait_attached(1, patience));

    network.swallow();

    EXPECT_TRUE(eventually([&] { return sender.subscribers() == 0; }, patience));
    EXPECT_TRUE(eventually([&] { return reader.attached() == 0; }, patience));
}

TEST_F(Network, GoesOnWhereItWasWhenTheSilenceEnds) {
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(reader.wait_attached(1, patience));
    publish_numbers(sender, 1, 10);
    network.swallow();
    publish_numbers(sender, 11, 20);
    ASSERT_TRUE(eventually([&] { return sender.subscribers() == 0; }, patience));

    network.relay();

    publish_numbers(sender, 21, 30);
    EXPECT_EQ(texts(reader, 30), numbers(1, 30));
    EXPECT_EQ(reader.stats().gaps, 0U);
}

TEST_F(Network, GivesAJobToAnotherWhenItSwallowsTheWorker) {
    pusher jobs(here, "jobs");
    puller lost(there, "jobs", {.acks = ack_mode::on_request});
    jobs.push("1");
    ASSERT_TRUE(lost.receive_for(patience));
    puller heir(here, "jobs");

    network.swallow();

    const auto j = heir.receive_for(patience);
    ASSERT_TRUE(j);
    EXPECT_EQ(j->attempt(), 2U);
}

// Five round trips of 300 ms lie between the connection and HELLO.
TEST(ASlowNetwork, IsGivenTheTimeThatItsHandshakesTake) {
    const key_pair server = generate_keys();
    const key_pair client = generate_keys();
    node here({.security = {.keys = server, .allowed_keys = {client.public_key}}});
    tcp_proxy network(here.bind("tcp://127.0.0.1:0"));
    network.delay(150ms);
    node there({.connect = {network.endpoint()},
                .security = {.keys = client, .server_key = server.public_key}});

    ASSERT_TRUE(there.wait_for_peers(1, patience));

    EXPECT_EQ(there.stats().handshakes_failed, 0U);
    EXPECT_EQ(here.stats().handshakes_failed, 0U);
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(reader.wait_attached(1, patience));
    sender.publish("fair");
    EXPECT_EQ(texts(reader, 1), std::vector<std::string>{"fair"});
}

}  // namespace cairn::test
