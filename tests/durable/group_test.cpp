#include "durable.hpp"
#include "support/rounds.hpp"
#include "support/tcp_proxy.hpp"

#include <atomic>
#include <mutex>
#include <thread>

// Durable groups: what was acked never comes again, what was not does.
namespace cairn::test {
namespace {

TEST_F(DurableGroup, GoesOnWhereItWas) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 100);
    ASSERT_EQ(sender.flush(patience), 0U);
    {
        const auto there = away();
        subscriber reader(*there, "weather", alarms());
        EXPECT_EQ(texts(reader, 51), numbers(1, 51));
        EXPECT_EQ(reader.flush(patience), 0U);
    }
    const auto there = away();
    subscriber reader(*there, "weather", alarms());
    // The last one was given, and not done when its process ended.
    EXPECT_EQ(texts(reader, 50), numbers(51, 100));
}

TEST_F(DurableGroup, RedoesExactlyWhatWasNotAcked) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    {
        const auto there = away();
        subscriber reader(*there, "weather", by_hand());
        for (int n = 1; n <= 10; ++n) {
            const auto m = reader.receive_for(patience);
            ASSERT_TRUE(m);
            if (n == 1 || n == 4 || n == 5 || n == 9) reader.ack(*m);
        }
        EXPECT_EQ(reader.close(patience), 0U);
    }
    const auto there = away();
    subscriber reader(*there, "weather", by_hand());
    EXPECT_EQ(texts(reader, 6), (std::vector<std::string>{"2", "3", "6", "7", "8", "10"}));
}

TEST_F(DurableGroup, AcksAllBeforeAPosition) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    {
        const auto there = away();
        subscriber reader(*there, "weather", by_hand());
        EXPECT_EQ(texts(reader, 10), numbers(1, 10));
        reader.ack_through({"station", sender.epoch(), {7}});
        EXPECT_EQ(reader.close(patience), 0U);
    }
    const auto there = away();
    subscriber reader(*there, "weather", by_hand());
    EXPECT_EQ(texts(reader, 3), numbers(8, 10));
}

TEST_F(DurableGroup, AcksAMessageWhenItsHandlerHasReturned) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    {
        const auto there = away();
        subscriber reader(*there, "weather", alarms());
        std::atomic<int> handled{0};
        reader.start([&](const message&) { ++handled; });
        EXPECT_TRUE(eventually([&] { return handled == 10; }, patience));
        EXPECT_EQ(reader.close(patience), 0U);
    }
    publish_numbers(sender, 11, 12);
    const auto there = away();
    subscriber reader(*there, "weather", alarms());
    EXPECT_EQ(texts(reader, 2), numbers(11, 12));
}

TEST_F(DurableGroup, QueuesItsAcksWhileTheStoreIsAway) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    {
        const auto there = away();
        subscriber reader(*there, "weather", by_hand());
        std::vector<owned_message> all;
        while (all.size() != 10) {
            const auto m = reader.receive_for(patience);
            ASSERT_TRUE(m);
            all.push_back(m->copy());
        }
        stop_store();
        for (const auto& m : all) reader.ack(m.position);
        EXPECT_EQ(reader.flush(silence), 10U);
        start_store();
        EXPECT_EQ(reader.close(patience), 0U);
    }
    publish_numbers(sender, 11, 12);
    const auto there = away();
    subscriber reader(*there, "weather", by_hand());
    EXPECT_EQ(texts(reader, 2), numbers(11, 12));
}

