#include "scripted_store.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include "support/eventually.hpp"

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// A publisher, and every word that a store may say to it.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;

constexpr auto patience = 20s;
constexpr auto silence = 60ms;

class DurablePublisher : public testing::Test {
protected:
    node_options options(const std::string& endpoint) {
        node_options o{.name = "here", .store = endpoint};
        o.reconnect_min = 10ms;
        o.reconnect_max = 50ms;
        return o;
    }
    /// A store where the one before was, as after a restart.
    void restart_store() {
        const std::string endpoint = store_->endpoint();
        store_.reset();
        store_.emplace(endpoint);
    }
    static errc thrown_by(const std::function<void()>& call) {
        try {
            call();
        } catch (const error& e) {
            return e.code();
        }
        return errc::ok;
    }

    std::optional<scripted_store> store_{std::in_place};
    node node_{options(store_->endpoint())};
};

TEST_F(DurablePublisher, AppendsWhatItPublishes) {
    publisher sender(node_, "weather", {.source = "station"});
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->topic, "weather");
    EXPECT_EQ(asked->source, "station");
    EXPECT_EQ(asked->epoch, sender.epoch());

    sender.publish("sunny");

    const auto first = store_->hear_append();
    ASSERT_TRUE(first);
    EXPECT_EQ(first->header.first, sequence{1});
    EXPECT_EQ(first->header.epoch, sender.epoch());
    EXPECT_EQ(first->texts, std::vector<std::string>{"sunny"});
}

TEST_F(DurablePublisher, IsDurableUpToWhatTheStoreConfirmedAndNoFurther) {
    std::atomic<std::uint64_t> told{0};
    publisher_options o;
    o.on_durable = [&](sequence s) { told = s.value; };
    publisher sender(node_, "weather", o);
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    sender.publish("1");
    ASSERT_TRUE(store_->hear_append());
    EXPECT_EQ(sender.flush(silence), 1U);
    EXPECT_EQ(sender.durable(), sequence{0});

    store_->say(wire::confirm{asked->channel, sequence{1}, wire::durability::flushed, 1 << 20});

    EXPECT_EQ(sender.flush(patience), 0U);
    EXPECT_EQ(sender.durable(), sequence{1});
    EXPECT_EQ(told, 1U);
}

TEST_F(DurablePublisher, IsNotDurableByAConfirmThatComesBeforeTheSync) {
    publisher sender(node_, "weather");
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    sender.publish("1");
    ASSERT_TRUE(store_->hear_append());

    store_->say(wire::confirm{asked->channel, sequence{1}, wire::durability::written, 1 << 20});

    EXPECT_EQ(sender.flush(silence), 1U);
    EXPECT_EQ(sender.durable(), sequence{0});

    store_->say(wire::confirm{asked->channel, sequence{1}, wire::durability::flushed, 1 << 20});

    EXPECT_EQ(sender.flush(patience), 0U);
    EXPECT_EQ(sender.durable(), sequence{1});
}

TEST_F(DurablePublisher, SendsAgainWhatWasWrittenAndTakenBack) {
    publisher sender(node_, "weather");
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    sender.publish("1");
    ASSERT_TRUE(store_->hear_append());
    store_->say(wire::confirm{asked->channel, sequence{1}, wire::durability::written, 1 << 20});

    store_->say(wire::append_refused{asked->channel, errc::disk_full, sequence{1}});

    const auto again = store_->hear_append();
    ASSERT_TRUE(again);
    EXPECT_EQ(again->header.first, sequence{1});
    EXPECT_EQ(sender.durable(), sequence{0});
}

