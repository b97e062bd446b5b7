#include "support/eventually.hpp"
#include "support/temp_directory.hpp"

#include <cairn/cairn.hpp>
#include <cairn/security.hpp>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// Every way in which two nodes can fail to meet: told in words on both sides within a second, and
// mended without a restart once its cause is gone.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using stand = endpoint_state;

/// A node that remembers what it logged.
class talker {
public:
    explicit talker(node_options options = {}) : node(with_log(std::move(options))) {}

    bool said(std::string_view words) const {
        const std::lock_guard lock(mutex_);
        for (const std::string& line : lines_)
            if (line.find(words) != std::string::npos) return true;
        return false;
    }
    /// Said within the second that is promised (or ten, as slow as sanitizers make everything).
    bool says(std::string_view words) const {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
        return eventually([&] { return said(words); }, 10s);
#else
        return eventually([&] { return said(words); }, 1s);
#endif
    }
    int times(std::string_view words) const {
        const std::lock_guard lock(mutex_);
        return static_cast<int>(std::ranges::count_if(lines_, [&](const std::string& line) {
            return line.find(words) != std::string::npos;
        }));
    }
    std::string all() const {
        const std::lock_guard lock(mutex_);
        std::string text;
        for (const std::string& line : lines_) text += line + "\n";
        return text;
    }
    /// Whether its one endpoint comes to stand so, with that as its last error.
    bool stands(endpoint_state state, errc last_error) const {
        return eventually([&] {
            const endpoint_stats now = node.stats().endpoints.at(0);
            return now.state == state && now.last_error == last_error;
        });
    }
    endpoint_stats endpoint() const { return node.stats().endpoints.at(0); }

private:
    node_options with_log(node_options options) {
        options.reconnect_max = 200ms;
        options.log = [this](log_level, std::string_view line) {
            const std::lock_guard lock(mutex_);
            lines_.emplace_back(line);
        };
        return options;
    }
    mutable std::mutex mutex_;
    std::vector<std::string> lines_;

public:
    cairn::node node;
};

/// A port that was free a moment ago, so that several nodes can use it one after another.
std::string free_endpoint() { return node().bind("tcp://127.0.0.1:0"); }

/// Binds where another socket listened until now: libzmq closes it in the background.
bool binds(node& n, const std::string& where) {
    return eventually([&] {
        try {
            return n.bind(where), true;
        } catch (const error& e) {
            EXPECT_EQ(e.code(), errc::address_in_use) << e.what();
            return false;
        }
    });
}

TEST(AnInprocEndpoint, ThatNobodyBoundIsNamed) {
    talker lonely{node_options{}};
    lonely.node.connect("inproc://nobody");
    EXPECT_TRUE(lonely.says("nobody listens at inproc://nobody yet")) << lonely.all();
    EXPECT_TRUE(lonely.stands(stand::failing, errc::peer_unreachable));
}

class Meeting : public testing::Test {
protected:
    node_options binding(std::vector<std::string> allowed) const {
        node_options o;
        o.name = "binding";
        o.security = {.keys = server_, .allowed_keys = std::move(allowed)};
        return o;
    }
    node_options connecting() const {
        node_options o;
        o.name = "connecting";
        o.security = {.keys = client_, .server_key = server_.public_key};
        return o;
    }
    static node_options keyless() { return {}; }
    template <typename Call>
    static errc refusal_of(Call&& call) {
        try {
            call();
        } catch (const error& e) {
            return e.code();
        }
        return errc::ok;
    }

    key_pair server_ = generate_keys();
    key_pair client_ = generate_keys();
    const std::string where_ = free_endpoint();
};

TEST_F(Meeting, OfAKeylessNodeWithOneThatHasKeysIsMendedWhenThePeerDropsThem) {
    auto strict = std::make_unique<talker>(binding({client_.public_key}));
    ASSERT_TRUE(binds(strict->node, where_));
    talker plain(keyless());
    plain.node.connect(where_);
    EXPECT_TRUE(plain.says("the peer demands keys and we have none")) << plain.all();
    EXPECT_TRUE(strict->says("a peer without keys tried to connect")) << strict->all();
    EXPECT_GE(plain.node.stats().handshakes_failed, 1U);
    EXPECT_GE(strict->node.stats().handshakes_failed, 1U);
    EXPECT_TRUE(plain.stands(stand::failing, errc::mechanism_mismatch));
    EXPECT_TRUE(strict->stands(stand::listening, errc::mechanism_mismatch));
    strict.reset();
    talker lenient(keyless());
    ASSERT_TRUE(binds(lenient.node, where_));
    EXPECT_TRUE(plain.node.wait_for_peers(1, 10s)) << plain.all();
}

