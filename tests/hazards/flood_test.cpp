#include "support/eventually.hpp"
#include "support/raw_peer.hpp"
#include "support/resident.hpp"
#include "support/rounds.hpp"
#include "support/stranger.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

// Peers that ask for too much, too often, or for what is not theirs: each is bounded, and honest
// peers do not notice.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using wire::kind;

constexpr std::uint64_t everything = std::numeric_limits<std::uint64_t>::max();

class Flood : public testing::Test {
protected:
    static node_options small() {
        node_options o;
        o.name = "victim";
        o.subscriptions_per_peer_max = 50;
        o.topics_per_peer_max = 60;
        o.silence_max = 60s;  // strangers say nothing while they wait for others
        return o;
    }
    void SetUp() override { ASSERT_TRUE(publisher_.wait_for_subscribers(1, 10s)); }
    void expect_honest_peers_unharmed() {
        publisher_.publish("still here");
        EXPECT_TRUE(subscriber_.receive_for(10s).has_value());
        EXPECT_EQ(subscriber_.stats().gaps, 0U);
    }
    wire::subscribe request(wire::channel channel, std::string_view pattern,
                            std::uint64_t credit = 1 << 20) const {
        return {channel, pattern, wire::start::earliest, credit, false, {}};
    }
    static wire::jobs_header one_job(wire::channel channel) {
        wire::jobs_header h;
        h.channel = channel;
        h.topic = "work";
        h.first = sequence{1};
        h.count = 1;
        h.attempt = 1;
        h.ack_wait_ms = 30'000;
        return h;
    }

    cairn::node node_{small()};
    std::string endpoint_ = node_.bind("tcp://127.0.0.1:0");
    publisher publisher_{node_, "honest"};
    cairn::node friend_{{.name = "honest", .connect = {endpoint_}}};
    subscriber subscriber_{friend_, "honest"};
};

// Z7
TEST_F(Flood, OfSubscriptionsEndsAtTheLimitOfThePeer) {
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    for (wire::channel c = 1; c <= 60; ++c) peer.say(request(c, "honest"));
    for (int i = 0; i != 10; ++i) EXPECT_EQ(peer.refusal(kind::error), errc::limit_exceeded);
    EXPECT_TRUE(peer.answered());
    EXPECT_EQ(publisher_.subscribers(), 51U);
    expect_honest_peers_unharmed();
}

