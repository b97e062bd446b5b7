#include "support/eventually.hpp"
#include "support/stranger.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <string_view>

// Two processes that publish as one source and, since both took their epoch in one millisecond, or
// from a clock that went back, as one run of it.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using wire::kind;

class Twins : public testing::Test {
protected:
    /// What a reader asked it for.
    static wire::channel asked(stranger& twin) {
        const auto request = twin.hear<wire::subscribe>(kind::subscribe);
        EXPECT_TRUE(request);
        return request ? request->channel : 0;
    }
    static void publish(stranger& as, wire::channel to, std::uint64_t sequence,
                        std::string_view text) {
        wire::batch_header h;
        h.channel = to;
        h.topic = "t";
        h.source = "s";
        h.epoch = epoch{7};
        h.first = cairn::sequence{sequence};
        h.count = 1;
        const std::string record{static_cast<char>(text.size()), '\0', '\0', '\0'};
        as.say(h, record + std::string(text));
    }
    static void push(stranger& as, wire::channel to, std::string_view text,
                     std::string_view source = "s", std::uint64_t sequence = 1) {
        wire::jobs_header h;
        h.channel = to;
        h.topic = "t";
        h.source = source;
        h.epoch = epoch{7};
        h.first = cairn::sequence{sequence};
        h.count = 1;
        h.ack_wait_ms = 60'000;
        const std::string record{static_cast<char>(text.size()), '\0', '\0', '\0'};
        as.say(h, record + std::string(text));
    }
    static wire::head head(std::uint64_t last) {
        return {"t", "s", epoch{7}, sequence{1}, sequence{last}, sequence{1}};
    }

    std::atomic<int> conflicts_{0};
    static constexpr std::size_t topics_max_ = 8;
    node node_{
        {.topics_per_peer_max = topics_max_, .log = [this](log_level, std::string_view line) {
             if (line.find("has the same epoch of source s on t") != std::string_view::npos)
                 ++conflicts_;
         }}};
    const std::string endpoint_ = node_.bind("tcp://127.0.0.1:0");
};

TEST_F(Twins, OfOneEpochAreToldApartAndTheLaterIsFenced) {
    subscriber in(node_, "t", {.from = from::earliest()});
    stranger first(endpoint_);
    ASSERT_TRUE(first.greet());
    const wire::channel at_first = asked(first);
    first.say(wire::subscribed{at_first, false, {head(1)}});
    publish(first, at_first, 1, "first's 1");
    ASSERT_EQ(in.receive_for(10s).value().text(), "first's 1");

    stranger later(endpoint_);
    ASSERT_TRUE(later.greet());
    const wire::channel at_later = asked(later);
    later.say(wire::subscribed{at_later, false, {head(3)}});
    publish(later, at_later, 1, "later's 1");
    publish(later, at_later, 2, "later's 2");
    const auto told = later.hear<wire::fenced>(kind::fenced);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->source, "s");
    EXPECT_GT(told->newer, epoch{7}) << "or it would not stop";
    EXPECT_FALSE(later.hear(kind::fenced, 60ms)) << "once is enough";

    publish(first, at_first, 2, "first's 2");
    EXPECT_EQ(in.receive_for(10s).value().text(), "first's 2");
    EXPECT_EQ(in.stats().gaps, 0U);
    EXPECT_EQ(in.stats().duplicates, 0U);
    EXPECT_EQ(conflicts_, 1);
}

// It is the first one's run, whether that lives or not: its positions have a content.
TEST_F(Twins, OfOneEpochAreToldApartWhenTheFirstIsGone) {
    subscriber in(node_, "t", {.from = from::earliest()});
    {
        stranger first(endpoint_);
        ASSERT_TRUE(first.greet());
        const wire::channel at_first = asked(first);
        first.say(wire::subscribed{at_first, false, {head(1)}});
        publish(first, at_first, 1, "first's 1");
        ASSERT_EQ(in.receive_for(10s).value().text(), "first's 1");
    }
    ASSERT_TRUE(eventually([&] { return node_.stats().links == 0; }));
    stranger later(endpoint_);
    ASSERT_TRUE(later.greet());
    const wire::channel at_later = asked(later);
    later.say(wire::subscribed{at_later, false, {head(2)}});
    EXPECT_TRUE(later.hear(kind::fenced));
    EXPECT_EQ(in.stats().gaps, 0U);
}

TEST_F(Twins, OfOneEpochMayComeBackToTheirOwnRun) {
    subscriber in(node_, "t", {.from = from::earliest()});
    const node_id id = stranger::made_up_node();
    for (std::uint64_t n = 1; n <= 2; ++n) {
        stranger first(endpoint_);
        ASSERT_TRUE(first.greet(id));
        const wire::channel at = asked(first);
        first.say(wire::subscribed{at, false, {head(n)}});
        publish(first, at, n, std::to_string(n));
        EXPECT_EQ(in.receive_for(10s).value().text(), std::to_string(n));
    }
    EXPECT_EQ(conflicts_, 0);
}

// Whoever notes which jobs are done would take those of one for those of the other.
TEST_F(Twins, OfOneEpochAreToldApartByWhoPulls) {
    puller in(node_, "t");
    stranger first(endpoint_);
    ASSERT_TRUE(first.greet());
    const auto at_first = first.hear<wire::attach>(kind::attach);
    ASSERT_TRUE(at_first);
    push(first, at_first->channel, "first's");
    EXPECT_EQ(in.receive_for(10s).value().text(), "first's");
    stranger later(endpoint_);
    ASSERT_TRUE(later.greet());
    push(later, at_first->channel, "later's");
    const auto told = later.hear<wire::fenced>(kind::fenced);
    ASSERT_TRUE(told);
    EXPECT_GT(told->newer, epoch{7});
    EXPECT_FALSE(in.receive_for(0ms));
    EXPECT_EQ(conflicts_, 1);
}

TEST_F(Twins, OfOneEpochAreToldApartByWhoPullsFromManyOthersMeanwhile) {
    puller in(node_, "t");
    const auto attached = [](stranger& peer) {
        EXPECT_TRUE(peer.greet());
        const auto request = peer.hear<wire::attach>(kind::attach);
        EXPECT_TRUE(request);
        return request ? request->channel : 0;
    };
    stranger first(endpoint_);
    const wire::channel channel = attached(first);
    for (std::uint64_t n = 1; n <= 3 * topics_max_; ++n) {
        push(first, channel, "first's", "s", n);
        EXPECT_EQ(in.receive_for(10s).value().text(), "first's");
        stranger other(endpoint_);
        push(other, attached(other), "other's", "source " + std::to_string(n));
        EXPECT_EQ(in.receive_for(10s).value().text(), "other's");
    }

    stranger later(endpoint_);
    push(later, attached(later), "later's");

    EXPECT_TRUE(later.hear<wire::fenced>(kind::fenced));
    EXPECT_EQ(conflicts_, 1);
}

}  // namespace
