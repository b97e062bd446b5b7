#include "contract.hpp"

#include <map>
#include <memory>

namespace cairn::test {

using Publisher = contract;
using Subscriber = contract;
CAIRN_OVER_EACH_TRANSPORT(Publisher);
CAIRN_OVER_EACH_TRANSPORT(Subscriber);

// --- Attaching --------------------------------------------------------------------------------

TEST_P(Subscriber, ReceivesEverythingInOrder) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    publish_numbers(sender, 1, 1'000);

    EXPECT_EQ(texts(reader, 1'000), numbers(1, 1'000));
}

TEST_P(Subscriber, MissesNothingAfterThePublisherSawIt) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    for (int round = 0; round != 20; ++round) {
        subscriber reader(there, "weather");
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        sender.publish("first");
        EXPECT_EQ(texts(reader, 1), std::vector<std::string>{"first"});
        reader.close();
        ASSERT_TRUE(eventually([&] { return sender.subscribers() == 0; }, patience));
    }
}

TEST_P(Subscriber, MissesNothingAfterItSawItselfAttached) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    for (int round = 0; round != 20; ++round) {
        subscriber reader(there, "weather");
        ASSERT_TRUE(reader.wait_attached(1, patience));
        sender.publish("first");
        EXPECT_EQ(texts(reader, 1), std::vector<std::string>{"first"});
    }
}

TEST_P(Subscriber, SeesAPublisherThatComesLaterFromItsFirstMessage) {
    node& here = listening();
    node& there = connected_to(here);
    subscriber reader(there, "weather");
    ASSERT_FALSE(reader.wait_attached(1, silence));

    publisher late(here, "weather");
    ASSERT_TRUE(late.wait_for_subscribers(1, patience));
    late.publish("1");

    EXPECT_EQ(texts(reader, 1), numbers(1, 1));
}

TEST_P(Subscriber, IsNoLongerCountedOnceItIsClosed) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    reader.close();

    EXPECT_TRUE(eventually([&] { return sender.subscribers() == 0; }, patience));
}

TEST_P(Subscriber, SeesItsPublisherEnd) {
    node& here = listening();
    node& there = connected_to(here);
    auto sender = std::make_unique<publisher>(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(reader.wait_attached(1, patience));

    sender.reset();

    EXPECT_TRUE(eventually([&] { return reader.attached() == 0; }, patience));
}

TEST_P(Publisher, WaitsForSubscribersUntilTheDeadlineOnly) {
    publisher alone(listening(), "weather");
    EXPECT_FALSE(alone.wait_for_subscribers(1, silence));
    EXPECT_TRUE(alone.wait_for_subscribers(0, 0ms));
}

// --- Topics and patterns ----------------------------------------------------------------------

TEST_P(Subscriber, FollowsAllTopicsThatBeginAsItsPattern) {
    node& here = listening();
    node& there = connected_to(here);
    publisher strong(here, "quakes.strong");
    publisher weak(here, "quakes.weak");
    publisher other(here, "quake");
    subscriber reader(there, "quakes.*");
    ASSERT_TRUE(reader.wait_attached(2, patience));

    other.publish("not this");
    strong.publish("7.1");
    const auto first = reader.receive_for(patience);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->topic(), "quakes.strong");
    weak.publish("2.0");
    const auto second = reader.receive_for(patience);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->topic(), "quakes.weak");
    EXPECT_EQ(other.subscribers(), 0U);
}

TEST_P(Subscriber, TakesAPatternWithoutStarAsAWholeTopic) {
    node& here = listening();
    node& there = connected_to(here);
    publisher longer(here, "quakes.strong");
    publisher exact(here, "quakes");
    subscriber reader(there, "quakes");
    ASSERT_TRUE(exact.wait_for_subscribers(1, patience));

    EXPECT_EQ(longer.subscribers(), 0U);
}

TEST_P(Subscriber, FollowsEverythingWithAStarAlone) {
    node& here = listening();
    node& there = connected_to(here);
    publisher one(here, "one");
    publisher two(here, "two");
    subscriber reader(there, "*");
    ASSERT_TRUE(reader.wait_attached(2, patience));

    one.publish("1");
    EXPECT_EQ(texts(reader, 1), numbers(1, 1));
    two.publish("2");
    EXPECT_EQ(texts(reader, 1), numbers(2, 2));
}

