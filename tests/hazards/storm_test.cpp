#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/resident.hpp"
#include "support/rounds.hpp"

#include <cairn/cairn.hpp>
#include <cairn/runtime/connection_guard.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

// Z10, Z11, Z16: everybody comes at once, as after a restart of what they are connected to, and
// each handshake costs a key exchange.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;

/// 1,000 with CAIRN_TEST_LONG.
std::size_t connectors() { return long_test() ? 1'000 : sanitized ? 40 : 200; }

class AStorm : public testing::Test {
protected:
    std::unique_ptr<node> listening(const std::string& endpoint) const {
        auto made = std::make_unique<node>(node_options{
            .name = "host", .security = {.keys = server_, .allowed_keys = {client_.public_key}}});
        EXPECT_TRUE(eventually([&] {
            try {
                return made->bind(endpoint), true;
            } catch (const error&) {
                return false;  // the one before is not quite gone
            }
        }));
        return made;
    }
    /// Half of the connectors.
    std::vector<std::string> half(const std::string& endpoint) const {
        return {CAIRN_HAZARDS_CONNECTORS, endpoint,           std::to_string(connectors() / 2),
                client_.public_key,       client_.secret_key, server_.public_key};
    }

    const key_pair server_ = generate_keys();
    const key_pair client_ = generate_keys();
};

TEST_F(AStorm, OfConnectorsWithKeysGetsInWhileOthersAreServed) {
    const std::string where = node().bind("tcp://127.0.0.1:0");
    auto host = listening(where);
    auto news = std::make_unique<publisher>(*host, "news");
    node guest(
        {.connect = {where}, .security = {.keys = client_, .server_key = server_.public_key}});
    subscriber in(guest, "news");
    ASSERT_TRUE(news->wait_for_subscribers(1, 10s));
    const std::size_t memory = resident_bytes();
    const std::size_t descriptors = runtime::open_descriptors();

    child_process one(half(where));
    child_process other(half(where));
    const auto until = std::chrono::steady_clock::now() + 60s;
    while (host->stats().links != connectors() + 1) {
        ASSERT_LT(std::chrono::steady_clock::now(), until) << host->stats().links;
        news->publish("still here");
        ASSERT_TRUE(in.receive_for(10s));
    }
    ASSERT_TRUE(one.wait_for_output("all are there", 60s)) << one.output();
    ASSERT_TRUE(other.wait_for_output("all are there", 60s)) << other.output();
    EXPECT_LE(runtime::open_descriptors(), descriptors + connectors() + 16);
    if (!sanitized) {
        EXPECT_LE(resident_bytes(), memory + connectors() * (64 << 10));
    }
    EXPECT_EQ(in.stats().gaps, 0U);
    EXPECT_EQ(guest.stats().reconnects, 0U);

    news.reset();
    host.reset();
    host = listening(where);
    EXPECT_EQ(one.wait(60s), 0) << one.output();
    EXPECT_EQ(other.wait(60s), 0) << other.output();
}

}  // namespace
