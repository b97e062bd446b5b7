#include "contract.hpp"
#include "support/rounds.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

namespace cairn::test {

/// This thread, and those that it starts, share one processor as long as this lives.
class one_processor {
public:
    one_processor() {
        ::sched_getaffinity(0, sizeof before_, &before_);
        cpu_set_t one;
        CPU_ZERO(&one);
        for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu)
            if (CPU_ISSET(cpu, &before_)) CPU_SET(cpu, &one);
        ::sched_setaffinity(0, sizeof one, &one);
    }
    ~one_processor() { ::sched_setaffinity(0, sizeof before_, &before_); }
    one_processor(const one_processor&) = delete;
    one_processor& operator=(const one_processor&) = delete;

private:
    cpu_set_t before_{};
};

/// Many threads on one handle, and many messages.
class Threads : public contract {
protected:
    static constexpr std::uint32_t threads = 8;

    /// A body that says which thread sent it, and as its how many-th.
    struct stamp {
        std::uint32_t thread;
        std::uint32_t number;
    };
    static std::string_view bytes(const stamp& s) {
        return {reinterpret_cast<const char*>(&s), sizeof s};
    }
    static stamp stamp_of(const message& m) {
        stamp s{};
        if (m.body().size() == sizeof s) std::memcpy(&s, m.body().data(), sizeof s);
        return s;
    }