TEST_P(Subscriber, RefusesAnInvalidPattern) {
    node& here = listening();
    for (const std::string pattern : {"", "a*b", "**", "tab\t"})
        EXPECT_EQ(thrown_by([&] { subscriber(here, pattern); }), errc::topic_invalid) << pattern;
    EXPECT_EQ(thrown_by([&] { subscriber(here, std::string(256, 'x')); }), errc::topic_invalid);
}

TEST_P(Publisher, RefusesAnInvalidTopic) {
    node& here = listening();
    for (const std::string topic : {"", "a*", "*", "tab\t"})
        EXPECT_EQ(thrown_by([&] { publisher(here, topic); }), errc::topic_invalid) << topic;
    EXPECT_EQ(thrown_by([&] { publisher(here, std::string(256, 'x')); }), errc::topic_invalid);
}

TEST_P(Publisher, RefusesASourceThatOnlyAStoreMayHave) {
    node& here = listening();
    EXPECT_EQ(thrown_by([&] { publisher(here, "weather", {.source = "@own"}); }),
              errc::invalid_argument);
    node robot(node_options{.name = "@robot"});
    EXPECT_EQ(thrown_by([&] { publisher(robot, "weather"); }), errc::invalid_argument);
    publisher(robot, "weather", {.source = "robot"});
}

TEST_P(Publisher, RefusesASecondUseOfItsSourceOnOneNode) {
    node& here = listening();
    auto first = std::make_unique<publisher>(here, "weather");
    EXPECT_EQ(thrown_by([&] { publisher(here, "weather"); }), errc::source_in_use);
    publisher(here, "weather", {.source = "another"});
    publisher(here, "climate");

    first.reset();

    publisher(here, "weather");
}

// --- Several of everything --------------------------------------------------------------------

TEST_P(Subscriber, HearsEveryPublisherOfATopic) {
    node& hub = listening();
    node& there = connected_to(hub);
    publisher local(hub, "weather", {.source = "first"});
    publisher second(hub, "weather", {.source = "second"});
    publisher remote(there, "weather", {.source = "third"});
    subscriber reader(hub, "weather");
    ASSERT_TRUE(reader.wait_attached(3, patience));

    for (publisher* p : {&local, &second, &remote}) publish_numbers(*p, 1, 100);

    std::map<std::string, std::vector<std::string>> by_source;
    for (int i = 0; i != 300; ++i) {
        const auto m = reader.receive_for(patience);
        ASSERT_TRUE(m);
        by_source[std::string(m->source())].emplace_back(m->text());
    }
    for (const std::string source : {"first", "second", "third"})
        EXPECT_EQ(by_source[source], numbers(1, 100)) << source;
}

TEST_P(Publisher, ReachesEverySubscriberWhicheverSideConnected) {
    node& middle = listening();
    node& above = connected_to(middle);
    node& below = connected_to(middle);
    publisher sender(middle, "weather");
    subscriber one(above, "weather");
    subscriber two(below, "wea*");
    subscriber three(below, "weather");
    subscriber local(middle, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(4, patience));

    publish_numbers(sender, 1, 100);

    for (subscriber* s : {&one, &two, &three, &local}) EXPECT_EQ(texts(*s, 100), numbers(1, 100));
}

TEST_P(Publisher, MayBeOnTheConnectingSide) {
    node& there = listening();
    node& here = connected_to(there);
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    publish_numbers(sender, 1, 100);

    EXPECT_EQ(texts(reader, 100), numbers(1, 100));
}

