#include "support/eventually.hpp"
#include "support/raw_peer.hpp"
#include "support/stranger.hpp"
#include "support/temp_directory.hpp"

#include <cairn/cairn.hpp>
#include <cairn/store_server.hpp>
#include <cairn/wire/limits.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// What section 9 of PROTOCOL.md says of bad input, against a node and a store that have honest
// peers as well.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using namespace std::string_literals;
using wire::kind;

std::uint16_t port_of(const std::string& endpoint) {
    return static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
}

std::string encoded(const wire::control_frame& frame) {
    std::vector<std::byte> out;
    wire::encode(frame, out);
    return {reinterpret_cast<const char*>(out.data()), out.size()};
}

/// Who is sent bad input, and an honest pair: of a node the publisher is its own, of a store one
/// that appends to it, and its reader reads from there.
class Victim : public testing::Test {
protected:
    void begin(bool is_store) {
        const auto log = [this](log_level, std::string_view line) {
            const std::lock_guard lock(mutex_);
            lines_.emplace_back(line);
        };
        if (is_store) {
            store_server_options o;
            o.path = directory_ / "data";
            o.network.name = "victim";
            o.network.log = log;
            store_ = std::make_unique<store_server>(o);
            endpoint_ = store_->endpoints().front();
            node_ = std::make_unique<cairn::node>(
                node_options{.name = "publisher", .store = endpoint_});
            friend_ =
                std::make_unique<cairn::node>(node_options{.name = "honest", .store = endpoint_});
        } else {
            node_ = std::make_unique<cairn::node>(node_options{.name = "victim", .log = log});
            endpoint_ = node_->bind("tcp://127.0.0.1:0");
            friend_ = std::make_unique<cairn::node>(
                node_options{.name = "honest", .connect = {endpoint_}});
        }
        publisher_ = std::make_unique<publisher>(*node_, "honest");
        subscriber_ = std::make_unique<subscriber>(*friend_, "honest");
        if (is_store)
            EXPECT_TRUE(subscriber_->wait_live(10s));  // the store has answered it
        else
            EXPECT_TRUE(publisher_->wait_for_subscribers(1, 10s));
        go_on();
        honest_ = stats().links;
    }
    /// Whatever the stranger did, the honest pair goes on.
    void TearDown() override { go_on(); }
    void go_on() {
        publisher_->publish("still here");
        EXPECT_TRUE(subscriber_->receive_for(10s).has_value());
        EXPECT_EQ(subscriber_->stats().gaps, 0U);
    }

