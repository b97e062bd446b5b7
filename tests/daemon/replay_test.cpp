#include "store_fixture.hpp"

#include <cairn/wire/records.hpp>

#include <algorithm>
#include <chrono>

namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using strings = std::vector<std::string>;
using wire::kind;

constexpr std::uint64_t plenty = std::uint64_t{8} << 20;

class Replay : public StoreFixture {
protected:
    void SetUp() override {
        StoreFixture::SetUp();
        publisher_ = peer();
        reader_ = peer();
    }
    wire::resume_point at(std::string_view source, std::uint64_t run, std::uint64_t next) {
        return {"quakes", source, epoch{run}, sequence{next}};
    }

    std::unique_ptr<party> publisher_;
    std::unique_ptr<party> reader_;
};

TEST_F(Replay, BringsWhatIsStoredAndThenWhatComes) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 5));
    reader_->subscribe("quakes", plenty);
    EXPECT_EQ(reader_->next_head("usgs"), "7:1-5>1");
    EXPECT_EQ(reader_->read(5), strings{"usgs 7:1-5"});
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 6, 5));
    EXPECT_EQ(reader_->read(5), strings{"usgs 7:6-10"});
}

TEST_F(Replay, KeepsTheOrderOfTheStoreAcrossSources) {
    ASSERT_TRUE(publisher_->store("quakes", "a", 7, 1, 2));
    ASSERT_TRUE(publisher_->store("quakes", "b", 3, 1, 1));
    ASSERT_TRUE(publisher_->store("quakes", "a", 7, 3, 1));
    reader_->subscribe("quakes", plenty);
    EXPECT_EQ(reader_->read(4), (strings{"a 7:1-2", "b 3:1-1", "a 7:3-3"}));
}

TEST_F(Replay, BeginsAtTheResumePointOfEachSource) {
    ASSERT_TRUE(publisher_->store("quakes", "a", 7, 1, 2));
    ASSERT_TRUE(publisher_->store("quakes", "b", 3, 1, 2));
    ASSERT_TRUE(publisher_->store("quakes", "a", 7, 3, 2));
    ASSERT_TRUE(publisher_->store("quakes", "b", 3, 3, 2));
    reader_->subscribe("quakes", plenty, {at("a", 7, 3), at("b", 3, 5)});
    EXPECT_EQ(reader_->read(2), strings{"a 7:3-4"});
    ASSERT_TRUE(publisher_->store("quakes", "b", 3, 5, 1));
    EXPECT_EQ(reader_->read(1), strings{"b 3:5-5"});
}

TEST_F(Replay, LiveBeginsBehindWhatIsStored) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 5));
    reader_->subscribe("quakes", plenty, {}, wire::start::live);
    EXPECT_EQ(reader_->next_head("usgs"), "7:6-5>6");
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 6, 1));
    EXPECT_EQ(reader_->read(1), strings{"usgs 7:6-6"});
}

TEST_F(Replay, FollowsTopicsAndSourcesThatAppearLater) {
    reader_->subscribe("qu*", plenty, {}, wire::start::live);
    ASSERT_TRUE(reader_->raw().hear(kind::subscribed));
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 2));
    EXPECT_EQ(reader_->read(2), strings{"usgs 7:1-2"});
    ASSERT_TRUE(publisher_->store("quakes", "emsc", 1, 1, 2));
    EXPECT_EQ(reader_->read(2), strings{"emsc 1:1-2"});
    ASSERT_TRUE(publisher_->store("other", "usgs", 7, 1, 2));
    ASSERT_TRUE(publisher_->store("quarries", "x", 7, 1, 1));
    EXPECT_EQ(reader_->read(1), strings{"x 7:1-1"});
}

TEST_F(Replay, NamesThePlaceOfWhatWasLost) {
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 2);
    publisher_->lose(1, 3, 9);
    publisher_->append(1, 10, 1);
    ASSERT_TRUE(publisher_->confirmed(10));
    reader_->subscribe("quakes", plenty);
    EXPECT_EQ(reader_->read(10), (strings{"usgs 7:1-2", "gone usgs 7:3-9 lost", "usgs 7:10-10"}));
}

TEST_F(Replay, TellsWhereARunEndedBeforeTheNextBegins) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 2));
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 9, 1, 3));
    reader_->subscribe("quakes", plenty);
    EXPECT_EQ(reader_->next_head("usgs"), "7:1-2>1");
    EXPECT_EQ(reader_->next_head("usgs"), "7:3-2>3 9:1-3>1");
    EXPECT_EQ(reader_->read(3), strings{"usgs 9:1-3"});
}

TEST_F(Replay, OfARunThatTheStoreHasLessOfThanItsReaderTellsItsEnd) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 2));
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 9, 1, 1));
    reader_->subscribe("quakes", plenty, {at("usgs", 7, 6)});
    EXPECT_EQ(reader_->next_head("usgs"), "7:1-2>3");
    EXPECT_EQ(reader_->next_head("usgs"), "7:3-2>3 9:1-1>1");
    EXPECT_EQ(reader_->read(1), strings{"usgs 9:1-1"});
}

