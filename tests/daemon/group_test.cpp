#include "store_fixture.hpp"
#include "support/eventually.hpp"

#include <cairn/wire/limits.hpp>

namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using wire::kind;

class DurableGroup : public StoreFixture {
protected:
    void SetUp() override {
        StoreFixture::SetUp();
        publisher_ = peer();
        member_ = peer();
    }

    std::unique_ptr<party> publisher_;
    std::unique_ptr<party> member_;
};

TEST_F(DurableGroup, BeginsWhereItsFirstMemberSays) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 10));
    const auto first = member_->attach(1, "quakes", "a", wire::place::first);
    ASSERT_TRUE(first);
    EXPECT_TRUE(first->active);
    EXPECT_EQ(party::points(first->points), "usgs 7:1");
    const auto end = member_->attach(2, "quakes", "b", wire::place::end);
    EXPECT_EQ(party::points(end->points), "usgs 7:11");
    const auto last = member_->attach(3, "quakes", "c", wire::place::last, 3);
    EXPECT_EQ(party::points(last->points), "usgs 7:8");
}

TEST_F(DurableGroup, OfATopicThatNobodyPublishedYetGetsAllOfIt) {
    const auto attached = member_->attach(1, "quakes", "a", wire::place::end);
    ASSERT_TRUE(attached);
    EXPECT_TRUE(attached->active);
    EXPECT_EQ(party::points(attached->points), "");
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 5));
    member_->raw().say(wire::detach{1});
    EXPECT_EQ(party::points(member_->attach(2, "quakes", "a")->points), "usgs 7:1");
}

TEST_F(DurableGroup, KeepsItsAcksOverARestart) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 10));
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    member_->ack(1, "usgs", 7, {{{1}, {3}}});
    member_->ack(1, "usgs", 7, {{{5}, {6}}, {{9}, {9}}});
    ASSERT_TRUE(member_->acked(2));
    publisher_.reset();
    member_.reset();
    restart();
    member_ = peer();
    const auto attached = member_->attach(1, "quakes", "a");
    ASSERT_TRUE(attached);
    EXPECT_EQ(party::points(attached->points), "usgs 7:4");
    EXPECT_EQ(party::done(attached->done), "usgs 7:5-6, usgs 7:9-9");
}

// The member before may have ended without having told its user.
TEST_F(DurableGroup, TakesNothingBackForAcksBelowItsFloorOrOfWhatNeverWas) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 10));
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    member_->ack(1, "usgs", 7, {{{1}, {5}}});
    member_->ack(1, "usgs", 7, {{{2}, {3}}});
    member_->ack(1, "usgs", 6, {{{1}, {9}}});
    ASSERT_TRUE(member_->acked(3));
    // Ahead of its source's last, of a newer run, and of a source that never was.
    member_->ack(1, "usgs", 7, {{{8}, {std::uint64_t{1} << 62}}});
    member_->ack(1, "usgs", 8, {{{1}, {9}}});
    member_->ack(1, "nobody", 1, {{{1}, {9}}});
    ASSERT_TRUE(member_->raw().answered_without_refusal());
    member_->raw().say(wire::detach{1});
    const auto attached = member_->attach(2, "quakes", "a");
    ASSERT_TRUE(attached);
    EXPECT_EQ(party::points(attached->points), "usgs 7:6");
    EXPECT_EQ(party::done(attached->done), "usgs 7:8-10");
}

