#include "store_fixture.hpp"
#include "support/eventually.hpp"
#include "support/resident.hpp"
#include "support/rounds.hpp"

#include <cairn/store/database.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

// What history takes in memory, whoever reads it and however.
namespace {

using namespace cairn;
using namespace cairn::test;
using wire::kind;

/// 20 MB in 200 topics, and a store that may hold 2 MiB of it for its readers.
class ReplayMemory : public StoreFixture {
protected:
    static constexpr std::uint64_t everything = std::numeric_limits<std::uint64_t>::max();
    static constexpr std::size_t topics = 200;
    static constexpr std::size_t body_bytes = 100'000;
    /// On top of what all links share.
    static constexpr std::uint64_t of_a_link = (192U << 10) + 2 * body_bytes;

    void SetUp() override {
        options_.replay_bytes_max = std::size_t{2} << 20;
        options_.replay_page_bytes = std::size_t{256} << 10;
        start();
        fill("t", topics, body_bytes);
    }
    static void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }
    /// The most that this process had in memory since then.
    static std::size_t peak_bytes() {
        std::ifstream status("/proc/self/status");
        for (std::string line; std::getline(status, line);)
            if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1'024;
        return 0;
    }
    /// One message in each of so many topics.
    void fill(const std::string& prefix, std::size_t count, std::size_t bytes) const {
        const std::string text(bytes, 'x');
        std::vector<std::byte> record(wire::record_bytes(0, text.size()));
        wire::write_record(record.data(), {}, std::as_bytes(std::span(text)));
        const std::string body(reinterpret_cast<const char*>(record.data()), record.size());
        const auto writer = peer();
        for (wire::channel c = 1; c <= count; ++c) {
            ASSERT_TRUE(writer->open(c, prefix + std::to_string(c), "s", 7));
            writer->append(c, 1, 1, body);
            ASSERT_TRUE(writer->confirmed(1));
        }
    }
    /// A reader of all topics that takes nothing, whatever it grants.
    std::unique_ptr<party> stuck_reader() const {
        auto reader = peer();
        reader->subscribe("*", everything);
        EXPECT_TRUE(reader->raw().hear(kind::subscribed));
        return reader;
    }
    /// Reads all topics, and looks each time at what the store holds.
    void read_all_below(std::uint64_t held_max) {
        const auto reader = peer();
        reader->subscribe("*", everything);
        std::uint64_t most = 0;
        for (std::size_t i = 0; i != topics; ++i) {
            ASSERT_EQ(reader->read(1).size(), 1U) << i;
            most = std::max(most, store_->stats().replay_held_bytes);
        }
        EXPECT_LE(most, held_max);
    }
};

TEST_F(ReplayMemory, IsBoundedForAReaderOfManyTopicsThatTakesNothing) {
    const auto stuck = stuck_reader();
    read_all_below(options_.replay_bytes_max + 2 * of_a_link);
}

TEST_F(ReplayMemory, IsBoundedForManyReadersAndLeavesEachItsShare) {
    std::vector<std::unique_ptr<party>> stuck;
    for (int i = 0; i != 20; ++i) stuck.push_back(stuck_reader());
    read_all_below(options_.replay_bytes_max + 21 * of_a_link);
}

TEST_F(ReplayMemory, IsGivenBackByReadersThatLeave) {
    { const auto stuck = stuck_reader(); }
    read_all_below(everything);
    EXPECT_TRUE(eventually([&] { return store_->stats().replay_held_bytes == 0; }));
}

// Three pages are read for the first, which is granted no more than one of their batches takes.
TEST_F(ReplayMemory, OfASubscriptionThatGrantsNoMoreIsLeftToOthersOfItsNode) {
    options_.replay_bytes_max = std::size_t{256} << 10;
    options_.replay_page_bytes = std::size_t{64} << 10;
    restart();
    fill("large", 4, 400'000);
    const auto reader = peer();
    reader->subscribe("large*", 3 * options_.replay_page_bytes);
    EXPECT_EQ(reader->read(1).size(), 1U);
    reader->raw().say(wire::subscribe{2, "large*", wire::start::earliest, everything, false, {}});
    EXPECT_EQ(reader->read(4).size(), 4U);
    reader->raw().say(wire::credit{1, everything, 0});
    EXPECT_EQ(reader->read(3).size(), 3U) << "and nothing of it is lost";
}

TEST_F(ReplayMemory, OfAPatternThatMatchesMoreThanAPeerMayFollowIsNotGatheredFirst) {
    store_.reset();
    {
        store::database data(directory_ / "data");
        std::vector<store::command> all;
        for (int n = 0; n != 20'000; ++n)
            all.emplace_back(
                store::create_topic{"t" + std::to_string(n) + std::string(200, 't'), {}});
        std::vector<store::reply> replies;
        static_cast<void>(data.commit(all, {}, replies));
        ASSERT_TRUE(replies.back().ok());
    }
    options_.network.topics_per_peer_max = 10;
    start();
    const auto reader = peer();
    forget_peak();
    const std::size_t before = resident_bytes();
    reader->subscribe("*", everything);
    EXPECT_EQ(reader->raw().refusal(kind::error), errc::limit_exceeded);
    // A sanitizer keeps what was freed.
    if (!sanitized) {
        EXPECT_LE(peak_bytes() - before, std::size_t{3} << 20);
    }
}

TEST_F(ReplayMemory, OfASubscriptionThatGrowsEndsAtTheLimitOfItsPeer) {
    options_.network.topics_per_peer_max = topics + 10;
    restart();
    const auto reader = peer();
    reader->subscribe("*", 0);
    ASSERT_TRUE(reader->raw().hear(kind::subscribed));
    const auto writer = peer();
    for (wire::channel c = 1; c <= 11; ++c)
        ASSERT_TRUE(writer->open(c, "new" + std::to_string(c), "s", 7));
    const auto told = reader->raw().hear<wire::error_reply>(kind::error);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->code, errc::limit_exceeded);
    EXPECT_EQ(store_->stats().subscriptions, 0U);
}

}  // namespace