// Two million with CAIRN_TEST_LONG.
TEST_F(Flood, OfSubscriptionsWithoutNumberCostsNoMemory) {
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    std::size_t before = 0;
    const std::size_t count = rounds(100'000);
    for (std::size_t i = 1; i <= count; ++i) {
        const std::string pattern = std::to_string(i) + std::string(200, '.') + "*";
        ASSERT_TRUE(peer.say(request(static_cast<wire::channel>(i), pattern)));
        if (i % 1'000 != 0) continue;
        ASSERT_TRUE(peer.answered()) << i;
        if (before == 0) before = resident_bytes();
    }
    if (!sanitized) {
        EXPECT_LT(resident_bytes(), before + (std::size_t{8} << 20));
    }
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfSubscriptionsIsForgottenWithItsPeer) {
    {
        stranger peer(endpoint_);
        ASSERT_TRUE(peer.greet());
        for (wire::channel c = 1; c <= 50; ++c) peer.say(request(c, "hon*"));
        ASSERT_TRUE(peer.answered());
    }
    EXPECT_TRUE(eventually([&] { return publisher_.subscribers() == 1; }));
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfAttachmentsEndsAtTheLimitOfThePeer) {
    pusher work(node_, "work");
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    for (wire::channel c = 1; c <= 60; ++c) peer.say(wire::attach{c, "work", "x", 1, 1});
    for (int i = 0; i != 10; ++i) EXPECT_EQ(peer.refusal(kind::error), errc::limit_exceeded);
    EXPECT_EQ(work.pullers(), 50U);
    peer.say(wire::attach{1, "work", "x", 1, 1});
    EXPECT_EQ(peer.refusal(kind::error), errc::invalid_argument);
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfStreamsEndsAtTheLimitOfThePeer) {
    std::vector<std::unique_ptr<publisher>> many;
    for (int i = 0; i != 25; ++i)
        many.push_back(std::make_unique<publisher>(node_, "many." + std::to_string(i)));
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    for (const wire::channel c : {1U, 2U}) {
        peer.say(request(c, "many.*"));
        EXPECT_TRUE(peer.hear(kind::subscribed));
    }
    peer.say(request(3, "many.*"));
    EXPECT_EQ(peer.refusal(kind::error), errc::limit_exceeded);
    // What a subscription grows to counts as well.
    for (int i = 25; i != 40; ++i)
        many.push_back(std::make_unique<publisher>(node_, "many." + std::to_string(i)));
    EXPECT_EQ(peer.refusal(kind::error), errc::limit_exceeded);
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfJobsOfAnOldRunIsAnsweredFencedOnce) {
    puller worker(node_, "work");
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    const auto asked = peer.hear<wire::attach>(kind::attach);
    ASSERT_TRUE(asked);
    wire::jobs_header jobs = one_job(asked->channel);
    jobs.source = "twin";
    const std::string body("\1\0\0\0x", 5);
    const auto say_as = [&](std::uint64_t run) {
        jobs.epoch = epoch{run};
        return peer.say(jobs, body);
    };
    ASSERT_TRUE(say_as(5));
    for (int i = 0; i != 20; ++i) ASSERT_TRUE(say_as(3));

    const auto told = peer.hear<wire::fenced>(kind::fenced);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->newer, epoch{5});
    EXPECT_FALSE(peer.hear(kind::fenced, 100ms));
    EXPECT_TRUE(peer.answered());

    // Another old run is another matter.
    ASSERT_TRUE(say_as(4));
    EXPECT_TRUE(peer.hear(kind::fenced));
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfJobsOfMoreSourcesThanTheLimitIsAnsweredOnce) {
    puller worker(node_, "work");
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    const auto asked = peer.hear<wire::attach>(kind::attach);
    ASSERT_TRUE(asked);
    wire::jobs_header jobs = one_job(asked->channel);
    jobs.epoch = epoch{1};
    const std::uint64_t before = node_.stats().frames_malformed;
    for (int i = 0; i != 100; ++i) {
        const std::string source = "source" + std::to_string(i);
        jobs.source = source;
        ASSERT_TRUE(peer.say(jobs, std::string("\1\0\0\0x", 5)));
    }
    EXPECT_EQ(peer.refusal(kind::error), errc::limit_exceeded);
    EXPECT_TRUE(peer.answered_without_refusal());
    EXPECT_EQ(node_.stats().frames_malformed - before, 40U);
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfHalfSubscriptionsEndsAtTheLimitOfThePeer) {
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    const std::string source(20, 's');
    wire::subscribe part{1, "*", wire::start::live, 1, true, {}};
    part.resume.assign(1'000, {"topic", source, epoch{1}, sequence{1}});
    for (int i = 0; i != 66; ++i) {
        part.channel = 1 + static_cast<wire::channel>(i % 3);
        peer.say(part);
    }
    EXPECT_EQ(peer.refusal(kind::error), errc::limit_exceeded);
    stranger honest(endpoint_);
    ASSERT_TRUE(honest.greet());
    part.channel = 1;
    honest.say(part);
    part.more = false;
    honest.say(part);
    EXPECT_TRUE(honest.hear(kind::subscribed)) << "another peer's halves do not count";
    expect_honest_peers_unharmed();
}

// Should the publisher die then, the reader knows how much it will not get.
TEST_F(Flood, OfMessagesIsToldToTheLastOneToAReaderThatTakesNone) {
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    ASSERT_TRUE(peer.say(wire::subscribe{7, "honest", wire::start::live, 100'000, false, {}}));
    ASSERT_TRUE(peer.hear(kind::subscribed));
    const std::string body(1'000, 'x');
    sequence published;
    for (int i = 0; i != 1'000; ++i) published = publisher_.publish(body);
    for (sequence told; told < published;) {
        const auto heads = peer.hear<wire::heads>(kind::heads);
        ASSERT_TRUE(heads) << told.value;
        for (const wire::head& h : heads->items) told = h.last;
    }
}

TEST_F(Flood, OfHeadsEndsAtTheLimitOfStreams) {
    subscriber reader(node_, "made.up.*");
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    const auto asked = [&]() -> wire::channel {
        // The node's subscribers ask every peer; this one's channel is the latest.
        while (const auto s = peer.hear<wire::subscribe>(kind::subscribe))
            if (s->pattern == "made.up.*") return s->channel;
        return 0;
    }();
    ASSERT_NE(asked, 0U);
    peer.say(wire::subscribed{asked, false, {}});
    std::vector<std::string> topics;
    for (int i = 0; i != 100; ++i) topics.push_back("made.up." + std::to_string(i));
    wire::heads told{asked, {}};
    for (const std::string& t : topics)
        told.items.push_back({t, "s", epoch{1}, sequence{1}, sequence{0}, sequence{1}});
    for (int i = 0; i != 5; ++i) peer.say(told);
    EXPECT_EQ(peer.refusal(kind::error), errc::limit_exceeded);
    EXPECT_LE(reader.attached(), 60U);
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfTopicsThatNobodyAskedForIsRefused) {
    subscriber victim(node_, "weather.*");
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    wire::channel channel = 0;
    while (channel == 0) {
        const auto asked = peer.hear<wire::subscribe>(kind::subscribe);
        ASSERT_TRUE(asked);
        if (asked->pattern == "weather.*") channel = asked->channel;
    }
    const auto refused = [&](std::string_view topic) {
        peer.say(wire::subscribed{channel, false, {{topic, "bank", {7}, {1}, {0}, {1}}}});
        return peer.refusal(kind::error);
    };
    EXPECT_EQ(refused("bank.transfers"), errc::malformed);
    EXPECT_EQ(refused("weather.\n\x1b[2J"), errc::malformed);
    EXPECT_EQ(refused("weather.*"), errc::malformed);
    EXPECT_EQ(victim.attached(), 0U);
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfPublishersThatComeAndGoLeavesRoomForTheNext) {
    // Three times as many as a subscriber keeps; each is told apart and none is left out.
    subscriber reader(node_, "visits");
    for (int n = 1; n <= 180; ++n) {
        cairn::node visitor({.connect = {endpoint_}});
        publisher said(visitor, "visits", {.source = "visitor " + std::to_string(n)});
        ASSERT_TRUE(said.wait_for_subscribers(1, 10s)) << n;
        said.publish(std::to_string(n));
        const auto m = reader.receive_for(10s);
        ASSERT_TRUE(m) << n;
        EXPECT_EQ(m->text(), std::to_string(n));
    }
    EXPECT_EQ(reader.stats().gaps, 0U);
    EXPECT_FALSE(reader.try_receive());
    EXPECT_LE(reader.positions().size(), 61U) << "of those that are gone none is kept";
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfSilentConnectionsHoldsNobodyUp) {
    std::vector<std::unique_ptr<stranger>> silent;
    for (int i = 0; i != 100; ++i) silent.push_back(std::make_unique<stranger>(endpoint_));
    node late({.connect = {endpoint_}});
    EXPECT_TRUE(late.wait_for_peers(1, 5s));
    EXPECT_EQ(node_.stats().links, 2U) << "who says nothing is no peer";
    expect_honest_peers_unharmed();
}

// Z15: who finishes the handshake of ZeroMQ, and then says nothing, or what is no HELLO.
TEST(ConnectionsThatBecomeNoPeer, AreEndedSoThatOthersAreAccepted) {
    std::atomic<bool> full{false};
    node host({.peers_max = 4, .log = [&](log_level, std::string_view line) {
                   if (line.find("no more connections are accepted") != line.npos) full = true;
               }});
    const std::string where = host.bind("tcp://127.0.0.1:0");
    const auto port = static_cast<std::uint16_t>(std::stoi(where.substr(where.rfind(':') + 1)));
    node quiet({.connect = {where}});
    ASSERT_TRUE(quiet.wait_for_peers(1, 10s));
    std::vector<std::unique_ptr<raw_peer>> strangers;
    for (int i = 0; i != 19; ++i) {
        strangers.push_back(std::make_unique<raw_peer>(port));
        ASSERT_TRUE(strangers.back()->greet_as_dealer());
        // Answered BYE, which it ignores.
        if (i % 2 == 0) strangers.back()->send(std::string_view("\0\2hi", 4));
    }
    ASSERT_TRUE(eventually([&] { return full.load(); }));

    for (const auto& s : strangers) EXPECT_TRUE(s->closed_within(20s));

    node late({.connect = {where}});
    EXPECT_TRUE(late.wait_for_peers(1, 20s));
    EXPECT_EQ(quiet.stats().links, 1U) << "a peer may be as silent as it likes";
    EXPECT_EQ(quiet.stats().reconnects, 0U);
}

TEST_F(Flood, OfFiveHundredConnectionsIsTaken) {
    std::vector<std::unique_ptr<stranger>> peers;
    // One by one: whoever is not greeted within five seconds is ended, and strangers do not come
    // again. Those who do come all at once in storm_test.cpp.
    for (int i = 0; i != 500; ++i) {
        peers.push_back(std::make_unique<stranger>(endpoint_));
        ASSERT_TRUE(peers.back()->greet()) << i;
    }
    EXPECT_EQ(node_.stats().links, 501U);
    peers.clear();
    EXPECT_TRUE(eventually([&] { return node_.stats().links == 1; }, 30s));
    expect_honest_peers_unharmed();
}

TEST(PeersMax, TurnsTheNextOneAwayInWordsAndLetsItInLater) {
    node host({.name = "host", .peers_max = 2});
    const std::string where = host.bind("tcp://127.0.0.1:0");
    auto first = std::make_unique<stranger>(where);
    stranger second(where);
    ASSERT_TRUE(first->greet());
    ASSERT_TRUE(second.greet());
    stranger third(where);
    third.say(wire::hello{1, 1, stranger::made_up_node(), "third", 1});
    EXPECT_EQ(third.refusal(kind::bye), errc::too_many_peers);
    EXPECT_EQ(host.stats().peers_refused, 1U);
    EXPECT_EQ(host.stats().endpoints.at(0).last_error, errc::too_many_peers);
    node fourth({.connect = {where}});
    EXPECT_TRUE(eventually([&] {
        const endpoint_stats now = fourth.stats().endpoints.at(0);
        return now.state == endpoint_state::failing && now.last_error == errc::too_many_peers &&
               now.last_error_text.find("as many peers as it allows") != std::string::npos;
    }));
    fourth.close(0ms);
    first.reset();
    ASSERT_TRUE(eventually([&] { return host.stats().links == 1; }));
    EXPECT_TRUE(third.greet());
}

TEST_F(Flood, OfCreditLetsAReaderThatNeverReadsKeepNoMoreThanItsShare) {
    publisher big(node_, "big", {.ring_bytes_max = 4 << 20, .patience = 1ms});
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    peer.say(request(1, "big", everything));
    ASSERT_TRUE(peer.hear(kind::subscribed));
    peer.say(wire::credit{1, everything, everything});
    const std::string body(1 << 20, 'x');
    for (int i = 0; i != 200; ++i) big.publish(body);
    const handle_stats s = big.stats();
    ASSERT_EQ(s.readers.size(), 1U);
    EXPECT_TRUE(s.readers[0].left_behind);
    EXPECT_LE(s.readers[0].unread_bytes, std::uint64_t{68} << 20);
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfNothingAReaderWithoutCreditIsSentNothing) {
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    peer.say(request(1, "honest", 0));
    ASSERT_TRUE(peer.hear(kind::subscribed));
    expect_honest_peers_unharmed();
    EXPECT_FALSE(peer.hear_batch(kind::batch, 300ms));
    peer.say(wire::credit{1, 1, 0});
    EXPECT_TRUE(peer.hear_batch(kind::batch));
    peer.say(wire::credit{1, 0, everything});
    expect_honest_peers_unharmed();
    EXPECT_FALSE(peer.hear_batch(kind::batch, 300ms)) << "a lower total takes nothing back";
}

TEST_F(Flood, OfRepairsIsPaidWithTheCreditOfWhoAsks) {
    publisher kept(node_, "kept", {.ring_bytes_max = 8 << 20});
    const std::string body(1'000, 'x');
    for (int i = 0; i != 2'000; ++i) kept.publish(body);
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    constexpr std::uint64_t credit = 1 << 20;
    peer.say(request(1, "kept", credit));
    ASSERT_TRUE(peer.hear(kind::subscribed));
    const std::uint64_t before = node_.stats().bytes_sent;
    for (int i = 0; i != 5'000; ++i)
        peer.say(wire::repair{1, {"kept", "victim", kept.epoch(), sequence{1}}});
    ASSERT_TRUE(peer.answered());
    EXPECT_LE(node_.stats().bytes_sent - before, credit + (512 << 10));
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfAbsurdAcksIsAnsweredOnceAndChangesNothing) {
    pusher work(node_, "work");
    for (int i = 0; i != 100; ++i) work.push("job");
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    wire::job_ranges all{1, "victim", work.epoch(), {}};
    all.ranges.assign(1'000, {sequence{1}, sequence{everything - 1}});
    peer.say(wire::attach{1, "work", "liar", 0, 0});
    peer.say(wire::ack{all});
    const auto refused = peer.hear<wire::job_refused>(kind::job_refused);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, errc::stale_ack);
    EXPECT_EQ(refused->ranges.size(), 1U);
    for (int i = 0; i != 50; ++i) {
        peer.say(wire::extend{all, everything});
        peer.say(wire::nack{all, everything});
        peer.say(wire::reject{all, "no"});
        peer.say(wire::release{all});
    }
    EXPECT_TRUE(peer.answered());
    EXPECT_EQ(work.unacked(), 100U);
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfWorkCreditLendsNoMoreThanThereIs) {
    pusher work(node_, "work");
    for (int i = 0; i != 100; ++i) work.push("job");
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    peer.say(wire::attach{1, "work", "greedy", everything, everything});
    std::uint64_t lent = 0;
    while (lent != 100) {
        const auto jobs = peer.hear_batch(kind::jobs);
        ASSERT_TRUE(jobs) << lent;
        lent += jobs->count;
    }
    peer.say(wire::work_credit{1, "victim", work.epoch(), everything, everything});
    wire::job_ranges all{1, "victim", work.epoch(), {{sequence{1}, sequence{everything - 1}}}};
    peer.say(wire::ack{all});
    EXPECT_TRUE(work.flush(10s)) << "what it holds is done, and nothing else";
    EXPECT_TRUE(peer.hear(kind::job_refused));
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfJobsBeyondTheCreditIsNotKept) {
    puller reader(node_, "work", {.credit_messages = 10, .prefetch = 0ms});
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    const auto attach = peer.hear<wire::attach>(kind::attach);
    ASSERT_TRUE(attach);
    const std::string body{"\x02\x00\x00\x00hi", 6};
    wire::jobs_header h = one_job(attach->channel);
    h.source = "flooder";
    h.epoch = epoch{1};
    for (std::uint64_t i = 1; i <= 50; ++i) {
        h.first = sequence{i};
        peer.say(h, body);
    }
    EXPECT_EQ(peer.refusal(kind::error), errc::credit_exceeded);
    ASSERT_TRUE(peer.answered());
    EXPECT_EQ(reader.stats().queue_messages, 10U);
    h.first = sequence{1};
    std::string name;
    for (int i = 0; i != 70; ++i) {
        name = "source" + std::to_string(i);
        h.source = name;
        peer.say(h, body);
    }
    EXPECT_TRUE(peer.answered() || peer.refusal(kind::bye) == errc::malformed);
    EXPECT_LE(reader.stats().queue_messages, 70U);
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfFencingIsHeededFromReadersOfTheTopicOnly) {
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    peer.say(wire::fenced{"honest", "victim", epoch{everything}});
    ASSERT_TRUE(peer.answered());
    expect_honest_peers_unharmed();
    peer.say(request(1, "honest"));
    peer.say(wire::fenced{"honest", "victim", epoch{1}});
    ASSERT_TRUE(peer.answered());
    expect_honest_peers_unharmed();
}

TEST_F(Flood, OfASpoofedSourceFencesTheOlderRunAndTellsIt) {
    std::atomic<bool> told = false;
    publisher real(node_, "contested",
                   {.source = "twin", .on_fenced = [&](epoch) { told = true; }});
    subscriber reader(friend_, "contested");
    ASSERT_TRUE(reader.wait_attached(1, 10s));
    node other({.name = "other", .connect = {}});
    friend_.connect(other.bind("tcp://127.0.0.1:0"));
    ASSERT_TRUE(eventually([&] {
        return std::chrono::system_clock::now().time_since_epoch() / 1ms >
               static_cast<std::int64_t>(real.epoch().value);
    }));
    publisher newer(other, "contested", {.source = "twin"});
    ASSERT_GT(newer.epoch(), real.epoch());
    ASSERT_TRUE(newer.wait_for_subscribers(1, 10s));
    newer.publish("from the newer");
    EXPECT_EQ(reader.receive_for(10s).value().text(), "from the newer");
    static_cast<void>(real.try_publish("from the older"));
    EXPECT_TRUE(eventually([&] { return told.load(); }));
    EXPECT_EQ(real.try_publish("x").status, send_status::fenced);
    EXPECT_FALSE(reader.receive_for(300ms).has_value());
}

// Z6
TEST_F(Flood, OfSpoofedRoutingIdsReachesNobodyElsesLink) {
    stranger victim(endpoint_, "chosen");
    ASSERT_TRUE(victim.greet());
    victim.say(request(1, "honest"));
    ASSERT_TRUE(victim.hear(kind::subscribed));
    ASSERT_TRUE(victim.answered());
    ASSERT_TRUE(publisher_.wait_for_subscribers(2, 10s));
    stranger thief(endpoint_, "chosen");
    thief.say(wire::ping{1});
    EXPECT_EQ(thief.refusal(kind::bye), errc::not_greeted) << "it is a peer of its own";
    EXPECT_TRUE(eventually([&] { return publisher_.subscribers() == 1; }));
    publisher_.publish("not for the thief");
    EXPECT_FALSE(thief.hear_batch(kind::batch, 300ms));
    EXPECT_TRUE(subscriber_.receive_for(10s).has_value());
    for (int i = 0; i != 100; ++i) {
        stranger guess(endpoint_, std::string(1, '\0') + std::to_string(1'000 + i));
        guess.say(wire::heartbeat{});
    }
    expect_honest_peers_unharmed();
}

// libzmq aborts the process when the id that it would give next is taken.
TEST(GuessedRoutingIds, AreNotThoseThatTheNextPeersGet) {
    std::srand(1);
    std::uint32_t guess = static_cast<std::uint32_t>(std::rand());
    guess += static_cast<std::uint32_t>(std::rand()) << 31;
    node host;
    std::srand(1);
    const std::string where = host.bind("tcp://127.0.0.1:0");
    std::vector<std::unique_ptr<stranger>> peers;
    for (int i = 0; i != 20; ++i, ++guess) {
        std::string id(1, '\0');
        for (int shift = 24; shift >= 0; shift -= 8) id += static_cast<char>(guess >> shift);
        peers.push_back(std::make_unique<stranger>(where, id));
        ASSERT_TRUE(peers.back()->greet());
    }
    for (int i = 0; i != 20; ++i) {
        peers.push_back(std::make_unique<stranger>(where));
        ASSERT_TRUE(peers.back()->greet());
    }
    EXPECT_EQ(host.stats().links, 40U);
}

TEST_F(Flood, OfASpoofedNodeIdLeavesNothingBehindWhenItGoes) {
    const node_id same = friend_.id();
    for (int i = 0; i != 20; ++i) {
        stranger twin(endpoint_);
        ASSERT_TRUE(twin.greet(same));
        twin.say(request(1, "honest"));
        ASSERT_TRUE(twin.hear(kind::subscribed));
    }
    EXPECT_TRUE(eventually([&] { return publisher_.subscribers() == 1; }));
    expect_honest_peers_unharmed();
}

}  // namespace