TEST_F(DurableGroup, GoesOnInFrontOfALossUntilAMessageBehindItIsAcked) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 4));
    ASSERT_TRUE(publisher_->store("quakes", "emsc", 3, 1, 1));
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    member_->ack(1, "usgs", 7, {{{1}, {4}}});
    member_->ack(1, "emsc", 3, {{{1}, {1}}});
    ASSERT_TRUE(member_->acked(2));
    ASSERT_TRUE(publisher_->open(5, "quakes", "usgs", 8));
    publisher_->lose(5, 1, 20);
    ASSERT_TRUE(publisher_->confirmed(20));
    member_->raw().say(wire::detach{1});
    EXPECT_EQ(party::points(member_->attach(2, "quakes", "a")->points), "usgs 8:1, emsc 3:2");
    member_->subscribe("quakes", 1'000,
                       {{"quakes", "usgs", {8}, {1}}, {"quakes", "emsc", {3}, {2}}});
    EXPECT_EQ(member_->read(20), (std::vector<std::string>{"gone usgs 8:1-20 lost"}));

    ASSERT_TRUE(publisher_->store("quakes", "emsc", 4, 1, 2));
    member_->ack(2, "emsc", 4, {{{1}, {2}}});
    ASSERT_TRUE(member_->acked(1));
    member_->raw().say(wire::detach{2});
    EXPECT_EQ(party::points(member_->attach(3, "quakes", "a")->points), "usgs 8:1, emsc 4:3");

    publisher_->append(5, 21, 2);
    ASSERT_TRUE(publisher_->confirmed(22));
    member_->ack(3, "usgs", 8, {{{21}, {21}}});
    ASSERT_TRUE(member_->acked(1));
    member_->raw().say(wire::detach{3});
    EXPECT_EQ(party::points(member_->attach(4, "quakes", "a")->points), "usgs 8:22, emsc 4:3");
}

TEST_F(DurableGroup, IsToldOfWhatWasTrimmedWhileItHadNoMember) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 4));
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    member_->ack(1, "usgs", 7, {{{1}, {2}}});
    ASSERT_TRUE(member_->acked(1));
    member_->raw().say(wire::detach{1});
    ASSERT_TRUE(publisher_->store("quakes", "emsc", 3, 1, 2));
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 8, 1, 5));
    member_->raw().say(wire::trim{7, "quakes", wire::place::offset, 10});
    ASSERT_TRUE(member_->raw().hear<wire::done>(wire::kind::done));
    const std::string behind = "usgs 7:3, emsc 3:1";
    EXPECT_EQ(party::points(member_->attach(2, "quakes", "a")->points), behind);
    member_->subscribe("quakes", 1'000,
                       {{"quakes", "usgs", {7}, {3}}, {"quakes", "emsc", {3}, {1}}});
    EXPECT_EQ(member_->read(9),
              (std::vector<std::string>{"gone usgs 7:3-4 gone", "gone emsc 3:1-2 gone",
                                        "gone usgs 8:1-3 gone", "usgs 8:4-5"}));
    member_->raw().say(wire::detach{2});
    EXPECT_EQ(party::points(member_->attach(3, "quakes", "a")->points), behind) << "nothing acked";
    member_->ack(3, "usgs", 7, {{{3}, {4}}});
    member_->ack(3, "emsc", 3, {{{1}, {2}}});
    member_->ack(3, "usgs", 8, {{{1}, {3}}});
    ASSERT_TRUE(member_->acked(3));
    member_->raw().say(wire::detach{3});
    EXPECT_EQ(party::points(member_->attach(4, "quakes", "a")->points), "usgs 8:4, emsc 3:3");
}

TEST_F(DurableGroup, HasOneActiveMemberAndGoesToTheNext) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 4));
    ASSERT_TRUE(member_->attach(1, "quakes", "a")->active);
    const auto second = peer();
    const auto waits = second->attach(1, "quakes", "a");
    ASSERT_TRUE(waits);
    EXPECT_FALSE(waits->active);
    EXPECT_TRUE(waits->points.empty());
    member_->ack(1, "usgs", 7, {{{1}, {2}}});
    member_->raw().say(wire::detach{1});
    const auto active = second->raw().hear<wire::group_attached>(kind::group_attached);
    ASSERT_TRUE(active);
    EXPECT_TRUE(active->active);
    EXPECT_EQ(party::points(active->points), "usgs 7:3");
}