TEST_F(DurableGroup, LosesNothingOfAStoreThatClosesAgainAndAgainWhileItIsInUse) {
    constexpr int closings = 5;
    constexpr std::size_t at_once = 500;
    publisher_options o{.source = "station"};
    std::atomic<int> refused_for_good = 0;
    o.on_store_refused = [&](errc, bool for_good) { refused_for_good += for_good ? 1 : 0; };
    publisher sender(home(), "weather", o);
    const auto there = away();
    subscriber reader(*there, "weather", alarms());
    std::atomic<int> published = 0;
    std::atomic<int> given = 0;
    std::jthread busy([&](const std::stop_token& over) {
        while (!over.stop_requested()) {
            if (published - given < 2'000)
                sender.publish(std::to_string(++published));
            else
                std::this_thread::yield();
        }
    });
    for (int i = 0; i != closings; ++i) {
        const std::vector<std::string> all = texts(reader, at_once);
        EXPECT_EQ(all, numbers(given + 1, given + static_cast<int>(at_once)));
        given += static_cast<int>(all.size());
        stop_store();
        start_store();
    }
    busy.request_stop();
    busy.join();
    EXPECT_EQ(texts(reader, static_cast<std::size_t>(published - given)),
              numbers(given + 1, published));
    EXPECT_EQ(sender.flush(patience), 0U);
    EXPECT_EQ(refused_for_good, 0);
    EXPECT_EQ(reader.close(patience), 0U);
    sender.publish("next");
    subscriber again(*there, "weather", alarms());
    EXPECT_EQ(texts(again, 2), (std::vector<std::string>{std::to_string(published), "next"}));
}

TEST_F(DurableGroup, AcksWhatItGotBeforeTheStoreHadIt) {
    publisher sender(home(), "weather", {.source = "station"});
    const auto there = away();
    subscriber reader(*there, "weather", by_hand());
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    for (int n = 1; n <= 100; ++n) {
        sender.publish(std::to_string(n));
        ack_next(reader);
    }
    EXPECT_EQ(reader.flush(patience), 0U);
}

TEST_F(DurableGroup, IsNotHeldUpByASourceThatDiedBeforeItsMessagesWereStored) {
    publisher living(home(), "weather", {.source = "living"});
    const auto there = away();
    subscriber reader(*there, "weather", by_hand());
    {
        publisher_options o{.source = "dying"};
        o.delivery = delivery::peers;
        publisher dying(home(), "weather", o);
        ASSERT_TRUE(dying.wait_for_subscribers(1, patience));
        dying.publish("never stored");
        ack_next(reader);
    }
    living.publish("stored");
    ack_next(reader);
    EXPECT_TRUE(eventually([&] { return reader.flush(0ms) == 1; }, patience));
}

TEST_F(DurableGroup, BeginsAtItsStartOnlyOnce) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    {
        const auto there = away();
        subscriber_options o = alarms();
        o.from = from::live();
        subscriber reader(*there, "weather", o);
        ASSERT_TRUE(reader.wait_live(patience));
        publish_numbers(sender, 11, 12);
        EXPECT_EQ(texts(reader, 1), numbers(11, 11));
    }
    const auto there = away();
    subscriber reader(*there, "weather", alarms());
    EXPECT_EQ(texts(reader, 2), numbers(11, 12));
}

TEST_F(DurableGroup, GivesAllToOneMemberUntilThatIsGone) {
    publisher sender(home(), "weather", {.source = "station"});
    const auto one = away();
    const auto two = away();
    auto first = std::make_unique<subscriber>(*one, "weather", alarms());
    publish_numbers(sender, 1, 10);
    EXPECT_EQ(texts(*first, 10), numbers(1, 10));
    subscriber second(*two, "weather", alarms());
    EXPECT_TRUE(
        eventually([&] { return second.state().state == reading::state::standby; }, patience));
    EXPECT_FALSE(second.receive_for(silence));
    EXPECT_EQ(first->flush(patience), 0U);

    first.reset();

    EXPECT_EQ(texts(second, 1), numbers(10, 10));
    publish_numbers(sender, 11, 12);
    EXPECT_EQ(texts(second, 2), numbers(11, 12));
}