    /// Sends from all threads through little room until each was heard so often that the system
    /// gave each many turns; none may be heard four times as often as another.
    template <typename Sender, typename Reader, typename Send>
    static void expect_turns(Sender& sender, Reader& reader, Send send) {
        std::vector<std::thread> running;
        for (std::uint32_t t = 0; t != threads; ++t)
            running.emplace_back([=] {
                try {
                    for (std::uint32_t n = 0;; ++n) send(stamp{t, n});
                } catch (const error& end) {
                    EXPECT_EQ(end.code(), errc::closed);
                }
            });

        const std::uint64_t enough = rounds(200'000);
        std::array<std::uint64_t, threads> counts{};
        const auto least = [&] { return *std::min_element(counts.begin(), counts.end()); };
        for (int i = 0; i != 10'000'000 && least() < enough; ++i) {
            const auto m = reader.receive_for(patience);
            if (!m) break;
            ++counts[stamp_of(*m).thread];
        }
        sender.close(0ms);
        for (std::thread& t : running) t.join();

        EXPECT_EQ(least(), enough);
        const auto most = *std::max_element(counts.begin(), counts.end());
        EXPECT_LE(most, 4 * least());
    }
    void expect_turns_to_publish() {
        node& here = listening();
        node& there = connected_to(here);
        publisher sender(here, "weather",
                         {.ring_bytes_max = 50'000, .patience = publisher_options::forever});
        subscriber reader(there, "weather", {.credit_bytes = 10'000});
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        expect_turns(sender, reader, [&](const stamp& s) { sender.publish(bytes(s)); });
    }
    void expect_turns_to_push() {
        node& here = listening();
        node& there = connected_to(here);
        pusher jobs(here, "jobs", {.backlog_bytes_max = 50'000});
        puller worker(there, "jobs");
        expect_turns(jobs, worker, [&](const stamp& s) { jobs.push(bytes(s)); });
    }

    /// Runs `send` on all threads at once for `count` messages each.
    template <typename Send>
    static std::vector<std::thread> senders(std::uint32_t count, Send send) {
        std::vector<std::thread> all;
        for (std::uint32_t t = 0; t != threads; ++t)
            all.emplace_back([=] {
                for (std::uint32_t n = 0; n != count; ++n) send(stamp{t, n});
            });
        return all;
    }
    /// Receives threads * count messages; expects each thread's in order.
    template <typename Handle>
    static void expect_all(Handle& from, std::uint32_t count) {
        std::array<std::uint32_t, threads> next{};
        for (std::uint64_t i = 0; i != std::uint64_t{threads} * count; ++i) {
            const auto m = from.receive_for(patience);
            ASSERT_TRUE(m) << "after " << i << " messages";
            ASSERT_EQ(m->sequence(), sequence{i + 1});
            const stamp s = stamp_of(*m);
            ASSERT_LT(s.thread, threads);
            ASSERT_EQ(s.number, next[s.thread]++);
        }
    }
};
CAIRN_OVER_EACH_TRANSPORT(Threads);

TEST_P(Threads, MayPublishOnOneHandle) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    auto running = senders(20'000, [&](const stamp& s) { sender.publish(bytes(s)); });

    expect_all(reader, 20'000);
    for (std::thread& t : running) t.join();
}

TEST_P(Threads, MayPushOnOneHandle) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs");

    auto running = senders(20'000, [&](const stamp& s) { jobs.push(bytes(s)); });

    expect_all(worker, 20'000);
    for (std::thread& t : running) t.join();
}

// Fair in the long run: the system gives threads their turns, and no turn is in vain.
TEST_P(Threads, PublishByTurnsWhenTheRingIsFull) { expect_turns_to_publish(); }

TEST_P(Threads, PublishByTurnsOnOneProcessor) {
    const one_processor here;
    expect_turns_to_publish();
}

TEST_P(Threads, PushByTurnsWhenTheBacklogIsFull) { expect_turns_to_push(); }

TEST_P(Threads, PushByTurnsOnOneProcessor) {
    const one_processor here;
    expect_turns_to_push();
}

TEST_P(Threads, MayAckForTheOneThatReceives) {
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    puller worker(there, "jobs", {.acks = ack_mode::on_request});
    push_numbers(jobs, 1, 10'000);
    std::mutex mutex;
    std::vector<job_id> done;
    std::vector<std::thread> acking;
    for (int t = 0; t != 4; ++t)
        acking.emplace_back([&] {
            while (jobs.unacked() != 0) {
                std::vector<job_id> mine;
                {
                    const std::lock_guard lock(mutex);
                    mine.swap(done);
                }
                for (const job_id id : mine) EXPECT_TRUE(worker.ack(id));
                std::this_thread::yield();
            }
        });

    for (int i = 0; i != 10'000; ++i) {
        const auto j = worker.receive_for(patience);
        ASSERT_TRUE(j);
        const std::lock_guard lock(mutex);
        done.push_back(j->id());
    }

    EXPECT_TRUE(jobs.flush(patience));
    for (std::thread& t : acking) t.join();
}

TEST_P(Threads, MayMakeAndDropHandlesOnOneNode) {
    node& here = listening();
    node& there = connected_to(here);
    std::vector<std::thread> running;
    for (std::uint32_t t = 0; t != threads; ++t)
        running.emplace_back([&, t] {
            const std::string topic = "topic-" + std::to_string(t);
            for (int round = 0; round != 20; ++round) {
                publisher sender(here, topic);
                subscriber reader(there, topic);
                // The publisher may see the subscriber of the round before for a while.
                EXPECT_TRUE(reader.wait_attached(1, patience));
                sender.publish("1");
                EXPECT_EQ(texts(reader, 1), numbers(1, 1));
            }
        });
    for (std::thread& t : running) t.join();
}

TEST_P(Threads, MayReceiveOnManyHandlesOfOneNode) {
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather");
    std::vector<std::unique_ptr<subscriber>> readers;
    for (std::uint32_t t = 0; t != threads; ++t)
        readers.push_back(std::make_unique<subscriber>(there, "weather"));
    ASSERT_TRUE(sender.wait_for_subscribers(threads, patience));
    std::vector<std::thread> running;
    for (auto& r : readers)
        running.emplace_back([&] { EXPECT_EQ(texts(*r, 2'000), numbers(1, 2'000)); });

    publish_numbers(sender, 1, 2'000);

    for (std::thread& t : running) t.join();
}

TEST_P(Threads, PublishAMillionMessagesInOrder) {
    constexpr std::uint64_t count = 1'000'000;
    node& here = listening();
    node& there = connected_to(here);
    publisher sender(here, "weather", {.patience = publisher_options::forever});
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    std::thread publishing([&] {
        for (std::uint64_t n = 1; n <= count; ++n) sender.publish(std::as_bytes(std::span(&n, 1)));
    });

    for (std::uint64_t n = 1; n <= count; ++n) {
        const auto m = reader.receive_for(patience);
        if (!m || m->sequence().value != n || m->body().size() != sizeof n ||
            std::memcmp(m->body().data(), &n, sizeof n) != 0) {
            ADD_FAILURE() << "at " << n;
            break;
        }
    }
    publishing.join();
    EXPECT_EQ(sender.stats().drops, 0U);
    EXPECT_EQ(reader.stats().duplicates, 0U);
}

TEST_P(Threads, PushAMillionMessagesEachToOneOfTwo) {
    constexpr std::uint64_t count = 1'000'000;
    node& here = listening();
    node& there = connected_to(here);
    pusher jobs(here, "jobs");
    std::vector<std::uint8_t> seen(count);
    std::mutex mutex;
    const auto work = [&](const job& j) {
        std::uint64_t n = 0;
        std::memcpy(&n, j.body().data(), sizeof n);
        const std::lock_guard lock(mutex);
        if (n < count) ++seen[n];
    };
    puller one(there, "jobs");
    puller two(here, "jobs");
    one.start(work);
    two.start(work);

    for (std::uint64_t n = 0; n != count; ++n) jobs.push(std::as_bytes(std::span(&n, 1)));

    EXPECT_EQ(jobs.close(60s), 0U);
    const std::lock_guard lock(mutex);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<std::ptrdiff_t>(count));
}

}  // namespace cairn::test
