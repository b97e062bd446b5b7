#include "support/edge.hpp"
#include "support/eventually.hpp"
#include "support/raw_peer.hpp"

#include <cairn/wire/limits.hpp>

#include <gtest/gtest.h>
#include <sys/time.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <latch>
#include <limits>
#include <memory>
#include <set>
#include <thread>
#include <vector>

// What libzmq 4.3.4 does to who does not know it, each against sockets of the one factory.
namespace {

using namespace cairn;
using namespace cairn::runtime;
using namespace cairn::test;
using namespace std::chrono_literals;
using namespace std::string_literals;

template <typename Value>
Value option(const socket& of, int which) {
    Value value{};
    std::size_t size = sizeof value;
    EXPECT_EQ(zmq_getsockopt(of.ref().handle(), which, &value, &size), 0) << which;
    return value;
}

/// The routing id of a peer that just said something.
zmq::message_t routing_id_of(connecting_end& peer, binding_end& at) {
    EXPECT_EQ(send_text(peer.dealer, "hello"), io::done);
    auto id = receive_within(at.router);
    EXPECT_TRUE(id && receive_within(at.router));
    return id ? std::move(*id) : zmq::message_t{};
}

io send_to(binding_end& from, const zmq::message_t& id, std::string_view text) {
    zmq::message_t to(id.data(), id.size());
    const io outcome = send(from.router, to, true);
    return outcome == io::done ? send_text(from.router, text) : outcome;
}

class EverySocket : public testing::Test {
protected:
    static std::vector<socket> all(const node_options& options) {
        const socket_factory factory(context::shared(), options, {});
        std::vector<socket> made;
        made.push_back(factory.router());
        made.push_back(factory.dealer());
        made.push_back(factory.tap());
        return made;
    }
    static std::vector<socket> all() { return all({}); }
};

// Z1
TEST_F(EverySocket, HasNoHeartbeatsOfLibzmqWhichAbortTheProcess) {
    constexpr int heartbeat_interval = 75;  // its name is banned from the tree (tests/style)
    for (const socket& s : all()) EXPECT_EQ(option<int>(s, heartbeat_interval), 0);
}

// Z2, Z8, Z10, Z15, Z20, Z22
TEST_F(EverySocket, HasALimitForEverythingThatLibzmqLeavesUnlimited) {
    for (const socket& s : all()) {
        EXPECT_GT(option<int>(s, ZMQ_SNDHWM), 0);
        EXPECT_GT(option<int>(s, ZMQ_RCVHWM), 0);
        EXPECT_GT(option<std::int64_t>(s, ZMQ_MAXMSGSIZE), 0);
        EXPECT_EQ(option<int>(s, ZMQ_LINGER), 2'000);
        EXPECT_EQ(option<int>(s, ZMQ_HANDSHAKE_IVL), 2'000);
        EXPECT_EQ(option<int>(s, ZMQ_BACKLOG), 1'024);
        EXPECT_EQ(option<int>(s, ZMQ_TCP_KEEPALIVE), 1);
        EXPECT_EQ(option<int>(s, ZMQ_TCP_MAXRT), 15'000);
    }
}

std::string domain_of(const socket& s) {
    char domain[256] = {};
    std::size_t size = sizeof domain;
    EXPECT_EQ(zmq_getsockopt(s.ref().handle(), ZMQ_ZAP_DOMAIN, domain, &size), 0);
    return domain;
}

// Z13, Z14
TEST_F(EverySocket, ThatIsConnectedToIsInADomainThatFailsClosed) {
    const key_pair keys = generate_keys();
    for (const auto& options : {node_options{}, with_keys(keys, keys.public_key, {})}) {
        const socket_factory factory(context::shared(), options, {});
        std::vector<socket> made;
        made.push_back(factory.router());
        made.push_back(factory.tap());
        for (const socket& s : made) {
            EXPECT_FALSE(domain_of(s).empty());
            EXPECT_EQ(option<int>(s, 93), 1) << "ZMQ_ZAP_ENFORCE_DOMAIN";
        }
    }
}

// Z24: with a domain it asks the handler at each handshake, and libzmq aborts the process when that
// begins anew while the socket is being closed.
TEST_F(EverySocket, ThatConnectsAsksNoHandler) {
    EXPECT_TRUE(domain_of(socket_factory(context::shared(), {}, {}).dealer()).empty());
}

// Z11
TEST(Reconnecting, IsSpreadOverTimeAndBacksOff) {
    const socket_factory factory(context::shared(), {}, {});
    std::set<int> bases;
    for (int i = 0; i < 20; ++i) {
        const socket dealer = factory.dealer();
        const int base = option<int>(dealer, ZMQ_RECONNECT_IVL);
        EXPECT_GE(base, 100);
        EXPECT_LE(base, 200);
        EXPECT_EQ(option<int>(dealer, ZMQ_RECONNECT_IVL_MAX), 5'000);
        bases.insert(base);
    }
    EXPECT_GT(bases.size(), 5U);
}

// Z6: libzmq begins to number them with a rand() of the program's, which few programs seed.
TEST(ARoutingId, IsNotTheSameInEveryProcess) {
    std::set<std::string> first;
    for (int i = 0; i != 3; ++i) {
        std::srand(1);
        binding_end a{node_options{}};
        connecting_end b({}, a.where());
        ASSERT_TRUE(b.up());
        first.insert(routing_id_of(b, a).to_string());
    }
    EXPECT_EQ(first.size(), 3U);
}

TEST(ARoutingId, TakesNoRandomNumberOfTheProgram) {
    const socket_factory factory(context::shared(), {}, {});
    std::srand(7);
    const int expected = std::rand();
    std::srand(7);
    const socket made = factory.router();
    EXPECT_EQ(std::rand(), expected);
}

// Z2
TEST(AStuckReader, IsToldFromAReadyOneByAFullPipeAndCostsBoundedMemory) {
    binding_end a({}, {.send = 16, .receive = 16});
    connecting_end b({}, a.where(), {.send = 16, .receive = 16});
    ASSERT_TRUE(b.up());
    const zmq::message_t id = routing_id_of(b, a);
    const std::string body(std::size_t{64} << 10, 'x');
    int sent = 0;
    while (sent < 10'000 && send_to(a, id, body) == io::done) ++sent;
    EXPECT_LT(sent, 10'000) << "nothing ever said that the reader is stuck";
    int received = 0;
    for (; received < sent; ++received) ASSERT_TRUE(receive_within(b.dealer)) << received;
    // libzmq reports the room that was made in the background.
    EXPECT_TRUE(eventually([&] { return send_to(a, id, "goes on") == io::done; }));
    EXPECT_TRUE(receive_within(b.dealer)) << "lost";
}

// Z5
TEST(AMessageToAPeerThatIsGone, IsRefusedAndNotDropped) {
    binding_end a{node_options{}};
    EXPECT_EQ(send_to(a, zmq::message_t("nobody"s), "x"), io::unroutable);
    auto b = std::make_unique<connecting_end>(node_options{}, a.where());
    ASSERT_TRUE(b->up());
    const zmq::message_t id = routing_id_of(*b, a);
    EXPECT_EQ(send_to(a, id, "x"), io::done);
    b.reset();
    EXPECT_TRUE(eventually([&] { return send_to(a, id, "x") == io::unroutable; }));
}

TEST(AMessageForALostConnection, NeverReachesTheNextOne) {
    auto a = std::make_unique<binding_end>(node_options{});
    const endpoint where = a->where();
    connecting_end b({}, where);
    ASSERT_TRUE(b.up());
    a.reset();
    ASSERT_TRUE(next_event(b.events, event_kind::retried));
    EXPECT_EQ(send_text(b.dealer, "for the old one"), io::would_block);
}

/// The first bytes of a long ZMTP 3 frame that announces so many bytes.
std::string announce(std::uint64_t bytes) {
    std::string head(1, '\x02');
    for (int shift = 56; shift >= 0; shift -= 8) head += static_cast<char>(bytes >> shift);
    return head;
}

// Z8
TEST(AFrame, IsTakenUpToTheLimitAndRefusedOneByteBeyond) {
    node_options small;
    small.body_bytes_max = 1;  // a batch of small messages still fits
    const std::size_t limit =
        wire::batch_bytes_default + wire::attributes_bytes_max + 4 + wire::header_bytes_max;
    const key_pair keys = generate_keys();
    for (const bool secure : {false, true}) {
        node_options binding = small;
        node_options connecting = small;
        if (secure) {
            binding.security = {.keys = keys, .allowed_keys = {keys.public_key}};
            connecting.security = {.keys = keys, .server_key = keys.public_key};
        }
        binding_end a(binding);
        connecting_end b(connecting, a.where());
        ASSERT_TRUE(b.up());
        ASSERT_EQ(send_text(b.dealer, std::string(limit, 'x')), io::done);
        ASSERT_TRUE(receive_within(a.router));
        EXPECT_EQ(receive_within(a.router).value_or(zmq::message_t{}).size(), limit);
        ASSERT_EQ(send_text(b.dealer, std::string(limit + 1, 'x')), io::done);
        EXPECT_TRUE(next_event(a.events, event_kind::disconnected));
    }
}

// Z8
TEST(AFrame, OfAnyAnnouncedSizeBeyondTheLimitEndsTheConnectionAtOnce) {
    const auto limit = static_cast<std::uint64_t>(wire::frame_bytes_max);
    binding_end a{node_options{}};
    for (const std::uint64_t bytes :
         {limit + 1, std::uint64_t{1} << 31, std::uint64_t{1} << 32, std::uint64_t{1} << 63,
          std::numeric_limits<std::uint64_t>::max()}) {
        raw_peer stranger(a.where().port);
        ASSERT_TRUE(stranger.greet_as_dealer());
        stranger.send(announce(bytes));
        EXPECT_TRUE(stranger.closed_within(5s)) << bytes;
    }
    raw_peer patient(a.where().port);
    ASSERT_TRUE(patient.greet_as_dealer());
    patient.send(announce(limit));
    EXPECT_FALSE(patient.closed_within(100ms)) << "the limit itself is allowed";
}

TEST(ATooLargeFrameFromTheBindingSide, MakesLibzmqGiveTheConnectingSocketUp) {
    node_options small;
    small.body_bytes_max = 1;
    binding_end a{node_options{}};
    connecting_end b(small, a.where());
    ASSERT_TRUE(b.up());
    const zmq::message_t id = routing_id_of(b, a);
    ASSERT_EQ(send_to(a, id, std::string(1 << 20, 'x')), io::done);
    EXPECT_TRUE(b.abandoned());
}

// Z10
TEST(ABurstOfConnections, IsTakenWithinASecond) {
    binding_end a{node_options{}};
    const auto began = clock::now();
    std::vector<std::unique_ptr<raw_peer>> peers;
    for (int i = 0; i < 300; ++i) peers.push_back(std::make_unique<raw_peer>(a.where().port));
    EXPECT_LT(clock::now() - began, 1s);
}

// Z13
TEST(AHungZapHandler, LetsNobodyInAndDisturbsNoConnection) {
    const key_pair server = generate_keys();
    const key_pair client = generate_keys();
    std::latch hung(1);
    std::latch go_on(1);
    binding_end a(with_keys(server, "", {client.public_key}));
    connecting_end old(with_keys(client, server.public_key, {}), a.where());
    ASSERT_TRUE(old.up());
    const admission other(context::shared(), {}, [&](const refusal&) {
        hung.count_down();
        go_on.wait();
    });
    socket asking(context::shared(), zmq::socket_type::req);
    ASSERT_EQ(zmq_connect(asking.ref().handle(), "inproc://zeromq.zap.01"), 0);
    for (const std::string& part : {"1.0"s, "1"s, other.domain(), ""s, ""s})
        ASSERT_EQ(send_text(asking, part, true), io::done);
    ASSERT_EQ(send_text(asking, "NULL"), io::done);
    hung.wait();

    connecting_end late(with_keys(client, server.public_key, {}), a.where());
    EXPECT_FALSE(late.up(300ms));
    EXPECT_EQ(send_text(old.dealer, "still here"), io::done);
    EXPECT_TRUE(receive_within(a.router));
    go_on.count_down();
    EXPECT_TRUE(late.up());
    asking.close_now();
}

// Z14
TEST(AnOldGreeting, IsRefusedWithAndWithoutKeys) {
    const key_pair keys = generate_keys();
    for (const auto& options : {node_options{}, with_keys(keys, "", {})}) {
        binding_end a(options);
        for (const std::string& greeting :
             {"\x01\x00\x02\x00x"s,                          // unversioned, ZMTP 1.0
              "\xff\0\0\0\0\0\0\0\x01\x7f\x00\x05"s,         // 1.0 with a signature
              "\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05\0\0"s}) {  // 2.0
            raw_peer old(a.where().port);
            old.send(greeting);
            EXPECT_TRUE(old.closed_within(5s)) << greeting.size();
        }
    }
}

// Z15
TEST(APeerThatSaysNothing, IsGoneWhenTheTimeForTheHandshakeIsOverAndHoldsNobodyUp) {
    binding_end a{node_options{}};
    std::vector<std::unique_ptr<raw_peer>> silent;
    for (int i = 0; i < 60; ++i) silent.push_back(std::make_unique<raw_peer>(a.where().port));
    connecting_end honest({}, a.where());
    EXPECT_TRUE(honest.up(1s));
    for (const auto& peer : silent) EXPECT_TRUE(peer->closed_within(4s));
}

// Z22
TEST(Closing, TakesNoLongerThanTheLingerEvenWithAStalledPeer) {
    auto a = std::make_unique<binding_end>(node_options{});
    raw_peer stalled(a->where().port);
    ASSERT_TRUE(stalled.greet_as_dealer());
    stalled.send("\x00\x05hello"s);
    const auto id = receive_within(a->router);
    ASSERT_TRUE(id && receive_within(a->router));
    const std::string body(std::size_t{64} << 10, 'x');
    while (send_to(*a, *id, body) == io::done) continue;
    const auto began = clock::now();
    a->router.close();
    a.reset();  // the last holder of the context, whose end waits for what cannot be sent
    EXPECT_GE(clock::now() - began, 1s) << "nothing lingered: this tests nothing";
    EXPECT_LE(clock::now() - began, 3s);
}

/// Interrupts this process a thousand times a second.
class signal_storm {
public:
    signal_storm() {
        struct sigaction handler {};
        handler.sa_handler = [](int) {};
        sigaction(SIGALRM, &handler, &before_);  // without SA_RESTART
        const itimerval often{{0, 1'000}, {0, 1'000}};
        setitimer(ITIMER_REAL, &often, nullptr);
    }
    ~signal_storm() {
        const itimerval never{};
        setitimer(ITIMER_REAL, &never, nullptr);
        sigaction(SIGALRM, &before_, nullptr);
    }
    signal_storm(const signal_storm&) = delete;
    signal_storm& operator=(const signal_storm&) = delete;

private:
    struct sigaction before_ {};
};

// Z23
TEST(AStormOfSignals, LosesNothingAndThrowsNothing) {
    const signal_storm storm;
    binding_end a{node_options{}};
    connecting_end b({}, a.where());
    ASSERT_TRUE(b.up());
    const zmq::message_t id = routing_id_of(b, a);
    const auto end = clock::now() + 1s;
    for (int i = 0; clock::now() < end; ++i) {
        const std::string text = std::to_string(i);
        ASSERT_EQ(send_text(b.dealer, text), io::done);
        ASSERT_TRUE(receive_within(a.router));
        ASSERT_EQ(receive_within(a.router).value_or(zmq::message_t{}).to_string(), text);
        ASSERT_EQ(send_to(a, id, text), io::done);
        ASSERT_EQ(receive_within(b.dealer).value_or(zmq::message_t{}).to_string(), text);
    }
}

// A monitor whose events nobody takes away would stop libzmq's I/O thread, and its end would wait
// for that thread: the events must outlast a test's worth of connections, and the end must drain.
TEST(AMonitorThatNobodyReads, StopsNeitherConnectionsNorItsOwnEnd) {
    binding_end a{node_options{}};
    for (int i = 0; i < 600; ++i) {
        connecting_end b({}, a.where());
        ASSERT_TRUE(b.up()) << "connection " << i;
    }
}

}  // namespace