// Its link breaks, and another is active for a while, that does nothing.
TEST_F(DurableGroup, GivesAMemberThatStoodByNothingAgain) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    tcp_proxy way(endpoint_);
    node_options o = with_store("away");
    o.store = way.endpoint();
    o.connect = {home_endpoint_};
    node there(o);
    subscriber first(there, "weather", by_hand());
    std::vector<position> given;
    while (given.size() != 4) {
        const auto m = first.receive_for(patience);
        ASSERT_TRUE(m);
        given.push_back(m->position());
    }
    const auto elsewhere = away();
    auto second = std::make_unique<subscriber>(*elsewhere, "weather", by_hand());
    const auto comes_to = [](const subscriber& member, bool stands_by) {
        return eventually(
            [&] { return (member.state().state == reading::state::standby) == stands_by; },
            patience);
    };
    ASSERT_TRUE(comes_to(*second, true));
    way.swallow();
    way.cut();
    ASSERT_TRUE(comes_to(*second, false));
    way.relay();
    ASSERT_TRUE(comes_to(first, true));
    EXPECT_EQ(first.state().lag_messages, 0U);

    second.reset();

    ASSERT_TRUE(comes_to(first, false));
    for (const position& p : given) first.ack(p);
    EXPECT_EQ(first.flush(patience), 0U);
    sender.publish("11");
    EXPECT_EQ(texts(first, 7), numbers(5, 11));
    EXPECT_FALSE(first.receive_for(silence));
}

TEST_F(DurableGroup, ThatIsStuckHoldsUpNoneOfTwentyOthers) {
    constexpr std::size_t others = 20;
    constexpr int at_once = 100;
    constexpr int messages = sanitized ? 500 : 2'000;
    publisher_options small{.source = "station"};
    small.ring_bytes_max = 64 << 10;
    publisher sender(home(), "weather", small);
    const auto there = away();
    const auto elsewhere = away();
    subscriber_options few = by_hand();
    few.group = "stuck";
    few.credit_bytes = 16 << 10;
    subscriber stuck(*elsewhere, "weather", few);
    std::vector<subscriber> healthy;
    for (std::size_t i = 0; i != others; ++i) {
        subscriber_options o = alarms();
        o.group = "healthy" + std::to_string(i);
        healthy.emplace_back(*there, "weather", o);
    }
    ASSERT_TRUE(sender.wait_for_subscribers(others + 1, patience));
    const std::string rest(500, '.');
    const auto numbered = [&](const std::vector<std::string>& all, int first) {
        for (const std::string& text : all)
            if (text != std::to_string(first++) + rest) return false;
        return true;
    };
    for (int n = 0; n != messages; n += at_once) {
        for (int i = 1; i <= at_once; ++i) sender.publish(std::to_string(n + i) + rest);
        for (subscriber& each : healthy) {
            const auto all = texts(each, at_once);
            ASSERT_EQ(all.size(), std::size_t{at_once});
            ASSERT_TRUE(numbered(all, n + 1));
        }
    }
    EXPECT_EQ(sender.flush(patience), 0U);
    EXPECT_LE(store_->stats().replay_held_bytes, std::uint64_t{1} << 20);
    EXPECT_TRUE(numbered(texts(stuck, messages), 1)) << "the store has it, when it goes on";
}

TEST_F(DurableGroup, OfEachNameGetsAll) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    const auto there = away();
    subscriber_options archive = alarms();
    archive.group = "archive";
    subscriber one(*there, "weather", alarms());
    subscriber two(*there, "weather", archive);
    EXPECT_EQ(texts(one, 10), numbers(1, 10));
    EXPECT_EQ(texts(two, 10), numbers(1, 10));
}

TEST_F(DurableGroup, AcksAgainWhatAReplacedStoreForgot) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    {
        const auto there = away();
        subscriber reader(*there, "weather", by_hand());
        ack_next(reader, 10);
        ASSERT_EQ(reader.flush(patience), 0U);
        wipe_store();
        const auto ack_one = [&] {
            if (const auto m = reader.receive_for(10ms)) reader.ack(*m);
        };
        EXPECT_TRUE(eventually(
            [&] {
                sender.publish("later");
                ack_one();
                return store_->stats().members == 1;
            },
            patience));
        ASSERT_EQ(sender.flush(patience), 0U);
        EXPECT_TRUE(eventually(
            [&] {
                ack_one();
                return reader.flush(10ms) == 0;
            },
            patience));
        while (const auto m = reader.receive_for(silence)) reader.ack(*m);
        EXPECT_EQ(reader.close(patience), 0U);
    }
    sender.publish("last");
    const auto there = away();
    subscriber reader(*there, "weather", by_hand());
    EXPECT_EQ(texts(reader, 1), std::vector<std::string>{"last"});
}

