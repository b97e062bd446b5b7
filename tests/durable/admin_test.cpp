#include "durable.hpp"
#include "support/tcp_proxy.hpp"

#include <cairn/store/maintenance.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <thread>

// Looking into a store and changing what it keeps, beside publishers and readers that use it.
namespace cairn::test {
namespace {

class Administering : public durable {
protected:
    node& tool() {
        if (!tool_) tool_ = std::make_unique<node>(with_store("tool"));
        return *tool_;
    }
    admin& store() {
        if (!admin_) admin_ = std::make_unique<admin>(tool(), admin_options{.patience = patience});
        return *admin_;
    }
    static subscriber_options in_group(const std::string& name) {
        subscriber_options o{.from = from::earliest(), .group = name};
        o.ack_delay_max = 5ms;
        return o;
    }
    errc thrown_by(const std::function<void()>& what) {
        try {
            what();
        } catch (const error& e) {
            text_ = e.what();
            return e.code();
        }
        return errc::ok;
    }
    std::set<std::string> replayed(const std::string& topic) {
        std::set<std::string> all;
        for (const message& m : replay(tool(), topic)) all.emplace(m.text());
        return all;
    }

    std::string text_;  // of what was thrown last
    std::unique_ptr<node> tool_;
    std::unique_ptr<admin> admin_;
};

TEST_F(Administering, ShowsTopicsSourcesAndGroups) {
    publisher us(home(), "quakes.us", {.source = "usgs"});
    publisher jp(home(), "quakes.jp", {.source = "jma"});
    publish_numbers(us, 1, 10);
    publish_numbers(jp, 1, 3);
    ASSERT_EQ(us.flush(patience) + jp.flush(patience), 0U);
    const auto there = away();
    subscriber reader(*there, "quakes.us", in_group("alarms"));
    ASSERT_EQ(texts(reader, 5).size(), 5U);
    ASSERT_EQ(reader.flush(patience), 0U);

    const auto topics = store().topics("quakes.*");
    ASSERT_EQ(topics.size(), 2U);
    EXPECT_EQ(topics[0].name, "quakes.jp");
    EXPECT_EQ(topics[1].name, "quakes.us");
    EXPECT_EQ(topics[1].first, 1U);
    EXPECT_EQ(topics[1].end, 11U);
    EXPECT_GT(topics[1].bytes, 0U);
    EXPECT_EQ(topics[1].sources, 1U);
    EXPECT_EQ(topics[1].groups, 1U);
    EXPECT_EQ(store().topic("quakes.jp").end, 4U);
    const auto sources = store().sources("quakes.us");
    ASSERT_EQ(sources.size(), 1U);
    EXPECT_EQ(sources[0].name, "usgs");
    EXPECT_EQ(sources[0].epoch, us.epoch());
    EXPECT_EQ(sources[0].last, sequence{10});
    const auto groups = store().groups("quakes.us");
    ASSERT_EQ(groups.size(), 1U);
    EXPECT_EQ(groups[0].name, "alarms");
    EXPECT_EQ(groups[0].next, 5U) << "the fifth is in hand";
    EXPECT_EQ(groups[0].pending, 6U);
    EXPECT_EQ(groups[0].members, 1U);
}

TEST_F(Administering, ShowsManyTopicsInOrder) {
    constexpr std::size_t count = 2'500;
    std::vector<std::string> names;
    for (std::size_t n = 0; n != count; ++n) names.push_back("t" + std::to_string(10'000 + n));
    for (const std::string& name : names) store().create_topic(name);
    std::vector<std::string> listed;
    for (const stored_topic& t : store().topics()) listed.push_back(t.name);
    EXPECT_EQ(listed, names);
    EXPECT_EQ(store().topics("t1000*").size(), 10U);
    EXPECT_TRUE(store().topics("other*").empty());
}

TEST_F(Administering, ShowsFigures) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    const store_figures seen = store().figures();
    EXPECT_EQ(seen.value("stored_messages"), 10U);
    EXPECT_GT(seen.value("stored_bytes"), 0U);
    EXPECT_EQ(seen.value("sources"), 1U);
    EXPECT_EQ(seen.value("failed"), 0U);
    EXPECT_EQ(seen.value("no such figure"), 0U);
    EXPECT_NE(seen.generation, cairn::generation{});
}

TEST_F(Administering, MakesAltersAndDeletesTopics) {
    const topic_settings kept{.age_max = 24h,
                              .bytes_max = 1 << 20,
                              .messages_max = 1'000,
                              .until_acked = true,
                              .refuse_when_full = true,
                              .confirm_written = true,
                              .last_per_key = true};
    store().create_topic("weather", kept);
    EXPECT_EQ(store().topic("weather").settings, kept);
    store().create_topic("weather", kept);
    EXPECT_EQ(thrown_by([&] { store().create_topic("weather"); }), errc::topic_exists);
    topic_settings other = kept;
    other.messages_max = 5;
    store().alter_topic("weather", other);
    EXPECT_EQ(store().topic("weather").settings, other);
    other.last_per_key = false;
    EXPECT_EQ(thrown_by([&] { store().alter_topic("weather", other); }), errc::not_supported);
    EXPECT_NE(text_.find("last_per_key is chosen when"), std::string::npos) << text_;
    store().delete_topic("weather");
    EXPECT_EQ(thrown_by([&] { store().topic("weather"); }), errc::topic_unknown);
    EXPECT_EQ(thrown_by([&] { store().delete_topic("weather"); }), errc::topic_unknown);
    EXPECT_EQ(thrown_by([&] { store().alter_topic("weather", other); }), errc::topic_unknown);
}

TEST_F(Administering, TrimsAndPurges) {
    publisher sender(home(), "weather", {.source = "station"});
    for (int n = 1; n <= 10; ++n) {
        publish_numbers(sender, n, n);
        ASSERT_EQ(sender.flush(patience), 0U);
    }
    EXPECT_EQ(store().trim("weather", from::offset(4)), 3U);
    EXPECT_EQ(store().topic("weather").first, 4U);
    EXPECT_EQ(store().trim("weather", from::earliest()), 0U);
    EXPECT_EQ(store().trim("weather", from::last(2)), 5U);
    EXPECT_EQ(replayed("weather"), (std::set<std::string>{"9", "10"}));
    EXPECT_EQ(store().purge("weather"), 2U);
    EXPECT_EQ(store().purge("weather"), 0U);
    EXPECT_EQ(store().topic("weather").end, 11U) << "offsets go on";
    EXPECT_EQ(thrown_by([&] { store().trim("weather", from::after({})); }), errc::invalid_argument);
}

TEST_F(Administering, MovesAGroupBackWhileItsMemberReads) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 20);
    ASSERT_EQ(sender.flush(patience), 0U);
    const auto there = away();
    subscriber reader(*there, "weather", in_group("alarms"));
    ASSERT_EQ(texts(reader, 20), numbers(1, 20));
    store().seek_group("weather", "alarms", from::offset(6));
    EXPECT_EQ(texts(reader, 15), numbers(6, 20));
    publish_numbers(sender, 21, 22);
    EXPECT_EQ(texts(reader, 2), numbers(21, 22));
    EXPECT_FALSE(reader.receive_for(silence)) << "and acks the last";
    EXPECT_TRUE(eventually([&] { return store().groups("weather")[0].pending == 0; }, patience))
        << "next " << store().groups("weather")[0].next << ", done "
        << store().groups("weather")[0].done << ", pending " << store().groups("weather")[0].pending
        << ", members " << store().groups("weather")[0].members << "; the reader has "
        << reader.state().acks_waiting << " acks, state " << static_cast<int>(reader.state().state);
}

// Nothing else happens at the reader that would make it look for what was acked.
TEST_F(Administering, SeesWhatIsAckedOfAStreamThatHasPauses) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 1);
    ASSERT_EQ(sender.flush(patience), 0U);
    const auto there = away();
    subscriber reader(*there, "weather", in_group("alarms"));
    ASSERT_EQ(texts(reader, 1), numbers(1, 1));
    for (int n = 2; n <= 6; ++n) {
        EXPECT_FALSE(reader.receive_for(silence)) << "and acks the one before";
        EXPECT_TRUE(eventually([&] { return store().groups("weather")[0].pending == 0; }, patience))
            << n - 1;
        publish_numbers(sender, n, n);
        ASSERT_EQ(texts(reader, 1), numbers(n, n));
    }
}

