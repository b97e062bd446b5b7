#include "support/eventually.hpp"
#include "support/stranger.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <optional>
#include <string>

// A peer that reaches a node over two links, and asks on the one that the node has as a stand-by:
// the two nodes need not agree which that is.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using wire::kind;

class StandByLink : public testing::Test {
protected:
    void SetUp() override {
        const node_id id = stranger::made_up_node();
        ASSERT_TRUE(first_.greet(id));
        ASSERT_TRUE(stand_by_.greet(id));
    }

    cairn::node node_{{.name = "here"}};
    std::string endpoint_ = node_.bind("tcp://127.0.0.1:0");
    stranger first_{endpoint_};
    stranger stand_by_{endpoint_};
};

TEST_F(StandByLink, BringsWhatIsSubscribedOnIt) {
    publisher sender(node_, "weather");
    ASSERT_TRUE(
        stand_by_.say(wire::subscribe{1, "weather", wire::start::live, 1 << 20, false, {}}));
    ASSERT_TRUE(stand_by_.hear(kind::subscribed));

    sender.publish("1");

    const auto batch = stand_by_.hear_batch(kind::batch);
    ASSERT_TRUE(batch);
    EXPECT_EQ(batch->first, sequence{1});
    EXPECT_FALSE(first_.hear_batch(kind::batch, 60ms));
}

TEST_F(StandByLink, BringsJobsAndTakesTheirAcks) {
    pusher jobs(node_, "jobs");
    ASSERT_TRUE(stand_by_.say(wire::attach{1, "jobs", "worker", 10, 1'000}));
    ASSERT_TRUE(stand_by_.hear(kind::attached));

    jobs.push("1");

    const auto lent = stand_by_.hear_batch(kind::jobs);
    ASSERT_TRUE(lent);
    wire::ack done;
    done.channel = 1;
    done.source = jobs.source();
    done.epoch = jobs.epoch();
    done.ranges = {{lent->first, lent->last()}};
    ASSERT_TRUE(stand_by_.say(done));
    EXPECT_TRUE(jobs.flush(10s));
    EXPECT_FALSE(first_.hear_batch(kind::jobs, 60ms));
}

// The reader noticed before its publisher did that the connection broke.
TEST_F(StandByLink, ServesAReaderThatLeftTheFirstWhileItsPublisherCloses) {
    publisher sender(node_, "weather", {.batch_bytes_max = 1});
    const node_id reader = stranger::made_up_node();
    std::optional<stranger> before(endpoint_);
    stranger after(endpoint_);
    ASSERT_TRUE(before->greet(reader));
    ASSERT_TRUE(after.greet(reader));
    before->say(wire::subscribe{1, "weather", wire::start::live, 1, false, {}});
    ASSERT_TRUE(before->answered());
    ASSERT_TRUE(sender.wait_for_subscribers(1, 10s));
    for (int n = 1; n <= 20; ++n) sender.publish(std::to_string(n));
    EXPECT_GT(sender.close(0ms), 0U);

    after.say(wire::subscribe{1, "weather", wire::start::earliest, 1 << 20, false, {}});
    ASSERT_TRUE(after.hear(kind::subscribed));
    before.reset();
    ASSERT_TRUE(eventually([&] { return node_.stats().links == 3; }));

    auto closed = std::async(std::launch::async, [&] { return sender.close(30s); });
    EXPECT_TRUE(after.hear(kind::end));
    EXPECT_TRUE(after.answered());
    EXPECT_EQ(closed.get(), 0U);
}

}  // namespace
