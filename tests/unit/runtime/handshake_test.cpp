#include "support/edge.hpp"
#include "support/raw_peer.hpp"

#include <gtest/gtest.h>

// The table of docs/design/0002-handshake-events.md, row by row.
namespace {

using namespace cairn;
using namespace cairn::runtime;
using namespace cairn::test;
using namespace std::chrono_literals;

// What the issue promises; measured: 1 to 5 ms.
constexpr auto in_time = 1'000ms;

errc code_of(const std::optional<handshake_advice>& advice) {
    return advice ? advice->code : errc::ok;
}

class Handshake : public testing::Test {
protected:
    node_options binding_options(std::vector<std::string> allowed) {
        return with_keys(server_, "", std::move(allowed));
    }
    node_options connecting_options() { return with_keys(client_, server_.public_key, {}); }

    key_pair server_ = generate_keys();
    key_pair client_ = generate_keys();
};

TEST_F(Handshake, SucceedsOnBothSidesWithoutKeys) {
    binding_end a(without_keys());
    connecting_end b(without_keys(), a.where());
    EXPECT_TRUE(b.up());
    EXPECT_TRUE(next_event(a.events, event_kind::handshake_ok));
}

TEST_F(Handshake, SucceedsOnBothSidesWithKeysThatFit) {
    binding_end a(binding_options({client_.public_key}));
    connecting_end b(connecting_options(), a.where());
    EXPECT_TRUE(b.up());
    EXPECT_TRUE(next_event(a.events, event_kind::handshake_ok));
    EXPECT_TRUE(a.refusals().empty());
}

TEST_F(Handshake, OfAKeylessPeerWithOneThatHasKeysFailsInWordsOnBothSides) {
    binding_end a(binding_options({client_.public_key}));
    connecting_end b(without_keys(), a.where());
    const auto ours = b.advice(in_time);
    ASSERT_EQ(code_of(ours), errc::mechanism_mismatch);
    EXPECT_NE(ours->text.find("the peer demands keys"), std::string::npos);
    EXPECT_EQ(code_of(a.advice(in_time)), errc::mechanism_mismatch);
    EXPECT_TRUE(b.abandoned());
}

TEST_F(Handshake, OfAPeerWithKeysWithOneThatHasNoneFailsInWordsOnBothSides) {
    binding_end a(without_keys());
    connecting_end b(connecting_options(), a.where());
    const auto ours = b.advice(in_time);
    ASSERT_EQ(code_of(ours), errc::mechanism_mismatch);
    EXPECT_NE(ours->text.find("we use keys and the peer does not"), std::string::npos);
    EXPECT_EQ(code_of(a.advice(in_time)), errc::mechanism_mismatch);
    EXPECT_TRUE(b.abandoned());
}

TEST_F(Handshake, WithAWrongServerKeyFailsInWordsOnBothSidesAndIsTriedAgain) {
    binding_end a(binding_options({client_.public_key}));
    connecting_end b(with_keys(client_, generate_keys().public_key, {}), a.where());
    EXPECT_EQ(code_of(b.advice(in_time)), errc::server_key_mismatch);
    EXPECT_EQ(code_of(a.advice(in_time)), errc::server_key_mismatch);
    EXPECT_TRUE(next_event(b.events, event_kind::retried));
}

// Z12
TEST_F(Handshake, WithAKeyThatIsNotAllowedFailsInWordsOnBothSides) {
    binding_end a(binding_options({}));
    connecting_end b(connecting_options(), a.where());
    EXPECT_EQ(code_of(b.advice(in_time)), errc::not_authorised);
    EXPECT_EQ(a.refusals(), std::vector{"connection from 127.0.0.1 refused: key " +
                                        client_.public_key + " is not on the allow-list"});
    EXPECT_TRUE(b.abandoned());
}

TEST_F(Handshake, SucceedsForANewSocketOnceTheKeyIsAllowed) {
    binding_end a(binding_options({}));
    connecting_end refused(connecting_options(), a.where());
    ASSERT_TRUE(refused.abandoned());
    a.factory.replace_allowed_keys({client_.public_key});
    connecting_end again(connecting_options(), a.where());
    EXPECT_TRUE(again.up());
    EXPECT_FALSE(refused.up(0ms));
}

TEST_F(Handshake, WithAnotherKindOfSocketFailsInWordsAlthoughNoEventSaysSo) {
    binding_end a(without_keys());
    socket subscriber(context::shared(), zmq::socket_type::sub);
    connect(subscriber, a.where());
    const auto advice = a.advice(in_time);
    EXPECT_EQ(code_of(advice), errc::not_cairn);
    subscriber.close_now();
}

TEST_F(Handshake, WithAnotherProgramFailsInWordsOnTheBindingSide) {
    for (const std::string& greeting :
         {std::string("GET / HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n"),
          std::string(200, 'x')}) {
        binding_end a(without_keys());
        raw_peer stranger(a.where().port);
        stranger.send(greeting);
        EXPECT_EQ(code_of(a.advice(in_time)), errc::not_cairn);
        EXPECT_TRUE(stranger.closed_within(in_time));
    }
}

TEST_F(Handshake, WithAPeerThatOnlyHangsUpIsTriedAgain) {
    binding_end a(without_keys());
    connecting_end b(without_keys(), a.where());
    ASSERT_TRUE(b.up());
    a.listens.pause();
    a.router.close_now();
    EXPECT_TRUE(next_event(b.events, [&](const auto& e) {
        b.watch.on(e, clock::now());
        return e.kind == event_kind::retried;
    }));
    EXPECT_FALSE(b.watch.up());
    EXPECT_EQ(b.watch.decides_at(), time_point::max());
}

// --- The watches, event by event ---------------------------------------------------------------

constexpr time_point start{1h};

monitor_event made(event_kind kind, std::int32_t value = 0) { return {kind, value, "tcp://x:1"}; }

TEST(ConnectWatch, ExplainsADisconnectionThatNoEventExplained) {
    connect_watch watch(false);
    watch.on(made(event_kind::connected), start);
    EXPECT_EQ(code_of(watch.on(made(event_kind::disconnected), start)), errc::not_cairn);
    EXPECT_EQ(watch.decides_at(), start + connect_watch::retry_grace);
    EXPECT_FALSE(watch.abandoned(start));
    EXPECT_TRUE(watch.abandoned(start + connect_watch::retry_grace));
}

TEST(ConnectWatch, ExplainsOneFailureOnce) {
    connect_watch watch(true);
    watch.on(made(event_kind::connected), start);
    EXPECT_TRUE(watch.on(made(event_kind::failed_no_detail, EPIPE), start));
    EXPECT_FALSE(watch.on(made(event_kind::disconnected), start));
}

TEST(ConnectWatch, TakesAnEndAfterTheHandshakeForNoFailure) {
    connect_watch watch(false);
    watch.on(made(event_kind::connected), start);
    watch.on(made(event_kind::handshake_ok), start);
    EXPECT_TRUE(watch.up());
    EXPECT_FALSE(watch.on(made(event_kind::disconnected), start));
    watch.on(made(event_kind::retried, 100), start);
    EXPECT_FALSE(watch.abandoned(start + 1h));
}

TEST(AcceptWatch, CountsConnectionsByTheirDescriptors) {
    accept_watch watch(false);
    watch.on(made(event_kind::accepted, 7));
    watch.on(made(event_kind::accepted, 8));
    EXPECT_EQ(watch.connections(), 2U);
    watch.on(made(event_kind::failed_auth, 400));
    EXPECT_EQ(watch.connections(), 2U) << "the disconnection follows";
    watch.on(made(event_kind::disconnected, 8));
    EXPECT_EQ(watch.connections(), 1U);
}

TEST(AcceptWatch, LeavesWhomTheAllowListRefusedToTheAdmission) {
    accept_watch watch(true);
    watch.on(made(event_kind::accepted, 7));
    EXPECT_FALSE(watch.on(made(event_kind::failed_auth, 400)));
    EXPECT_FALSE(watch.on(made(event_kind::disconnected, 7)));
    EXPECT_TRUE(watch.on(made(event_kind::failed_auth, 500))) << "nobody else tells of that";
}

TEST(AcceptWatch, DoesNotAccuseAPeerWhoseHandshakeMayBeDone) {
    accept_watch watch(false);
    watch.on(made(event_kind::accepted, 7));
    watch.on(made(event_kind::accepted, 8));
    watch.on(made(event_kind::handshake_ok));
    EXPECT_FALSE(watch.on(made(event_kind::disconnected, 7)));
    EXPECT_FALSE(watch.on(made(event_kind::disconnected, 8)));
}

TEST(Advice, HasASentenceForEachFailureOnEachSide) {
    for (const side ours : {side::binding, side::connecting})
        for (const bool keys : {false, true})
            for (const monitor_event& event :
                 {made(event_kind::failed_protocol, 0x11000001),
                  made(event_kind::failed_protocol, 0x11000002),
                  made(event_kind::failed_protocol, 0x10000001), made(event_kind::failed_auth, 400),
                  made(event_kind::failed_auth, 500), made(event_kind::failed_no_detail, EPIPE),
                  made(event_kind::failed_no_detail, EAGAIN)}) {
                const auto advice = advise(event, ours, keys);
                ASSERT_TRUE(advice);
                EXPECT_GT(advice->text.size(), 20U);
                EXPECT_NE(advice->code, errc::ok);
            }
}

TEST(Advice, IsSilentWhenNothingFailed) {
    for (const event_kind kind : {event_kind::connected, event_kind::accepted, event_kind::closed,
                                  event_kind::disconnected, event_kind::handshake_ok})
        EXPECT_FALSE(advise(made(kind), side::connecting, false));
}

}  // namespace