TEST_F(Administering, MovesAGroupForwardWhileItsMemberReads) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 20);
    ASSERT_EQ(sender.flush(patience), 0U);
    store().create_group("weather", "alarms");
    EXPECT_EQ(store().groups("weather")[0].pending, 20U);
    store().seek_group("weather", "alarms", from::last(5));
    EXPECT_EQ(store().groups("weather")[0].next, 16U);
    const auto there = away();
    subscriber reader(*there, "weather", in_group("alarms"));
    EXPECT_EQ(texts(reader, 5), numbers(16, 20));
    EXPECT_EQ(thrown_by([&] { store().seek_group("weather", "other", from::live()); }),
              errc::group_unknown);
}

TEST_F(Administering, DeletesAGroupThatItsMemberMakesAnew) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    const auto there = away();
    subscriber reader(*there, "weather", in_group("alarms"));
    ASSERT_EQ(texts(reader, 10), numbers(1, 10));
    store().delete_group("weather", "alarms");
    EXPECT_EQ(texts(reader, 10), numbers(1, 10)) << "from::earliest(), as it began";
    EXPECT_EQ(thrown_by([&] { store().delete_group("weather", "other"); }), errc::group_unknown);
}

/// Its link to the store breaks, and comes back later.
class AdministeringWhileAMemberIsAway : public Administering {
protected:
    AdministeringWhileAMemberIsAway() {
        publish_numbers(sender_, 1, 10);
        EXPECT_EQ(sender_.flush(patience), 0U);
        EXPECT_EQ(texts(reader_, 10), numbers(1, 10));
        EXPECT_EQ(reader_.flush(patience), 0U);
        way_.swallow();
        way_.cut();
        EXPECT_TRUE(
            eventually([&] { return store().groups("weather")[0].members == 0; }, patience));
    }
    node_options by_way_of_the_proxy() {
        node_options o = with_store("away");
        o.store = way_.endpoint();
        o.connect = {home_endpoint_};
        return o;
    }
    publisher sender_{home(), "weather", {.source = "station"}};
    tcp_proxy way_{endpoint_};
    node there_{by_way_of_the_proxy()};
    subscriber reader_{there_, "weather", in_group("alarms")};
};