TEST_F(Meeting, OfANodeWithKeysWithAKeylessOneIsMendedWhenThePeerGetsThem) {
    auto plain = std::make_unique<talker>(keyless());
    ASSERT_TRUE(binds(plain->node, where_));
    talker keyed(connecting());
    keyed.node.connect(where_);
    EXPECT_TRUE(keyed.says("we use keys and the peer does not")) << keyed.all();
    EXPECT_TRUE(plain->says("a peer with keys tried to connect and we have none")) << plain->all();
    EXPECT_TRUE(keyed.stands(stand::failing, errc::mechanism_mismatch));
    EXPECT_TRUE(plain->stands(stand::listening, errc::mechanism_mismatch));
    plain.reset();
    talker strict(binding({client_.public_key}));
    ASSERT_TRUE(binds(strict.node, where_));
    EXPECT_TRUE(keyed.node.wait_for_peers(1, 10s)) << keyed.all();
}

TEST_F(Meeting, WithAWrongServerKeyIsMendedWhenTheRightServerComes) {
    node_options other = binding({client_.public_key});
    other.security.keys = generate_keys();
    auto wrong = std::make_unique<talker>(other);
    ASSERT_TRUE(binds(wrong->node, where_));
    talker keyed(connecting());
    keyed.node.connect(where_);
    EXPECT_TRUE(keyed.says("security.server_key is not its public key")) << keyed.all();
    EXPECT_TRUE(wrong->says("a peer expects another key than ours")) << wrong->all();
    EXPECT_TRUE(keyed.stands(stand::failing, errc::server_key_mismatch));
    EXPECT_TRUE(wrong->stands(stand::listening, errc::server_key_mismatch));
    EXPECT_FALSE(keyed.said("nobody listens")) << keyed.all();
    wrong.reset();
    talker right(binding({client_.public_key}));
    ASSERT_TRUE(binds(right.node, where_));
    EXPECT_TRUE(keyed.node.wait_for_peers(1, 10s)) << keyed.all();
}

TEST_F(Meeting, OfAKeyThatIsNotAllowedIsMendedWhenItIs) {
    talker strict(binding({}));
    ASSERT_TRUE(binds(strict.node, where_));
    talker keyed(connecting());
    keyed.node.connect(where_);
    EXPECT_TRUE(keyed.says("allow-list does not hold our key")) << keyed.all();
    EXPECT_TRUE(strict.says(client_.public_key + " is not on the allow-list")) << strict.all();
    EXPECT_GE(strict.node.stats().handshakes_failed, 1U);
    EXPECT_TRUE(keyed.stands(stand::failing, errc::not_authorised));
    EXPECT_NE(keyed.endpoint().last_error_text.find("security.allowed_keys"), std::string::npos);
    EXPECT_TRUE(strict.stands(stand::listening, errc::not_authorised));
    EXPECT_NE(strict.endpoint().last_error_text.find(client_.public_key), std::string::npos);
    strict.node.allow_keys({client_.public_key});
    EXPECT_TRUE(keyed.node.wait_for_peers(1, 10s)) << keyed.all();
    EXPECT_TRUE(keyed.stands(stand::connected, errc::not_authorised)) << "what was is still told";
}