TEST_F(Replay, SendsNoMoreThanWasGranted) {
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    for (std::uint64_t first = 1; first != 101; ++first) publisher_->append(1, first, 1);
    ASSERT_TRUE(publisher_->confirmed(100));
    // 512 bytes a batch beside its 7 of body: the tenth passes what was granted.
    reader_->subscribe("quakes", 5'000);
    EXPECT_EQ(reader_->read(10), strings{"usgs 7:1-10"});
    EXPECT_TRUE(reader_->raw().answered());
    EXPECT_EQ(store_->stats().replayed_batches, 10U);
    reader_->raw().say(wire::credit{1, 10'000, 5'000});
    EXPECT_EQ(reader_->read(9), strings{"usgs 7:11-19"});
}

TEST_F(Replay, TellsHeadsToWhoHasNoCredit) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 2));
    reader_->subscribe("quakes", 0);
    EXPECT_EQ(reader_->next_head("usgs"), "7:1-2>1");
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 3, 2));
    EXPECT_TRUE(reader_->head_becomes("usgs", "7:1-4>1"));
    ASSERT_TRUE(publisher_->store("quakes", "emsc", 1, 1, 1));
    EXPECT_TRUE(reader_->head_becomes("emsc", "1:1-1>1"));
    EXPECT_EQ(store_->stats().replayed_batches, 0U);
}

TEST_F(Replay, TellsThatARunEndedToWhoHasNoCredit) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 2));
    reader_->subscribe("quakes", 0, {at("usgs", 7, 3)});
    EXPECT_EQ(reader_->next_head("usgs"), "7:1-2>3");
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 8));
    EXPECT_EQ(reader_->next_head("usgs"), "7:3-2>3 8:1-0>1");
}

TEST_F(Replay, GoesBackWhenItsReaderAsksForARepair) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 3));
    ASSERT_TRUE(publisher_->store("quakes", "emsc", 7, 1, 1));
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 4, 3));
    reader_->subscribe("quakes", plenty);
    ASSERT_EQ(reader_->read(7).size(), 3U);
    reader_->raw().say(wire::repair{1, at("usgs", 7, 4)});
    EXPECT_EQ(reader_->read(3), strings{"usgs 7:4-6"});
}

TEST_F(Replay, GoesBackToARunThatItHasSentToItsEnd) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 3));
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 8, 1, 2));
    reader_->subscribe("quakes", plenty);
    ASSERT_EQ(reader_->read(5), (strings{"usgs 7:1-3", "usgs 8:1-2"}));
    reader_->raw().say(wire::repair{1, at("usgs", 7, 2)});
    // A batch is sent whole.
    EXPECT_EQ(reader_->read(5), (strings{"usgs 7:1-3", "usgs 8:1-2"}));
    // Of a run that the store has yet to hear of there is nothing.
    reader_->raw().say(wire::repair{1, at("usgs", 9, 1)});
    EXPECT_TRUE(reader_->raw().answered_without_refusal());
}

TEST_F(Replay, NamesWhatRetentionDropped) {
    options_.topic_defaults.retention.messages_max = 10;
    restart();
    publisher_ = peer();
    reader_ = peer();
    for (std::uint64_t first = 1; first != 41; first += 10)
        ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, first, 10));
    reader_->subscribe("quakes", plenty, {at("usgs", 7, 5)});
    EXPECT_EQ(reader_->read(36), (strings{"gone usgs 7:5-30 gone", "usgs 7:31-40"}));
}

TEST_F(Replay, GivesNothingOfWhatWasTrimmedInTheMiddleOfABatch) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 100));
    publisher_->raw().say(wire::trim{5, "quakes", wire::place::last, 10});
    ASSERT_TRUE(publisher_->raw().hear(kind::done));
    reader_->subscribe("quakes", plenty, {at("usgs", 7, 1)});
    EXPECT_EQ(reader_->read(100), (strings{"gone usgs 7:1-90 gone", "usgs 7:91-100"}));
    reader_->raw().say(wire::unsubscribe{1});
    reader_->subscribe("quakes", plenty);
    EXPECT_EQ(reader_->read(10), (strings{"usgs 7:91-100"}));
}

TEST_F(Replay, NamesARunThatWasDroppedAsAWhole) {
    options_.topic_defaults.retention.messages_max = 10;
    restart();
    publisher_ = peer();
    reader_ = peer();
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 4));
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 8, 1, 4));
    for (std::uint64_t first = 1; first != 31; first += 10)
        ASSERT_TRUE(publisher_->store("quakes", "usgs", 9, first, 10));
    reader_->subscribe("quakes", plenty, {at("usgs", 7, 3)});
    EXPECT_EQ(reader_->read(36), (strings{"gone usgs 7:3-4 gone", "gone usgs 8:1-4 gone",
                                          "gone usgs 9:1-20 gone", "usgs 9:21-30"}));
}

