#include "scripted_store.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/temp_directory.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

// What a publisher puts aside while its store is away.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;

constexpr auto patience = 20s;
constexpr auto silence = 60ms;

class Spill : public testing::Test {
protected:
    node_options options() const { return options_at(store_->endpoint()); }
    node_options options_at(const std::string& endpoint) const {
        node_options o{.name = "here", .store = endpoint};
        o.state_directory = state_.path();
        o.reconnect_min = 10ms;
        o.reconnect_max = 50ms;
        return o;
    }
    static publisher_options spilling() {
        publisher_options o{.source = "station"};
        o.ring_bytes_max = 16'000;
        o.batch_bytes_max = 1;
        o.when_full = full_ring::spill;
        return o;
    }
    static void publish_numbers(publisher& to, int first, int last) {
        for (int n = first; n <= last; ++n) to.publish(std::to_string(n));
    }
    /// Confirms all that is appended until `last` came; returns the texts in order.
    std::vector<std::string> take_until(const wire::open_source& opened, std::uint64_t last) {
        std::vector<std::string> all;
        while (const auto a = store_->hear_append()) {
            all.insert(all.end(), a->texts.begin(), a->texts.end());
            store_->say(wire::confirm{opened.channel, a->header.last(), wire::durability::flushed,
                                      1 << 30});
            if (a->header.last().value >= last) break;
        }
        return all;
    }
    std::size_t files() const {
        std::size_t count = 0;
        const auto place = state_.path() / "spill";
        if (!std::filesystem::exists(place)) return 0;
        for (const auto& e : std::filesystem::recursive_directory_iterator(place))
            count += e.is_regular_file() ? 1 : 0;
        return count;
    }
    static std::vector<std::string> numbers(int first, int last) {
        std::vector<std::string> all;
        for (int n = first; n <= last; ++n) all.push_back(std::to_string(n));
        return all;
    }
    /// One run puts messages aside, and the next is with these options.
    void expect_paid_by_the_next(const publisher_options& with) {
        epoch before;
        {
            node here(options());
            publisher sender(here, "weather", spilling());
            before = sender.epoch();
            publish_numbers(sender, 1, 1'000);
            ASSERT_EQ(sender.close(silence), 0U);
        }
        store_.emplace();
        node here(options());
        publisher sender(here, "weather", with);
        publish_numbers(sender, 1'001, 1'010);

        const auto debt = store_->open(sequence{0}, 1 << 30);
        ASSERT_TRUE(debt);
        EXPECT_EQ(debt->epoch, before);
        EXPECT_EQ(take_until(*debt, 1'000), numbers(1, 1'000));
        const auto today = store_->open(sequence{0}, 1 << 30);
        ASSERT_TRUE(today);
        EXPECT_EQ(today->epoch, sender.epoch());
        EXPECT_EQ(take_until(*today, 10), numbers(1'001, 1'010));
        EXPECT_TRUE(eventually([&] { return files() == 0; }));
    }

    temp_directory state_;
    std::optional<scripted_store> store_{std::in_place};
};

TEST_F(Spill, LetsThePublisherGoOnWhileTheStoreIsAway) {
    node here(options());
    publisher sender(here, "weather", spilling());

    publish_numbers(sender, 1, 1'000);

    EXPECT_GT(sender.stats().spilled_bytes, 0U);
    EXPECT_LE(sender.stats().owed_bytes, 16'000U);
}

TEST_F(Spill, IsPaidInOrderWhenTheStoreIsBackAndThenGone) {
    node here(options());
    publisher sender(here, "weather", spilling());
    publish_numbers(sender, 1, 1'000);

    const auto opened = store_->open(sequence{0}, 1 << 30);
    ASSERT_TRUE(opened);

    EXPECT_EQ(take_until(*opened, 1'000), numbers(1, 1'000));
    EXPECT_EQ(sender.flush(patience), 0U);
    EXPECT_TRUE(eventually([&] { return files() == 0; }));
}

TEST_F(Spill, KeepsWhatAClosingPublisherOwes) {
    node here(options());
    publisher sender(here, "weather", spilling());
    publish_numbers(sender, 1, 1'000);

    EXPECT_EQ(sender.close(silence), 0U);
}

TEST_F(Spill, IsPaidByTheNextRunBeforeItsOwnMessages) { expect_paid_by_the_next(spilling()); }

TEST_F(Spill, OfARunThatTheStoreHasIsDropped) {
    {
        node here(options());
        publisher sender(here, "weather", spilling());
        publish_numbers(sender, 1, 1'000);
        ASSERT_EQ(sender.close(silence), 0U);
    }
    store_.emplace();
    node here(options());
    publisher sender(here, "weather", spilling());

    ASSERT_TRUE(store_->open(sequence{2'000}));

    const auto today = store_->hear<wire::open_source>();
    ASSERT_TRUE(today);
    EXPECT_EQ(today->epoch, sender.epoch());
    EXPECT_TRUE(eventually([&] { return files() == 0; }));
}

TEST_F(Spill, ThatCannotBeReadAgainIsToldAsLost) {
    {
        node here(options());
        publisher sender(here, "weather", spilling());
        publish_numbers(sender, 1, 100);
        ASSERT_EQ(sender.close(silence), 0U);
    }
    for (const auto& e : std::filesystem::recursive_directory_iterator(state_.path() / "spill")) {
        if (!e.is_regular_file()) continue;
        std::fstream file(e.path(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(-1, std::ios::end);
        file.put('x');
    }
    store_.emplace();
    node here(options());
    publisher sender(here, "weather", spilling());
    ASSERT_TRUE(store_->open(sequence{0}, 1 << 30));

    EXPECT_TRUE(store_->hear<wire::lost>());
    EXPECT_GT(sender.stats().lost_to_store, 0U);
}

TEST_F(Spill, OfMessagesThatAreTooLargeForTheStoreIsPaidWithoutThem) {
    constexpr std::size_t body_bytes_max = 3'000;
    const std::string large(body_bytes_max + 1, 'x');
    const std::string endpoint = store_->endpoint();
    store_.reset();
    {
        node here(options_at(endpoint));
        publisher_options o = spilling();
        o.batch_bytes_max = 8'000;
        publisher sender(here, "weather", o);
        for (int n = 0; n != 4; ++n)
            for (const std::string& body : {std::to_string(n), large, std::string("y")})
                sender.publish(body);
        ASSERT_EQ(sender.close(silence), 0U);
    }
    store_.emplace(endpoint, body_bytes_max);
    node here(options());
    publisher sender(here, "weather", spilling());
    const auto debt = store_->open(sequence{0}, 1 << 30);
    ASSERT_TRUE(debt);

    EXPECT_EQ(take_until(*debt, 12),
              (std::vector<std::string>{"0", "y", "1", "y", "2", "y", "3", "y"}));
    EXPECT_TRUE(eventually([&] { return files() == 0; }));
    EXPECT_EQ(sender.stats().lost_to_store, 4U);
}

// The next run's messages must not be stored first: that would fence what is owed.
TEST_F(Spill, IsPaidByARunThatDoesNotSpill) {
    for (const full_ring policy : {full_ring::block, full_ring::refuse, full_ring::drop_history}) {
        SCOPED_TRACE(static_cast<int>(policy));
        publisher_options other = spilling();
        other.when_full = policy;
        expect_paid_by_the_next(other);
        store_.emplace();
    }
}

TEST_F(Spill, IsMadeByNoPublisherThatNeverSpills) {
    node here(options());
    publisher_options blocking = spilling();
    blocking.when_full = full_ring::block;
    publisher sender(here, "weather", blocking);
    publish_numbers(sender, 1, 10);

    EXPECT_FALSE(std::filesystem::exists(state_.path() / "spill"));
}

TEST_F(Spill, WaitsWhenItHasAsMuchAsItMay) {
    node here(options());
    publisher_options small = spilling();
    small.spill_bytes_max = 8'000;
    publisher sender(here, "weather", small);

    int accepted = 0;
    EXPECT_TRUE(eventually([&] {
        for (; sender.try_publish("x"); ++accepted) continue;
        return throughout(silence, [&] { return !sender.try_publish("x"); });
    }));
    EXPECT_LE(sender.stats().spilled_bytes, 8'000U);
}

}  // namespace
