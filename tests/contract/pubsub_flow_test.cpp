#include "contract.hpp"

#include <atomic>
#include <optional>
#include <thread>

namespace cairn::test {

/// What happens when readers are slower than their publisher.
class Flow : public contract {
protected:
    static constexpr std::size_t body_bytes = 1'000;

    Flow() : here(listening()), there(connected_to(here)) {}

    static void publish_bodies(publisher& to, int count) {
        const std::string body(body_bytes, 'x');
        for (int i = 0; i != count; ++i) to.publish(body);
    }
    /// How far one reader is, found by its pattern.
    static reader_stats reader_of(const publisher& of, std::string_view pattern) {
        for (const reader_stats& r : of.stats().readers)
            if (r.pattern == pattern) return r;
        return {};
    }
    /// Receives to the last of `total` published; returns how many messages came and how many were
    /// told to be lost.
    static std::pair<std::uint64_t, std::uint64_t> received_and_lost(subscriber& from,
                                                                     std::uint64_t total) {
        std::uint64_t received = 0;
        std::uint64_t lost = 0;
        std::uint64_t next = 1;
        while (next <= total) {
            const auto e = from.next_event(patience);
            if (!e) break;
            if (const auto* m = std::get_if<message>(&*e)) {
                EXPECT_EQ(m->sequence().value, next);
                next = m->sequence().value + 1;
                ++received;
            } else if (const auto* g = std::get_if<gap>(&*e)) {
                EXPECT_EQ(g->range.first.value, next);
                next = g->range.last.value + 1;
                lost += g->range.size();
            }
        }
        return {received, lost};
    }

