#include "support/edge.hpp"

#include <cairn/error.hpp>
#include <cairn/runtime/context.hpp>
#include <cairn/runtime/zap_handler.hpp>

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace {

using namespace cairn;
using namespace cairn::runtime;
using namespace cairn::test;
using namespace std::string_literals;

/// Asks the ZAP handler as libzmq does.
class ZapHandler : public testing::Test {
protected:
    ZapHandler() { zmq_connect(asking_.ref().handle(), "inproc://zeromq.zap.01"); }
    ~ZapHandler() override { asking_.close_now(); }

    /// Status and user id of the answer.
    std::pair<std::string, std::string> ask(const std::vector<std::string>& parts) {
        for (std::size_t i = 0; i < parts.size(); ++i)
            EXPECT_EQ(send_text(asking_, parts[i], i + 1 < parts.size()), io::done);
        std::vector<std::string> answer;
        do {
            auto part = receive_within(asking_);
            if (!part) return {"no answer", ""};
            answer.push_back(part->to_string());
            if (!part->more()) break;
        } while (true);
        EXPECT_EQ(answer.size(), 6U);
        if (answer.size() != 6) return {"malformed answer", ""};
        EXPECT_EQ(answer[0], "1.0");
        return {answer[2], answer[4]};
    }

    std::vector<std::string> request(const std::string& domain, const std::string& mechanism) {
        return {"1.0", "7", domain, "10.0.0.7", "", mechanism};
    }
    std::vector<std::string> curve_request(const std::string& domain, const std::string& key) {
        std::string binary(32, '\0');
        zmq_z85_decode(reinterpret_cast<std::uint8_t*>(binary.data()), key.c_str());
        auto parts = request(domain, "CURVE");
        parts.push_back(binary);
        return parts;
    }

    std::shared_ptr<context> context_ = context::shared();
    socket asking_{context_, zmq::socket_type::req};
    key_pair keys_ = generate_keys();
};

TEST_F(ZapHandler, AllowsTheKeysOfTheListAndNamesThem) {
    const admission ours(context_, {.allowed_keys = {keys_.public_key}}, {});
    EXPECT_EQ(ask(curve_request(ours.domain(), keys_.public_key)),
              std::pair("200"s, keys_.public_key));
    EXPECT_EQ(ask(curve_request(ours.domain(), generate_keys().public_key)),
              std::pair("400"s, ""s));
}

TEST_F(ZapHandler, AllowsEveryKeyWhenToldSo) {
    const admission ours(context_, {.any_key = true}, {});
    EXPECT_EQ(ask(curve_request(ours.domain(), keys_.public_key)).first, "200");
    EXPECT_EQ(ask(request(ours.domain(), "NULL")).first, "400") << "a peer without any key";
}

TEST_F(ZapHandler, AllowsPeersWithoutKeysOnlyWhereNobodyHasAny) {
    const admission open(context_, {.without_keys = true}, {});
    const admission closed(context_, {}, {});
    EXPECT_EQ(ask(request(open.domain(), "NULL")).first, "200");
    EXPECT_EQ(ask(request(closed.domain(), "NULL")).first, "400");
    EXPECT_EQ(ask(request(open.domain(), "PLAIN")).first, "400");
}

TEST_F(ZapHandler, AllowsNobodyInADomainThatItDoesNotKnow) {
    std::string domain;
    {
        const admission gone(context_, {.without_keys = true, .any_key = true}, {});
        domain = gone.domain();
    }
    EXPECT_EQ(ask(request(domain, "NULL")).first, "400");
    EXPECT_EQ(ask(curve_request(domain, keys_.public_key)).first, "400");
    EXPECT_EQ(ask(request("", "NULL")).first, "400");
}

TEST_F(ZapHandler, TakesANewListAtOnce) {
    admission ours(context_, {.allowed_keys = {keys_.public_key}}, {});
    ours.replace_policy({});
    EXPECT_EQ(ask(curve_request(ours.domain(), keys_.public_key)).first, "400");
    ours.replace_policy({.allowed_keys = {keys_.public_key}});
    EXPECT_EQ(ask(curve_request(ours.domain(), keys_.public_key)).first, "200");
}

TEST_F(ZapHandler, AnswersMalformedRequestsAndGoesOn) {
    const admission ours(context_, {.without_keys = true, .any_key = true}, {});
    auto two_keys = curve_request(ours.domain(), keys_.public_key);
    two_keys.push_back("more");
    auto old = request(ours.domain(), "NULL");
    old[0] = "0.9";
    auto short_key = request(ours.domain(), "CURVE");
    short_key.push_back("short");
    auto huge = request(ours.domain(), "NULL");
    huge[3] = std::string(1 << 20, 'x');
    for (const auto& parts : {std::vector<std::string>{""},
                              {"1.0"},
                              {"1.0", "7", ours.domain()},
                              old,
                              two_keys,
                              short_key,
                              request(ours.domain(), "CURVE"),
                              huge,
                              std::vector<std::string>(1'000, "1.0")})
        EXPECT_EQ(ask(parts).first, "500");
    EXPECT_EQ(ask(request(ours.domain(), "NULL")).first, "200");
}

TEST_F(ZapHandler, TellsWhomItRefusedAndWhy) {
    std::vector<std::string> told;  // by the ZAP thread, before it answers
    const admission ours(context_, {}, [&](const refusal& r) { told.push_back(r.text()); });
    ask(curve_request(ours.domain(), keys_.public_key));
    ask(request(ours.domain(), "NULL"));
    EXPECT_EQ(told, (std::vector{"connection from 10.0.0.7 refused: key " + keys_.public_key +
                                     " is not on the allow-list",
                                 "connection from 10.0.0.7 refused: it has no key and this node "
                                 "demands one"s}));
}

TEST_F(ZapHandler, IsReplacedUnderLoadWithoutARace) {
    admission ours(context_, {.allowed_keys = {keys_.public_key}}, [](const refusal&) {});
    std::jthread changer([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            ours.replace_policy({});
            const admission another(context_, {.any_key = true}, {});
            ours.replace_policy({.allowed_keys = {keys_.public_key}});
        }
    });
    for (int i = 0; i < 500; ++i) {
        const std::string status = ask(curve_request(ours.domain(), keys_.public_key)).first;
        ASSERT_TRUE(status == "200" || status == "400") << status;
    }
}

TEST(Admission, RefusesWhatIsNoKey) {
    for (const std::string& key : {"short"s, std::string(40, ' '), std::string(41, 'a'), ""s}) {
        try {
            const admission bad(context::shared(), {.allowed_keys = {key}}, {});
            FAIL() << key;
        } catch (const error& e) {
            EXPECT_EQ(e.code(), errc::key_invalid);
        }
    }
}

TEST(Context, IsOneForTheWholeProcessAsLongAsSomebodyHoldsIt) {
    const auto a = context::shared();
    EXPECT_EQ(a, context::shared());
}

TEST(Context, IsMadeAnewAfterTheLastHolderIsGone) {
    for (int i = 0; i < 20; ++i) {
        binding_end a({});
        connecting_end b({}, a.where());
        ASSERT_TRUE(b.up()) << "round " << i;
    }
}

TEST(SocketFactory, SaysWhatIsWrongWithKeysThatDoNotFit) {
    const key_pair keys = generate_keys();
    const auto fault = [](security_options security) {
        node_options options;
        options.security = std::move(security);
        try {
            static_cast<void>(socket_factory(context::shared(), options, {}).dealer());
        } catch (const error& e) {
            EXPECT_EQ(e.code(), errc::key_invalid);
            return std::string(e.what());
        }
        return ""s;
    };
    EXPECT_EQ(fault({.keys = keys, .server_key = keys.public_key}), "");
    EXPECT_NE(fault({.keys = keys}).find("needs security.server_key"), std::string::npos);
    EXPECT_NE(fault({.keys = {keys.public_key, "x"}}).find("secret_key"), std::string::npos);
    EXPECT_NE(fault({.keys = {generate_keys().public_key, keys.secret_key}}).find("public_key"),
              std::string::npos);
    EXPECT_NE(fault({.keys = keys, .server_key = "x"}).find("server key \"x\""), std::string::npos);
    EXPECT_NE(fault({.server_key = keys.public_key}).find("security.keys is not"),
              std::string::npos);
    EXPECT_NE(fault({.allowed_keys = {keys.public_key}}).find("security.keys is not"),
              std::string::npos);
}

TEST(SocketFactory, RefusesAnAllowListBesideAllowAnyKey) {
    const key_pair keys = generate_keys();
    node_options options;
    options.security = {.keys = keys, .allowed_keys = {keys.public_key}, .allow_any_key = true};
    try {
        const socket_factory factory(context::shared(), options, {});
        FAIL() << "a list that means nothing was taken";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::invalid_argument);
    }
}

// Z2
TEST(SocketFactory, RefusesAHighWaterMarkThatMeansUnlimited) {
    const socket_factory factory(context::shared(), {}, {});
    EXPECT_THROW(static_cast<void>(factory.router({.send = 0})), error);
    EXPECT_THROW(static_cast<void>(factory.dealer(frame_limits{.receive = 0})), error);
    EXPECT_THROW(static_cast<void>(factory.tap({.send = -1})), error);
}

}  // namespace