    node_stats stats() const { return store_ ? store_->stats().network : node_->stats(); }
    std::uint64_t malformed() const { return stats().frames_malformed; }
    std::uint64_t readers() const {
        return store_ ? store_->stats().subscriptions : publisher_->subscribers();
    }
    bool links_become(std::uint64_t strangers) {
        return eventually([&] { return stats().links == honest_ + strangers; });
    }
    /// What a greeted stranger hears for these ZeroMQ frames, which count as one malformed message.
    errc answer_to(const std::vector<std::string>& frames) {
        stranger peer(endpoint_);
        EXPECT_TRUE(peer.greet());
        const std::uint64_t before = malformed();
        peer.say(frames);
        const errc code = peer.refusal(kind::error);
        EXPECT_EQ(malformed(), before + 1);
        EXPECT_TRUE(peer.answered()) << "the link goes on";
        return code;
    }
    std::string header(std::string_view body, std::uint32_t count, bool fits = true) const {
        wire::batch_header h;
        h.channel = 1;
        h.topic = "quakes";
        h.source = "usgs";
        h.epoch = epoch{1};
        h.first = sequence{1};
        h.count = count;
        h.checksum = wire::checksum(std::as_bytes(std::span(body))) + (fits ? 0 : 1);
        std::vector<std::byte> out;
        wire::encode(h, out);
        return {reinterpret_cast<const char*>(out.data()), out.size()};
    }
    static zmq::socket_t a_router(zmq::context_t& context) {
        zmq::socket_t router(context, zmq::socket_type::router);
        router.set(zmq::sockopt::linger, 0);
        router.set(zmq::sockopt::rcvtimeo, 10'000);
        router.bind("tcp://127.0.0.1:*");
        return router;
    }

    std::mutex mutex_;
    std::vector<std::string> lines_;  // guarded by mutex_
    temp_directory directory_;
    std::unique_ptr<store_server> store_;
    std::unique_ptr<cairn::node> node_;
    std::unique_ptr<cairn::node> friend_;
    std::unique_ptr<publisher> publisher_;
    std::unique_ptr<subscriber> subscriber_;
    std::string endpoint_;
    std::uint64_t honest_ = 0;
};

/// A node, or a store.
class BadInput : public Victim, public testing::WithParamInterface<bool> {
protected:
    void SetUp() override { begin(GetParam()); }
};

class BadInputToANode : public Victim {
protected:
    void SetUp() override { begin(false); }
};

TEST_P(BadInput, ThatIsNoFrameIsAnsweredMalformed) {
    EXPECT_EQ(answer_to({""}), errc::malformed);
    EXPECT_EQ(answer_to({"hello"}), errc::malformed);
    EXPECT_EQ(answer_to({"\x90"s}), errc::malformed);
    EXPECT_EQ(answer_to({"\x91\xa1x"s}), errc::malformed);
    EXPECT_EQ(answer_to({"\xc1"s}), errc::malformed);
}

TEST_F(BadInputToANode, ForAStoreIsAnsweredNotSupported) {
    for (const wire::control_frame& request :
         {wire::control_frame(wire::open_source{1, "t", "s", epoch{1}}),
          wire::control_frame(wire::close_source{1}),
          wire::control_frame(wire::list_topics{2, "*"}),
          wire::control_frame(wire::delete_topic{{3, "t"}})}) {
        std::vector<std::byte> bytes;
        wire::encode(request, bytes);
        const std::string frame(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        EXPECT_EQ(answer_to({frame}), errc::not_supported);
    }
    EXPECT_EQ(answer_to({"\x91\x34"s}), errc::not_supported);  // APPEND
}

TEST_P(BadInput, OfAnUnknownKindIsAnsweredUnknownKind) {
    for (const char number : {'\x00', '\x07', '\x1d', '\x4e', '\x7f'})
        EXPECT_EQ(answer_to({"\x91"s + number}), errc::unknown_kind) << int{number};
}

TEST_P(BadInput, CutAnywhereIsAnsweredMalformed) {
    const std::string whole =
        encoded(wire::subscribe{1,
                                "quakes.*",
                                wire::start::live,
                                1 << 20,
                                false,
                                {{"quakes.us", "usgs", epoch{7}, sequence{42}}}});
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    for (std::size_t bytes = 2; bytes != whole.size(); ++bytes) {
        peer.say({whole.substr(0, bytes)});
        EXPECT_EQ(peer.refusal(kind::error), errc::malformed) << bytes;
    }
    EXPECT_EQ(readers(), 1U);
}

TEST_P(BadInput, WithBytesBehindItIsAnsweredMalformed) {
    EXPECT_EQ(answer_to({encoded(wire::unsubscribe{1}) + "x"}), errc::malformed);
}

TEST_P(BadInput, AboveItsLimitIsAnsweredWithTheLimit) {
    EXPECT_EQ(answer_to({encoded(wire::unsubscribe{1}) + std::string(70'000, 'x')}),
              errc::too_large);
    std::string many = "\x95\x21\x01\xa1s\x01\xdc\x04\x01"s;  // 1,025 ranges
    for (int i = 0; i != 1'025; ++i) many += "\x92\x01\x01"s;
    EXPECT_EQ(answer_to({many}), errc::limit_exceeded);
    const std::string deep = "\x93\x11\x01"s + std::string(60, '\x91') + "\x01";
    EXPECT_EQ(answer_to({deep}), errc::limit_exceeded);
    EXPECT_EQ(answer_to({"\x93\x11\x01\xdd\xff\xff\xff\xff"s}), errc::limit_exceeded);
}

TEST_P(BadInput, InABatchIsAnsweredWithWhatIsWrong) {
    const std::string body = "\x02\x00\x00\x00hi"s;
    EXPECT_EQ(answer_to({header(body, 1, false) + body}), errc::checksum_mismatch);
    EXPECT_EQ(answer_to({header(body, 1, false), body}), errc::checksum_mismatch);
    EXPECT_EQ(answer_to({header(body, 2) + body}), errc::malformed);
    EXPECT_EQ(answer_to({header("x", 1) + "x"}), errc::malformed);
    EXPECT_EQ(answer_to({header(body, 1) + body, body}), errc::malformed);
    EXPECT_EQ(answer_to({header(body, 0) + body}), errc::malformed);
}

TEST_P(BadInput, OfMoreFramesThanTwoIsAnsweredMalformed) {
    EXPECT_EQ(answer_to({encoded(wire::heartbeat{}), "x"}), errc::malformed);
    EXPECT_EQ(answer_to({encoded(wire::heartbeat{}), "x", "y"}), errc::malformed);
    EXPECT_EQ(answer_to(std::vector<std::string>(1'000, "x")), errc::malformed);
}

TEST_P(BadInput, IsAHelloThatComesTwice) {
    EXPECT_EQ(answer_to({encoded(wire::hello{1, 1, stranger::made_up_node(), "again", 1})}),
              errc::malformed);
}

TEST_P(BadInput, ForNoChannelIsDroppedOrAnsweredUnknownSubscription) {
    EXPECT_EQ(answer_to({encoded(wire::repair{9, {"honest", "victim", epoch{1}, sequence{1}}})}),
              errc::unknown_subscription);
    EXPECT_EQ(answer_to({encoded(wire::ack{{9, "camera", epoch{1}, {}}})}),
              errc::unknown_subscription);
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    const std::uint64_t before = malformed();
    const std::string body = "\x02\x00\x00\x00hi"s;
    peer.say({header(body, 1) + body});
    peer.say(wire::gone{77, "honest", "victim", epoch{1}, {sequence{1}, sequence{9}}});
    peer.say(wire::credit{77, ~0ULL, ~0ULL});
    peer.say(wire::detach{77});
    EXPECT_TRUE(peer.answered());
    EXPECT_EQ(malformed(), before);
}

TEST_P(BadInput, BeforeHelloIsAnsweredNotGreeted) {
    const std::vector<std::string> frames = {encoded(wire::ping{1}),
                                             encoded(wire::subscribe{1, "*", {}, 1, false, {}}),
                                             "garbage", "\x91\x7f"s};
    for (const std::string& frame : frames) {
        stranger peer(endpoint_);
        peer.say({frame});
        EXPECT_EQ(peer.refusal(kind::bye), errc::not_greeted);
        EXPECT_TRUE(peer.greet()) << "it may still begin";
    }
    EXPECT_EQ(malformed(), frames.size());
}

TEST_P(BadInput, InHelloIsAnsweredBye) {
    stranger torn(endpoint_);
    torn.say({"\x92\x01\x01"s});
    EXPECT_EQ(torn.refusal(kind::bye), errc::malformed);
    stranger newer(endpoint_);
    newer.say(wire::hello{9, 9, stranger::made_up_node(), "newer", 1});
    EXPECT_EQ(newer.refusal(kind::bye), errc::version_mismatch);
    stranger also_newer(endpoint_);
    also_newer.say(wire::hello{9, 1, stranger::made_up_node(), "speaks 1 as well", 1});
    EXPECT_TRUE(also_newer.hear(kind::hello));
    EXPECT_EQ(stats().peers_refused, 1U);
    const endpoint_stats listening = stats().endpoints.at(0);
    EXPECT_EQ(listening.failures, 2U);
    EXPECT_EQ(listening.last_error, errc::version_mismatch);
    EXPECT_NE(listening.last_error_text.find("peer newer (127.0.0.1)"), std::string::npos)
        << listening.last_error_text;
}

TEST_P(BadInput, TheHundredthTimeEndsTheLink) {
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    ASSERT_TRUE(links_become(1));
    for (int i = 0; i != 100; ++i) peer.say({"garbage"});
    EXPECT_EQ(peer.refusal(kind::bye), errc::malformed);
    EXPECT_TRUE(links_become(0));
    EXPECT_EQ(malformed(), 100U);
    EXPECT_GT(stats().log_suppressed, 0U) << "a flood of lines";
}

TEST_P(BadInput, IsNeverAnsweredToAnError) {
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    for (int i = 0; i != 10; ++i) peer.say(wire::error_reply{7, errc::malformed, "you"});
    EXPECT_TRUE(peer.answered());
    EXPECT_EQ(malformed(), 0U);
}

TEST_P(BadInput, CannotForgeLinesOfTheLog) {
    stranger peer(endpoint_);
    peer.say(wire::hello{1, 1, stranger::made_up_node(), "evil\nERROR \x1b[2J", 1});
    ASSERT_TRUE(peer.hear(kind::hello));
    peer.say({"garbage"});
    ASSERT_EQ(peer.refusal(kind::error), errc::malformed);
    const std::lock_guard lock(mutex_);
    EXPECT_TRUE(std::any_of(lines_.begin(), lines_.end(), [](const std::string& line) {
        return line.find("evil\\x0aERROR \\x1b[2J") != std::string::npos;
    }));
    for (const std::string& line : lines_) EXPECT_EQ(line.find_first_of("\n\x1b"), line.npos);
}

TEST_P(BadInput, FromAnotherProgramIsToldInTheLogAndCounted) {
    for (const std::string& text :
         {"GET / HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n"s + std::string(64, ' '),
          std::string(4'096, '\xff'), std::string(4'096, '\0')}) {
        const std::uint64_t before = stats().handshakes_failed;
        raw_peer browser(port_of(endpoint_));
        browser.send(text);
        EXPECT_TRUE(browser.closed_within(5s));
        EXPECT_TRUE(eventually([&] { return stats().handshakes_failed > before; }));
    }
    const std::lock_guard lock(mutex_);
    EXPECT_TRUE(std::any_of(lines_.begin(), lines_.end(), [](const std::string& line) {
        return line.find("no cairn node") != std::string::npos;
    }));
}

INSTANTIATE_TEST_SUITE_P(To, BadInput, testing::Bool(),
                         [](const auto& is_store) { return is_store.param ? "AStore" : "ANode"; });

TEST_F(BadInputToANode, InHelloOfTheBindingSideIsToldAtTheEndpoint) {
    zmq::context_t context(1);
    zmq::socket_t router = a_router(context);
    cairn::node guest({.connect = {router.get(zmq::sockopt::last_endpoint)}});
    zmq::message_t id;
    zmq::message_t hello;
    ASSERT_TRUE(router.recv(id));
    ASSERT_TRUE(router.recv(hello));
    router.send(id, zmq::send_flags::sndmore);
    router.send(zmq::buffer(encoded(wire::hello{9, 9, stranger::made_up_node(), "newer", 1})),
                zmq::send_flags::none);
    EXPECT_TRUE(eventually([&] {
        const endpoint_stats now = guest.stats().endpoints.at(0);
        return now.state == endpoint_state::failing && now.last_error == errc::version_mismatch;
    }));
}

TEST_F(BadInputToANode, FromTheBindingSideIsRefusedAsWell) {
    zmq::context_t context(1);
    zmq::socket_t router = a_router(context);
    node_->connect(router.get(zmq::sockopt::last_endpoint));
    zmq::message_t id;
    zmq::message_t hello;
    ASSERT_TRUE(router.recv(id));
    ASSERT_TRUE(router.recv(hello));
    EXPECT_EQ(static_cast<const char*>(hello.data())[1], 1) << "HELLO comes first";
    const auto say = [&](const std::vector<std::string>& frames) {
        router.send(zmq::buffer(id.to_string()), zmq::send_flags::sndmore);
        for (std::size_t i = 0; i != frames.size(); ++i)
            router.send(zmq::buffer(frames[i]),
                        i + 1 != frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    };
    say({encoded(wire::hello{1, 1, stranger::made_up_node(), "router", 1 << 20})});
    ASSERT_TRUE(node_->wait_for_peers(2, 10s));
    const std::uint64_t before = malformed();
    say({"garbage"});
    say({"a", "b", "c", "d"});
    say({"\x91\x7f"s});
    EXPECT_TRUE(eventually([&] { return malformed() == before + 3; }));
}

}  // namespace
