#include "contract.hpp"

#include <algorithm>
#include <memory>

namespace cairn::test {

/// What a reader sees of messages that were published while it was away, or before it came.
class History : public contract {
protected:
    History() : here(listening()), there(connected_to(here)) {}

    /// A publisher whose ring holds only the last few of some numbers.
    static publisher_options forgetful() { return {.ring_bytes_max = 4'000, .batch_bytes_max = 1}; }
    /// The next event, which must be a gap.
    static gap gap_of(subscriber& from) {
        const auto e = from.next_event(patience);
        if (!e || !std::holds_alternative<gap>(*e)) {
            ADD_FAILURE() << "no gap";
            return {};
        }
        return std::get<gap>(*e);
    }

    node& here;
    node& there;
};
CAIRN_OVER_EACH_TRANSPORT(History);

// Its reader had no credit for all of it; what waited for room was never in the ring.
TEST_P(History, OfAPublisherThatEndedIsToldToItsLastMessage) {
    const std::string body(100, 'x');
    constexpr std::uint64_t count = 1'000;
    for (const bool closes : {false, true}) {
        subscriber reader(there, "weather", {.credit_bytes = 2'000});
        {
            publisher sender(here, "weather");
            ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
            for (std::uint64_t n = 0; n != count; ++n) sender.publish(body);
            if (closes) static_cast<void>(sender.close(0ms));
        }
        std::uint64_t told = 0;
        while (told != count) {
            const auto e = reader.next_event(patience);
            ASSERT_TRUE(e) << told;
            if (const auto* const lost = std::get_if<gap>(&*e)) told += lost->range.size();
            if (std::holds_alternative<message>(*e)) ++told;
        }
        EXPECT_FALSE(reader.next_event(silence));
    }
}

TEST_P(History, OfAPublisherThatClosesIsSentThoughNobodyReadsIt) {
    const std::string body(1'000, 'x');
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    for (int n = 0; n != 1'500; ++n) sender.publish(body);

    EXPECT_EQ(sender.close(patience), 0U);

    EXPECT_EQ(reader.stats().queue_messages, 1'500U);
}

TEST_P(History, IsNotShownToWhoBeginsLive) {
    publisher sender(here, "weather");
    publish_numbers(sender, 1, 10);
    ASSERT_TRUE(eventually([&] { return sender.stats().batches > 0; }, patience));
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    sender.publish("11");

    EXPECT_EQ(texts(reader, 1), numbers(11, 11));
}

TEST_P(History, IsShownAsFarAsHeldToWhoBeginsEarliest) {
    publisher sender(here, "weather");
    publish_numbers(sender, 1, 100);
    subscriber reader(there, "weather", {.from = from::earliest()});
    ASSERT_TRUE(reader.wait_attached(1, patience));

    publish_numbers(sender, 101, 110);

    EXPECT_EQ(texts(reader, 110), numbers(1, 110));
}

TEST_P(History, BeginsWithoutAGapForWhoBeginsEarliest) {
    publisher sender(here, "weather", forgetful());
    publish_numbers(sender, 1, 100);
    ASSERT_TRUE(eventually([&] { return sender.stats().batches == 100; }, patience));
    subscriber reader(there, "weather", {.from = from::earliest()});

    const auto first = reader.next_event(patience);

    ASSERT_TRUE(first);
    ASSERT_TRUE(std::holds_alternative<message>(*first));
    const std::uint64_t held = std::get<message>(*first).sequence().value;
    EXPECT_GT(held, 1U);
    EXPECT_EQ(texts(reader, 100 - held), numbers(held + 1, 100));
}

TEST_P(History, GoesOnAtAGivenPosition) {
    publisher sender(here, "weather", {.source = "station"});
    publish_numbers(sender, 1, 100);
    subscriber reader(there, "weather",
                      {.from = from::after({{"weather", {"station", sender.epoch(), {42}}}})});

    EXPECT_EQ(texts(reader, 59), numbers(42, 100));
}

TEST_P(History, GoesOnWhereAnEarlierSubscriberStopped) {
    publisher sender(here, "weather");
    std::vector<resume_from> stopped;
    {
        subscriber reader(there, "weather");
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        publish_numbers(sender, 1, 100);
        EXPECT_EQ(texts(reader, 50), numbers(1, 50));
        stopped = reader.positions();
    }
    ASSERT_EQ(stopped.size(), 1U);
    EXPECT_EQ(stopped[0].topic, "weather");
    EXPECT_EQ(stopped[0].next, (position{sender.source(), sender.epoch(), sequence{51}}));

    subscriber reader(there, "weather", {.from = from::after(stopped)});

    EXPECT_EQ(texts(reader, 50), numbers(51, 100));
}

TEST_P(History, GoesOnWhereAnEarlierSubscriberBeganThatWasGivenNothing) {
    publisher quiet(here, "weather", {.source = "quiet"});
    publisher sender(here, "weather", {.source = "station"});
    std::vector<resume_from> begun;
    {
        subscriber reader(there, "weather");
        ASSERT_TRUE(quiet.wait_for_subscribers(1, patience));
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        ASSERT_TRUE(reader.wait_attached(2, patience));
        publish_numbers(sender, 1, 3);
        ASSERT_TRUE(eventually([&] { return reader.stats().queue_messages == 3; }, patience));
        begun = reader.positions();
    }
    ASSERT_EQ(begun.size(), 2U);
    for (const resume_from& r : begun) EXPECT_EQ(r.next.sequence, sequence{1}) << r.next.source;
    publish_numbers(quiet, 4, 5);

    subscriber reader(there, "weather", {.from = from::after(begun)});

    std::vector<std::string> all = texts(reader, 5);
    std::ranges::sort(all);
    EXPECT_EQ(all, numbers(1, 5));
    EXPECT_EQ(reader.stats().gaps, 0U);
}

TEST_P(History, KnowsThePositionInTheMiddleOfTheFirstBatch) {
    publisher sender(here, "weather");
    publish_numbers(sender, 1, 100);
    subscriber reader(there, "weather", {.from = from::earliest()});
    for (std::uint64_t n = 1; n != 100; ++n) {
        ASSERT_EQ(texts(reader, 1), numbers(n, n));
        const auto positions = reader.positions();
        ASSERT_EQ(positions.size(), 1U);
        EXPECT_EQ(positions[0].next.sequence, sequence{n + 1});
    }
}

TEST_P(History, IsToldAsAGapWhereItIsNoLongerHeld) {
    publisher sender(here, "weather", forgetful());
    publish_numbers(sender, 1, 100);
    ASSERT_TRUE(eventually([&] { return sender.stats().batches == 100; }, patience));
    subscriber reader(
        there, "weather",
        {.from = from::after({{"weather", {sender.source(), sender.epoch(), {10}}}})});

    const gap lost = gap_of(reader);

    EXPECT_EQ(lost.topic, "weather");
    EXPECT_EQ(lost.source, sender.source());
    EXPECT_EQ(lost.epoch, sender.epoch());
    EXPECT_EQ(lost.range.first, sequence{10});
    EXPECT_EQ(lost.cause, errc::gone);
    const std::uint64_t next = lost.range.last.value + 1;
    EXPECT_EQ(texts(reader, 101 - next), numbers(next, 100));
    EXPECT_EQ(reader.stats().gaps, 1U);
    EXPECT_EQ(reader.stats().drops, lost.range.size());
}

TEST_P(History, CallsBackForAGapInItsPlace) {
    publisher sender(here, "weather", forgetful());
    publish_numbers(sender, 1, 100);
    ASSERT_TRUE(eventually([&] { return sender.stats().batches == 100; }, patience));
    std::vector<std::string> story;
    subscriber_options options;
    options.from = from::after({{"weather", {sender.source(), sender.epoch(), {1}}}});
    options.on_gap = [&](const gap& g) {
        story.push_back("gap to " + std::to_string(g.range.last.value));
    };
    subscriber reader(there, "weather", options);

    const auto m = reader.receive_for(patience);
    ASSERT_TRUE(m);
    story.emplace_back(m->text());

    const std::uint64_t held = m->sequence().value;
    EXPECT_EQ(story, (std::vector<std::string>{"gap to " + std::to_string(held - 1),
                                               std::to_string(held)}));
}

TEST_P(History, GoesOnAtTheNextPositionAfterAReconnect) {
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_numbers(sender, 1, 100);
    EXPECT_EQ(texts(reader, 50), numbers(1, 50));

    cut(there, here);
    publish_numbers(sender, 101, 200);
    mend(there, here);
    publish_numbers(sender, 201, 300);

    EXPECT_EQ(texts(reader, 250), numbers(51, 300));
    EXPECT_EQ(reader.stats().gaps, 0U);
}

TEST_P(History, SurvivesManyReconnects) {
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(reader.wait_attached(1, patience));
    sender.publish("1");
    for (std::uint64_t round = 0; round != 10; ++round) {
        cut(there, here);
        publish_numbers(sender, round * 10 + 2, round * 10 + 11);
        mend(there, here);
    }
    EXPECT_EQ(texts(reader, 101), numbers(1, 101));
    EXPECT_EQ(reader.stats().gaps, 0U);
}

TEST_P(History, IsToldAsAGapWhenTheReaderWasAwayTooLong) {
    publisher sender(here, "weather", forgetful());
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    sender.publish("1");
    EXPECT_EQ(texts(reader, 1), numbers(1, 1));

    cut(there, here);
    publish_numbers(sender, 2, 100);
    ASSERT_TRUE(eventually([&] { return sender.stats().batches == 100; }, patience));
    mend(there, here);

    const gap lost = gap_of(reader);
    EXPECT_EQ(lost.range.first, sequence{2});
    const std::uint64_t next = lost.range.last.value + 1;
    EXPECT_EQ(texts(reader, 101 - next), numbers(next, 100));
}

TEST_P(History, IsKeptForAReaderThatHadReceivedNothingWhenCut) {
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(reader.wait_attached(1, patience));

    cut(there, here);
    publish_numbers(sender, 1, 10);
    mend(there, here);

    EXPECT_EQ(texts(reader, 10), numbers(1, 10));
}

TEST_P(History, TellsALossAtItsEndWhenThePublisherEnds) {
    auto sender = std::make_unique<publisher>(
        here, "weather", publisher_options{.ring_bytes_max = 100'000, .batch_bytes_max = 1});
    subscriber stuck(there, "weather", {.credit_bytes = 1'000});
    ASSERT_TRUE(stuck.wait_attached(1, patience));
    publish_numbers(*sender, 1, 100);
    ASSERT_TRUE(eventually([&] { return sender->stats().batches == 100; }, patience));

    sender.reset();
    ASSERT_TRUE(eventually([&] { return stuck.attached() == 0; }, patience));

    std::uint64_t next = 1;
    for (;;) {
        const auto e = stuck.next_event(patience);
        ASSERT_TRUE(e);
        if (const auto* m = std::get_if<message>(&*e)) {
            EXPECT_EQ(m->sequence().value, next++);
            continue;
        }
        const auto* lost = std::get_if<gap>(&*e);
        ASSERT_NE(lost, nullptr);
        EXPECT_EQ(lost->range, (sequence_range{{next}, {100}}));
        EXPECT_EQ(lost->cause, errc::gone);
        break;
    }
}

TEST_P(History, IsReadTwiceByNobodyWhenTwoConnectionsLeadToOneNode) {
    // `there` reaches `here` by its own connection and by the one that `here` makes to a listener
    // of its own.
    const std::string back = there.bind(fresh_endpoint());
    here.connect(back);
    ASSERT_TRUE(eventually([&] { return here.stats().links == 2; }, patience));
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    publish_numbers(sender, 1, 100);

    EXPECT_EQ(texts(reader, 100), numbers(1, 100));
    EXPECT_EQ(sender.subscribers(), 1U);
    EXPECT_EQ(reader.stats().duplicates, 0U);
}

}  // namespace cairn::test
