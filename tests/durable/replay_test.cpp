#include "durable.hpp"

#include <cairn/store/maintenance.hpp>

#include <optional>
#include <string>
#include <vector>

// Ranges that are read from a store, and end.
namespace cairn::test {
namespace {

class ReplayReader : public StoredHistory {};

TEST_F(ReplayReader, GivesWhatIsStoredAndStops) {
    publish_and_leave(1, 1'000);
    node there(with_store("away"));
    replay all(there, "weather");

    EXPECT_EQ(texts(all, 1'000), numbers(1, 1'000));
    EXPECT_FALSE(all.receive());
    EXPECT_TRUE(all.finished());
}

TEST_F(ReplayReader, IsNotMovedByWhatIsPublishedMeanwhile) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 1'000);
    ASSERT_EQ(sender.flush(patience), 0U);
    node there(with_store("away"));
    replay_options o;
    o.credit_bytes = 1'000;
    replay all(there, "weather", o);
    EXPECT_EQ(texts(all, 10), numbers(1, 10));
    publish_numbers(sender, 1'001, 2'000);
    ASSERT_EQ(sender.flush(patience), 0U);

    EXPECT_EQ(texts(all, 990), numbers(11, 1'000));
    EXPECT_FALSE(all.receive());
}

TEST_F(ReplayReader, ReadsARangeOfOffsets) {
    publish_and_leave(1, 100);
    publish_and_leave(101, 200);
    node there(with_store("away"));
    replay_options o{.from = from::last(150)};
    o.until = until::offset(150);
    replay some(there, "weather", o);

    std::vector<std::string> all;
    while (const auto m = some.receive_for(patience)) all.emplace_back(m->text());
    EXPECT_TRUE(some.finished());
    ASSERT_FALSE(all.empty());
    EXPECT_EQ(all.front(), "51");
    EXPECT_EQ(all, numbers(51, std::stoi(all.back())));
}

TEST_F(ReplayReader, OfAnEmptyTopicIsOverAtOnce) {
    node there(with_store("away"));
    replay nothing(there, "weather");
    EXPECT_FALSE(nothing.receive());
    EXPECT_TRUE(nothing.finished());
}

class ReplayUnderWay : public StoredHistory {
protected:
    void publish_in_small_batches(int first, int last) {
        publish_and_leave(first, last, {.source = "station", .batch_bytes_max = 500});
    }
    /// Takes the first ten; little more is under way.
    replay& begun(until end = until::now()) {
        replay_options o{.until = end};
        o.credit_bytes = 1'000;
        reader_.emplace(there_, "weather", o);
        EXPECT_EQ(texts(*reader_, 10), numbers(1, 10));
        return *reader_;
    }
    /// Everything but messages, to the end.
    std::vector<event> told_by(replay& reader) {
        std::vector<event> told;
        for (;;) {
            auto e = reader.next_event(patience);
            if (!e) break;
            if (!std::holds_alternative<message>(*e)) told.push_back(std::move(*e));
        }
        return told;
    }

    static void expect_failure(replay& reader, errc why) {
        while (reader.receive_for(patience)) {
        }
        EXPECT_EQ(reader.failure(), why);
        EXPECT_FALSE(reader.finished());
    }

    node there_{with_store("away")};
    admin store_admin_{there_, admin_options{.patience = patience}};
    std::optional<replay> reader_;
};

TEST_F(ReplayUnderWay, IsOverWhenItsTopicIsDeleted) {
    publish_in_small_batches(1, 10'000);
    replay& reader = begun();
    store_admin_.delete_topic("weather");
    expect_failure(reader, errc::topic_unknown);
}

TEST_F(ReplayUnderWay, IsOverWhenItsStoreIsReplacedByAnEmptyOne) {
    publish_in_small_batches(1, 10'000);
    replay& reader = begun();
    wipe_store();
    expect_failure(reader, errc::gone);
}

TEST_F(ReplayUnderWay, IsOverWhenItsStoreIsReplacedByOneThatNeverHadARunOfIt) {
    publish_in_small_batches(1, 1'000);
    const auto copy = directory_ / "copy";
    stop_store();
    store::backup(directory_ / "data", copy);
    start_store();
    publish_in_small_batches(1'001, 1'200);
    replay& reader = begun();
    stop_store();
    std::filesystem::remove_all(directory_ / "data");
    std::filesystem::rename(copy, directory_ / "data");
    {
        // Before the reader is back there is a run behind its end.
        node fast(with_store("fast"));
        start_store();
        publisher sender(fast, "weather", {.source = "station"});
        sender.publish("new");
        ASSERT_EQ(sender.flush(patience), 0U);
    }
    expect_failure(reader, errc::gone);
}

TEST_F(ReplayUnderWay, TellsNoRestartBehindItsEnd) {
    publish_in_small_batches(1, 1'000);
    replay& reader = begun();
    publish_in_small_batches(1'001, 2'000);
    EXPECT_TRUE(told_by(reader).empty());
    EXPECT_TRUE(reader.finished());
}

TEST_F(ReplayUnderWay, TellsOfAGapWhatLiesBeforeItsEnd) {
    publish_in_small_batches(1, 10'000);
    replay& reader = begun(until::offset(9'001));
    store_admin_.trim("weather", from::offset(9'501));
    const std::vector<event> told = told_by(reader);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(std::get<gap>(told[0]).range.last, sequence{9'000});
    EXPECT_TRUE(reader.finished());
    EXPECT_EQ(reader.stats().drops, std::get<gap>(told[0]).range.size());
}

TEST_F(ReplayReader, IsOverWhenWhatListensThereIsNoStore) {
    node there({.name = "away"});
    replay from_a_peer(there, "weather", {.store = home().bind("tcp://127.0.0.1:0")});
    EXPECT_FALSE(from_a_peer.receive());
    EXPECT_EQ(from_a_peer.failure(), errc::not_supported);
    EXPECT_FALSE(from_a_peer.finished());
}

/// The store lets its reader's key publish, and not read.
class AStoreThatRefusesItsReader : public durable {
protected:
    AStoreThatRefusesItsReader() {
        store_server_options o;
        o.path = directory_ / "locked";
        o.network.security = {.keys = store_keys_, .allowed_keys = {keys_.public_key}};
        o.access = {{keys_.public_key, "weather", {.publish = true}}};
        locked_.emplace(o);
        node_.emplace(
            node_options{.name = "away",
                         .store = locked_->endpoints().front(),
                         .security = {.keys = keys_, .server_key = store_keys_.public_key}});
    }

    const key_pair store_keys_ = generate_keys();
    const key_pair keys_ = generate_keys();
    std::optional<store_server> locked_;
    std::optional<node> node_;
};

TEST_F(AStoreThatRefusesItsReader, EndsAReplay) {
    replay refused(*node_, "weather");
    EXPECT_FALSE(refused.receive());
    EXPECT_EQ(refused.failure(), errc::not_authorised);
    EXPECT_FALSE(refused.finished());
}

TEST_F(AStoreThatRefusesItsReader, KeepsNoSubscriberFromWhatItsPublisherHolds) {
    publisher sender(*node_, "weather");
    subscriber s(*node_, "weather", {.from = from::earliest(), .history_wait = 10ms});
    publish_numbers(sender, 1, 10);
    EXPECT_EQ(texts(s, 10), numbers(1, 10));
}

}  // namespace
}  // namespace cairn::test
