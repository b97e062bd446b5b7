#include "support/eventually.hpp"
#include "support/stranger.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

// What a peer may do is given to its key, and asked of everybody: who subscribes, who pulls, who
// sends, and who says that a publisher is out of date.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using wire::kind;

class Rights : public testing::Test {
protected:
    /// The node under test, with these rules.
    node& here(std::vector<access_rule> rules) {
        node_options o;
        o.security = {.keys = server_, .allowed_keys = {alice_.public_key, bob_.public_key}};
        o.access = std::move(rules);
        o.log = [this](log_level, std::string_view line) {
            const std::lock_guard lock(mutex_);
            log_.append(line).append("\n");
        };
        node_ = std::make_unique<node>(std::move(o));
        endpoint_ = node_->bind("tcp://127.0.0.1:0");
        return *node_;
    }
    /// A peer that says what the test wants, greeted.
    std::unique_ptr<stranger> as(const key_pair& who) const {
        auto made = std::make_unique<stranger>(endpoint_, who, server_.public_key);
        EXPECT_TRUE(made->greet());
        return made;
    }
    /// An honest one.
    std::unique_ptr<node> node_of(const key_pair& who) const {
        auto made = std::make_unique<node>(
            node_options{.security = {.keys = who, .server_key = server_.public_key}});
        made->connect(endpoint_);
        EXPECT_TRUE(made->wait_for_peers(1, 10s));
        return made;
    }
    bool said(std::string_view words) {
        const std::lock_guard lock(mutex_);
        return log_.find(words) != std::string::npos;
    }
    static wire::subscribe wanting(std::string_view pattern,
                                   std::vector<wire::resume_point> resume = {}) {
        return {1, pattern, wire::start::live, 1 << 20, false, std::move(resume)};
    }
    static wire::batch_header first_of(wire::channel to, std::string_view topic) {
        wire::batch_header h;
        h.channel = to;
        h.topic = topic;
        h.source = "s";
        h.epoch = epoch{1};
        h.first = sequence{1};
        h.count = 1;
        return h;
    }

    const key_pair server_ = generate_keys();
    const key_pair alice_ = generate_keys();
    const key_pair bob_ = generate_keys();
    std::mutex mutex_;
    std::string log_;  // guarded by mutex_
    std::unique_ptr<node> node_;
    std::string endpoint_;
};

constexpr std::string_view record = {"\2\0\0\0ok", 6};

TEST_F(Rights, ToSubscribeAreGivenByKeyAndPattern) {
    node& n = here({{alice_.public_key, "quakes.*", {.subscribe = true}},
                    {bob_.public_key, "*", {.publish = true}}});
    const publisher quakes(n, "quakes.us");
    const publisher weather(n, "weather");
    const auto alice = as(alice_);
    alice->say(wanting("quakes.us"));
    EXPECT_TRUE(alice->hear(kind::subscribed));
    for (const std::string_view beyond : {"weather", "*"}) {
        alice->say(wanting(beyond));
        EXPECT_EQ(alice->refusal(kind::error), errc::not_authorised) << beyond;
    }
    const auto bob = as(bob_);
    bob->say(wanting("quakes.us"));
    EXPECT_EQ(bob->refusal(kind::error), errc::not_authorised);
    EXPECT_EQ(n.stats().rights_refused, 3U);
    EXPECT_TRUE(said("asked in vain: not_authorised: no right to "));
}

