#include "store_fixture.hpp"

// Sequences where numbers of 32 and 64 bits end.
namespace {

using namespace cairn;
using namespace cairn::test;
using wire::kind;

constexpr std::uint64_t of_32_bits = std::uint64_t{1} << 32;
constexpr std::uint64_t last_of_all = (std::uint64_t{1} << 63) - 2;

class LargeSequences : public StoreFixture, public testing::WithParamInterface<std::uint64_t> {
protected:
    /// Ten messages in front of `limit` and, where there are such, ten behind.
    void store_around(party& publisher, std::uint64_t limit) {
        ASSERT_TRUE(publisher.open(1, "quakes", "usgs", 7));
        publisher.lose(1, 1, limit - 11);
        publisher.append(1, limit - 10, limit == last_of_all + 1 ? 10 : 20);
        ASSERT_TRUE(publisher.confirmed(last()));
    }
    std::uint64_t last() const {
        return GetParam() == last_of_all + 1 ? GetParam() - 1 : GetParam() + 9;
    }
    std::string range(std::uint64_t from) const {
        return "usgs 7:" + std::to_string(from) + "-" + std::to_string(last());
    }
};

TEST_P(LargeSequences, AreStoredReplayedAndAckedAsOthersAre) {
    const std::uint64_t limit = GetParam();
    const auto publisher = peer();
    store_around(*publisher, limit);
    restart();
    const auto reader = peer();
    reader->subscribe("quakes", std::uint64_t{1} << 20,
                      {{"quakes", "usgs", epoch{7}, sequence{limit - 5}}});
    EXPECT_EQ(reader->read(1), std::vector<std::string>{range(limit - 10)}) << "its batch";
    const auto member = peer();
    ASSERT_TRUE(member->attach(1, "quakes", "alarms"));
    member->ack(1, "usgs", 7, {{sequence{1}, sequence{limit - 3}}});
    ASSERT_TRUE(member->acked(1));
    const auto again = peer();
    member->raw().say(wire::detach{1});
    ASSERT_TRUE(member->raw().answered());
    EXPECT_EQ(party::points(again->attach(1, "quakes", "alarms")->points),
              "usgs 7:" + std::to_string(limit - 2));
    EXPECT_EQ(again->open(2, "quakes", "usgs", 7)->last.value, last());
}

INSTANTIATE_TEST_SUITE_P(Around, LargeSequences, testing::Values(of_32_bits, last_of_all + 1),
                         [](const auto& of) {
                             return of.param == of_32_bits ? "ThirtyTwoBits" : "TheLastOfAll";
                         });

using LastSequence = StoreFixture;

TEST_F(LastSequence, TakesNothingBehindTheLastSequenceOfAll) {
    const auto publisher = peer();
    ASSERT_TRUE(publisher->open(1, "quakes", "usgs", 7));
    publisher->lose(1, 1, last_of_all - 1);
    publisher->append(1, last_of_all, 2);
    const auto refused = publisher->raw().hear<wire::append_refused>(kind::append_refused);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, errc::invalid_argument);
    EXPECT_TRUE(publisher->raw().answered());
}

}  // namespace