// Nobody reads a log of the same line every few seconds.
TEST_F(Meeting, OfAKeyThatIsNotAllowedIsToldOnceHoweverOftenItTries) {
    talker strict(binding({}));
    ASSERT_TRUE(binds(strict.node, where_));
    talker keyed(connecting());
    const auto began = std::chrono::steady_clock::now();
    keyed.node.connect(where_);
    EXPECT_TRUE(eventually([&] { return keyed.endpoint().failures >= 5; }));
    EXPECT_TRUE(eventually([&] { return strict.endpoint().failures >= 5; }));
    const auto minutes = static_cast<int>((std::chrono::steady_clock::now() - began) / 1min);
    EXPECT_LE(keyed.times("allow-list does not hold our key"), 1 + minutes) << keyed.all();
    EXPECT_LE(strict.times(client_.public_key + " is not on the allow-list"), 1 + minutes)
        << strict.all();
    EXPECT_GE(strict.node.stats().log_suppressed, 4U);
    // What was mended and fails again is news.
    strict.node.allow_keys({client_.public_key});
    ASSERT_TRUE(keyed.node.wait_for_peers(1, 10s)) << keyed.all();
    const int told = keyed.times("allow-list does not hold our key");
    strict.node.allow_keys({});
    EXPECT_TRUE(eventually([&] { return keyed.times("allow-list does not hold our key") > told; }))
        << keyed.all();
}

TEST_F(Meeting, WithSomethingThatIsNoNodeIsMendedWhenOneComes) {
    const auto port = static_cast<std::uint16_t>(std::stoi(where_.substr(where_.rfind(':') + 1)));
    const int listening = ::socket(AF_INET, SOCK_STREAM, 0);
    const int yes = 1;
    ::setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(listening, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listening, 16), 0);
    talker lonely(keyless());
    lonely.node.connect(where_);
    EXPECT_TRUE(lonely.says("nobody there speaks this protocol")) << lonely.all();
    EXPECT_TRUE(eventually([&] { return lonely.node.stats().handshakes_failed >= 1; }));
    EXPECT_TRUE(lonely.stands(stand::failing, errc::not_cairn));
    ::close(listening);
    talker right(keyless());
    ASSERT_TRUE(binds(right.node, where_));
    EXPECT_TRUE(lonely.node.wait_for_peers(1, 10s)) << lonely.all();
}

TEST_F(Meeting, WithNobodyIsMendedWhenSomebodyListens) {
    talker early(keyless());
    early.node.connect(where_);
    EXPECT_TRUE(early.says("nobody listens at " + where_)) << early.all();
    EXPECT_TRUE(early.stands(stand::failing, errc::peer_unreachable));
    EXPECT_EQ(early.endpoint().endpoint, where_);
    EXPECT_GE(early.endpoint().failures, 1U);
    EXPECT_LE(std::chrono::system_clock::now() - early.endpoint().last_error_time, 10s);
    auto late = std::make_unique<talker>(keyless());
    ASSERT_TRUE(binds(late->node, where_));
    EXPECT_TRUE(early.node.wait_for_peers(1, 10s)) << early.all();
    EXPECT_EQ(early.endpoint().state, stand::connected);
    EXPECT_TRUE(late->stands(stand::listening, errc::ok));
    late.reset();
    EXPECT_TRUE(eventually([&] { return early.endpoint().state == stand::failing; }));
}

TEST_F(Meeting, WithKeysFromFilesWorks) {
    const temp_directory directory;
    save_keys(server_, directory.path() / "server");
    save_keys(client_, directory.path() / "client");
    const std::string client_key = load_keys(directory.path() / "client").public_key;
    talker strict({.security = {.keys = load_keys(directory.path() / "server_secret"),
                                .allowed_keys = {client_key}}});
    ASSERT_TRUE(binds(strict.node, where_));
    talker keyed({.security = {.keys = load_keys(directory.path() / "client_secret"),
                               .server_key = load_keys(directory.path() / "server").public_key}});
    publisher p(strict.node, "t");
    subscriber s(keyed.node, "t");
    keyed.node.connect(where_);
    ASSERT_TRUE(p.wait_for_subscribers(1, 10s)) << keyed.all();
    p.publish("secret");
    EXPECT_EQ(s.receive_for(10s).value().text(), "secret");
}