TEST_F(Rights, ToPullAreRightsOfTheirOwn) {
    node& n = here({{alice_.public_key, "jobs", {.consume = true}},
                    {bob_.public_key, "jobs", {.publish = true, .subscribe = true}}});
    pusher jobs(n, "jobs");
    const auto bob = as(bob_);
    bob->say(wire::attach{1, "jobs", "", 8, 8'192});
    EXPECT_EQ(bob->refusal(kind::error), errc::not_authorised);
    jobs.push("done by alice");
    const auto alice = as(alice_);
    alice->say(wire::attach{1, "jobs", "", 8, 8'192});
    EXPECT_TRUE(alice->hear_batch(kind::jobs));
}

TEST_F(Rights, ThatAreMissingAreInTheCountersOfWhoAsksUntilTheyAreGiven) {
    node& n = here({{alice_.public_key, "other", {.subscribe = true, .consume = true}}});
    publisher weather(n, "weather");
    pusher jobs(n, "jobs");
    const auto alice = node_of(alice_);
    subscriber reader(*alice, "weather");
    puller worker(*alice, "jobs");
    const auto refused = [&](errc why) {
        return [&, why] {
            return reader.stats().peer_refusal == why && worker.stats().peer_refusal == why;
        };
    };
    EXPECT_TRUE(eventually(refused(errc::not_authorised)));

    n.allow({{alice_.public_key, "*", {.subscribe = true, .consume = true}}});

    EXPECT_TRUE(weather.wait_for_subscribers(1, 10s));
    EXPECT_TRUE(worker.wait_attached(1, 10s));
    EXPECT_TRUE(eventually(refused(errc::ok)));
}

// Or whoever may read could stop whom it reads.
TEST_F(Rights, ToStopARunAreThoseToBeANewerOne) {
    node& n = here({{alice_.public_key, "*", {.subscribe = true, .consume = true}},
                    {bob_.public_key, "t", {.publish = true, .subscribe = true}}});
    publisher out(n, "t", {.source = "s"});
    pusher work(n, "jobs", {.source = "s"});
    const auto alice = as(alice_);
    alice->say(wire::attach{2, "jobs", "", 8, 8'192});
    alice->say(wanting("t"));
    ASSERT_TRUE(alice->hear(kind::subscribed));
    const epoch newer{out.epoch().value + work.epoch().value};
    alice->say(wire::fenced{"t", "s", newer});
    EXPECT_EQ(alice->refusal(kind::error), errc::not_authorised);
    alice->say(wire::fenced{"jobs", "s", newer});
    EXPECT_EQ(alice->refusal(kind::error), errc::not_authorised);
    alice->say(wanting("t", {{"t", "s", newer, sequence{1}}}));
    EXPECT_EQ(alice->refusal(kind::error), errc::not_authorised);
    EXPECT_EQ(out.try_publish("goes on").status, send_status::accepted);
    EXPECT_EQ(work.try_push("goes on").status, send_status::accepted);

    const auto bob = as(bob_);
    bob->say(wanting("t"));
    ASSERT_TRUE(bob->hear(kind::subscribed));
    bob->say(wire::fenced{"t", "s", newer});
    EXPECT_TRUE(eventually([&] { return out.try_publish("over").status == send_status::fenced; }));
}

// The digest counts all that the peer has: it is no reason to begin anew each second.
TEST_F(Rights, OfAPublisherAreAskedByItsReaders) {
    node& n = here({{alice_.public_key, "quakes.*", {.publish = true}}});
    subscriber in(n, "*", {.from = from::earliest()});
    const auto alice = as(alice_);
    const auto asked = alice->hear<wire::subscribe>(kind::subscribe);
    ASSERT_TRUE(asked);
    const wire::channel to = asked->channel;
    const wire::head held{"weather", "s", epoch{1}, sequence{1}, sequence{1}, sequence{1}};
    alice->say(wire::subscribed{to, false, {held}});
    EXPECT_EQ(alice->refusal(kind::error), errc::not_authorised);
    alice->say(first_of(to, "weather"), record);
    alice->say(wire::gone{to, "weather", "s", epoch{1}, {sequence{1}, sequence{1}}});
    alice->say(wire::end{to, "weather", "s", epoch{1}, sequence{1}});
    alice->say(wire::digest{to, 2, 1});
    alice->say(first_of(to, "quakes.us"), record);
    const auto m = in.receive_for(10s);
    ASSERT_TRUE(m);
    EXPECT_EQ(m->topic(), "quakes.us");
    EXPECT_EQ(n.stats().rights_refused, 4U);
    EXPECT_EQ(in.stats().repairs, 0U);
    EXPECT_EQ(in.stats().gaps, 0U);
}

TEST_F(Rights, OfAPusherAreAskedByItsPullers) {
    node& n = here({{alice_.public_key, "jobs", {.publish = true}}});
    puller in(n, "jobs");
    const auto alice = as(alice_);
    const auto bob = as(bob_);
    const auto asked = alice->hear<wire::attach>(kind::attach);
    ASSERT_TRUE(asked);
    wire::jobs_header work;
    static_cast<wire::batch_header&>(work) = first_of(asked->channel, "jobs");
    work.attempt = 1;
    work.ack_wait_ms = 1'000;
    for (int i = 0; i != 20; ++i) bob->say(work, record);
    EXPECT_EQ(bob->refusal(kind::error), errc::not_authorised);
    EXPECT_TRUE(bob->answered_without_refusal()) << "once says all";
    EXPECT_EQ(n.stats().rights_refused, 20U);
    EXPECT_FALSE(in.receive_for(0ms));
    alice->say(work, record);
    EXPECT_TRUE(in.receive_for(10s));
}

// Its publishers would believe that they are heard.
TEST_F(Rights, AreWithoutUseToSubscribeToWhoMayPublishNothing) {
    node& n = here({{alice_.public_key, "news", {.publish = true}}});
    subscriber in(n, "news");
    puller work(n, "news");
    const auto mute = node_of(bob_);
    const publisher unheard(*mute, "news");
    const pusher idle(*mute, "news", {.source = "idle"});
    const auto heard = node_of(alice_);
    publisher out(*heard, "news");
    ASSERT_TRUE(out.wait_for_subscribers(1, 10s));
    EXPECT_EQ(in.attached(), 1U);
    EXPECT_EQ(unheard.subscribers(), 0U);
    EXPECT_EQ(idle.pullers(), 0U);
    EXPECT_TRUE(said("not subscribing to news"));
    EXPECT_TRUE(said("not pulling from news"));
}

TEST_F(Rights, ThatChangeEndTheLinkAndHoldOnTheNextOne) {
    const access_rule alices{alice_.public_key, "*", {.subscribe = true}};
    const access_rule bobs{bob_.public_key, "news", {.subscribe = true}};
    node& n = here({alices, bobs});
    publisher out(n, "news");
    const auto alice = node_of(alice_);
    const auto bob = node_of(bob_);
    const subscriber to_alice(*alice, "news");
    subscriber to_bob(*bob, "news");
    ASSERT_TRUE(out.wait_for_subscribers(2, 10s));

    n.allow({bobs, alices});
    EXPECT_EQ(out.subscribers(), 2U) << "in another order they are the same";
    n.allow({alices});
    EXPECT_EQ(out.subscribers(), 1U) << "and nobody else's link is touched";
    EXPECT_TRUE(eventually([&] { return n.stats().rights_refused == 1; }));
    n.allow({alices, {bob_.public_key, "*", {.subscribe = true}}});
    ASSERT_TRUE(out.wait_for_subscribers(2, 10s));
    out.publish("for both");
    EXPECT_TRUE(to_bob.receive_for(10s));
}

TEST_F(Rights, OfTheNodeItselfHaveNoEnd) {
    node& n = here({{alice_.public_key, "other", {.subscribe = true}}});
    publisher out(n, "news");
    subscriber in(n, "news");
    ASSERT_TRUE(out.wait_for_subscribers(1, 10s));
    out.publish("to itself");
    EXPECT_TRUE(in.receive_for(10s));
}

TEST(AnAccessRule, ThatMeansNothingIsRefused) {
    const auto code_of = [](const access_rule& rule) {
        try {
            const node made({.access = {rule}});
        } catch (const error& e) {
            return e.code();
        }
        return errc::ok;
    };
    EXPECT_EQ(code_of({"not a key", "t", {}}), errc::key_invalid);
    EXPECT_EQ(code_of({"*", "a*b", {}}), errc::invalid_argument);
    EXPECT_EQ(code_of({"*", "t", {}}), errc::ok);
}

// A plain SUB socket has no key that could be asked for, and reads all topics.
TEST(AnAccessRule, AndATapExcludeEachOther) {
    node ruled({.access = {{"*", "t", {.subscribe = true}}}});
    node tapped;
    tapped.open_tap("tcp://127.0.0.1:0");
    for (const auto& [call, what] : {std::pair<std::function<void()>, const char*>{
                                         [&] { ruled.open_tap("tcp://127.0.0.1:0"); }, "open_tap"},
                                     {[&] {
                                          tapped.allow({{"*", "t", {.subscribe = true}}});
                                      },
                                      "allow"}}) {
        try {
            call();
            ADD_FAILURE() << what;
        } catch (const error& e) {
            EXPECT_EQ(e.code(), errc::not_supported) << what;
        }
    }
}

}  // namespace