TEST_P(Subscriber, WorksBesideItsPublisherOnOneNode) {
    node& here = listening();
    publisher sender(here, "weather");
    subscriber reader(here, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    publish_numbers(sender, 1, 1'000);

    EXPECT_EQ(texts(reader, 1'000), numbers(1, 1'000));
}

TEST_P(Publisher, SharesItsNodeWithManyOthers) {
    node& here = listening();
    node& there = connected_to(here);
    std::vector<std::unique_ptr<publisher>> senders;
    std::vector<std::unique_ptr<subscriber>> readers;
    for (int i = 0; i != 50; ++i) {
        const std::string topic = "topic-" + std::to_string(i);
        senders.push_back(std::make_unique<publisher>(here, topic));
        readers.push_back(std::make_unique<subscriber>(there, topic));
    }
    for (auto& s : senders) ASSERT_TRUE(s->wait_for_subscribers(1, patience));

    for (std::uint64_t i = 0; i != 50; ++i) senders[i]->publish(std::to_string(i));

    for (std::uint64_t i = 0; i != 50; ++i) EXPECT_EQ(texts(*readers[i], 1), numbers(i, i));
}

// --- What travels -----------------------------------------------------------------------------

TEST_P(Subscriber, ReceivesAttributes) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    attributes sent;
    sent.key = "Berlin";
    sent.content_type = "text/plain";
    sent.trace_id[3] = std::byte{7};
    sent.headers = {{"station", "Tegel"}, {"sensor", "b"}};

    sender.publish("18 degrees", sent);
    const auto m = reader.receive_for(patience);

    ASSERT_TRUE(m);
    EXPECT_EQ(m->key(), "Berlin");
    EXPECT_EQ(m->attributes(), sent);
    EXPECT_EQ(m->text(), "18 degrees");
}

TEST_P(Subscriber, ReceivesPositionAndTime) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather", {.source = "station"});
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    const wall_time before = std::chrono::system_clock::now();

    EXPECT_EQ(sender.publish("a"), sequence{1});
    EXPECT_EQ(sender.publish("b"), sequence{2});

    for (std::uint64_t n : {1U, 2U}) {
        const auto m = reader.receive_for(patience);
        ASSERT_TRUE(m);
        EXPECT_EQ(m->position(), (position{"station", sender.epoch(), sequence{n}}));
        EXPECT_GE(m->time(), before);
        EXPECT_LE(m->time(), std::chrono::system_clock::now());
    }
}

TEST_P(Subscriber, ReceivesBodiesOfEverySize) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    for (const std::size_t size : {0, 1, 4'095, 4'096, 65'537, 1'000'000, 20'000'000}) {
        const std::string body(size, static_cast<char>('a' + size % 26));
        sender.publish(body);
        const auto m = reader.receive_for(patience);
        ASSERT_TRUE(m) << size;
        EXPECT_TRUE(m->text() == body) << size;
    }
}

TEST_P(Publisher, RefusesABodyAboveTheLimit) {
    node& here = listening({.body_bytes_max = 1'000});
    publisher sender(here, "weather");

    EXPECT_EQ(sender.publish(std::string(1'000, 'x')), sequence{1});
    EXPECT_EQ(thrown_by([&] { sender.publish(std::string(1'001, 'x')); }), errc::too_large);
    EXPECT_EQ(sender.try_publish(std::string(1'001, 'x')).status, send_status::too_large);
    EXPECT_EQ(sender.publish("next"), sequence{2});
}

TEST_P(Publisher, RefusesAttributesAboveTheLimit) {
    publisher sender(listening(), "weather");
    attributes large;
    large.key = std::string(256, 'k');

    EXPECT_EQ(thrown_by([&] { sender.publish("x", large); }), errc::too_large);
    EXPECT_EQ(sender.try_publish("x", large).status, send_status::too_large);
}

TEST_P(Subscriber, ShowsMessagesWhereTheirBatchLies) {
    node& here = listening();
    publisher sender(here, "weather");
    subscriber reader(connected_to(here), "weather", {.credit_bytes = 1});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    sender.publish("those behind it gather");
    ASSERT_TRUE(eventually([&] { return reader.stats().batches == 1; }, patience));
    publish_numbers(sender, 100, 199);
    ASSERT_TRUE(reader.receive_for(patience));

    const std::byte* before = nullptr;
    for (int i = 100; i != 200; ++i) {
        const auto m = reader.receive_for(patience);
        ASSERT_TRUE(m);
        if (before) {
            EXPECT_EQ(m->body().data() - before, 4 + 3) << "a word and the body before";
        }
        before = m->body().data();
    }
}

TEST_P(Subscriber, GivesCopiesThatOutliveTheViews) {
    node& here = listening();
    node& there = connected_to(here);
    std::vector<owned_message> kept;
    {
        publisher sender(here, "weather", {.source = "station"});
        subscriber reader(there, "weather");
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        publish_numbers(sender, 1, 100);
        while (kept.size() != 100) {
            const auto m = reader.receive_for(patience);
            ASSERT_TRUE(m);
            kept.push_back(m->copy());
        }
    }
    for (std::uint64_t i = 0; i != 100; ++i) {
        EXPECT_EQ(kept[i].text(), std::to_string(i + 1));
        EXPECT_EQ(kept[i].topic, "weather");
        EXPECT_EQ(kept[i].position.sequence, sequence{i + 1});
    }
}

}  // namespace cairn::test
