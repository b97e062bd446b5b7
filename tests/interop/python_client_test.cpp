#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/tcp_proxy.hpp"
#include "support/temp_directory.hpp"

#include <cairn/cairn.hpp>
#include <cairn/store_server.hpp>

#include <gtest/gtest.h>

#include <mutex>
#include <optional>
#include <string>
#include <vector>

// Clients in Python that know nothing but PROTOCOL.md, each against a node of ours.
namespace {

using namespace cairn;
using namespace std::chrono_literals;

constexpr int messages = 5'000;

std::string text_of(const char* what, int number) {
    return std::string(what) + " " + std::to_string(number) + " " + std::string(number % 90, '.');
}

cairn::attributes attributes_of(int number) {
    cairn::attributes a;
    a.key = "key";
    a.headers = {{"n", std::to_string(number)}};
    return a;
}

void publish(publisher& to, int from, int last) {
    for (int i = from; i <= last; ++i) {
        if (i % 10 == 0)
            to.publish(text_of("message", i), attributes_of(i));
        else
            to.publish(text_of("message", i));
    }
}

std::vector<std::string> python(const char* script, std::vector<std::string> arguments) {
    std::vector<std::string> command{CAIRN_PYTHON, std::string(CAIRN_INTEROP_DIR) + "/" + script};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

/// Where another node listened until now.
bool bound(cairn::node& here, const std::string& endpoint) {
    try {
        return here.bind(endpoint), true;
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::address_in_use) << e.what();
        return false;
    }
}

class APythonClient : public testing::Test {
protected:
    std::mutex mutex_;
    std::string log_;
    cairn::node node_{{.name = "interop", .log = [this](log_level, std::string_view line) {
                           const std::lock_guard hold(mutex_);
                           log_ += std::string(line) + "\n";
                       }}};
    std::string endpoint_ = node_.bind("tcp://127.0.0.1:0");

