#include "contract.hpp"

#include <mutex>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace cairn::test {

namespace {

constexpr std::size_t small_max = 1'000;
const std::string large(small_max + 1, 'x');

}  // namespace

/// Messages above what some peer's node takes.
class LargeBody : public contract {
protected:
    LargeBody() : here(listening()), small(connected_to(here, {.body_bytes_max = small_max})) {}

    /// What comes of the next `count` messages: its text, or that it is lost, and why.
    static std::vector<std::string> fates(subscriber& from, std::size_t count) {
        std::vector<std::string> all;
        while (all.size() < count) {
            const auto e = from.next_event(patience);
            if (!e) break;
            if (const auto* m = std::get_if<message>(&*e)) all.emplace_back(m->text());
            if (const auto* g = std::get_if<gap>(&*e))
                for (sequence s = g->range.first; s <= g->range.last; ++s)
                    all.push_back(std::to_string(s.value) + " " + std::string(name(g->cause)));
        }
        return all;
    }
    /// Each fifth and sixth of 60 messages is large; the others say their number.
    static bool is_large(int n) { return n % 6 == 5 || n % 6 == 0; }
    static void publish_mixed(publisher& to) {
        for (int n = 1; n <= 60; ++n) to.publish(is_large(n) ? large : std::to_string(n));
    }
    static std::vector<std::string> mixed_fates() {
        std::vector<std::string> all;
        for (int n = 1; n <= 60; ++n)
            all.push_back(std::to_string(n) + (is_large(n) ? " too_large" : ""));
        return all;
    }

    node& here;
    node& small;
};
CAIRN_OVER_EACH_TRANSPORT(LargeBody);

// --- Publish and subscribe --------------------------------------------------------------------

TEST_P(LargeBody, IsToldAsAGapInItsPlace) {
    publisher sender(here, "pictures");
    subscriber reader(small, "pictures");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    for (const std::string& body : {std::string("1"), large, std::string("3")}) {
        sender.publish(body);
    }

    EXPECT_EQ(fates(reader, 3), (std::vector<std::string>{"1", "2 too_large", "3"}));
    EXPECT_EQ(reader.stats().gaps, 1U);
    EXPECT_EQ(reader.stats().drops, 1U);
    EXPECT_EQ(sender.stats().drops, 1U);
}

TEST_P(LargeBody, IsToldToWhoBeginsEarliest) {
    publisher sender(here, "pictures");
    publish_mixed(sender);
    subscriber reader(small, "pictures", {.from = from::earliest()});

    EXPECT_EQ(fates(reader, 60), mixed_fates());
    EXPECT_EQ(reader.stats().drops, 20U);
}

TEST_P(LargeBody, IsToldInTheMiddleOfABatchToAReaderThatGrantsLittle) {
    publisher sender(here, "pictures", {.batch_bytes_max = 8'000});
    subscriber reader(small, "pictures", {.credit_bytes = 1});
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    // The first uses up the credit, so the others gather in batches.
    publish_mixed(sender);

    EXPECT_EQ(fates(reader, 60), mixed_fates());
    EXPECT_LT(sender.stats().batches, 30U);
    EXPECT_EQ(reader.stats().duplicates, 0U);
}

TEST_P(LargeBody, ReachesThoseWhoTakeIt) {
    publisher sender(here, "pictures");
    node& roomy = connected_to(here);
    subscriber limited(small, "pictures");
    subscriber reader(roomy, "pictures");
    ASSERT_TRUE(sender.wait_for_subscribers(2, patience));

    publish_mixed(sender);

    EXPECT_EQ(texts(reader, 60).size(), 60U);
    EXPECT_EQ(reader.stats().gaps, 0U);
    EXPECT_EQ(fates(limited, 60), mixed_fates());
}

TEST_P(LargeBody, IsNoneWhenManySmallOnesFillABatch) {
    publisher sender(here, "numbers");
    subscriber reader(small, "numbers");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    publish_numbers(sender, 1, 5'000);

    EXPECT_EQ(texts(reader, 5'000), numbers(1, 5'000));
    EXPECT_EQ(reader.stats().gaps, 0U);
}

// --- Push and pull ----------------------------------------------------------------------------

TEST_P(LargeBody, GoesToAPullerThatTakesIt) {
    node& roomy = connected_to(here);
    pusher jobs(here, "jobs");
    puller limited(small, "jobs");
    puller worker(roomy, "jobs");
    ASSERT_TRUE(jobs.wait_for_pullers(2, patience));
    std::mutex mutex;
    std::vector<std::size_t> taken;
    limited.start([&](const job& j) {
        const std::lock_guard lock(mutex);
        taken.push_back(j.text().size());
    });
    std::size_t large_taken = 0;
    worker.start([&](const job& j) {
        if (j.text() == large) ++large_taken;
    });

    for (int n = 0; n != 300; ++n) jobs.push(n % 3 == 0 ? large : std::to_string(n));

    EXPECT_TRUE(jobs.flush(patience));
    worker.close();
    limited.close();
    EXPECT_EQ(large_taken, 100U);
    const std::lock_guard lock(mutex);
    for (const std::size_t bytes : taken) EXPECT_LE(bytes, small_max);
    EXPECT_EQ(jobs.stats().rejected, 0U);
}

TEST_P(LargeBody, WaitsForAPullerThatTakesItWhileOthersPass) {
    pusher jobs(here, "jobs");
    puller limited(small, "jobs");
    ASSERT_TRUE(jobs.wait_for_pullers(1, patience));
    jobs.push(large);
    push_numbers(jobs, 1, 100);
    EXPECT_EQ(texts(limited, 100), numbers(1, 100));
    EXPECT_FALSE(limited.try_receive());
    ASSERT_TRUE(eventually([&] { return jobs.unacked() == 1; }, patience));

    puller worker(connected_to(here), "jobs");

    const auto j = worker.receive_for(patience);
    ASSERT_TRUE(j);
    EXPECT_EQ(j->text(), large);
    EXPECT_EQ(j->attempt(), 1U);
}

TEST_P(LargeBody, IsGivenUpWhenNoPullerTookItForAnAckWait) {
    std::mutex mutex;
    std::set<sequence> rejected;
    pusher_options options{.ack_wait = 100ms};
    options.on_rejected = [&](const rejected_message& r) {
        const std::lock_guard lock(mutex);
        EXPECT_EQ(r.cause, errc::too_large);
        EXPECT_EQ(r.message.text(), large);
        rejected.insert(r.message.position.sequence);
    };
    pusher jobs(here, "jobs", options);
    puller limited(small, "jobs");
    limited.start([](const job&) {});
    for (int n = 1; n <= 30; ++n) jobs.push(n == 10 || n == 20 ? large : std::to_string(n));

    EXPECT_TRUE(jobs.flush(patience));

    const std::lock_guard lock(mutex);
    EXPECT_EQ(rejected, (std::set<sequence>{{10}, {20}}));
    EXPECT_EQ(jobs.stats().rejected, 2U);
}

}  // namespace cairn::test