TEST_F(AdministeringWhileAMemberIsAway, GivesItNothingAgainThatItAcked) {
    way_.relay();
    publish_numbers(sender_, 11, 12);
    EXPECT_EQ(texts(reader_, 2), numbers(11, 12));
    EXPECT_EQ(reader_.flush(patience), 0U);
    EXPECT_FALSE(reader_.receive_for(silence));
}

TEST_F(AdministeringWhileAMemberIsAway, MovesItsGroupBack) {
    store().seek_group("weather", "alarms", from::offset(6));
    way_.relay();
    EXPECT_EQ(texts(reader_, 5), numbers(6, 10));
    publish_numbers(sender_, 11, 12);
    EXPECT_EQ(texts(reader_, 2), numbers(11, 12));
}

TEST_F(AdministeringWhileAMemberIsAway, DeletesItsGroup) {
    store().delete_group("weather", "alarms");
    way_.relay();
    EXPECT_EQ(texts(reader_, 10), numbers(1, 10)) << "it makes it anew, as it began";
}

TEST_F(AdministeringWhileAMemberIsAway, DeletesItsTopic) {
    store().delete_topic("weather");
    publish_numbers(sender_, 11, 12);
    ASSERT_EQ(sender_.flush(patience), 0U);
    EXPECT_EQ(texts(reader_, 2), numbers(11, 12)) << "live";
    way_.relay();
    // What the publisher still held is there again.
    const int first = static_cast<int>(replayed("weather").size()) == 12 ? 1 : 11;
    const std::vector<std::string> again = numbers(first, 12);
    EXPECT_EQ(texts(reader_, again.size()), again);
}

