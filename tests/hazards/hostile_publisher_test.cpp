#include "support/eventually.hpp"
#include "support/stranger.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

// Peers that publish or push what no honest one would, to users who take it, and to users who take
// nothing: what waits for those is bounded, whoever sends it.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using wire::kind;

std::string record_of(std::string_view text) {
    std::string record;
    for (int shift = 0; shift != 32; shift += 8) record += static_cast<char>(text.size() >> shift);
    return record.append(text);
}

class AHostilePublisher : public testing::Test {
protected:
    static node_options few() {
        node_options o;
        o.body_bytes_max = 4'000;
        o.topics_per_peer_max = 60;
        o.silence_max = 60s;  // strangers say nothing while they wait for others
        return o;
    }
    static wire::head head(std::string_view source, std::uint64_t last) {
        return {"news", source, epoch{1}, sequence{1}, sequence{last}, sequence{1}};
    }
    /// Greets as a node that nobody knows, and offers one source to the subscriber.
    wire::channel offer(stranger& peer, std::string_view source, std::uint64_t last) {
        EXPECT_TRUE(peer.greet());
        const auto asked = peer.hear<wire::subscribe>(kind::subscribe);
        EXPECT_TRUE(asked);
        const wire::channel channel = asked ? asked->channel : 0;
        peer.say(wire::subscribed{channel, false, {head(source, last)}});
        return channel;
    }
    static void publish(stranger& as, wire::channel to, std::string_view source,
                        std::uint64_t sequence, std::string_view text) {
        wire::batch_header h;
        h.channel = to;
        h.topic = "news";
        h.source = source;
        h.epoch = epoch{1};
        h.first = cairn::sequence{sequence};
        h.count = 1;
        as.say(h, record_of(text));
    }
    void leave(stranger& peer, std::uint64_t links_besides = 0) {
        EXPECT_TRUE(peer.answered());
        peer.say(wire::bye{errc::closed, "done"});
        EXPECT_TRUE(eventually([&] { return node_.stats().links == links_besides; }));
    }

    node node_{few()};
    const std::string endpoint_ = node_.bind("tcp://127.0.0.1:0");
};

// Z17
TEST_F(AHostilePublisher, ThatRepeatsWhatItSentGivesNothingTwice) {
    subscriber reader(node_, "news");
    stranger peer(endpoint_);
    const wire::channel to = offer(peer, "s", 0);
    for (int round = 0; round != 100; ++round)
        for (std::uint64_t n = 1; n <= 100; ++n) publish(peer, to, "s", n, std::to_string(n));
    ASSERT_TRUE(peer.answered());

    for (std::uint64_t n = 1; n <= 100; ++n)
        EXPECT_EQ(reader.receive_for(10s).value().text(), std::to_string(n));
    EXPECT_FALSE(reader.try_receive());
    EXPECT_EQ(reader.stats().duplicates, 9'900U);
    EXPECT_EQ(reader.stats().gaps, 0U);
}

TEST_F(AHostilePublisher, ThatLeavesMessagesOutIsAskedForThem) {
    subscriber reader(node_, "news");
    stranger peer(endpoint_);
    const wire::channel to = offer(peer, "s", 0);
    publish(peer, to, "s", 1, "1");
    publish(peer, to, "s", 3, "3");
    const auto asked = peer.hear<wire::repair>(kind::repair);
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->from.next, sequence{2});
    EXPECT_EQ(reader.stats().repairs, 1U);

    publish(peer, to, "s", 2, "2");
    publish(peer, to, "s", 3, "3");

    for (const char* text : {"1", "2", "3"})
        EXPECT_EQ(reader.receive_for(10s).value().text(), text);
    EXPECT_EQ(reader.stats().gaps, 0U);
}

