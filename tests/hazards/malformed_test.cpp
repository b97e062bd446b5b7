#include "stranger.hpp"
#include "support/eventually.hpp"
#include "support/raw_peer.hpp"

#include <cairn/cairn.hpp>
#include <cairn/wire/limits.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// What section 9 of PROTOCOL.md says of bad input, against a node that has honest peers as well.
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

class BadInput : public testing::Test {
protected:
    BadInput() { EXPECT_TRUE(publisher_.wait_for_subscribers(1, 10s)); }
    /// Whatever the stranger did, the honest pair goes on.
    ~BadInput() override {
        publisher_.publish("still here");
        EXPECT_TRUE(subscriber_.receive_for(10s).has_value());
        EXPECT_EQ(subscriber_.stats().gaps, 0U);
    }

    std::uint64_t malformed() const { return node_.stats().frames_malformed; }
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
    std::vector<std::string> lines_;
    cairn::node node_{{.name = "victim", .log = [this](log_level, std::string_view line) {
                           const std::lock_guard lock(mutex_);
                           lines_.emplace_back(line);
                       }}};
    std::string endpoint_ = node_.bind("tcp://127.0.0.1:0");
    publisher publisher_{node_, "honest"};
    cairn::node friend_{{.name = "honest", .connect = {endpoint_}}};
    subscriber subscriber_{friend_, "honest"};
};

TEST_F(BadInput, ThatIsNoFrameIsAnsweredMalformed) {
    EXPECT_EQ(answer_to({""}), errc::malformed);
    EXPECT_EQ(answer_to({"hello"}), errc::malformed);
    EXPECT_EQ(answer_to({"\x90"s}), errc::malformed);
    EXPECT_EQ(answer_to({"\x91\xa1x"s}), errc::malformed);
    EXPECT_EQ(answer_to({"\xc1"s}), errc::malformed);
}