TEST_F(DurablePublisher, SendsAfterAReconnectWhatTheStoreDoesNotHave) {
    publisher sender(node_, "weather");
    ASSERT_TRUE(store_->open());
    for (const char* text : {"1", "2", "3"}) {
        sender.publish(text);
        ASSERT_TRUE(store_->hear_append());
    }
    restart_store();

    ASSERT_TRUE(store_->open(sequence{1}));

    EXPECT_EQ(store_->hear_append()->header.first, sequence{2});
    EXPECT_EQ(store_->hear_append()->header.first, sequence{3});
    EXPECT_EQ(sender.durable(), sequence{1});
}

TEST_F(DurablePublisher, NeverTakesDurableBackWhenTheStoreWasWiped) {
    publisher sender(node_, "weather");
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    sender.publish("1");
    sender.publish("2");
    ASSERT_TRUE(store_->hear_append());
    store_->say(wire::confirm{asked->channel, sequence{2}, wire::durability::flushed, 1 << 20});
    ASSERT_EQ(sender.flush(patience), 0U);
    restart_store();

    ASSERT_TRUE(store_->open(sequence{0}, 1 << 20, std::byte{2}));

    EXPECT_EQ(store_->hear_append()->header.first, sequence{1});
    EXPECT_EQ(sender.durable(), sequence{2});
}

TEST_F(DurablePublisher, NamesWhatItNoLongerHoldsAsLost) {
    std::atomic<std::uint64_t> lost{0};
    publisher_options o;
    o.ring_bytes_max = 4'000;
    o.batch_bytes_max = 1;
    o.when_full = full_ring::drop_history;
    o.on_lost = [&](epoch, sequence_range r, errc) { lost += r.size(); };
    publisher sender(node_, "weather", o);
    for (int n = 0; n != 100; ++n) sender.publish("x");

    const auto asked = store_->open();

    ASSERT_TRUE(asked);
    const auto told = store_->hear<wire::lost>();
    ASSERT_TRUE(told);
    EXPECT_EQ(told->range.first, sequence{1});
    const auto next = store_->hear_append();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->header.first, told->range.last + 1);
    EXPECT_EQ(lost, told->range.size());
    EXPECT_EQ(sender.stats().lost_to_store, told->range.size());
    store_->say(
        wire::confirm{asked->channel, {100}, wire::durability::flushed, std::uint64_t{1} << 30});
    for (sequence heard = next->header.last(); heard < sequence{100};) {
        const auto more = store_->hear_append();
        ASSERT_TRUE(more);
        heard = more->header.last();
    }
    store_->say(
        wire::confirm{asked->channel, {100}, wire::durability::flushed, std::uint64_t{1} << 30});
    EXPECT_TRUE(eventually([&] { return sender.durable() == sequence{100}; }));
    EXPECT_EQ(sender.flush(patience), told->range.size());
    EXPECT_EQ(sender.close(patience), told->range.size());
}

TEST_F(DurablePublisher, NamesWhatIsTooLargeForTheStoreAndNoNeighbourOfIt) {
    constexpr std::size_t body_bytes_max = 3'000;
    const std::string endpoint = store_->endpoint();
    store_.reset();
    store_.emplace(endpoint, body_bytes_max);
    publisher sender(node_, "weather");
    // So much is owed that what follows gathers in one batch.
    constexpr int before = 200;
    for (int n = 0; n != before; ++n) sender.publish(std::string(body_bytes_max, 'x'));
    const std::string large(body_bytes_max + 1, 'x');
    for (const std::string& body : {std::string("1"), large, large, std::string("4")})
        sender.publish(body);

    const auto asked = store_->open(sequence{0}, 1 << 30);
    ASSERT_TRUE(asked);
    const auto confirm = [&](sequence last) {
        store_->say(wire::confirm{asked->channel, last, wire::durability::flushed, 1 << 30});
    };
    sequence heard;
    while (heard < sequence{before}) {
        const auto some = store_->hear_append();
        ASSERT_TRUE(some);
        heard = some->header.last();
        confirm(heard);
        if (heard > sequence{before}) {
            EXPECT_EQ(some->texts.back(), "1");
        }
    }
    if (heard == sequence{before}) {
        const auto first = store_->hear_append();
        ASSERT_TRUE(first);
        EXPECT_EQ(first->texts, std::vector<std::string>{"1"});
        confirm(first->header.last());
    }

    const auto told = store_->hear<wire::lost>();
    ASSERT_TRUE(told);
    EXPECT_EQ(told->range, (sequence_range{{before + 2}, {before + 3}}));
    confirm(told->range.last);
    const auto last = store_->hear_append();
    ASSERT_TRUE(last);
    EXPECT_EQ(last->header.first, sequence{before + 4});
    EXPECT_EQ(last->texts, std::vector<std::string>{"4"});
    EXPECT_EQ(sender.flush(silence), 3U) << "one is on its way, two are lost";
    confirm(last->header.last());
    EXPECT_TRUE(eventually([&] { return sender.flush(0ms) == 2U; })) << "lost is not durable";
    EXPECT_EQ(sender.stats().lost_to_store, 2U);
    EXPECT_EQ(sender.close(patience), 2U);
    EXPECT_EQ(sender.close(patience), 2U);
}