TEST_F(DurableGroup, AcksAgainWhatAReplacedStoreForgotAlsoBehindWhatIsNotDone) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    {
        const auto there = away();
        subscriber reader(*there, "weather", by_hand());
        for (int n = 1; n <= 10; ++n) {
            const auto m = reader.receive_for(patience);
            ASSERT_TRUE(m);
            if (n != 3) reader.ack(*m);
        }
        ASSERT_EQ(reader.flush(patience), 0U);
        wipe_store();
        ASSERT_TRUE(eventually([&] { return store_->stats().members == 1; }, patience));
        sender.publish("11");
        ASSERT_EQ(sender.flush(patience), 0U);
        ack_next(reader);
        EXPECT_TRUE(eventually([&] { return reader.flush(10ms) == 0; }, patience));
    }
    sender.publish("12");
    const auto there = away();
    subscriber reader(*there, "weather", by_hand());
    EXPECT_EQ(texts(reader, 2), (std::vector<std::string>{"3", "12"}));
}

TEST_F(DurableGroup, AcksOnAfterItsStoreWasReplacedByOneThatNeverHearsOfASourceOfBefore) {
    {
        publisher first(home(), "weather", {.source = "gone"});
        publish_numbers(first, 1, 10);
        ASSERT_EQ(first.flush(patience), 0U);
    }
    const auto there = away();
    subscriber reader(*there, "weather", by_hand());
    ack_next(reader, 10);
    ASSERT_EQ(reader.flush(patience), 0U);
    wipe_store();
    publisher second(home(), "weather", {.source = "station"});
    publish_numbers(second, 1, 100);
    ASSERT_EQ(second.flush(patience), 0U);
    ack_next(reader, 100);
    // Nothing of the first will ever be in this store.
    EXPECT_TRUE(eventually([&] { return reader.flush(10ms) == 10; }, patience));
    admin store(*there);
    const auto groups = store.groups("weather");
    ASSERT_EQ(groups.size(), 1U);
    EXPECT_EQ(groups.front().pending, 0U);
}

TEST_F(DurableGroup, FollowsASourceOfWhichTheStoreNeverHearsOverItsRestarts) {
    const auto there = away();
    subscriber reader(*there, "weather", alarms());
    for (int run = 0; run != 3; ++run) {
        publisher_options o{.source = "station"};
        o.delivery = delivery::peers;
        publisher sender(home(), "weather", o);
        publish_numbers(sender, run * 10 + 1, run * 10 + 10);
        ASSERT_EQ(texts(reader, 10), numbers(run * 10 + 1, run * 10 + 10));
    }
}

