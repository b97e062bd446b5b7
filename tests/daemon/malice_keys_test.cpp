#include "malice.hpp"
#include "support/eventually.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

// Clients of a store with keys that mean harm.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using namespace std::string_literals;

class MaliceWithKeys : public Malice {
protected:
    void SetUp() override {
        options_.network.security.keys = server_;
        options_.network.security.allowed_keys = {friend_.public_key, evil_.public_key};
        start();
        begin_honestly(as(friend_), as(friend_));
    }
    std::unique_ptr<party> as(const key_pair& who) const {
        return std::make_unique<party>(endpoint_, who, server_.public_key);
    }

    static std::string curve_greeting() {
        std::string greeting = null_greeting();
        greeting.replace(12, 5, "CURVE");
        return greeting;
    }

    const key_pair server_ = generate_keys();
    const key_pair friend_ = generate_keys();
    const key_pair evil_ = generate_keys();
};

TEST_F(MaliceWithKeys, OfARevokedKeyEndsWithItsListAndStaysOut) {
    const auto evil = as(evil_);
    ASSERT_TRUE(evil->store("t", "s", 1, 1, 1));
    ASSERT_EQ(network().links, 3U);
    store_->allow_keys({friend_.public_key});
    EXPECT_EQ(network().links, 2U) << "when the list was taken it is over";
    EXPECT_EQ(store_->stats().sources, 1U);
    EXPECT_EQ(evil->raw().refusal(kind::bye), errc::not_authorised);
    // libzmq keeps the connection: nothing that is said over it is heard.
    evil->raw().say(wire::hello{1, 1, stranger::made_up_node(), "again", 1});
    EXPECT_EQ(evil->raw().refusal(kind::bye), errc::not_authorised);
    evil->raw().say(wire::open_source{9, "t", "s", epoch{2}});
    EXPECT_EQ(evil->raw().refusal(kind::bye), errc::not_greeted);
    EXPECT_EQ(network().links, 2U);
    store_->allow_keys({friend_.public_key, evil_.public_key});
    EXPECT_TRUE(as(evil_)->store("t", "s", 2, 1, 1));
}

TEST_F(MaliceWithKeys, WithoutTheRightKeysIsTurnedAwayAndCounted) {
    const key_pair unknown = generate_keys();
    stranger of_no_list(endpoint_, unknown, server_.public_key);
    stranger of_a_wrong_server(endpoint_, evil_, unknown.public_key);
    stranger without(endpoint_);
    of_no_list.say(wire::ping{1});
    without.say(wire::ping{1});
    EXPECT_TRUE(eventually([&] { return network().handshakes_failed >= 3; }));
    EXPECT_EQ(network().links, 2U);
}

TEST_F(MaliceWithKeys, InAnotherMechanismIsTurnedAway) {
    for (const std::string mechanism : {"NULL", "PLAIN", "GSSAPI", "CURVE9"}) {
        std::string greeting = null_greeting();
        greeting.replace(12, 20, mechanism + std::string(20 - mechanism.size(), '\0'));
        raw_peer evil(port());
        evil.send(greeting);
        EXPECT_TRUE(evil.closed_within(std::chrono::seconds(10))) << mechanism;
    }
    EXPECT_EQ(network().links, 2U);
}

TEST_F(MaliceWithKeys, OfAForgedSourceIsRefusedAndFencesNobody) {
    const auto evil = as(evil_);
    for (const std::uint64_t run : {std::uint64_t{7}, std::uint64_t{8}, everything / 4})
        EXPECT_EQ(answer(*evil,
                         wire::open_source{static_cast<wire::channel>(run % 1'000), "honest",
                                           "friend", epoch{run}},
                         kind::source_opened),
                  errc::not_authorised);
    honest_go_on();
}

// Before it is known who connects: handshakes that are cut, too long, in the wrong order or none.
// CVE-2019-13132 was a command of such a handshake that was longer than its buffer; CVE-2020-15166
// one silent connection that starved all others.
TEST_F(MaliceWithKeys, InHandshakesThatAreNoneEndsItsOwnConnection) {
    const raw_peer silent(port());
    raw_peer half(port());
    half.send(curve_greeting());
    const auto command = [](std::size_t bytes, const std::string& name) {
        std::string body(1, static_cast<char>(name.size()));
        body = (body + name + std::string(bytes, '\xff')).substr(0, bytes);
        if (bytes < 256) return "\x04"s + static_cast<char>(bytes) + body;
        std::string size;
        for (int shift = 56; shift >= 0; shift -= 8) size += static_cast<char>(bytes >> shift);
        return "\x06" + size + body;
    };
    for (const char* name : {"HELLO", "INITIATE", "READY", "MESSAGE"}) {
        for (const std::size_t bytes : {0, 1, 6, 199, 200, 201, 255, 256, 4'096, 60'000}) {
            raw_peer evil(port());
            evil.send(curve_greeting());
            evil.send(command(bytes, name));
            EXPECT_TRUE(evil.closed_within(10s)) << name << ' ' << bytes;
        }
        honest_go_on();
    }
    EXPECT_EQ(network().links, 2U);
    EXPECT_TRUE(as(friend_)->store("t", "s", 1, 1, 1)) << "who comes later gets in";
}

TEST_F(MaliceWithKeys, BeforeItIsKnownIsSentLittle) {
    const std::string greeting = curve_greeting();
    const std::vector<std::string> all{"",
                                       greeting.substr(0, 1),
                                       greeting.substr(0, 11),
                                       greeting,
                                       greeting + "\x04\xc8\x05HELLO" + std::string(194, '\x01'),
                                       greeting + greeting};
    std::vector<std::unique_ptr<raw_peer>> evil;
    for (const std::string& said : all) {
        evil.push_back(std::make_unique<raw_peer>(port()));
        evil.back()->send(said);
    }
    // Each is ended when the time for the handshake is over: what it was sent until then is all.
    for (std::size_t i = 0; i != all.size(); ++i) {
        const std::string told = evil[i]->read(100'000, 20s);
        EXPECT_LE(told.size(), std::max<std::size_t>(64, 3 * all[i].size())) << i;
        EXPECT_TRUE(evil[i]->closed_within(1s)) << i;
    }
}

// One node's HELLO under another key: neither takes the other's place.
TEST_F(MaliceWithKeys, OfAForgedNodeIdTakesNobodysPlace) {
    const node_id same = stranger::made_up_node();
    stranger first(endpoint_, friend_, server_.public_key);
    ASSERT_TRUE(first.greet(same));
    stranger second(endpoint_, evil_, server_.public_key);
    ASSERT_TRUE(second.greet(same));
    EXPECT_TRUE(first.answered());
    EXPECT_TRUE(second.answered());
    EXPECT_EQ(network().links, 4U);
}

}  // namespace