    node& here;
    node& there;
};
CAIRN_OVER_EACH_TRANSPORT(Flow);

TEST_P(Flow, SendsNoMoreThanAReaderGranted) {
    publisher sender(here, "weather", {.batch_bytes_max = 4'000});
    subscriber stuck(there, "weather", {.credit_bytes = 50'000});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    publish_bodies(sender, 500);

    // One batch may go above, so that a batch larger than the credit can be sent at all.
    EXPECT_TRUE(throughout(
        silence, [&] { return reader_of(sender, "weather").unread_bytes <= 50'000 + 8'000; }));
    EXPECT_GT(reader_of(sender, "weather").lag_messages, 400U);
}

TEST_P(Flow, GoesOnForEachReaderThatComesToAFullRing) {
    publisher sender(here, "weather",
                     {.ring_bytes_max = 20'000, .patience = publisher_options::forever});
    std::atomic<std::uint64_t> published = 0;
    std::jthread busy([&] {
        const std::string body(body_bytes, 'x');
        EXPECT_EQ(thrown_by([&] {
                      for (;; ++published) sender.publish(body);
                  }),
                  errc::closed);
    });
    for (int round = 0; round != 300 && !HasFailure(); ++round) {
        subscriber reader(here, "weather",
                          {.from = from::earliest(), .credit_bytes = std::size_t{8} << 20});
        for (int n = 0; n != round % 50; ++n) EXPECT_TRUE(reader.receive_for(patience));
        const std::uint64_t before = published;
        EXPECT_TRUE(eventually(
            [&] {
                while (reader.try_receive()) {
                }
                return published != before;
            },
            patience))
            << "in round " << round;
    }
    sender.close(0ms);
}

TEST_P(Flow, GoesOnAsTheReaderTakes) {
    publisher sender(here, "weather", {.patience = publisher_options::forever});
    subscriber slow(there, "weather", {.credit_bytes = 50'000});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    std::thread publishing([&] { publish_bodies(sender, 5'000); });

    EXPECT_EQ(received_and_lost(slow, 5'000), std::pair(5'000UL, 0UL));

    publishing.join();
}

TEST_P(Flow, LetsABodyLargerThanTheCreditPass) {
    publisher sender(here, "weather");
    subscriber small(there, "weather", {.credit_bytes = 1'000});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    for (int i = 0; i != 3; ++i) sender.publish(std::string(100'000, 'x'));

    for (int i = 0; i != 3; ++i) {
        const auto m = small.receive_for(patience);
        ASSERT_TRUE(m);
        EXPECT_EQ(m->body().size(), 100'000U);
    }
}

TEST_P(Flow, ShowsTheLagOfEachReader) {
    publisher sender(here, "weather", {.batch_bytes_max = 1});
    subscriber quick(there, "weather");
    subscriber stuck(there, "wea*", {.credit_bytes = 1});
    ASSERT_TRUE(sender.wait_for_subscribers(2, patience));
    sender.publish("1");

    publish_numbers(sender, 2, 100);
    EXPECT_EQ(texts(quick, 100), numbers(1, 100));

    EXPECT_TRUE(
        eventually([&] { return reader_of(sender, "weather").lag_messages == 0; }, patience));
    const reader_stats lagging = reader_of(sender, "wea*");
    EXPECT_GT(lagging.lag_messages, 0U);
    EXPECT_LT(lagging.lag_messages, 100U);
    EXPECT_GT(lagging.unread_bytes, 0U);
    EXPECT_FALSE(lagging.left_behind);
    EXPECT_EQ(lagging.node_name, there.name());
}

TEST_P(Flow, LeavesAStuckReaderBehindAfterItsPatience) {
    publisher sender(here, "weather", {.ring_bytes_max = 100'000, .patience = 500ms});
    subscriber quick(there, "weather");
    subscriber stuck(there, "wea*", {.credit_bytes = 10'000});
    ASSERT_TRUE(sender.wait_for_subscribers(2, patience));
    std::thread reading(
        [&] { EXPECT_EQ(received_and_lost(quick, 1'000), std::pair(1'000UL, 0UL)); });

    publish_bodies(sender, 1'000);

    EXPECT_TRUE(reader_of(sender, "wea*").left_behind);
    reading.join();
    const auto [received, lost] = received_and_lost(stuck, 1'000);
    EXPECT_EQ(received + lost, 1'000U);
    EXPECT_GT(lost, 700U);
    EXPECT_EQ(sender.stats().drops, lost);
}

TEST_P(Flow, HoldsTheOthersBackForAStuckReaderOnlyOnce) {
    publisher sender(here, "weather", {.ring_bytes_max = 100'000, .patience = 1s});
    subscriber quick(there, "weather");
    subscriber stuck(there, "wea*", {.credit_bytes = 10'000});
    ASSERT_TRUE(sender.wait_for_subscribers(2, patience));
    std::thread reading(
        [&] { EXPECT_EQ(received_and_lost(quick, 3'000), std::pair(3'000UL, 0UL)); });

    const auto start = clock::now();
    publish_bodies(sender, 1'000);
    const auto once = clock::now();
    publish_bodies(sender, 2'000);
    const auto again = clock::now();
    reading.join();

    EXPECT_GE(once - start, 900ms);
    // Twice as many ring fulls, and not one more wait.
    EXPECT_LT(again - once, 900ms);
}

TEST_P(Flow, NeverWaitsWithoutPatience) {
    publisher sender(here, "weather", {.ring_bytes_max = 100'000, .patience = 0ms});
    subscriber stuck(there, "weather", {.credit_bytes = 10'000});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    publish_bodies(sender, 1'000);

    const auto [received, lost] = received_and_lost(stuck, 1'000);
    EXPECT_EQ(received + lost, 1'000U);
    EXPECT_GT(lost, 0U);
}

TEST_P(Flow, WaitsForAStuckReaderForeverWhenAsked) {
    publisher sender(here, "weather",
                     {.ring_bytes_max = 100'000, .patience = publisher_options::forever});
    subscriber stuck(there, "weather", {.credit_bytes = 10'000});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    std::thread publishing([&] { publish_bodies(sender, 1'000); });
    EXPECT_TRUE(throughout(300ms, [&] { return sender.stats().messages < 1'000; }));

    EXPECT_EQ(received_and_lost(stuck, 1'000), std::pair(1'000UL, 0UL));

    publishing.join();
}

TEST_P(Flow, TellsTryPublishThatTheRingIsFull) {
    publisher sender(here, "weather",
                     {.ring_bytes_max = 100'000, .patience = publisher_options::forever});
    subscriber stuck(there, "weather", {.credit_bytes = 10'000});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    const std::string body(body_bytes, 'x');
    std::uint64_t accepted = 0;

    const bool full = eventually([&] {
        const send_result r = sender.try_publish(body);
        if (r) ++accepted;
        return r.status == send_status::full;
    });

    ASSERT_TRUE(full);
    EXPECT_GT(accepted, 50U);
    EXPECT_LT(accepted, 250U);
    EXPECT_EQ(sender.stats().refused, 1U);
    EXPECT_EQ(received_and_lost(stuck, accepted), std::pair(accepted, 0UL));
    EXPECT_EQ(sender.publish("goes on"), sequence{accepted + 1});
}

TEST_P(Flow, FreesThePublisherWhenAStuckReaderGoes) {
    publisher sender(here, "weather",
                     {.ring_bytes_max = 100'000, .patience = publisher_options::forever});
    std::optional<subscriber> stuck(std::in_place, there, "weather",
                                    subscriber_options{.credit_bytes = 10'000});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    std::thread publishing([&] { publish_bodies(sender, 1'000); });
    ASSERT_TRUE(eventually([&] { return sender.stats().refused > 0; }, patience));

    stuck.reset();

    publishing.join();
    EXPECT_EQ(sender.stats().messages, 1'000U);
}

TEST_P(Flow, GoesOnToAReaderAfterACloseThatWasInVain) {
    constexpr std::uint64_t total = 200;
    publisher sender(here, "weather", {.batch_bytes_max = 1});
    subscriber slow(there, "weather", {.credit_bytes = 4'000});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_bodies(sender, total);
    EXPECT_GT(sender.close(1ms), 0u);
    std::pair<std::uint64_t, std::uint64_t> got;
    std::jthread reader([&] { got = received_and_lost(slow, total); });
    EXPECT_EQ(sender.close(patience), 0u);
    reader.join();
    EXPECT_EQ(got.first, total);
    EXPECT_EQ(got.second, 0u);
}

TEST_P(Flow, KeepsTheRingWithinItsLimit) {
    publisher sender(here, "weather", {.ring_bytes_max = 100'000});
    publish_bodies(sender, 1'000);
    EXPECT_LE(sender.stats().queue_bytes, 100'000U + 50'000U);
    EXPECT_GE(sender.stats().queue_bytes, 50'000U);
}

TEST_P(Flow, SendsALoneMessageAtOnce) {
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    for (std::uint64_t n = 1; n <= 50; ++n) {
        sender.publish(std::to_string(n));
        ASSERT_EQ(texts(reader, 1), numbers(n, n));
    }

    EXPECT_EQ(reader.stats().batches, 50U);
}

TEST_P(Flow, SendsWhatGathersMeanwhileAsOneBatch) {
    publisher sender(here, "weather");
    subscriber busy(there, "weather", {.credit_bytes = 1});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    sender.publish("1");
    ASSERT_TRUE(eventually([&] { return busy.stats().batches == 1; }, patience));

    publish_numbers(sender, 2, 10'000);

    EXPECT_EQ(texts(busy, 10'000), numbers(1, 10'000));
    EXPECT_EQ(busy.stats().batches, 2U);
}

TEST_P(Flow, MakesABatchOfEachMessageWhenAsked) {
    publisher sender(here, "weather", {.batch_bytes_max = 1});
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    publish_numbers(sender, 1, 500);

    EXPECT_EQ(texts(reader, 500), numbers(1, 500));
    EXPECT_EQ(reader.stats().batches, 500U);
}

}  // namespace cairn::test