TEST_F(AHostilePublisher, TellsAUserWhoTakesNothingOfSoManyLossesAndNoMore) {
    constexpr std::uint64_t most = 1'024;
    subscriber reader(node_, "news");
    node friendly({.connect = {endpoint_}});
    publisher honest(friendly, "news");
    ASSERT_TRUE(honest.wait_for_subscribers(1, 10s));
    stranger quiet(endpoint_);
    const wire::channel to_quiet = offer(quiet, "t", 5);
    stranger peer(endpoint_);
    const wire::channel to = offer(peer, "s", 20'000);
    for (std::uint64_t n = 1; n <= 20'000; ++n) {
        peer.say(wire::gone{to, "news", "s", epoch{1}, {sequence{n}, sequence{n}}});
        if (n % 1'000 == 0) {
            ASSERT_TRUE(peer.answered());
        }
    }
    EXPECT_EQ(reader.stats().gaps, most);
    honest.publish("all the same");
    // What an honest one says once is not passed over.
    quiet.say(wire::end{to_quiet, "news", "t", epoch{1}, sequence{5}});
    ASSERT_TRUE(quiet.answered());

    for (std::uint64_t n = 1; n <= most; ++n) {
        const auto told = reader.next_event(10s);
        ASSERT_TRUE(told && std::holds_alternative<gap>(*told)) << n;
        EXPECT_EQ(std::get<gap>(*told).range, (sequence_range{{n}, {n}}));
    }
    std::optional<gap> ended;
    std::optional<std::string> received;
    for (int i = 0; i != 2; ++i) {
        const auto told = reader.next_event(10s);
        ASSERT_TRUE(told);
        if (const auto* lost = std::get_if<gap>(&*told)) ended = *lost;
        if (const auto* m = std::get_if<message>(&*told)) received = m->text();
    }
    EXPECT_EQ(received, "all the same");
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->range, (sequence_range{{1}, {5}}));
    // What was passed over is told when there is room.
    peer.say(wire::gone{to, "news", "s", epoch{1}, {sequence{most + 1}, sequence{20'000}}});
    const auto rest = reader.next_event(10s);
    ASSERT_TRUE(rest && std::holds_alternative<gap>(*rest));
    EXPECT_EQ(std::get<gap>(*rest).range, (sequence_range{{most + 1}, {20'000}}));
}

TEST_F(AHostilePublisher, HasNoWindowForEachOfItsNames) {
    constexpr std::size_t window = 10'000;
    subscriber reader(node_, "news", {.credit_bytes = window});
    const std::string body(3'500, 'x');
    for (int i = 0; i != 60; ++i) {
        stranger peer(endpoint_);
        const std::string source = "s" + std::to_string(i);
        const wire::channel to = offer(peer, source, 0);
        for (std::uint64_t n = 1; n <= 5; ++n) publish(peer, to, source, n, body);
        leave(peer);
    }
    // Sixteen that are gone, and one batch above the window of each.
    EXPECT_LE(reader.stats().queue_bytes, 16 * (window + 4'000));

    while (reader.receive_for(60ms)) continue;
    node friendly({.connect = {endpoint_}});
    publisher honest(friendly, "news");
    ASSERT_TRUE(honest.wait_for_subscribers(1, 10s));
    for (int i = 0; i != 20; ++i) {
        honest.publish(body);
        EXPECT_TRUE(reader.receive_for(10s)) << "there is a whole window again: " << i;
    }
}

class AHostilePusher : public AHostilePublisher {
protected:
    static constexpr std::size_t credit = 1'000;

    /// Greets as a node that nobody knows, and is asked for work.
    wire::attach asked(stranger& peer) {
        EXPECT_TRUE(peer.greet());
        const auto request = peer.hear<wire::attach>(kind::attach);
        EXPECT_TRUE(request);
        if (!request) return {};
        return {request->channel, "work", {}, request->messages, request->bytes};
    }
    static void push(stranger& as, const wire::attach& to, std::string_view source, std::uint64_t n,
                     std::string_view text) {
        wire::jobs_header h;
        h.channel = to.channel;
        h.topic = "work";
        h.source = source;
        h.epoch = epoch{1};
        h.first = sequence{n};
        h.count = 1;
        h.attempt = 1;
        h.ack_wait_ms = 1'000;
        as.say(h, record_of(text));
    }
    void flood(std::uint64_t links_besides) {
        for (int i = 0; i != names; ++i) {
            stranger peer(endpoint_);
            const wire::attach to = asked(peer);
            for (std::uint64_t n = 1; n <= 2; ++n)
                push(peer, to, "s" + std::to_string(i), n, body_);
            leave(peer, links_besides);
        }
    }

    static constexpr int names = 200;
    const std::string body_ = std::string(700, 'x');
    puller worker_{node_, "work", {.credit_messages = 10, .credit_bytes = credit, .prefetch = 0ms}};
};

TEST_F(AHostilePusher, FillsNoMemoryOfAPullerUnderEverNewNames) {
    flood(0);
    std::size_t bytes = 0;
    while (const auto j = worker_.receive_for(60ms)) bytes += j->body().size();
    EXPECT_LE(bytes, 18 * (credit + 4'000));
    EXPECT_LT(bytes, names * 2 * body_.size() / 2);

    node friendly({.connect = {endpoint_}});
    pusher honest(friendly, "work");
    honest.push("there is room again");
    EXPECT_EQ(worker_.receive_for(10s).value().text(), "there is room again");
}

// Its jobs find no room, and are released; it gets new credit once there is.
TEST_F(AHostilePusher, TakesNothingFromWhoWasThereBefore) {
    stranger honest(endpoint_);
    const wire::attach to = asked(honest);
    ASSERT_GE(to.messages, 1U);
    flood(1);
    for (std::uint64_t n = 1; n <= to.messages; ++n) {
        push(honest, to, "honest", n, "1");
        const auto given_back = honest.hear<wire::release>(kind::release);
        ASSERT_TRUE(given_back) << n;
        EXPECT_EQ(given_back->ranges, (std::vector<sequence_range>{{{n}, {n}}}));
    }
    while (worker_.receive_for(60ms)) continue;

    const auto more = honest.hear<wire::work_credit>(kind::work_credit);
    ASSERT_TRUE(more);
    EXPECT_GT(more->messages, to.messages);
    push(honest, to, "honest", 1, "1");
    EXPECT_EQ(worker_.receive_for(10s).value().text(), "1");
}

TEST_F(AHostilePublisher, WhoseDigestNeverFitsIsAskedAnewTenTimesASecondAtMost) {
    subscriber reader(node_, "news");
    stranger peer(endpoint_);
    const auto began = std::chrono::steady_clock::now();
    const wire::channel to = offer(peer, "s", 0);
    for (int i = 0; i != 1'000; ++i) {
        peer.say(wire::digest{to, 7, 7});
        peer.say(wire::subscribed{to, false, {head("s", 0)}});
    }
    ASSERT_TRUE(peer.answered());
    const auto tenths = (std::chrono::steady_clock::now() - began) / 100ms;
    EXPECT_GE(reader.stats().repairs, 1U);
    EXPECT_LE(reader.stats().repairs, 1U + static_cast<std::uint64_t>(tenths));
}

}  // namespace