TEST_F(DurablePublisher, RefusesWhenItsRingIsFullOfWhatTheStoreDoesNotHave) {
    publisher_options o;
    o.ring_bytes_max = 4'000;
    o.when_full = full_ring::refuse;
    publisher sender(node_, "weather", o);

    EXPECT_EQ(thrown_by([&] {
                  for (;;) sender.publish("x");
              }),
              errc::full);
    EXPECT_TRUE(eventually([&] { return sender.try_publish("x").status == send_status::full; }));
}

TEST_F(DurablePublisher, BlocksWhenItsRingIsFullUntilTheStoreTookSome) {
    publisher_options o;
    o.ring_bytes_max = 4'000;
    o.batch_bytes_max = 1;
    publisher sender(node_, "weather", o);
    while (sender.try_publish("x")) continue;
    auto blocked = std::async(std::launch::async, [&] { return sender.publish("y"); });
    EXPECT_EQ(blocked.wait_for(silence), std::future_status::timeout);

    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    for (sequence last; blocked.wait_for(0s) != std::future_status::ready;) {
        if (const auto a = store_->hear_append(20ms)) last = a->header.last();
        store_->say(wire::confirm{asked->channel, last, wire::durability::flushed, 1 << 20});
    }
}

TEST_F(DurablePublisher, AppendsNoMoreThanTheStoreGranted) {
    publisher_options o;
    o.batch_bytes_max = 1;
    publisher sender(node_, "weather", o);
    const auto asked = store_->open(sequence{0}, 1);
    ASSERT_TRUE(asked);
    sender.publish("1");
    sender.publish("2");
    ASSERT_TRUE(store_->hear_append());
    EXPECT_FALSE(store_->hear_append(silence));

    store_->say(wire::confirm{asked->channel, sequence{0}, wire::durability::flushed, 1'000});

    const auto next = store_->hear_append();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->header.first, sequence{2});
}

TEST_F(DurablePublisher, GoesBackWhereTheStoreHasAHole) {
    publisher sender(node_, "weather");
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    sender.publish("1");
    ASSERT_TRUE(store_->hear_append());

    store_->say(wire::append_refused{asked->channel, errc::hole, sequence{1}});

    EXPECT_EQ(store_->hear_append()->header.first, sequence{1});
}

// Bytes that are damaged in memory are damaged the next time as well.
TEST_F(DurablePublisher, WaitsBeforeItOffersAgainWhatFailedItsChecksum) {
    publisher sender(node_, "weather");
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    sender.publish("1");
    ASSERT_TRUE(store_->hear_append());

    store_->say(wire::append_refused{asked->channel, errc::checksum_mismatch, sequence{1}});

    EXPECT_FALSE(store_->hear_append(silence));
    EXPECT_EQ(store_->hear_append()->header.first, sequence{1});
}

TEST_F(DurablePublisher, OffersAgainWhatAFullStoreRefused) {
    publisher sender(node_, "weather");
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    sender.publish("1");
    ASSERT_TRUE(store_->hear_append());

    store_->say(wire::append_refused{asked->channel, errc::store_full, sequence{1}});

    EXPECT_EQ(store_->hear_append()->header.first, sequence{1});
}

TEST_F(DurablePublisher, StopsAppendingWhenTheStoreHoldsAnotherContent) {
    publisher sender(node_, "weather");
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    sender.publish("1");
    ASSERT_TRUE(store_->hear_append());

    store_->say(wire::append_refused{asked->channel, errc::conflict, sequence{1}});

    EXPECT_EQ(sender.flush(patience), 1U);
    EXPECT_TRUE(sender.try_publish("2"));
}

TEST_F(DurablePublisher, WaitsForAStoreThatWasReplacedByOneThatHasLess) {
    publisher sender(node_, "weather", {.batch_bytes_max = 1});
    auto asked = store_->open();
    ASSERT_TRUE(asked);
    for (int n = 1; n <= 5; ++n) {
        sender.publish(std::to_string(n));
        ASSERT_TRUE(store_->hear_append());
    }
    const auto confirm = [&](std::uint64_t up_to) {
        store_->say(wire::confirm{
            asked->channel, {up_to}, wire::durability::flushed, std::uint64_t{1} << 20});
    };
    confirm(5);
    EXPECT_EQ(sender.flush(patience), 0U);
    restart_store();
    asked = store_->open({2}, 1 << 20, std::byte{2});
    ASSERT_TRUE(asked);
    ASSERT_TRUE(store_->hear_append());
    EXPECT_EQ(sender.durable(), sequence{5}) << "it was";
    EXPECT_EQ(sender.flush(0ms), 3U);
    EXPECT_EQ(sender.stats().owed_messages, 3U);
    auto closed = std::async(std::launch::async, [&] { return sender.close(patience); });
    confirm(4);
    EXPECT_EQ(closed.wait_for(silence), std::future_status::timeout);
    confirm(5);
    EXPECT_EQ(closed.get(), 0U);
}

/// What a publisher was told of refusals, in order.
class refusals {
public:
    void tell(errc why, bool for_good) {
        const std::lock_guard hold(mutex_);
        told_.emplace_back(why, for_good);
    }
    std::vector<std::pair<errc, bool>> told() const {
        const std::lock_guard hold(mutex_);
        return told_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<std::pair<errc, bool>> told_;  // guarded by mutex_
};

TEST_F(DurablePublisher, PublishesOnToItsPeersWhenTheStoreRefusesForGood) {
    refusals refused;
    publisher_options o;
    o.ring_bytes_max = 4'000;
    o.batch_bytes_max = 1;
    o.on_store_refused = [&](errc why, bool for_good) { refused.tell(why, for_good); };
    publisher sender(node_, "weather", o);
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    while (sender.try_publish("x")) continue;
    auto blocked = std::async(std::launch::async, [&] { return sender.publish("y"); });
    EXPECT_EQ(blocked.wait_for(silence), std::future_status::timeout);

    store_->say(wire::append_refused{asked->channel, errc::conflict, sequence{1}});

    ASSERT_EQ(blocked.wait_for(patience), std::future_status::ready);
    for (int n = 0; n != 1'000; ++n) sender.publish("z");
    EXPECT_EQ(refused.told(), (std::vector<std::pair<errc, bool>>{{errc::conflict, true}}));
    EXPECT_EQ(sender.stats().store_refusal, errc::conflict);
    EXPECT_TRUE(sender.stats().store_refuses_for_good);
    EXPECT_GE(sender.flush(patience), 1'000U) << "and it says that they are not stored";
}

TEST_F(DurablePublisher, TellsOnceThatItIsRefusedThoughWhatCameBeforeIsConfirmedBehindIt) {
    refusals refused;
    publisher_options o;
    o.batch_bytes_max = 1;
    o.on_store_refused = [&](errc why, bool for_good) { refused.tell(why, for_good); };
    publisher sender(node_, "weather", o);
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    for (const char* text : {"1", "2"}) {
        sender.publish(text);
        ASSERT_TRUE(store_->hear_append());
    }
    const auto say_full = [&] {
        store_->say(wire::append_refused{asked->channel, errc::store_full, sequence{2}});
    };
    const auto confirm = [&](std::uint64_t up_to) {
        store_->say(wire::confirm{
            asked->channel, {up_to}, wire::durability::flushed, std::uint64_t{1} << 20});
        EXPECT_TRUE(eventually([&] { return sender.durable() == sequence{up_to}; }));
    };
    say_full();
    confirm(1);
    EXPECT_EQ(sender.stats().store_refusal, errc::store_full);
    ASSERT_TRUE(store_->hear_append()) << "the second, again";
    say_full();
    ASSERT_TRUE(store_->hear_append());
    confirm(2);
    EXPECT_EQ(refused.told(), (std::vector<std::pair<errc, bool>>{{errc::store_full, false}}));
    EXPECT_EQ(sender.stats().store_refusal, errc::ok);
}

TEST_F(DurablePublisher, PublishesNoMoreWhenTheStoreThatComesFirstRefusesForGood) {
    publisher_options o;
    o.delivery = delivery::store_first;
    publisher sender(node_, "weather", o);
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    sender.publish("1");
    ASSERT_TRUE(store_->hear_append());

    store_->say(wire::append_refused{asked->channel, errc::conflict, sequence{1}});

    EXPECT_TRUE(eventually([&] { return sender.try_publish("x").status == send_status::refused; }));
    EXPECT_EQ(thrown_by([&] { sender.publish("x"); }), errc::conflict);
}

TEST_F(DurablePublisher, TellsOnceWhyItsSourceIsNotOpenedAndAsksAgain) {
    refusals refused;
    publisher_options o;
    o.on_store_refused = [&](errc why, bool for_good) { refused.tell(why, for_good); };
    publisher sender(node_, "weather", o);
    for (int n = 0; n != 2; ++n) {
        const auto asked = store_->hear<wire::open_source>();
        ASSERT_TRUE(asked);
        store_->say(wire::error_reply{asked->channel, errc::not_authorised, "not yours"});
    }
    EXPECT_TRUE(eventually([&] { return sender.stats().store_refusal == errc::not_authorised; }));
    EXPECT_FALSE(sender.stats().store_refuses_for_good);

    ASSERT_TRUE(store_->open());

    EXPECT_TRUE(eventually([&] { return sender.stats().store_refusal == errc::ok; }));
    EXPECT_EQ(refused.told(), (std::vector<std::pair<errc, bool>>{{errc::not_authorised, false}}));
}

TEST_F(DurablePublisher, WarnsOfARandomSourceThatTheStoreKeepsForEver) {
    std::mutex mutex;
    std::size_t warnings = 0;
    node_options o = options(store_->endpoint());
    o.name.clear();
    o.log = [&](log_level level, std::string_view line) {
        const std::lock_guard hold(mutex);
        if (level == log_level::warning && line.find("random name") != std::string_view::npos)
            ++warnings;
    };
    node nameless(o);
    publisher of_a_name(nameless, "weather", {.source = "station"});
    publisher to_peers(nameless, "tides", {.delivery = delivery::peers});
    EXPECT_EQ(warnings, 0U);
    publisher random(nameless, "weather");
    const std::lock_guard hold(mutex);
    EXPECT_EQ(warnings, 1U);
}

TEST_F(DurablePublisher, IsFencedByAStoreThatKnowsANewerRun) {
    std::atomic<std::uint64_t> newer{0};
    publisher_options o{.source = "station"};
    o.on_fenced = [&](epoch e) { newer = e.value; };
    publisher sender(node_, "weather", o);
    const auto asked = store_->hear<wire::open_source>();
    ASSERT_TRUE(asked);

    store_->say(wire::fenced{"weather", "station", epoch{sender.epoch().value + 1}});

    EXPECT_TRUE(eventually([&] { return newer == sender.epoch().value + 1; }));
    EXPECT_EQ(thrown_by([&] { sender.publish("1"); }), errc::fenced);
}

TEST_F(DurablePublisher, OpensItsSourceAgainWhereThePeerIsNoStore) {
    publisher sender(node_, "weather");
    const auto asked = store_->hear<wire::open_source>();
    ASSERT_TRUE(asked);

    store_->say(wire::error_reply{asked->channel, errc::not_supported, "no store"});

    EXPECT_TRUE(store_->hear<wire::open_source>());
}

TEST_F(DurablePublisher, ShowsItsPeersNothingThatIsNotDurableWhenTheStoreComesFirst) {
    publisher_options o;
    o.delivery = delivery::store_first;
    publisher sender(node_, "weather", o);
    subscriber_options reading;
    reading.use_store = false;
    subscriber reader(node_, "weather", reading);
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    const auto asked = store_->open();
    ASSERT_TRUE(asked);
    sender.publish("1");
    ASSERT_TRUE(store_->hear_append());
    EXPECT_FALSE(reader.receive_for(silence));

    store_->say(wire::confirm{asked->channel, sequence{1}, wire::durability::flushed, 1 << 20});

    const auto m = reader.receive_for(patience);
    ASSERT_TRUE(m);
    EXPECT_EQ(m->text(), "1");
}

TEST_F(DurablePublisher, ServesItsPeersWhileTheStoreSaysNothing) {
    publisher sender(node_, "weather");
    subscriber_options reading;
    reading.use_store = false;
    subscriber reader(node_, "weather", reading);
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));

    sender.publish("1");

    const auto m = reader.receive_for(patience);
    ASSERT_TRUE(m);
    EXPECT_EQ(m->text(), "1");
}

TEST_F(DurablePublisher, CountsWhatIsNotDurableWhenItCloses) {
    publisher sender(node_, "weather");
    sender.publish("1");
    sender.publish("2");
    EXPECT_EQ(sender.close(silence), 2U);
}

TEST_F(DurablePublisher, WarnsOfWhatIsNotDurableWhenItEndsWithoutClose) {
    std::mutex mutex;
    std::string lines;
    node_options o = options(store_->endpoint());
    o.log = [&](log_level level, std::string_view line) {
        const std::lock_guard hold(mutex);
        if (level == log_level::warning) lines += line;
    };
    node here(o);
    const auto said = [&](std::string_view text) {
        const std::lock_guard hold(mutex);
        return lines.find(text) != std::string::npos;
    };
    {
        publisher closed(here, "closed");
        closed.publish("1");
        EXPECT_EQ(closed.close(silence), 1U);
        publisher forgotten(here, "forgotten");
        forgotten.publish("1");
        forgotten.publish("2");
    }
    EXPECT_TRUE(said("on forgotten ends with 2 messages that its store has not confirmed"));
    EXPECT_FALSE(said("on closed ends")) << "close() has told";
}

TEST_F(DurablePublisher, NeedsAStoreForWhatOnlyAStoreDoes) {
    node alone;
    publisher_options o;
    o.delivery = delivery::parallel;
    EXPECT_EQ(thrown_by([&] { publisher(alone, "weather", o); }), errc::invalid_argument);
    publisher_options spilling;
    spilling.when_full = full_ring::spill;
    EXPECT_EQ(thrown_by([&] { publisher(node_, "weather", spilling); }), errc::invalid_argument);
}

}  // namespace
