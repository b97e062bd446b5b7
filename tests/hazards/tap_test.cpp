#include "support/eventually.hpp"
#include "support/raw_peer.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>
#include <zmq.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

// A tap speaks plain ZeroMQ with whoever comes: what they cost is bounded all the same.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;

class Taps : public testing::Test {
protected:
    node& here(std::size_t peers_max = 1'024) {
        node_options o;
        o.peers_max = peers_max;
        o.log = [this](log_level, std::string_view line) {
            const std::lock_guard lock(mutex_);
            log_.append(line).append("\n");
        };
        node_ = std::make_unique<node>(std::move(o));
        news_ = std::make_unique<publisher>(*node_, "news");
        return *node_;
    }
    bool said(std::string_view words) { return times_said(words) != 0; }
    std::size_t times_said(std::string_view words) {
        const std::lock_guard lock(mutex_);
        std::size_t times = 0;
        for (std::size_t at = 0; (at = log_.find(words, at)) != std::string::npos; ++at) ++times;
        return times;
    }
    static std::uint16_t port_of(const std::string& endpoint) {
        return static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
    }
    zmq::socket_t plain(const std::string& endpoint, std::string_view prefix = "news") {
        zmq::socket_t made(context_, zmq::socket_type::sub);
        made.set(zmq::sockopt::linger, 0);
        made.set(zmq::sockopt::rcvtimeo, 20);
        made.set(zmq::sockopt::sndhwm, 0);  // or it drops what it subscribes to
        made.set(zmq::sockopt::subscribe, prefix);
        made.connect(endpoint);
        return made;
    }
    /// Whether what is published comes, sooner or later.
    bool reads(zmq::socket_t& tapped) {
        return eventually([&] {
            news_->publish("now");
            zmq::message_t frame;
            return tapped.recv(frame).has_value();
        });
    }

    /// As many connections as a node of four peers has room for, and nothing behind them.
    static std::vector<std::unique_ptr<raw_peer>> crowd_at(const std::string& endpoint) {
        std::vector<std::unique_ptr<raw_peer>> crowd;
        for (int i = 0; i != 20; ++i)
            crowd.push_back(std::make_unique<raw_peer>(port_of(endpoint)));
        return crowd;
    }

    zmq::context_t context_;
    std::mutex mutex_;
    std::string log_;  // guarded by mutex_
    std::unique_ptr<node> node_;
    std::unique_ptr<publisher> news_;
};

TEST_F(Taps, KeepSoManySubscriptionsAndNoMore) {
    node& n = here();
    const std::string where = n.open_tap("tcp://127.0.0.1:0");
    zmq::socket_t honest = plain(where);
    ASSERT_TRUE(reads(honest));
    {
        // Libzmq builds a tree of them, a node a byte.
        zmq::socket_t flood = plain(where);
        const std::string filler(200, 'x');
        for (int i = 0; i != 1'400; ++i)
            flood.set(zmq::sockopt::subscribe, std::to_string(i) + filler);
        EXPECT_TRUE(eventually([&] { return n.stats().taps_emptied != 0; }));
        EXPECT_TRUE(said("subscribed to, more than a tap keeps"));
    }
    EXPECT_TRUE(reads(honest)) << "who comes again is served again";
}

TEST_F(Taps, AcceptNobodyBeyondTheirConnections) {
    node& n = here(4);
    const std::string where = n.open_tap("tcp://127.0.0.1:0");
    std::vector<std::unique_ptr<raw_peer>> crowd = crowd_at(where);
    EXPECT_TRUE(eventually([&] { return said("no more connections are accepted"); }));
    crowd.clear();
    zmq::socket_t late = plain(where);
    EXPECT_TRUE(reads(late));
}

TEST_F(Taps, TellOnceOfStrangersThatTryAgainAndAgain) {
    node& n = here();
    const std::string where = n.open_tap("tcp://127.0.0.1:0");
    for (std::uint64_t i = 1; i <= 5; ++i) {
        raw_peer stranger(port_of(where));
        stranger.send("GET / HTTP/1.1\r\nHost: nobody that speaks the protocol of taps\r\n\r\n");
        ASSERT_TRUE(eventually([&] { return n.stats().handshakes_failed == i; })) << i;
    }
    EXPECT_EQ(times_said("tap " + where), 1U) << log_;
    zmq::socket_t honest = plain(where);
    EXPECT_TRUE(reads(honest));
}

TEST_F(Taps, EndWhenTheyAreClosed) {
    node& n = here();
    const std::string where = n.open_tap("tcp://127.0.0.1:0");
    EXPECT_TRUE(n.close_tap(where));
    EXPECT_FALSE(n.close_tap(where));
    EXPECT_TRUE(eventually([&] {
        try {
            return !n.bind(where).empty();
        } catch (const error&) {
            return false;
        }
    })) << "the port is free";
}

// Whether libzmq has WebSocket is only found by trying: zmq_has("ws") says no where it does.
TEST_F(Taps, SpeakWebSocketWhereLibzmqDoes) {
    node& n = here(4);
    std::string where;
    try {
        where = n.open_tap("ws://127.0.0.1:0");
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::not_supported);
        EXPECT_NE(std::string_view(e.what()).find("WebSocket"), std::string_view::npos) << e.what();
        return;
    }
    EXPECT_EQ(where.substr(0, 15), "ws://127.0.0.1:");
    zmq::socket_t browser = plain(where);
    EXPECT_TRUE(reads(browser));
    std::vector<std::unique_ptr<raw_peer>> crowd = crowd_at(where);
    EXPECT_TRUE(eventually([&] { return n.stats().taps_emptied != 0; })) << "it cannot pause";
    crowd.clear();
    EXPECT_TRUE(reads(browser));
}

}  // namespace