TEST_F(DurableGroup, GoesToTheNextMemberWhenTheLinkOfTheActiveIsLost) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 4));
    ASSERT_TRUE(member_->attach(1, "quakes", "a")->active);
    const auto second = peer();
    ASSERT_FALSE(second->attach(1, "quakes", "a")->active);
    member_.reset();
    const auto active = second->raw().hear<wire::group_attached>(kind::group_attached);
    ASSERT_TRUE(active);
    EXPECT_EQ(party::points(active->points), "usgs 7:1");
}

TEST_F(DurableGroup, CountsAcksOfWhatIsNotStoredYetWhenItIs) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 2));
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    member_->ack(1, "usgs", 7, {{{1}, {4}}});
    member_->ack(1, "emsc", 3, {{{1}, {1}}});
    ASSERT_TRUE(member_->raw().answered());
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 3, 2));
    ASSERT_TRUE(member_->acked(1));
    ASSERT_TRUE(publisher_->store("quakes", "emsc", 3, 1, 1));
    ASSERT_TRUE(member_->acked(2));
}

TEST_F(DurableGroup, TakesAcksOfAnEndedRunThatTheStoreNeverGot) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 2));
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 8, 1, 1));
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    member_->ack(1, "usgs", 7, {{{1}, {5}}, {{7}, {9}}});
    ASSERT_TRUE(member_->acked(1));
    member_->raw().say(wire::detach{1});
    EXPECT_EQ(party::points(member_->attach(2, "quakes", "a")->points), "usgs 8:1");
}

TEST_F(DurableGroup, EndsAnAttachmentWithMoreAcksThanMayWait) {
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    std::vector<sequence_range> ranges;
    for (std::uint64_t n = 1; n != 1'001; ++n) ranges.push_back({{2 * n}, {2 * n}});
    member_->ack(1, "usgs", 7, ranges);
    member_->ack(1, "usgs", 7, ranges);
    EXPECT_EQ(member_->raw().refusal(kind::error), errc::limit_exceeded);
    member_->ack(1, "usgs", 7, ranges);
    EXPECT_EQ(member_->raw().refusal(kind::error), errc::unknown_subscription);
    ASSERT_TRUE(member_->attach(2, "quakes", "a"));
    member_->ack(2, "usgs", 7, ranges);
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 2'000));
    EXPECT_TRUE(member_->acked(1));
}

TEST_F(DurableGroup, EndsAnAttachmentWithMoreFramesThanMayWait) {
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    // All wait behind the first, which waits to be stored.
    member_->ack(1, "usgs", 7, {{{1}, {1}}});
    for (int n = 0; n != 1'024; ++n) member_->ack(1, "usgs", 7, {});
    EXPECT_EQ(member_->raw().refusal(kind::error), errc::limit_exceeded);
}

TEST_F(DurableGroup, TakesAnAckOfMoreBatchesThanTheStoreLooksAtAtOnce) {
    constexpr std::uint64_t count = store::ack_batches_max + 2;
    // They are granted at once, however long the disk takes.
    options_.append_window_bytes = count * (wire::batch_charge_bytes + 64);
    publisher_.reset();
    member_.reset();
    restart();
    publisher_ = peer();
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    for (std::uint64_t n = 1; n <= count; ++n) publisher_->append(1, n, 1);
    ASSERT_TRUE(publisher_->confirmed(count));
    member_ = peer();  // the first was silent all the while
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    member_->ack(1, "usgs", 7, {{{1}, {count}}});
    ASSERT_TRUE(member_->acked(1));
    member_->raw().say(wire::detach{1});
    EXPECT_EQ(party::points(member_->attach(2, "quakes", "a")->points),
              "usgs 7:" + std::to_string(count + 1));
}

TEST_F(DurableGroup, EndsWithItsTopicAndNoOtherDoes) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 1));
    ASSERT_TRUE(publisher_->store("tides", "usgs", 7, 1, 1));
    const auto other = peer();
    ASSERT_TRUE(other->attach(1, "tides", "a"));
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    publisher_->raw().say(wire::delete_topic{9, "quakes"});
    ASSERT_TRUE(publisher_->raw().hear(kind::done));
    EXPECT_EQ(member_->raw().refusal(kind::error), errc::topic_unknown);
    other->ack(1, "usgs", 7, {{{1}, {1}}});
    EXPECT_TRUE(other->acked(1));
}