TEST_F(Meeting, WithServersOfDifferentKeysTakesAKeyForEach) {
    node_options other = binding({client_.public_key});
    other.security.keys = generate_keys();
    const std::string other_key = other.security.keys.public_key;
    talker first(binding({client_.public_key}));
    talker second(other);
    talker third(other);
    const std::string to_first = first.node.bind("tcp://127.0.0.1:0");
    const std::string to_second = second.node.bind("tcp://127.0.0.1:0");
    node_options both = connecting();
    both.connect = {to_first};
    both.store = third.node.bind("tcp://127.0.0.1:0");
    both.security.store_key = other_key;
    talker keyed(both);
    keyed.node.connect(to_second, {.server_key = other_key});
    const publisher stored(keyed.node, "t");
    EXPECT_TRUE(keyed.node.wait_for_peers(3, 10s)) << keyed.all();

    keyed.node.connect(to_second);
    EXPECT_EQ(
        refusal_of([&] { keyed.node.connect(to_second, {.server_key = server_.public_key}); }),
        errc::key_invalid)
        << "it is connected there under another key";
    EXPECT_EQ(refusal_of([&] { keyed.node.connect(to_first, {.server_key = "no key"}); }),
              errc::key_invalid);
    talker plain(keyless());
    EXPECT_EQ(refusal_of([&] { plain.node.connect(to_first, {.server_key = other_key}); }),
              errc::key_invalid)
        << "without keys of its own";
}

TEST_F(Meeting, OfAKeyThatIsTakenOffTheListEndsAtOnceAndComesToNoOther) {
    talker strict(binding({client_.public_key}));
    ASSERT_TRUE(binds(strict.node, where_));
    talker first(connecting());
    first.node.connect(where_);
    ASSERT_TRUE(first.node.wait_for_peers(1, 10s));
    strict.node.allow_keys({});
    EXPECT_EQ(strict.node.stats().links, 0U);
    EXPECT_TRUE(first.says("your key is not allowed any more")) << first.all();
    EXPECT_TRUE(first.says("allow-list does not hold our key")) << first.all();
    strict.node.allow_keys({client_.public_key});
    EXPECT_TRUE(first.node.wait_for_peers(1, 10s)) << first.all();
}

// Half of them are not on the list, half do not know the node's key: those come again every few
// milliseconds. Each handshake costs the node a key exchange.
TEST_F(Meeting, OfAHundredStrangersWhoKeepTryingHoldsUpNoFriend) {
    talker strict(binding({client_.public_key}));
    ASSERT_TRUE(binds(strict.node, where_));
    publisher out(strict.node, "news");
    talker friendly(connecting());
    subscriber in(friendly.node, "news");
    friendly.node.connect(where_);
    ASSERT_TRUE(out.wait_for_subscribers(1, 10s));

    const auto began = std::chrono::steady_clock::now();
    zmq::context_t strangers;
    std::vector<zmq::socket_t> flood;
    for (int i = 0; i != 100; ++i) {
        const key_pair keys = generate_keys();
        zmq::socket_t& s = flood.emplace_back(strangers, zmq::socket_type::dealer);
        s.set(zmq::sockopt::linger, 0);
        s.set(zmq::sockopt::reconnect_ivl, 5);
        s.set(zmq::sockopt::curve_serverkey,
              i % 2 == 0 ? server_.public_key : generate_keys().public_key);
        s.set(zmq::sockopt::curve_publickey, keys.public_key);
        s.set(zmq::sockopt::curve_secretkey, keys.secret_key);
        s.connect(where_);
    }
    for (std::uint64_t refused = 0; refused < 300;) {
        out.publish("still here");
        const auto m = in.receive_for(10s);
        ASSERT_TRUE(m.has_value());
        EXPECT_EQ(m->text(), "still here");
        refused = strict.node.stats().handshakes_failed;
    }
    EXPECT_EQ(strict.node.stats().links, 1U);
    EXPECT_EQ(in.stats().gaps, 0U);
    // A friend that comes in the middle of it gets in.
    talker late(connecting());
    late.node.connect(where_);
    EXPECT_TRUE(late.node.wait_for_peers(1, 10s)) << late.all();
    // Hundreds of refusals are a few lines of the log, ten a second for each of two causes, and a
    // count.
    const auto seconds = (std::chrono::steady_clock::now() - began) / 1s;
    EXPECT_LT(std::ranges::count(strict.all(), '\n'), 60 + 25 * seconds);
}

TEST(AllowingKeys, NeedsKeysOfOnesOwnAndKeysThatAreKeys) {
    node plain;
    try {
        plain.allow_keys({});
        ADD_FAILURE() << "a node without keys lets everybody in";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::not_supported);
    }
    node keyed({.security = {.keys = generate_keys()}});
    try {
        keyed.allow_keys({"not a key"});
        ADD_FAILURE() << "that is no key";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::key_invalid);
    }
}

}  // namespace