TEST_F(BadInput, ForAStoreIsAnsweredNotSupportedByANodeWithoutOne) {
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

TEST_F(BadInput, OfAnUnknownKindIsAnsweredUnknownKind) {
    for (const char number : {'\x00', '\x07', '\x1d', '\x4e', '\x7f'})
        EXPECT_EQ(answer_to({"\x91"s + number}), errc::unknown_kind) << int{number};
}

TEST_F(BadInput, CutAnywhereIsAnsweredMalformed) {
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
    EXPECT_EQ(publisher_.subscribers(), 1U);
}

TEST_F(BadInput, WithBytesBehindItIsAnsweredMalformed) {
    EXPECT_EQ(answer_to({encoded(wire::unsubscribe{1}) + "x"}), errc::malformed);
}

TEST_F(BadInput, AboveItsLimitIsAnsweredWithTheLimit) {
    EXPECT_EQ(answer_to({encoded(wire::unsubscribe{1}) + std::string(70'000, 'x')}),
              errc::too_large);
    std::string many = "\x95\x21\x01\xa1s\x01\xdc\x04\x01"s;  // 1,025 ranges
    for (int i = 0; i != 1'025; ++i) many += "\x92\x01\x01"s;
    EXPECT_EQ(answer_to({many}), errc::limit_exceeded);
    const std::string deep = "\x93\x11\x01"s + std::string(60, '\x91') + "\x01";
    EXPECT_EQ(answer_to({deep}), errc::limit_exceeded);
    EXPECT_EQ(answer_to({"\x93\x11\x01\xdd\xff\xff\xff\xff"s}), errc::limit_exceeded);
}

TEST_F(BadInput, InABatchIsAnsweredWithWhatIsWrong) {
    const std::string body = "\x02\x00\x00\x00hi"s;
    EXPECT_EQ(answer_to({header(body, 1, false) + body}), errc::checksum_mismatch);
    EXPECT_EQ(answer_to({header(body, 1, false), body}), errc::checksum_mismatch);
    EXPECT_EQ(answer_to({header(body, 2) + body}), errc::malformed);
    EXPECT_EQ(answer_to({header("x", 1) + "x"}), errc::malformed);
    EXPECT_EQ(answer_to({header(body, 1) + body, body}), errc::malformed);
    EXPECT_EQ(answer_to({header(body, 0) + body}), errc::malformed);
}

TEST_F(BadInput, OfMoreFramesThanTwoIsAnsweredMalformed) {
    EXPECT_EQ(answer_to({encoded(wire::heartbeat{}), "x"}), errc::malformed);
    EXPECT_EQ(answer_to({encoded(wire::heartbeat{}), "x", "y"}), errc::malformed);
    EXPECT_EQ(answer_to(std::vector<std::string>(1'000, "x")), errc::malformed);
}

TEST_F(BadInput, IsAHelloThatComesTwice) {
    EXPECT_EQ(answer_to({encoded(wire::hello{1, 1, stranger::made_up_node(), "again", 1})}),
              errc::malformed);
}

TEST_F(BadInput, ForNoChannelIsDroppedOrAnsweredUnknownSubscription) {
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

TEST_F(BadInput, BeforeHelloIsAnsweredNotGreeted) {
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

TEST_F(BadInput, InHelloIsAnsweredBye) {
    stranger torn(endpoint_);
    torn.say({"\x92\x01\x01"s});
    EXPECT_EQ(torn.refusal(kind::bye), errc::malformed);
    stranger newer(endpoint_);
    newer.say(wire::hello{9, 9, stranger::made_up_node(), "newer", 1});
    EXPECT_EQ(newer.refusal(kind::bye), errc::version_mismatch);
    stranger also_newer(endpoint_);
    also_newer.say(wire::hello{9, 1, stranger::made_up_node(), "speaks 1 as well", 1});
    EXPECT_TRUE(also_newer.hear(kind::hello));
    EXPECT_EQ(node_.stats().peers_refused, 1U);
    const endpoint_stats listening = node_.stats().endpoints.at(0);
    EXPECT_EQ(listening.failures, 2U);
    EXPECT_EQ(listening.last_error, errc::version_mismatch);
    EXPECT_NE(listening.last_error_text.find("peer newer (127.0.0.1)"), std::string::npos)
        << listening.last_error_text;
}

TEST_F(BadInput, TheHundredthTimeEndsTheLink) {
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    ASSERT_TRUE(node_.wait_for_peers(2, 10s));
    for (int i = 0; i != 100; ++i) peer.say({"garbage"});
    EXPECT_EQ(peer.refusal(kind::bye), errc::malformed);
    EXPECT_TRUE(eventually([&] { return node_.stats().links == 1; }));
    EXPECT_EQ(malformed(), 100U);
    EXPECT_GT(node_.stats().log_suppressed, 0U) << "a flood of lines";
}

TEST_F(BadInput, IsNeverAnsweredToAnError) {
    stranger peer(endpoint_);
    ASSERT_TRUE(peer.greet());
    for (int i = 0; i != 10; ++i) peer.say(wire::error_reply{7, errc::malformed, "you"});
    EXPECT_TRUE(peer.answered());
    EXPECT_EQ(malformed(), 0U);
}

TEST_F(BadInput, CannotForgeLinesOfTheLog) {
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

TEST_F(BadInput, FromAnotherProgramIsToldInTheLogAndCounted) {
    for (const std::string& text :
         {"GET / HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n"s + std::string(64, ' '),
          std::string(4'096, '\xff'), std::string(4'096, '\0')}) {
        const std::uint64_t before = node_.stats().handshakes_failed;
        raw_peer browser(port_of(endpoint_));
        browser.send(text);
        EXPECT_TRUE(browser.closed_within(5s));
        EXPECT_TRUE(eventually([&] { return node_.stats().handshakes_failed > before; }));
    }
    const std::lock_guard lock(mutex_);
    EXPECT_TRUE(std::any_of(lines_.begin(), lines_.end(), [](const std::string& line) {
        return line.find("no cairn node") != std::string::npos;
    }));
}

TEST_F(BadInput, InHelloOfTheBindingSideIsToldAtTheEndpoint) {
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

TEST_F(BadInput, FromTheBindingSideIsRefusedAsWell) {
    zmq::context_t context(1);
    zmq::socket_t router = a_router(context);
    node_.connect(router.get(zmq::sockopt::last_endpoint));
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
    ASSERT_TRUE(node_.wait_for_peers(2, 10s));
    const std::uint64_t before = malformed();
    say({"garbage"});
    say({"a", "b", "c", "d"});
    say({"\x91\x7f"s});
    EXPECT_TRUE(eventually([&] { return malformed() == before + 3; }));
}

}  // namespace
