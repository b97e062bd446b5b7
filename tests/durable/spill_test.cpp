#include "scripted_store.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/temp_directory.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>
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
    /// A run that puts aside what it publishes, since no store is there, and ends well.
    epoch put_aside(const std::vector<std::string>& bodies) {
        const std::string endpoint = store_->endpoint();
        store_.reset();
        node here(options_at(endpoint));
        publisher_options o = spilling();
        o.batch_bytes_max = 8'000;
        publisher sender(here, "weather", o);
        for (const std::string& body : bodies) sender.publish(body);
        EXPECT_EQ(sender.close(silence), 0U) << "put aside";
        store_.emplace(endpoint, body_bytes_max);
        return sender.epoch();
    }
    struct loss {
        epoch run;
        sequence_range range;
        errc cause;

        bool operator==(const loss&) const = default;
    };
    /// Options of the run that pays, which notes what it is told is lost.
    publisher_options noting() {
        publisher_options o = spilling();
        o.on_lost = [this](epoch run, sequence_range range, errc cause) {
            const std::lock_guard hold(mutex_);
            losses_.push_back({run, range, cause});
        };
        return o;
    }
    bool are_told(const std::vector<loss>& all) {
        return eventually([&] {
            const std::lock_guard hold(mutex_);
            return losses_ == all;
        });
    }
    node_options logging() {
        node_options o = options();
        o.log = [this](log_level, std::string_view line) {
            const std::lock_guard hold(mutex_);
            log_ += std::string(line) + '\n';
        };
        return o;
    }
    bool log_says(const std::string& what) {
        return eventually([&] {
            const std::lock_guard hold(mutex_);
            return log_.find(what) != std::string::npos;
        });
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

    static constexpr std::size_t body_bytes_max = 3'000;  // of the store that comes back
    const std::string large_ = std::string(body_bytes_max + 1, 'x');
    temp_directory state_;
    std::optional<scripted_store> store_{std::in_place};
    std::mutex mutex_;
    std::vector<loss> losses_;  // guarded by mutex_
    std::string log_;           // guarded by mutex_
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
    put_aside({"0", large_, "y", "1", large_, "y", "2", large_, "y", "3", large_, "y"});
    node here(options());
    publisher sender(here, "weather", spilling());
    const auto debt = store_->open(sequence{0}, 1 << 30);
    ASSERT_TRUE(debt);

    EXPECT_EQ(take_until(*debt, 12),
              (std::vector<std::string>{"0", "y", "1", "y", "2", "y", "3", "y"}));
    EXPECT_TRUE(eventually([&] { return files() == 0; }));
    EXPECT_EQ(sender.stats().lost_to_store, 4U);
}

TEST_F(Spill, TellsTheRunThatPaysWhatTheStoreDoesNotTakeAndOfWhichRunItWas) {
    const epoch before = put_aside({"1", large_, "3"});
    node here(logging());
    publisher sender(here, "weather", noting());
    sender.publish("mine");
    const auto debt = store_->open(sequence{0}, 1 << 30);
    ASSERT_TRUE(debt);
    EXPECT_EQ(take_until(*debt, 3), (std::vector<std::string>{"1", "3"}));
    const auto today = store_->open(sequence{0}, 1 << 30);
    ASSERT_TRUE(today);
    EXPECT_EQ(take_until(*today, 1), std::vector<std::string>{"mine"});

    EXPECT_TRUE(are_told({{before, {{2}, {2}}, errc::too_large}}));
    EXPECT_TRUE(log_says("of run " + std::to_string(before.value) +
                         " messages 2 to 2 will never be stored: their bodies are above"));
    EXPECT_EQ(sender.flush(patience), 0U) << "its own messages are durable";
    EXPECT_EQ(sender.close(patience), 0U);
    EXPECT_EQ(sender.stats().lost_to_store, 1U);
}

TEST_F(Spill, TellsTheRunThatPaysWhatAReplacedStoreHadOfTheRunBefore) {
    epoch before;
    {
        node here(options());
        publisher sender(here, "weather", spilling());
        before = sender.epoch();
        sender.publish("confirmed");
        const auto opened = store_->open(sequence{0}, 1 << 30);
        ASSERT_TRUE(opened);
        take_until(*opened, 1);
        ASSERT_EQ(sender.flush(patience), 0U);
        sender.publish("put aside");
        ASSERT_EQ(sender.close(silence), 0U);
    }
    store_.emplace();
    node here(options());
    publisher sender(here, "weather", noting());
    ASSERT_TRUE(store_->open(sequence{0}, 1 << 30));

    EXPECT_TRUE(store_->hear<wire::lost>());
    EXPECT_TRUE(are_told({{before, {{1}, {1}}, errc::lost}}));
}

TEST_F(Spill, IsToldAsLostWhenANewerRunIsStoredBeforeIt) {
    const epoch before = put_aside({"1", "2"});
    node here(logging());
    publisher sender(here, "weather", noting());
    ASSERT_TRUE(store_->open(sequence{0}, 1 << 30));
    store_->say(wire::fenced{"weather", "station", epoch{before.value + 1}});

    EXPECT_TRUE(are_told({{before, {{1}, {2}}, errc::fenced}}));
    EXPECT_TRUE(log_says("of run " + std::to_string(before.value) +
                         " messages 1 to 2 will never be stored: a newer run"));
}

TEST_F(Spill, IsToldAsLostWhenTheStoreRefusesItForGood) {
    const epoch before = put_aside({"1", "2", "3"});
    node here(logging());
    publisher sender(here, "weather", noting());
    const auto debt = store_->open(sequence{0}, 1 << 30);
    ASSERT_TRUE(debt);
    store_->say(wire::confirm{debt->channel, {1}, wire::durability::flushed, 1 << 30});
    ASSERT_TRUE(store_->hear_append());
    store_->say(wire::confirm{debt->channel, {1}, wire::durability::flushed, 1 << 30});
    store_->say(wire::append_refused{debt->channel, errc::conflict, {2}});

    EXPECT_TRUE(are_told({{before, {{2}, {3}}, errc::conflict}}));
    EXPECT_TRUE(log_says("of run " + std::to_string(before.value) +
                         " messages 2 to 3 will never be stored: the store refuses them"));
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
