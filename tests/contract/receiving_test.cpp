#include "contract.hpp"

#include <poll.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace cairn::test {

/// The ways in which messages come out of a subscriber or a puller.
class Receiving : public contract {
protected:
    Receiving() : here(listening()), there(connected_to(here)) {}

    bool attached() { return sender.wait_for_subscribers(1, patience); }

    node& here;
    node& there;
    publisher sender{here, "weather"};
    subscriber reader{there, "weather"};
};
CAIRN_OVER_EACH_TRANSPORT(Receiving);

bool readable(int descriptor, std::chrono::milliseconds deadline) {
    pollfd asked{descriptor, POLLIN, 0};
    return ::poll(&asked, 1, static_cast<int>(deadline.count())) == 1;
}

TEST_P(Receiving, WaitsForTheNextMessage) {
    ASSERT_TRUE(attached());
    std::thread later([&] { sender.publish("1"); });
    const auto m = reader.receive();
    later.join();
    ASSERT_TRUE(m);
    EXPECT_EQ(m->text(), "1");
}

TEST_P(Receiving, GivesUpAfterItsPatience) {
    ASSERT_TRUE(attached());
    const auto start = clock::now();
    EXPECT_FALSE(reader.receive_for(silence));
    EXPECT_GE(clock::now() - start, silence);
    EXPECT_FALSE(reader.closed());
}

TEST_P(Receiving, TriesWithoutWaiting) {
    ASSERT_TRUE(attached());
    EXPECT_FALSE(reader.try_receive());
    sender.publish("1");
    EXPECT_TRUE(eventually([&] { return reader.try_receive().has_value(); }, patience));
    EXPECT_FALSE(reader.try_receive());
}

TEST_P(Receiving, EndsALoopOverMessagesWhenClosed) {
    ASSERT_TRUE(attached());
    publish_numbers(sender, 1, 10);
    std::vector<std::string> got;
    for (const message& m : reader) {
        got.emplace_back(m.text());
        if (got.size() == 10) reader.close();
    }
    EXPECT_EQ(got, numbers(1, 10));
}

TEST_P(Receiving, ReturnsNothingAfterCloseThoughMessagesWait) {
    ASSERT_TRUE(attached());
    publish_numbers(sender, 1, 100);
    ASSERT_TRUE(reader.receive_for(patience));

    reader.close();

    EXPECT_TRUE(reader.closed());
    EXPECT_FALSE(reader.receive());
    EXPECT_FALSE(reader.receive_for(0ms));
    EXPECT_FALSE(reader.try_receive());
    EXPECT_FALSE(reader.next_event(0ms));
}

TEST_P(Receiving, IsWokenByCloseFromAnotherThread) {
    ASSERT_TRUE(attached());
    std::atomic<bool> waiting{false};
    std::thread waiter([&] {
        waiting = true;
        EXPECT_FALSE(reader.receive());
    });
    ASSERT_TRUE(eventually([&] { return waiting.load(); }, patience));
    reader.close();
    waiter.join();
}

TEST_P(Receiving, IsWokenWhenItsNodeCloses) {
    ASSERT_TRUE(attached());
    std::atomic<bool> waiting{false};
    std::thread waiter([&] {
        waiting = true;
        EXPECT_FALSE(reader.receive());
    });
    ASSERT_TRUE(eventually([&] { return waiting.load(); }, patience));
    there.close(patience);
    waiter.join();
    EXPECT_TRUE(reader.closed());
}

TEST_P(Receiving, CallsAHandlerForEachMessage) {
    std::mutex mutex;
    std::vector<std::string> got;
    reader.start([&](const message& m) {
        const std::lock_guard lock(mutex);
        got.emplace_back(m.text());
    });
    ASSERT_TRUE(attached());

    publish_numbers(sender, 1, 100);

    EXPECT_TRUE(eventually(
        [&] {
            const std::lock_guard lock(mutex);
            return got.size() == 100;
        },
        patience));
    EXPECT_EQ(got, numbers(1, 100));
}