TEST_F(DurableGroup, TakesAnAckOfManyRangesOfARunThatIsOver) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 2'000));
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 8, 1, 1));
    ASSERT_TRUE(member_->attach(1, "quakes", "a"));
    std::vector<sequence_range> ranges;
    for (std::uint64_t n = 1; n <= 2'000; n += 2) ranges.push_back({{n}, {n}});
    member_->ack(1, "usgs", 7, ranges);
    EXPECT_TRUE(member_->acked(1));
    member_->ack(1, "usgs", 7, ranges);
    EXPECT_TRUE(member_->acked(2));
}

TEST_F(DurableGroup, RefusesWhatItDoesNotKnow) {
    member_->ack(4, "usgs", 7, {{{1}, {1}}});
    EXPECT_EQ(member_->raw().refusal(kind::error), errc::unknown_subscription);
    member_->raw().say(wire::attach_group{1, "a*", "g", "", wire::group_kind::each, {}, 0});
    EXPECT_EQ(member_->raw().refusal(kind::error), errc::topic_invalid);
    member_->raw().say(wire::attach_group{1, "a", "g", "", wire::group_kind::share, {}, 0});
    EXPECT_EQ(member_->raw().refusal(kind::error), errc::not_supported);
    member_->raw().say(wire::attach_group{1, "a", "@g", "", wire::group_kind::each, {}, 0});
    EXPECT_EQ(member_->raw().refusal(kind::error), errc::invalid_argument);
    ASSERT_TRUE(member_->attach(2, "quakes", "a"));
    member_->raw().say(wire::attach_group{2, "a", "g", "", wire::group_kind::each, {}, 0});
    EXPECT_EQ(member_->raw().refusal(kind::error), errc::invalid_argument);
}

class HalfOpenLink : public DurableGroup {
protected:
    void SetUp() override {
        options_.path = directory_ / "data";
        options_.network.heartbeat = 100ms;
        options_.network.silence_max = 300ms;
        store_ = std::make_unique<store_server>(options_);
        endpoint_ = store_->endpoints().front();
        publisher_ = peer();
        member_ = peer();
    }
};

// A connection that carries nothing towards the store any more, and then what it had kept.
TEST_F(HalfOpenLink, IsOverAndSoIsWhatComesOverItLate) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 10));
    const auto first = member_->attach(1, "quakes", "alarms");
    ASSERT_TRUE(first && first->active);
    ASSERT_TRUE(member_->open(2, "quakes", "emsc", 3));
    const auto next = peer();
    const auto waiting = next->attach(1, "quakes", "alarms");
    ASSERT_TRUE(waiting && !waiting->active);
    const auto its_turn = [&] {
        next->raw().say(wire::heartbeat{});
        const auto told = next->raw().hear<wire::group_attached>(kind::group_attached, 50ms);
        return told && told->active;
    };
    ASSERT_TRUE(eventually(its_turn, 30s)) << "the other said nothing for too long";

    member_->ack(1, "usgs", 7, {{{1}, {10}}});
    member_->append(2, 1, 5);
    EXPECT_EQ(member_->raw().refusal(kind::bye), errc::peer_silent);
    EXPECT_EQ(member_->raw().refusal(kind::bye), errc::not_greeted);
    next->raw().say(wire::detach{1});
    const auto again = next->attach(2, "quakes", "alarms");
    ASSERT_TRUE(again);
    EXPECT_EQ(party::points(again->points), "usgs 7:1, emsc 3:1");
    EXPECT_EQ(next->open(3, "quakes", "emsc", 3)->last, sequence{0});
}

}  // namespace