TEST_F(DurableGroup, IsToldAGapWhereASourceWithoutAStoreHoldsNoMore) {
    publisher_options o{.source = "station"};
    o.delivery = delivery::peers;
    o.ring_bytes_max = 16'000;
    o.batch_bytes_max = 1;
    publisher sender(home(), "weather", o);
    publish_numbers(sender, 1, 1'000);
    const auto there = away();
    subscriber reader(*there, "weather", alarms());
    const auto first = reader.next_event(patience);
    ASSERT_TRUE(first);
    const auto* const gone = std::get_if<gap>(&*first);
    ASSERT_NE(gone, nullptr);
    EXPECT_EQ(gone->range.first, sequence{1});
    const int next = static_cast<int>(gone->range.last.value) + 1;
    EXPECT_EQ(texts(reader, 1), numbers(next, next));
}

// Its publisher comes to the store long after the group, and pays what an earlier run still owes.
TEST_F(DurableGroup, IsGivenFirstWhatAnEarlierRunStillOwes) {
    stop_store();
    const auto publishing = [&](std::string store) {
        node_options o{.name = "spiller", .store = std::move(store)};
        o.state_directory = directory_ / "state";
        return o;
    };
    publisher_options spilling{.source = "station"};
    spilling.ring_bytes_max = 16'000;
    spilling.batch_bytes_max = 1;
    spilling.when_full = full_ring::spill;
    {
        node before(publishing(endpoint_));
        publisher sender(before, "weather", spilling);
        publish_numbers(sender, 1, 1'000);
        ASSERT_EQ(sender.close(10ms), 0U);
    }
    // Where its store will be, but is not yet.
    tcp_proxy late(endpoint_);
    late.swallow();
    start_store();
    node now(publishing(late.endpoint()));
    const std::string at = now.bind("tcp://127.0.0.1:0");
    publisher sender(now, "weather", spilling);
    publish_numbers(sender, 1'001, 1'010);
    node there(with_store("away"));
    there.connect(at);
    subscriber reader(there, "weather", alarms());
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    EXPECT_FALSE(reader.receive_for(1'500ms)) << "nothing of today's run comes before";
    late.relay();
    EXPECT_EQ(texts(reader, 1'010), numbers(1, 1'010));
}

TEST_F(DurableGroup, IsToldWhatTheStoreDroppedWhileItHadNoMember) {
    epoch run;
    {
        publisher sender(home(), "weather", {.source = "station"});
        run = sender.epoch();
        publish_numbers(sender, 1, 10);
        ASSERT_EQ(sender.flush(patience), 0U);
    }
    {
        const auto there = away();
        subscriber reader(*there, "weather", by_hand());
        EXPECT_EQ(texts(reader, 4), numbers(1, 4));
        reader.ack_through({"station", run, {4}});
        EXPECT_EQ(reader.close(patience), 0U);
    }
    leave_home();
    node tool(with_store("tool"));
    EXPECT_EQ(admin(tool, {}).trim("weather", from::offset(8)), 7U);
    for (const bool told : {false, true}) {
        const auto there = away(false);
        subscriber reader(*there, "weather", by_hand());
        const auto first = reader.next_event(patience);
        ASSERT_TRUE(first);
        const auto* const gone = std::get_if<gap>(&*first);
        ASSERT_NE(gone, nullptr) << "a member that was not told of the gap counts as none";
        EXPECT_EQ(gone->range, (sequence_range{{5}, {7}}));
        EXPECT_EQ(gone->cause, errc::gone);
        if (!told) continue;
        EXPECT_EQ(texts(reader, 3), numbers(8, 10));
        EXPECT_EQ(reader.close(patience), 0U);
    }
    const auto there = away(false);
    subscriber_options o = by_hand();
    o.on_gap = [](const gap& again) { ADD_FAILURE() << again.range.first.value; };
    subscriber reader(*there, "weather", o);
    EXPECT_EQ(texts(reader, 3), numbers(8, 10));
}

// Nothing more is said by anybody once the last message of the run that is stored was given.
TEST_F(DurableGroup, EntersAQuietRunThatNoStoreHearsOfBehindItsHistory) {
    {
        publisher sender(home(), "weather", {.source = "station"});
        publish_numbers(sender, 1, 400);
        ASSERT_EQ(sender.flush(patience), 0U);
    }
    leave_home();
    node bare({.name = "bare"});
    const std::string at = bare.bind("tcp://127.0.0.1:0");
    publisher sender(bare, "weather", {.source = "station"});
    publish_numbers(sender, 401, 403);
    node there(with_store("away"));
    there.connect(at);
    subscriber_options o = alarms();
    o.credit_bytes = 1'000;
    subscriber reader(there, "weather", o);
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    EXPECT_EQ(texts(reader, 400), numbers(1, 400));
    EXPECT_EQ(texts(reader, 3), numbers(401, 403));
}

TEST_F(DurableGroup, FollowsASourceOverItsRestarts) {
    const auto there = away();
    subscriber reader(*there, "weather", alarms());
    for (int run = 0; run != 5; ++run) {
        publisher sender(home(), "weather", {.source = "station"});
        publish_numbers(sender, run * 10 + 1, run * 10 + 10);
        ASSERT_EQ(sender.flush(patience), 0U);
    }
    EXPECT_EQ(texts(reader, 50), numbers(1, 50));
    EXPECT_EQ(reader.flush(patience), 0U);
}

}  // namespace
}  // namespace cairn::test
