#pragma once

#include <cairn/cairn.hpp>
#include <cairn/store_server.hpp>

#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/temp_directory.hpp"

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace cairn::test {

using namespace std::chrono_literals;

/// Longer than anything takes that works, on a busy machine and under a sanitizer.
inline constexpr std::chrono::milliseconds patience = 20s;
/// How long nothing must happen, where that is what a test expects.
inline constexpr std::chrono::milliseconds silence = 60ms;

/// A store, a node that publishes and one that reads, all in this process: the words in which
/// durable publish/subscribe is told.
class durable : public testing::Test {
protected:
    durable() { start_store(); }

    void start_store() {
        store_server_options o;
        o.path = directory_ / "data";
        if (!endpoint_.empty()) o.network.bind = {endpoint_};
        store_ = std::make_unique<store_server>(o);
        endpoint_ = store_->endpoints().front();
    }
    void stop_store() { store_.reset(); }
    void wipe_store() {
        stop_store();
        std::filesystem::remove_all(directory_ / "data");
        start_store();
    }
    node_options with_store(std::string name) const {
        node_options o{.name = std::move(name), .store = endpoint_};
        o.reconnect_min = 10ms;
        o.reconnect_max = 50ms;
        return o;
    }
    /// The node of publishers; others connect to it.
    node& home() {
        if (!home_) {
            home_ = std::make_unique<node>(with_store("home"));
            home_endpoint_ = home_->bind("tcp://127.0.0.1:0");
        }
        return *home_;
    }
    void leave_home() { home_.reset(); }
    /// A node that reads, connected with home() and the store.
    std::unique_ptr<node> away(bool connected = true) {
        home();
        auto made = std::make_unique<node>(with_store("away"));
        if (connected) made->connect(home_endpoint_);
        return made;
    }

    static void publish_numbers(publisher& to, int first, int last) {
        for (int n = first; n <= last; ++n) to.publish(std::to_string(n));
    }
    static std::vector<std::string> numbers(int first, int last) {
        std::vector<std::string> all;
        for (int n = first; n <= last; ++n) all.push_back(std::to_string(n));
        return all;
    }
    /// The next `count` messages as text; fewer when they do not come.
    template <typename Handle>
    static std::vector<std::string> texts(Handle& from, std::size_t count) {
        std::vector<std::string> all;
        while (all.size() != count) {
            const auto m = from.receive_for(patience);
            if (!m) break;
            all.emplace_back(m->text());
        }
        return all;
    }

    temp_directory directory_;
    std::string endpoint_;
    std::string home_endpoint_;
    std::unique_ptr<store_server> store_;
    std::unique_ptr<node> home_;
};

/// Members of the group `alarms` of the topic `weather`.
class DurableGroup : public durable {
protected:
    static subscriber_options alarms() {
        subscriber_options o{.from = from::earliest(), .group = "alarms"};
        o.ack_delay_max = 5ms;
        return o;
    }
    static subscriber_options by_hand() {
        subscriber_options o = alarms();
        o.acks = ack_mode::on_request;
        return o;
    }
    static void ack_next(subscriber& from, int count = 1) {
        for (int n = 0; n != count; ++n) {
            const auto m = from.receive_for(patience);
            ASSERT_TRUE(m);
            from.ack(*m);
        }
    }
};

/// What is published and leaves its ring.
class StoredHistory : public durable {
protected:
    /// What is published and in no ring: the publisher that published it is gone.
    void publish_and_leave(int first, int last, publisher_options o = {.source = "station"}) {
        publisher sender(home(), "weather", std::move(o));
        publish_numbers(sender, first, last);
        EXPECT_EQ(sender.flush(patience), 0U);
    }
    publisher_options small_ring() {
        publisher_options o{.source = "station"};
        o.ring_bytes_max = 16'000;
        o.patience = 0ms;
        return o;
    }
};

}  // namespace cairn::test
