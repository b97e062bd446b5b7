#include "durable.hpp"
#include "support/party.hpp"

#include <mutex>
#include <string>
#include <string_view>
#include <thread>

// History and live as one stream.
namespace cairn::test {
namespace {

using StoredPublishers = durable;

TEST_F(StoredPublishers, ComeAndGoOnManyThreadsOfOneNode) {
    constexpr int threads = 8;
    constexpr int each = 20;
    const publisher first(home(), "weather", {.source = "first"});  // its link is up before all
    {
        std::vector<std::jthread> all;
        for (int t = 0; t != threads; ++t)
            all.emplace_back([&, t] {
                for (int n = 0; n != each; ++n) {
                    publisher one(home(), "weather",
                                  {.source = std::to_string(t) + "." + std::to_string(n)});
                    one.publish("here");
                    EXPECT_EQ(one.flush(patience), 0U);
                }
            });
    }
    EXPECT_EQ(store_->stats().storage.stored_messages, std::uint64_t{threads * each});
}

TEST_F(StoredHistory, IsReadFromTheStoreWhenItsPublisherIsGone) {
    publish_and_leave(1, 100);
    leave_home();
    node there(with_store("away"));

    subscriber reader(there, "weather", {.from = from::earliest()});

    EXPECT_EQ(texts(reader, 100), numbers(1, 100));
}

TEST_F(StoredHistory, JoinsLiveWithoutGapOrDuplicate) {
    publisher sender(home(), "weather", small_ring());
    publish_numbers(sender, 1, 5'000);
    const auto there = away();
    subscriber reader(*there, "weather", {.from = from::earliest()});
    publish_numbers(sender, 5'001, 10'000);

    EXPECT_EQ(texts(reader, 10'000), numbers(1, 10'000));
    EXPECT_TRUE(reader.wait_live(patience));
    EXPECT_EQ(reader.stats().gaps, 0U);
    publish_numbers(sender, 10'001, 10'010);
    EXPECT_EQ(texts(reader, 10), numbers(10'001, 10'010));
}

TEST_F(StoredHistory, FillsWhatASlowReaderMissed) {
    publisher sender(home(), "weather", small_ring());
    const auto there = away();
    subscriber_options slow;
    slow.credit_bytes = 4'000;
    subscriber reader(*there, "weather", slow);
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_numbers(sender, 1, 20'000);
    ASSERT_EQ(sender.flush(patience), 0U);

    EXPECT_EQ(texts(reader, 20'000), numbers(1, 20'000));
    EXPECT_EQ(reader.stats().gaps, 0U);
    EXPECT_GT(reader.state().fallbacks, 0U);
    EXPECT_TRUE(reader.wait_live(patience));
}

TEST_F(StoredHistory, SaysHowFarBehindAReaderIsThatComesNoNearer) {
    {
        publisher sender(home(), "weather", small_ring());  // and so small batches
        publish_numbers(sender, 1, 20'000);
        ASSERT_EQ(sender.flush(patience), 0U);
    }
    std::mutex mutex;
    std::string said;  // guarded by mutex
    node_options o = with_store("away");
    o.log = [&](log_level, std::string_view line) {
        const std::lock_guard hold(mutex);
        if (line.find("reads slower than is published") != std::string_view::npos) said = line;
    };
    node there(o);
    subscriber_options slow{.from = from::earliest()};
    slow.credit_bytes = 4'000;
    slow.converge_wait = 50ms;
    subscriber reader(there, "weather", slow);
    EXPECT_TRUE(eventually([&] { return !reader.state().converging; }, patience));
    EXPECT_GT(reader.state().lag_messages, 10'000U);
    {
        const std::lock_guard hold(mutex);
        EXPECT_NE(said.find("messages behind"), said.npos) << said;
    }

    EXPECT_EQ(texts(reader, 20'000), numbers(1, 20'000));
    EXPECT_TRUE(eventually([&] { return reader.state().converging; }, patience));
}

TEST_F(StoredHistory, BeginsSoManyMessagesBeforeTheEnd) {
    publish_and_leave(1, 100);
    node there(with_store("away"));
    subscriber reader(there, "weather", {.from = from::last(10)});
    EXPECT_EQ(texts(reader, 10), numbers(91, 100));
}

// Whether the reader asks for what is missing before or after the store has sent both runs is up to
// the two of them.
TEST_F(StoredHistory, OfTwoRunsIsWholeFromWhereTheFirstWasTrimmed) {
    publish_and_leave(1, 100);
    node there(with_store("away"));
    EXPECT_EQ(admin(there).trim("weather", from::last(10)), 90U);
    publish_and_leave(101, 101);
    for (int n = 0; n != 30; ++n) {
        replay reader(there, "weather");
        EXPECT_EQ(texts(reader, 11), numbers(91, 101));
        if (HasFailure()) break;
        EXPECT_FALSE(reader.receive_for(patience));
        EXPECT_TRUE(reader.finished());
    }
}

TEST_F(StoredHistory, BeginsAtAnOffset) {
    publish_and_leave(1, 100);
    node there(with_store("away"));
    subscriber reader(there, "weather", {.from = from::offset(40)});
    EXPECT_EQ(texts(reader, 10), numbers(40, 49));
}

TEST_F(StoredHistory, BeginsAtATime) {
    publish_and_leave(1, 100);
    const wall_time between = std::chrono::system_clock::now();
    publish_and_leave(101, 200);
    node there(with_store("away"));
    subscriber reader(there, "weather", {.from = from::time(between)});
    EXPECT_EQ(texts(reader, 100), numbers(101, 200));
}

TEST_F(StoredHistory, GoesOnAtASavedPosition) {
    publisher sender(home(), "weather", small_ring());
    publish_numbers(sender, 1, 5'000);
    ASSERT_EQ(sender.flush(patience), 0U);
    const auto there = away();
    const position next{"station", sender.epoch(), {42}};
    subscriber reader(*there, "weather", {.from = from::after({{"weather", next}})});
    EXPECT_EQ(texts(reader, 10), numbers(42, 51));
}

TEST_F(StoredHistory, OfSeveralRunsComesInOrderWithTheirRestarts) {
    publish_and_leave(1, 10);
    publish_and_leave(11, 20);
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 21, 30);
    const auto there = away();
    int restarts = 0;
    subscriber_options o{.from = from::earliest()};
    o.on_restart = [&](const restart&) { ++restarts; };
    subscriber reader(*there, "weather", o);

    EXPECT_EQ(texts(reader, 30), numbers(1, 30));
    EXPECT_EQ(restarts, 2);
}

TEST_F(StoredHistory, ThatNeitherRingNorStoreHasIsAGap) {
    publisher_options o = small_ring();
    o.when_full = full_ring::drop_history;
    stop_store();
    publisher sender(home(), "weather", o);
    publish_numbers(sender, 1, 5'000);
    start_store();
    const std::uint64_t not_durable = sender.flush(patience);
    ASSERT_GT(sender.stats().lost_to_store, 0U);
    EXPECT_EQ(not_durable, sender.stats().lost_to_store);
    EXPECT_EQ(sender.durable(), sequence{5'000}) << "or told as lost";
    const auto there = away();
    subscriber reader(*there, "weather", {.from = from::earliest()});

    const auto told = reader.next_event(patience);
    ASSERT_TRUE(told);
    const auto* lost = std::get_if<gap>(&*told);
    ASSERT_NE(lost, nullptr);
    EXPECT_EQ(lost->cause, errc::lost);
    EXPECT_EQ(lost->range.first, sequence{1});
    const auto m = reader.receive_for(patience);
    ASSERT_TRUE(m);
    EXPECT_EQ(m->sequence(), lost->range.last + 1);
}

TEST_F(StoredHistory, IsWaitedForWhileTheStoreIsAway) {
    publisher sender(home(), "weather", small_ring());
    publish_numbers(sender, 1, 5'000);
    ASSERT_EQ(sender.flush(patience), 0U);
    stop_store();
    const auto there = away();
    subscriber reader(*there, "weather", {.from = from::earliest()});
    EXPECT_FALSE(reader.receive_for(silence));

    start_store();

    EXPECT_EQ(texts(reader, 5'000), numbers(1, 5'000));
}

TEST_F(StoredHistory, IsAGapWhenTheStoreStaysAwayForTooLong) {
    publisher sender(home(), "weather", small_ring());
    publish_numbers(sender, 1, 5'000);
    ASSERT_EQ(sender.flush(patience), 0U);
    stop_store();
    const auto there = away();
    subscriber_options o;
    o.from = from::after({{"weather", {"station", sender.epoch(), {1}}}});
    o.history_wait = 10ms;
    subscriber reader(*there, "weather", o);

    const auto told = reader.next_event(patience);
    ASSERT_TRUE(told);
    EXPECT_TRUE(std::holds_alternative<gap>(*told));
}

TEST_F(StoredHistory, GoesOnWhenTheStoreIsRestartedMeanwhile) {
    publish_and_leave(1, 20'000);
    node there(with_store("away"));
    subscriber_options slow{.from = from::earliest()};
    slow.credit_bytes = 4'000;
    subscriber reader(there, "weather", slow);
    EXPECT_EQ(texts(reader, 100), numbers(1, 100));
    stop_store();
    start_store();
    EXPECT_EQ(texts(reader, 19'900), numbers(101, 20'000));
    EXPECT_EQ(reader.stats().gaps, 0U);
}

TEST_F(StoredHistory, TellsWhatOnlyItsReaderEverSaw) {
    const auto there = away();
    subscriber reader(*there, "weather");
    epoch before;
    {
        publisher sender(home(), "weather", {.source = "station"});
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        before = sender.epoch();
        publish_numbers(sender, 1, 10);
        ASSERT_EQ(sender.flush(patience), 0U);
        EXPECT_EQ(texts(reader, 10), numbers(1, 10));
        stop_store();
        publish_numbers(sender, 11, 15);
        EXPECT_EQ(texts(reader, 5), numbers(11, 15));
    }
    start_store();
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 16, 20);

    const auto told = reader.next_event(patience);
    ASSERT_TRUE(told);
    const auto* lost = std::get_if<orphaned>(&*told);
    ASSERT_NE(lost, nullptr);
    EXPECT_EQ(lost->epoch, before);
    EXPECT_EQ(lost->range, (sequence_range{{11}, {15}}));
    EXPECT_EQ(texts(reader, 5), numbers(16, 20));
}

TEST_F(StoredHistory, IsNotNeededByALiveReaderWhenTheStoreIsKilled) {
    publisher sender(home(), "weather", {.source = "station"});
    const auto there = away();
    subscriber reader(*there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_numbers(sender, 1, 10);
    EXPECT_EQ(texts(reader, 10), numbers(1, 10));
    stop_store();
    publish_numbers(sender, 11, 20);
    EXPECT_EQ(texts(reader, 10), numbers(11, 20));
    EXPECT_EQ(reader.state().state, reading::state::live);
}

// What a store tells of is not its own: taken for a publisher it is the twin of every source, and
// one of the two is fenced.
TEST_F(StoredHistory, IsNotTakenForAPublisherByWhoUsesNoStore) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    subscriber beside(home(), "weather", {.use_store = false});
    node plain{{.name = "plain"}};
    plain.connect(endpoint_);
    subscriber stranger(plain, "weather");
    ASSERT_TRUE(eventually([&] { return store_->stats().network.links >= 2; }, patience));
    plain.connect(home_endpoint_);
    ASSERT_TRUE(sender.wait_for_subscribers(2, patience));
    publish_numbers(sender, 11, 20);
    EXPECT_EQ(texts(beside, 10), numbers(11, 20));
    EXPECT_EQ(texts(stranger, 10), numbers(11, 20));
    EXPECT_EQ(sender.flush(patience), 0U);
    EXPECT_EQ(store_->stats().subscriptions, 0U);
}

/// A stranger that reaches a reader under a publisher's name.
class StoredHistoryAndAnHeir : public StoredHistory {
protected:
    StoredHistoryAndAnHeir() {
        publisher sender(home(), "weather", {.source = "station"});
        run_ = sender.epoch();
        publish_numbers(sender, 1, 20);
        EXPECT_EQ(sender.flush(patience), 0U);
    }
    wire::batch_header batch_at(std::uint64_t first) const {
        wire::batch_header h;
        h.channel = channel_;
        h.topic = "weather";
        h.source = "station";
        h.epoch = run_;
        h.first = {first};
        h.count = 1;
        return h;
    }
    void greet(const std::string& reader) {
        heir_.emplace(reader);
        ASSERT_TRUE(heir_->greet());
        const auto asked = heir_->hear<wire::subscribe>(wire::kind::subscribe);
        ASSERT_TRUE(asked);
        channel_ = asked->channel;
    }
    void part(const node& reader) {
        heir_->say(wire::bye{errc::closed, "the node closes"});
        ASSERT_TRUE(eventually([&] { return reader.stats().links == 0; }, patience));
    }

    epoch run_{};
    wire::channel channel_ = 0;
    std::optional<stranger> heir_;
};

// What it sent behind a hole says that it holds what is missing: not any more.
TEST_F(StoredHistoryAndAnHeir, IsReadFromTheStoreWhenAPublisherLeftBeforeItAnswered) {
    leave_home();
    stop_store();
    node there(with_store("away"));
    const position next{"station", run_, {11}};
    subscriber reader(there, "weather", {.from = from::after({{"weather", next}})});
    greet(there.bind("tcp://127.0.0.1:0"));
    ASSERT_TRUE(heir_->say(batch_at(15), records_from(15, 1)));
    ASSERT_TRUE(heir_->answered());
    part(there);

    start_store();
    EXPECT_EQ(texts(reader, 10), numbers(11, 20));
}

TEST_F(StoredHistory, NeedsATopicAndAStoreForItsPlaces) {
    node alone;
    const auto code = [](auto&& call) {
        try {
            call();
        } catch (const error& e) {
            return e.code();
        }
        return errc::ok;
    };
    EXPECT_EQ(code([&] { subscriber(alone, "weather", {.from = from::last(1)}); }),
              errc::invalid_argument);
    EXPECT_EQ(code([&] { subscriber(home(), "weather.*", {.from = from::last(1)}); }),
              errc::topic_invalid);
    EXPECT_EQ(code([&] { replay(home(), "weather", {.from = from::live()}); }),
              errc::invalid_argument);
}

class HistoryOfADeletedTopic : public StoredHistory {
protected:
    void delete_topic() {
        node tool(with_store("tool"));
        admin(tool, admin_options{.patience = patience}).delete_topic("weather");
    }
    /// How many messages come, the one that says `last` among them.
    static std::uint64_t received_through(subscriber& from, std::string_view last) {
        for (std::uint64_t count = 1;; ++count) {
            const auto m = from.receive_for(patience);
            EXPECT_TRUE(m) << count;
            if (!m || m->text() == last) return count;
        }
    }
};

TEST_F(HistoryOfADeletedTopic, KeepsNobodyFromWhatIsPublished) {
    publisher sender(home(), "weather", {.source = "station"});
    const auto there = away();
    subscriber reader(*there, "weather", {.from = from::earliest()});
    publish_numbers(sender, 1, 100);
    EXPECT_EQ(texts(reader, 100), numbers(1, 100));
    ASSERT_EQ(sender.flush(patience), 0U);
    delete_topic();
    publish_numbers(sender, 101, 200);
    EXPECT_EQ(texts(reader, 100), numbers(101, 200));
    EXPECT_EQ(sender.flush(patience), 0U);
    publish_numbers(sender, 201, 300);
    EXPECT_EQ(texts(reader, 100), numbers(201, 300));
    EXPECT_EQ(reader.stats().gaps, 0U);
}

TEST_F(HistoryOfADeletedTopic, KeepsNoReaderOfAPatternFromTheNextRun) {
    publish_and_leave(1, 10'000, {.source = "station", .batch_bytes_max = 500});
    const auto there = away();
    subscriber reader(*there, "*", {.from = from::earliest(), .credit_bytes = 1'000});
    EXPECT_EQ(texts(reader, 10), numbers(1, 10));
    delete_topic();
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 10'001, 10'010);
    const std::uint64_t received = 10 + received_through(reader, "10010");
    EXPECT_EQ(received + reader.stats().drops, 10'010U);
    EXPECT_LT(received, 5'000U);
}

TEST_F(HistoryOfADeletedTopic, IsToldAsAGapWhereNobodyHasIt) {
    publish_and_leave(1, 10'000, {.source = "station", .batch_bytes_max = 500});
    const auto there = away();
    subscriber_options o{.from = from::earliest(), .credit_bytes = 1'000};
    o.history_wait = 10ms;
    subscriber reader(*there, "weather", o);
    EXPECT_EQ(texts(reader, 10), numbers(1, 10));
    delete_topic();
    publisher sender(home(), "weather", {.source = "station"});
    sender.publish("after");
    const std::uint64_t received = 10 + received_through(reader, "after");
    EXPECT_EQ(received + reader.stats().drops, 10'001U);
    EXPECT_LT(received, 5'000U);
}

}  // namespace
}  // namespace cairn::test