// The copy is of before its group was moved: that it was is no news of the other store.
TEST_F(Administering, GivesAMemberThatStoodByNothingAgainAlthoughItsStoreWasRestored) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    store().create_group("weather", "alarms");
    stop_store();
    store::backup(directory_ / "data", directory_ / "copy");
    start_store();
    store().seek_group("weather", "alarms", from::offset(1));
    tcp_proxy way(endpoint_);
    node_options o = with_store("away");
    o.store = way.endpoint();
    o.connect = {home_endpoint_};
    node there(o);
    subscriber_options by_hand = in_group("alarms");
    by_hand.acks = ack_mode::on_request;
    subscriber first(there, "weather", by_hand);
    for (int n = 1; n <= 10; ++n) {
        const auto m = first.receive_for(patience);
        ASSERT_TRUE(m);
        if (n <= 8) first.ack(*m);
    }
    ASSERT_EQ(first.flush(patience), 0U);
    way.swallow();
    way.cut();
    stop_store();
    std::filesystem::remove_all(directory_ / "data");
    std::filesystem::rename(directory_ / "copy", directory_ / "data");
    start_store();
    const auto elsewhere = away();
    auto second = std::make_unique<subscriber>(*elsewhere, "weather", by_hand);
    ASSERT_TRUE(second->wait_live(patience));
    way.relay();
    ASSERT_TRUE(
        eventually([&] { return first.state().state == reading::state::standby; }, patience));
    second.reset();
    EXPECT_TRUE(eventually([&] { return store().groups("weather")[0].pending == 2; }, patience));
    EXPECT_FALSE(first.receive_for(silence));
}

TEST_F(Administering, LetsAPublisherMakeADeletedTopicAnew) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    store().delete_topic("weather");
    EXPECT_TRUE(store().topics().empty());
    publish_numbers(sender, 11, 12);
    EXPECT_EQ(sender.flush(patience), 0U);
    const auto all = replayed("weather");
    EXPECT_TRUE(all.contains("11") && all.contains("12")) << all.size();
    EXPECT_EQ(store().sources("weather")[0].last, sequence{12});
}

TEST_F(Administering, LetsAGroupGoOnWithADeletedTopic) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    const auto there = away();
    subscriber reader(*there, "weather", in_group("alarms"));
    ASSERT_EQ(texts(reader, 10), numbers(1, 10));
    store().delete_topic("weather");
    publish_numbers(sender, 11, 15);
    std::set<std::string> seen;
    while (!seen.contains("15")) {
        const auto m = reader.receive_for(patience);
        ASSERT_TRUE(m) << seen.size();
        seen.emplace(m->text());
    }
    for (int n = 11; n <= 15; ++n) EXPECT_TRUE(seen.contains(std::to_string(n))) << n;
}

TEST_F(Administering, IsSafeFromManyThreads) {
    std::vector<std::thread> all;
    for (int t = 0; t != 4; ++t)
        all.emplace_back([this, t, &store = store()] {
            for (int n = 0; n != 20; ++n) {
                const std::string name = "t" + std::to_string(t) + "." + std::to_string(n);
                store.create_topic(name);
                EXPECT_EQ(store.topic(name).name, name);
            }
        });
    for (std::thread& t : all) t.join();
    EXPECT_EQ(store().topics("t*").size(), 80U);
}

TEST_F(Administering, SaysWhatIsWrongWithACall) {
    EXPECT_EQ(thrown_by([&] { store().topics("a*b"); }), errc::topic_invalid);
    EXPECT_EQ(thrown_by([&] { store().create_topic("a*"); }), errc::topic_invalid);
    EXPECT_EQ(thrown_by([&] { store().groups("nothing"); }), errc::topic_unknown);
    EXPECT_EQ(thrown_by([&] { store().create_group("t", ""); }), errc::invalid_argument);
    EXPECT_EQ(thrown_by([&] { store().create_topic("t", {.age_max = -1ms}); }),
              errc::invalid_argument);
    node without;
    EXPECT_EQ(thrown_by([&] { admin nobody(without); }), errc::invalid_argument);
    tool().close(0ms);
    EXPECT_EQ(thrown_by([&] { store().topics(); }), errc::closed);
}

TEST_F(Administering, EndsInTimeWhenNobodyAnswers) {
    stop_store();
    admin lonely(tool(), {.patience = 50ms});
    try {
        lonely.topics();
        FAIL() << "nobody is there";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::timed_out);
        EXPECT_NE(std::string(e.what()).find(endpoint_), std::string::npos) << e.what();
    }
}

TEST_F(Administering, IsToldThatAPeerIsNoStore) {
    home();
    admin mistaken(tool(), {.store = home_endpoint_, .patience = patience});
    EXPECT_EQ(thrown_by([&] { mistaken.topics(); }), errc::not_supported);
}

}  // namespace
}  // namespace cairn::test
