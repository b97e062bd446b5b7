#include "contract.hpp"

#include <set>
#include <string>
#include <vector>

namespace cairn::test {

/// Two nodes that listen and connect to each other: one link stands by for the other, and the two
/// need not agree which.
class TwoLinks : public contract {
protected:
    TwoLinks() : one(listening()), two(listening()) {
        mend(one, two);
        mend(two, one);
        EXPECT_TRUE(
            eventually([&] { return one.stats().links == 2 && two.stats().links == 2; }, patience));
    }

    node& one;
    node& two;
};
CAIRN_OVER_EACH_TRANSPORT(TwoLinks);

TEST_P(TwoLinks, AreNoReconnectUntilBothAreLost) {
    EXPECT_EQ(one.stats().reconnects, 0U);
    EXPECT_EQ(two.stats().reconnects, 0U);

    cut(one, two);
    mend(one, two);
    EXPECT_EQ(one.stats().reconnects, 0U);

    cut(one, two);
    cut(two, one);
    mend(one, two);
    EXPECT_EQ(one.stats().reconnects, 1U);
}

TEST_P(TwoLinks, BringEachMessageOnceBothWays) {
    publisher out(one, "out");
    publisher back(two, "back");
    subscriber reads_out(two, "out");
    subscriber reads_back(one, "back");
    ASSERT_TRUE(out.wait_for_subscribers(1, patience));
    ASSERT_TRUE(back.wait_for_subscribers(1, patience));

    publish_numbers(out, 1, 1'000);
    publish_numbers(back, 1, 1'000);

    EXPECT_EQ(texts(reads_out, 1'000), numbers(1, 1'000));
    EXPECT_EQ(texts(reads_back, 1'000), numbers(1, 1'000));
    EXPECT_FALSE(reads_out.receive_for(silence));
    EXPECT_FALSE(reads_back.receive_for(silence));
    EXPECT_EQ(out.subscribers(), 1U);
    EXPECT_EQ(back.subscribers(), 1U);
    for (const subscriber* s : {&reads_out, &reads_back}) {
        EXPECT_EQ(s->stats().duplicates, 0U);
        EXPECT_EQ(s->stats().gaps, 0U);
    }
}

TEST_P(TwoLinks, BringEachJobOnceBothWays) {
    pusher out(one, "out");
    pusher back(two, "back");
    puller works_out(two, "out");
    puller works_back(one, "back");
    ASSERT_TRUE(works_out.wait_attached(1, patience));
    ASSERT_TRUE(works_back.wait_attached(1, patience));

    push_numbers(out, 1, 1'000);
    push_numbers(back, 1, 1'000);

    EXPECT_EQ(texts(works_out, 1'000), numbers(1, 1'000));
    EXPECT_EQ(texts(works_back, 1'000), numbers(1, 1'000));
    EXPECT_FALSE(works_out.receive_for(silence));
    EXPECT_FALSE(works_back.receive_for(silence));
    for (pusher* p : {&out, &back}) {
        EXPECT_TRUE(p->flush(patience));
        EXPECT_EQ(p->pullers(), 1U);
        EXPECT_EQ(p->stats().redeliveries, 0U);
    }
}

TEST_P(TwoLinks, LoseNothingWhenEitherIsCut) {
    publisher sender(one, "weather");
    subscriber reader(two, "weather");
    pusher jobs(one, "jobs");
    puller worker(two, "jobs");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    for (int round = 0; round != 4; ++round) {
        node& from = round % 2 == 0 ? one : two;
        node& peer = round % 2 == 0 ? two : one;
        cut(from, peer);
        const auto first = static_cast<std::uint64_t>(round) * 100 + 1;
        ASSERT_TRUE(reader.wait_attached(1, patience));
        publish_numbers(sender, first, first + 99);
        push_numbers(jobs, first, first + 99);
        EXPECT_EQ(texts(reader, 100), numbers(first, first + 99));
        EXPECT_EQ(texts(worker, 100), numbers(first, first + 99));
        EXPECT_FALSE(worker.receive_for(0ms));
        EXPECT_TRUE(jobs.flush(patience));
        mend(from, peer);
        ASSERT_TRUE(
            eventually([&] { return one.stats().links == 2 && two.stats().links == 2; }, patience));
    }
    EXPECT_EQ(reader.stats().gaps, 0U);
    EXPECT_EQ(reader.stats().duplicates, 0U);
}

TEST_P(TwoLinks, ToTwoEndpointsOfANodeBringEachJobOnce) {
    node& there = connected_to(one);
    there.connect(one.bind(fresh_endpoint()));
    ASSERT_TRUE(eventually([&] { return there.stats().links == 2; }, patience));
    pusher jobs(one, "jobs");
    puller worker(there, "jobs");
    ASSERT_TRUE(worker.wait_attached(1, patience));

    push_numbers(jobs, 1, 1'000);

    EXPECT_EQ(texts(worker, 1'000), numbers(1, 1'000));
    EXPECT_FALSE(worker.receive_for(silence));
    EXPECT_TRUE(jobs.flush(patience));
    EXPECT_EQ(jobs.pullers(), 1U);
    EXPECT_EQ(jobs.stats().redeliveries, 0U);
}

}  // namespace cairn::test
