// Members of a durable group that lose it to others, or to whoever moves it; and what they leave
// behind when they close.
#include "durable.hpp"
#include "support/tcp_proxy.hpp"

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

namespace cairn::test {
namespace {

bool stands_by(const subscriber& member) { return member.state().state == reading::state::standby; }

/// Ten messages, of which a member was given four when its link broke and another took over.
class AMemberThatStandsBy : public DurableGroup {
protected:
    explicit AMemberThatStandsBy(ack_mode acks = ack_mode::on_request) : way_(endpoint_) {
        publish_numbers(sender_, 1, 10);
        EXPECT_EQ(sender_.flush(patience), 0U);
        subscriber_options o = alarms();
        o.acks = acks;
        node_options through = with_store("through");
        through.store = way_.endpoint();
        through.connect = {home_endpoint_};
        there_ = std::make_unique<node>(through);
        first_ = std::make_unique<subscriber>(*there_, "weather", o);
        EXPECT_EQ(texts(*first_, 4), numbers(1, 4));
        if (acks == ack_mode::on_next) {
            EXPECT_EQ(first_->flush(patience), 0U);
        }
        elsewhere_ = away();
        second_ = std::make_unique<subscriber>(*elsewhere_, "weather", by_hand());
        EXPECT_TRUE(eventually([&] { return stands_by(*second_); }, patience));
        way_.swallow();
        way_.cut();
        EXPECT_TRUE(eventually([&] { return !stands_by(*second_); }, patience));
    }
    /// The other is given all that is left of the ten, and acks what `acks` says.
    void other_acks(const std::vector<int>& which) {
        for (int n = acked_; n < 10; ++n) {
            const auto m = second_->receive_for(patience);
            ASSERT_TRUE(m);
            if (std::count(which.begin(), which.end(), std::stoi(std::string(m->text()))) != 0)
                second_->ack(*m);
        }
        EXPECT_EQ(second_->flush(patience), 0U);
    }
    void come_back() {
        way_.relay();
        ASSERT_TRUE(eventually([&] { return stands_by(*first_); }, patience));
    }
    void be_active_again() {
        second_.reset();
        ASSERT_TRUE(eventually([&] { return !stands_by(*first_); }, patience));
    }