TEST_P(Receiving, BesideAHandlerIsRefused) {
    reader.start([](const message&) {});

    EXPECT_EQ(thrown_by([&] { reader.receive(); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { reader.receive_for(0ms); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { reader.try_receive(); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { reader.next_event(0ms); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { reader.begin(); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { reader.start([](const message&) {}); }), errc::invalid_argument);
}

TEST_P(Receiving, LetsAHandlerPublishOnItsOwnNode) {
    publisher answers(there, "answers");
    subscriber heard(here, "answers");
    reader.start([&](const message& m) { answers.publish(m.text()); });
    ASSERT_TRUE(attached());
    ASSERT_TRUE(heard.wait_attached(1, patience));

    publish_numbers(sender, 1, 100);

    EXPECT_EQ(texts(heard, 100), numbers(1, 100));
}

TEST_P(Receiving, MakesItsDescriptorReadableForEachMessage) {
    ASSERT_TRUE(attached());
    const int descriptor = reader.file_descriptor();
    for (std::uint64_t n = 1; n != 20; ++n) {
        while (reader.try_receive()) {
        }
        sender.publish(std::to_string(n));
        std::optional<message> m;
        while (!m && readable(descriptor, patience)) m = reader.try_receive();
        ASSERT_TRUE(m);
        EXPECT_EQ(m->text(), std::to_string(n));
    }
}

TEST_P(Receiving, LeavesItsDescriptorQuietWhenThereIsNothing) {
    ASSERT_TRUE(attached());
    const int descriptor = reader.file_descriptor();

    EXPECT_FALSE(reader.try_receive());
    EXPECT_FALSE(readable(descriptor, silence));

    sender.publish("1");
    EXPECT_EQ(texts(reader, 1), numbers(1, 1));
    EXPECT_FALSE(reader.try_receive());
    EXPECT_FALSE(readable(descriptor, silence));
}

TEST_P(Receiving, MakesItsDescriptorReadableForWhatWaitedAlready) {
    ASSERT_TRUE(attached());
    sender.publish("1");
    ASSERT_TRUE(eventually([&] { return reader.stats().batches == 1; }, patience));

    EXPECT_TRUE(readable(reader.file_descriptor(), patience));
    EXPECT_TRUE(reader.try_receive());
}

TEST_P(Receiving, MakesItsDescriptorReadableWhenClosed) {
    const int descriptor = reader.file_descriptor();
    EXPECT_FALSE(reader.try_receive());
    reader.close();
    EXPECT_TRUE(readable(descriptor, patience));
}

TEST_P(Receiving, MakesAPullersDescriptorReadableForEachMessage) {
    pusher jobs(here, "jobs");
    puller worker(there, "jobs");
    ASSERT_TRUE(jobs.wait_for_pullers(1, patience));
    const int descriptor = worker.file_descriptor();
    for (std::uint64_t n = 1; n != 20; ++n) {
        EXPECT_FALSE(worker.try_receive());
        EXPECT_FALSE(readable(descriptor, 0ms));
        jobs.push(std::to_string(n));
        std::optional<job> m;
        while (!m && readable(descriptor, patience)) m = worker.try_receive();
        ASSERT_TRUE(m);
        EXPECT_EQ(m->text(), std::to_string(n));
    }
}

TEST_P(Receiving, CountsWhatItGaveOut) {
    ASSERT_TRUE(attached());
    publish_numbers(sender, 1, 100);
    ASSERT_EQ(texts(reader, 100), numbers(1, 100));
    EXPECT_FALSE(reader.try_receive());

    const handle_stats stats = reader.stats();

    EXPECT_EQ(stats.role, handle_stats::role::subscriber);
    EXPECT_EQ(stats.topic, "weather");
    EXPECT_EQ(stats.messages, 100U);
    EXPECT_EQ(stats.bytes, 9U + 2 * 90 + 3);
    EXPECT_EQ(stats.gaps, 0U);
    EXPECT_EQ(stats.duplicates, 0U);
    EXPECT_EQ(stats.queue_bytes, 0U);
    EXPECT_EQ(stats.peers, 1U);
}

TEST_P(Receiving, CountsWhatCloseDropped) {
    ASSERT_TRUE(attached());
    publish_numbers(sender, 1, 100);
    ASSERT_TRUE(eventually([&] { return sender.stats().queue_messages == 0; }, patience));
    ASSERT_TRUE(reader.receive_for(patience));
    ASSERT_TRUE(
        eventually([&] { return reader.stats().batches == sender.stats().batches; }, patience));

    reader.close();

    EXPECT_FALSE(reader.receive());
    EXPECT_EQ(reader.stats().drops, 99U);
}

}  // namespace cairn::test
