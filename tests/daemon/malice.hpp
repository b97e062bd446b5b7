#pragma once

#include "store_fixture.hpp"
#include "support/raw_peer.hpp"

#include <cairn/wire/manage_frames.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <limits>
#include <mutex>
#include <set>

namespace cairn::test {

using wire::kind;

inline constexpr std::uint64_t everything = std::numeric_limits<std::uint64_t>::max();
inline constexpr std::uint64_t ample = std::uint64_t{1} << 30;

/// Clients that mean harm to a store, M1 to M30 of tests/hazards/README.md: each is refused with
/// its number, counted and bounded, and an honest publisher and an honest reader do not notice.
class Malice : public StoreFixture {
protected:
    void SetUp() override {
        options_.network.subscriptions_per_peer_max = 50;
        options_.network.topics_per_peer_max = 60;
        options_.storage.topics_max = 20;
        options_.network.log = [this](log_level, std::string_view line) {
            const std::lock_guard hold(mutex_);
            lines_.emplace_back(line);
        };
        start();
        begin_honestly(peer(), peer());
    }
    void TearDown() override {
        honest_go_on();
        publisher_.reset();
        reader_.reset();
        store_.reset();
    }
    void begin_honestly(std::unique_ptr<party> publisher, std::unique_ptr<party> reader) {
        publisher_ = std::move(publisher);
        reader_ = std::move(reader);
        ASSERT_TRUE(publisher_->open(1, "honest", "friend", 7));
        reader_->subscribe("honest", ample);
        honest_go_on();
    }
    /// Stored durably, and read.
    void honest_go_on() {
        ++sent_;
        publisher_->append(1, sent_, 1);
        EXPECT_TRUE(publisher_->confirmed(sent_));
        const std::string place = std::to_string(sent_);
        EXPECT_EQ(reader_->read(1), std::vector<std::string>{"friend 7:" + place + "-" + place});
    }
    /// Rules that end nobody's honesty, but every link: they are for everybody.
    void allow(std::vector<access_rule> rules) {
        rules.push_back({"*", "honest", {.publish = true, .subscribe = true}});
        store_->allow(std::move(rules));
        publisher_ = peer();
        reader_ = peer();
        ASSERT_TRUE(publisher_->open(1, "honest", "friend", 7));
        reader_->subscribe("honest", ample, {{"honest", "friend", epoch{7}, sequence{sent_ + 1}}});
    }
    node_stats network() const { return store_->stats().network; }
    std::uint16_t port() const {
        return static_cast<std::uint16_t>(std::stoi(endpoint_.substr(endpoint_.rfind(':') + 1)));
    }
    /// What a request is answered: its error, or ok for any other of these kinds.
    static errc answer(party& from, const wire::control_frame& request, kind good) {
        from.raw().say(request);
        const auto told = from.raw().hear_any({kind::error, good});
        if (!told) return errc::timed_out;
        const auto* refused = std::get_if<wire::error_reply>(&*told);
        return refused ? refused->code : errc::ok;
    }
    std::set<std::string> files() const {
        std::set<std::string> all;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ / "."))
            all.insert(entry.path().string());
        return all;
    }

    std::unique_ptr<party> publisher_;
    std::unique_ptr<party> reader_;
    std::uint64_t sent_ = 0;
    std::mutex mutex_;
    std::vector<std::string> lines_;
};

}  // namespace cairn::test