    publisher sender_{home(), "weather", {.source = "station"}};
    tcp_proxy way_;
    std::unique_ptr<node> there_;
    std::unique_ptr<subscriber> first_;
    std::unique_ptr<node> elsewhere_;
    std::unique_ptr<subscriber> second_;
    int acked_ = 0;  // before the other took over
};

TEST_F(AMemberThatStandsBy, IsGivenNothingOfWhatTheOtherAcked) {
    other_acks({1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    come_back();
    EXPECT_FALSE(first_->receive_for(silence)) << "it waits there, and is the other's";
    be_active_again();
    sender_.publish("11");
    EXPECT_EQ(texts(*first_, 1), numbers(11, 11));
    EXPECT_FALSE(first_->receive_for(silence));
}

TEST_F(AMemberThatStandsBy, IsGivenWhatWaitedAndTheOtherDidNotAck) {
    other_acks({6, 8, 9});
    come_back();
    EXPECT_FALSE(first_->receive_for(silence));
    be_active_again();
    sender_.publish("11");
    const std::vector<std::string> left{"5", "7", "10", "11"};
    EXPECT_EQ(texts(*first_, 4), left);
    EXPECT_FALSE(first_->receive_for(silence));
    EXPECT_EQ(first_->stats().queue_messages, 0U);
}

TEST_F(AMemberThatStandsBy, IsGivenNothingOfAMessageThatItDidNotAskForMeanwhile) {
    other_acks({1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    come_back();
    be_active_again();
    ASSERT_TRUE(first_->wait_live(patience));
    sender_.publish("11");
    EXPECT_EQ(texts(*first_, 1), numbers(11, 11));
}

TEST_F(AMemberThatStandsBy, EndsItsWaitingWhenItIsClosed) {
    come_back();
    std::atomic<bool> over{false};
    std::thread waiting([&] {
        EXPECT_FALSE(first_->receive());
        over = true;
    });
    first_->close();
    waiting.join();
    EXPECT_TRUE(over);
}

class AMemberThatAcksByItselfAndStandsBy : public AMemberThatStandsBy {
protected:
    AMemberThatAcksByItselfAndStandsBy() : AMemberThatStandsBy(ack_mode::on_next) { acked_ = 3; }
};

TEST_F(AMemberThatAcksByItselfAndStandsBy, HasDoneWhatItWasGivenWhenItComesForMore) {
    come_back();
    EXPECT_FALSE(first_->receive_for(silence));
    be_active_again();
    EXPECT_EQ(first_->flush(patience), 0U);
    admin store(home());
    EXPECT_EQ(store.groups("weather")[0].next, 5U);
    EXPECT_EQ(texts(*first_, 6), numbers(5, 10));
    EXPECT_FALSE(first_->receive_for(silence));
    EXPECT_EQ(first_->flush(patience), 0U);
    EXPECT_EQ(store.groups("weather")[0].pending, 0U);
}

/// Of twenty messages its member was given five, and the rest waits there.
class AGroupThatIsMoved : public DurableGroup {
protected:
    explicit AGroupThatIsMoved(ack_mode acks = ack_mode::on_request) {
        publish_numbers(sender_, 1, 20);
        EXPECT_EQ(sender_.flush(patience), 0U);
        node_options o = with_store("there");
        o.log = [this](log_level, std::string_view line) {
            if (line.find("the group was moved") != std::string_view::npos) told_ = true;
        };
        there_ = std::make_unique<node>(o);
        there_->connect(home_endpoint_);
        subscriber_options in_it = alarms();
        in_it.acks = acks;
        member_ = std::make_unique<subscriber>(*there_, "weather", in_it);
        EXPECT_EQ(texts(*member_, 5), numbers(1, 5));
    }
    void move_to(std::uint64_t place) {
        store_of_home_.seek_group("weather", "alarms", from::offset(place));
        ASSERT_TRUE(eventually([&] { return told_.load(); }, patience));
        static_cast<void>(member_->state());  // the loop has done what it told
    }

    publisher sender_{home(), "weather", {.source = "station"}};
    admin store_of_home_{home()};
    std::atomic<bool> told_{false};
    std::unique_ptr<node> there_;
    std::unique_ptr<subscriber> member_;
};

TEST_F(AGroupThatIsMoved, ForwardGivesNothingOfWhatWaitedBefore) {
    move_to(11);
    for (int n = 11; n <= 20; ++n) {
        const auto m = member_->receive_for(patience);
        ASSERT_TRUE(m);
        EXPECT_EQ(m->text(), std::to_string(n));
        member_->ack(*m);
    }
    EXPECT_FALSE(member_->receive_for(silence));
    EXPECT_EQ(member_->flush(patience), 0U);
    EXPECT_EQ(store_of_home_.groups("weather")[0].pending, 0U);
    EXPECT_EQ(member_->stats().queue_messages, 0U);
}

TEST_F(AGroupThatIsMoved, BackGivesAllFromThereOnce) {
    move_to(3);
    EXPECT_EQ(texts(*member_, 18), numbers(3, 20));
    EXPECT_FALSE(member_->receive_for(silence));
}

class AGroupThatIsMovedAndAcksByItself : public AGroupThatIsMoved {
protected:
    AGroupThatIsMovedAndAcksByItself() : AGroupThatIsMoved(ack_mode::on_next) {}
};

TEST_F(AGroupThatIsMovedAndAcksByItself, BackHasNothingDoneOfWhatWasGivenBefore) {
    move_to(3);
    EXPECT_EQ(texts(*member_, 1), numbers(3, 3));
    EXPECT_EQ(member_->flush(patience), 0U);
    EXPECT_EQ(store_of_home_.groups("weather")[0].next, 3U);
    EXPECT_EQ(store_of_home_.groups("weather")[0].pending, 18U);
}

class AMemberThatCloses : public DurableGroup {
protected:
    /// Acks every second message, each for itself: no two acks become one.
    void ack_every_second(int messages) {
        publish_numbers(sender_, 1, messages);
        ASSERT_EQ(sender_.flush(patience), 0U);
        member_ = std::make_unique<subscriber>(*there_, "weather", by_hand());
        for (int n = 1; n <= messages; ++n) {
            const auto m = member_->receive_for(patience);
            ASSERT_TRUE(m);
            if (n % 2 == 0) member_->ack(*m);
        }
    }
    std::uint64_t pending() { return admin(home()).groups("weather")[0].pending; }

    publisher sender_{home(), "weather", {.source = "station"}};
    std::unique_ptr<node> there_ = away();
    std::unique_ptr<subscriber> member_;
};

TEST_F(AMemberThatCloses, WithItsNodeWaitsUntilTheStoreHasItsAcks) {
    constexpr int messages = 6'000;  // three times what is under way at once
    ack_every_second(messages);
    EXPECT_EQ(there_->close(patience), 0U);
    EXPECT_EQ(pending(), messages / 2);
}

TEST_F(AMemberThatCloses, WithItsNodeCountsWhatTheStoreHasNotConfirmed) {
    ack_every_second(20);
    EXPECT_EQ(member_->flush(patience), 0U);
    stop_store();
    sender_.publish("21");
    const auto m = member_->receive_for(patience);
    ASSERT_TRUE(m) << "what is live goes on";
    member_->ack(*m);
    EXPECT_EQ(there_->close(50ms), 1U);
}

TEST_F(AMemberThatCloses, AloneHasSentWhatItAcked) {
    constexpr int messages = 1'600;
    ack_every_second(messages);
    member_->close();
    EXPECT_TRUE(eventually([&] { return pending() == messages / 2; }, patience));
}

TEST_F(AMemberThatCloses, WithItsNodeIsGivenNothingMoreAndHasItsAcksStored) {
    publish_numbers(sender_, 1, 100);
    ASSERT_EQ(sender_.flush(patience), 0U);
    member_ = std::make_unique<subscriber>(*there_, "weather", alarms());
    std::promise<void> at_three;
    std::promise<void> go_on;
    std::atomic<int> handled{0};
    member_->start([&](const message&) {
        if (++handled != 3) return;
        at_three.set_value();
        go_on.get_future().wait();
    });
    at_three.get_future().wait();
    std::uint64_t left = 99;
    std::thread closing([&] { left = there_->close(patience); });
    EXPECT_TRUE(eventually([&] { return member_->closed(); }, patience));
    go_on.set_value();
    closing.join();
    member_.reset();
    EXPECT_EQ(left, 0U);
    EXPECT_EQ(handled, 3);
    EXPECT_EQ(pending(), 98U) << "two were done";
}

TEST_F(AMemberThatCloses, TakesAcksAfterwardsThoughItsStoreIsGone) {
    publish_numbers(sender_, 1, 2);
    ASSERT_EQ(sender_.flush(patience), 0U);
    member_ = std::make_unique<subscriber>(*there_, "weather", by_hand());
    const auto m = member_->receive_for(patience);
    ASSERT_TRUE(m);
    member_->close();
    stop_store();
    EXPECT_TRUE(eventually([&] { return there_->stats().links == 1; }, patience));
    member_->ack(*m);
    EXPECT_EQ(member_->flush(1ms), 1U);
}

TEST_F(DurableGroup, TakesNoAckOfNobody) {
    const auto there = away();
    subscriber member(*there, "weather", by_hand());
    member.ack({"", {7}, sequence{1}}, sequence{10});
    member.ack({std::string(256, 's'), {7}, sequence{1}}, sequence{10});
    EXPECT_EQ(member.flush(patience), 0U);
}

TEST_F(DurableGroup, AcksWhatItHasNotMetYet) {
    publisher sender(home(), "weather", {.source = "station"});
    publish_numbers(sender, 1, 10);
    ASSERT_EQ(sender.flush(patience), 0U);
    admin store(home());
    store.create_group("weather", "alarms");
    const auto there = away();
    {
        subscriber member(*there, "weather", by_hand());
        member.ack({"station", sender.epoch(), sequence{1}}, sequence{10});
        EXPECT_EQ(member.flush(patience), 0U);
    }
    EXPECT_EQ(store.groups("weather")[0].pending, 0U);
}

TEST_F(DurableGroup, CountsWhatItAckedThoughNoStoreWasThereYet) {
    stop_store();
    node alone(with_store("alone"));
    subscriber member(alone, "weather", by_hand());
    member.ack({"station", {7}, sequence{1}}, sequence{10});
    EXPECT_EQ(member.flush(1ms), 10U);
    EXPECT_EQ(member.close(1ms), 10U);
}

}  // namespace
}  // namespace cairn::test