TEST_F(Replay, IsNotHeldUpByAReaderThatStopsReading) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 1'000));
    const auto stuck = peer();
    stuck->subscribe("quakes", ~std::uint64_t{0});
    reader_->subscribe("quakes", plenty);
    EXPECT_EQ(reader_->read(1'000), strings{"usgs 7:1-1000"});
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1'001, 1'000));
    EXPECT_EQ(reader_->read(1'000), strings{"usgs 7:1001-2000"});
}

TEST_F(Replay, IsLocatedByEndFirstCountOffsetAndTime) {
    ASSERT_TRUE(publisher_->store("quakes", "a", 7, 1, 4));
    ASSERT_TRUE(publisher_->store("quakes", "b", 3, 1, 2));
    EXPECT_EQ(reader_->locate("quakes", wire::place::end), "a 7:5, b 3:3");
    EXPECT_EQ(reader_->locate("quakes", wire::place::first), "a 7:1, b 3:1");
    EXPECT_EQ(reader_->locate("quakes", wire::place::last, 3), "a 7:4, b 3:1");
    EXPECT_EQ(reader_->locate("quakes", wire::place::last, 1'000), "a 7:1, b 3:1");
    EXPECT_EQ(reader_->locate("quakes", wire::place::offset, 3), "a 7:3, b 3:1");
    EXPECT_EQ(reader_->locate("quakes", wire::place::time, 0), "a 7:1, b 3:1");
    EXPECT_EQ(reader_->locate("quakes", wire::place::time, ~std::uint64_t{0}), "a 7:5, b 3:3");
    EXPECT_EQ(reader_->locate("unheard-of", wire::place::first), "");
}

TEST_F(Replay, OfAMessageAboveWhatTheReaderTakesNamesIt) {
    // The stranger takes 64 MiB; this one says that it takes 100 bytes.
    stranger small(endpoint_);
    small.say(wire::hello{1, 1, stranger::made_up_node(), "small", 100});
    ASSERT_TRUE(small.hear(kind::hello));
    const std::string large(200, 'x');
    std::string record(4 + large.size(), '\0');
    wire::store_record_word(reinterpret_cast<std::byte*>(record.data()), 200);
    std::copy(large.begin(), large.end(), record.begin() + 4);
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 3, records_from(1, 1) + record + records_from(3, 1));
    ASSERT_TRUE(publisher_->confirmed(3));
    small.say(wire::subscribe{1, "quakes", wire::start::earliest, plenty, false, {}});
    const auto first = small.hear_batch(kind::batch);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->count, 1U);
    const auto gone = small.hear<wire::gone>(kind::gone);
    ASSERT_TRUE(gone);
    EXPECT_EQ(gone->range, (sequence_range{{2}, {2}}));
    EXPECT_EQ(gone->cause, errc::too_large);
    EXPECT_EQ(small.hear_batch(kind::batch)->first, sequence{3});
}

TEST_F(Replay, BehindAMessageAboveWhatTheReaderTakesNamesNothing) {
    stranger small(endpoint_);
    small.say(wire::hello{1, 1, stranger::made_up_node(), "small", 100});
    ASSERT_TRUE(small.hear(kind::hello));
    const std::string large(200, 'x');
    std::string record(4 + large.size(), '\0');
    wire::store_record_word(reinterpret_cast<std::byte*>(record.data()), 200);
    std::copy(large.begin(), large.end(), record.begin() + 4);
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 4, record + records_from(2, 3));
    ASSERT_TRUE(publisher_->confirmed(4));
    small.say(
        wire::subscribe{1, "quakes", wire::start::earliest, plenty, false, {at("usgs", 7, 3)}});
    ASSERT_TRUE(small.hear_either(kind::batch, kind::gone));
    const auto came = small.last_batch();
    ASSERT_TRUE(came) << "a range of nothing";
    EXPECT_EQ(came->last(), sequence{4});
}

TEST_F(Replay, OfAChannelThatAsksAgainAndAgainAnswersTheLastRequest) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 5));
    ASSERT_TRUE(publisher_->store("other", "emsc", 7, 1, 5));
    for (int i = 0; i != 500; ++i) reader_->subscribe("other", 0, {at("usgs", 7, 3)});
    reader_->subscribe("quakes", plenty, {at("usgs", 7, 4), at("usgs", 7, 5), at("a", 1, 1)});
    EXPECT_EQ(reader_->next_head("usgs"), "7:1-5>4");
    EXPECT_EQ(reader_->read(2), strings{"usgs 7:1-5"}) << "whole batches come";
    EXPECT_EQ(store_->stats().subscriptions, 1U);
}

TEST_F(Replay, TakesNoMoreResumePointsOfAPeerThanItsLimit) {
    const std::vector<wire::resume_point> points(1'000, at("usgs", 7, 1));
    // Requests that are never completed, on several channels.
    for (wire::channel channel = 1; channel <= 66; ++channel)
        reader_->raw().say(
            wire::subscribe{channel, "quakes", wire::start::earliest, plenty, true, points});
    EXPECT_EQ(reader_->raw().refusal(kind::error), errc::limit_exceeded);
    // Giving one up makes room.
    reader_->raw().say(wire::unsubscribe{1});
    reader_->raw().say(wire::subscribe{66, "quakes", wire::start::earliest, plenty, false, points});
    EXPECT_TRUE(reader_->raw().hear(kind::subscribed));
}

}  // namespace