    /// `publisher` closed in good order and the script is content.
    static void ends_well(test::child_process& script) {
        EXPECT_EQ(script.wait(30s), 0) << script.output();
    }
    void expect_nothing_malformed() {
        const std::lock_guard hold(mutex_);
        EXPECT_EQ(node_.stats().frames_malformed, 0U) << log_;
    }
    static bool printed(const test::child_process& script, const std::string& text) {
        return script.output().find(text) != std::string::npos;
    }
};

TEST_F(APythonClient, FollowsAStreamGivesCreditBackAndSeesItsEnd) {
    publisher p(node_, "numbers.all");
    test::child_process script(
        python("subscriber.py", {endpoint_, "numbers.*", std::to_string(messages)}));
    ASSERT_TRUE(p.wait_for_subscribers(1, 30s)) << script.output();
    publish(p, 1, messages);
    EXPECT_TRUE(script.wait_for_output("quiet", 30s)) << script.output();
    EXPECT_EQ(p.close(30s), 0U);
    ends_well(script);
    EXPECT_TRUE(printed(script, "received 5000 gone 0")) << script.output();
    EXPECT_FALSE(printed(script, "credits 0")) << "the test must need more than one window";
    expect_nothing_malformed();
}

TEST_F(APythonClient, HasALostBatchRepaired) {
    publisher p(node_, "numbers.all", {.batch_bytes_max = 4'096});
    test::child_process script(python(
        "subscriber.py", {endpoint_, "numbers.*", std::to_string(messages), "lose", "1234"}));
    ASSERT_TRUE(p.wait_for_subscribers(1, 30s)) << script.output();
    publish(p, 1, messages);
    EXPECT_TRUE(script.wait_for_output("quiet", 30s)) << script.output();
    p.close(30s);
    ends_well(script);
    EXPECT_TRUE(printed(script, "received 5000 gone 0")) << script.output();
    EXPECT_GE(p.stats().repairs, 1U);
}

TEST_F(APythonClient, IsToldAtItsPlaceWhatTheRingHoldsNoLonger) {
    publisher p(node_, "numbers.all", {.ring_bytes_max = 64 << 10, .batch_bytes_max = 4'096});
    publish(p, 1, messages);
    test::child_process script(
        python("subscriber.py", {endpoint_, "numbers.*", std::to_string(messages), "from-start"}));
    EXPECT_TRUE(script.wait_for_output("quiet", 30s)) << script.output();
    p.close(30s);
    ends_well(script);
    EXPECT_FALSE(printed(script, "gone 0")) << script.output();
}

TEST_F(APythonClient, WorksOnEachJobAndHasTheUnfinishedOnesAgain) {
    std::vector<std::string> reasons;
    pusher p(node_, "jobs",
             {.on_rejected = [&](const rejected_message& r) { reasons.emplace_back(r.reason); }});
    test::child_process script(python("puller.py", {endpoint_, "jobs", "2000"}));
    for (int i = 1; i <= 2'000; ++i) p.push(text_of("job", i));
    EXPECT_TRUE(p.flush(30s)) << script.output();
    ends_well(script);
    EXPECT_TRUE(printed(script, "acked 1980 rejected 20")) << script.output();
    EXPECT_EQ(reasons, std::vector<std::string>(20, "a hundredth"));
    EXPECT_EQ(p.stats().rejected, 20U);
    expect_nothing_malformed();
}

TEST_F(APythonClient, LeavesItsJobsToAnotherWhenItDies) {
    pusher p(node_, "jobs");
    test::child_process dying(python("puller.py", {endpoint_, "jobs", "2000", "die"}));
    for (int i = 1; i <= 2'000; ++i) p.push(text_of("job", i));
    EXPECT_EQ(dying.wait(30s), 0) << dying.output();
    test::child_process heir(python("puller.py", {endpoint_, "jobs", "2000"}));
    EXPECT_TRUE(p.flush(30s)) << heir.output();
    ends_well(heir);
    EXPECT_GT(p.stats().redeliveries, 0U);
}

TEST(APythonMemberOfADurableGroup, ReadsHistoryGoesLiveAndResumesBehindWhatItAcked) {
    const test::temp_directory room;
    const store_server store(room.path() / "store");
    const std::string at = store.endpoints().front();
    cairn::node node({.name = "interop", .store = at});
    const std::string endpoint = node.bind("tcp://127.0.0.1:0");
    publisher p(node, "numbers.all", {.ring_bytes_max = 128 << 10});
    publish(p, 1, messages);
    ASSERT_EQ(p.flush(30s), 0U);

    const std::string last = std::to_string(messages + 1'000);
    test::child_process first(
        python("durable_subscriber.py", {at, "numbers.all", "readers", "1000"}));
    ASSERT_EQ(first.wait(60s), 0) << first.output();
    EXPECT_NE(first.output().find("from the publisher 0 live False"), std::string::npos);

    test::child_process second(
        python("durable_subscriber.py", {at, "numbers.all", "readers", last, endpoint}));
    ASSERT_TRUE(second.wait_for_output("live at", 60s)) << second.output();
    publish(p, messages + 1, messages + 1'000);
    ASSERT_EQ(second.wait(60s), 0) << second.output();
    EXPECT_NE(second.output().find("live True"), std::string::npos) << second.output();
    EXPECT_EQ(second.output().find("from the store 0"), std::string::npos) << second.output();
    EXPECT_EQ(second.output().find(", 1)"), std::string::npos) << "begins anew";
}

// What a script in Python does while a gap is stored, its connection is cut, its publisher starts
// again, and its store does.
TEST(APythonMemberOfADurableGroup, GoesOnBehindAGapAndWhenAnyOfThemComesBack) {
    const test::temp_directory room;
    store_server_options kept;
    kept.path = room.path() / "store";
    kept.network.bind = {"ipc://" + (room.path() / "store.ipc").string()};
    std::optional<store_server> store(kept);
    const std::string at = store->endpoints().front();
    node_options named{.name = "interop", .store = at};
    std::optional<cairn::node> node(named);
    const std::string endpoint = node->bind("tcp://127.0.0.1:0");
    test::tcp_proxy network(endpoint);
    // Its ring holds less than the last 700, so that the gap in the store is not mended by it.
    const publisher_options small{.ring_bytes_max = 8 << 10, .batch_bytes_max = 2'048};
    std::optional<publisher> p(std::in_place, *node, "numbers.all", small);
    publish(*p, 1, 1'000);
    ASSERT_EQ(p->flush(30s), 0U);
    test::child_process first(
        python("durable_subscriber.py", {at, "numbers.all", "readers", "100"}));
    ASSERT_EQ(first.wait(60s), 0) << first.output();
    ASSERT_EQ(admin(*node).trim("numbers.all", from::offset(301)), 300U);

    test::child_process script(python("durable_subscriber.py",
                                      {at, "numbers.all", "readers", "4000", network.endpoint()}));
    ASSERT_TRUE(script.wait_for_output("gap 101 to 300", 30s)) << script.output();
    ASSERT_TRUE(script.wait_for_output("live at", 30s)) << script.output();

    network.cut();
    publish(*p, 1'001, 2'000);
    ASSERT_TRUE(script.wait_for_output("lost the publisher", 30s)) << script.output();
    ASSERT_EQ(p->flush(30s), 0U);
    p.reset();
    node.emplace(named);
    ASSERT_TRUE(test::eventually([&] { return bound(*node, endpoint); }, 30s));
    p.emplace(*node, "numbers.all", small);
    publish(*p, 2'001, 3'000);
    ASSERT_TRUE(script.wait_for_output("begins", 30s)) << script.output();

    store.reset();
    ASSERT_TRUE(script.wait_for_output("lost the store", 30s)) << script.output();
    store.emplace(kept);
    publish(*p, 3'001, 4'000);

    ASSERT_EQ(script.wait(60s), 0) << script.output();
    EXPECT_NE(script.output().find("gaps 1"), std::string::npos) << script.output();
    EXPECT_EQ(p->flush(30s), 0U);
}

}  // namespace
