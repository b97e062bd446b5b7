#pragma once

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include "history.hpp"
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/temp_directory.hpp"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace cairn::test {

using namespace std::chrono_literals;

/// Longer than anything takes that works, on a busy machine and under a sanitizer.
inline constexpr std::chrono::milliseconds patience = 30s;

/// A store as a process, and publishers and readers as processes or in this one. CAIRN_TEST_SEED
/// repeats a run's choices.
class Torture : public testing::Test {
protected:
    using process = std::unique_ptr<child_process>;

    Torture() {
        const char* const given = std::getenv("CAIRN_TEST_SEED");
        const std::uint64_t seed =
            given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
        seed_ = "CAIRN_TEST_SEED=" + std::to_string(seed);
        random_.seed(seed);
    }

    /// CAIRN_TEST_KEEP: a directory for the histories of a test that failed.
    void TearDown() override {
        const char* const keep = std::getenv("CAIRN_TEST_KEEP");
        if (!keep || !HasFailure()) return;
        for (const auto& log : std::filesystem::directory_iterator(directory_ / "."))
            if (log.path().extension() == ".log")
                std::filesystem::copy(log, keep, std::filesystem::copy_options::overwrite_existing);
    }

    static process start(std::vector<std::string> words) {
        words.insert(words.begin(), CAIRN_TORTURE_PARTY);
        return std::make_unique<child_process>(words);
    }
    std::string file(const std::string& name) const { return (directory_ / name).string(); }
    process store() const { return start({"store", file("data"), store_}); }
    /// What a node logs goes there too.
    log_sink noted() {
        return [this](log_level, std::string_view line) {
            const std::lock_guard hold(mutex_);
            log_ += std::string(line) + '\n';
        };
    }
    bool logged(std::string_view text) {
        const std::lock_guard hold(mutex_);
        return log_.find(text) != std::string::npos;
    }

    node_options with_store(std::string name) const {
        node_options o{.name = std::move(name), .store = store_};
        o.reconnect_min = 10ms;
        o.reconnect_max = 100ms;
        return o;
    }
    static subscriber_options in_group(std::string name) {
        subscriber_options o{.from = from::earliest(), .group = std::move(name)};
        o.ack_delay_max = 10ms;
        return o;
    }
    static void publish_numbers(publisher& to, int first, int last) {
        for (int n = first; n <= last; ++n) to.publish(std::to_string(n));
    }
    static std::vector<std::string> numbers(int first, int last) {
        std::vector<std::string> all;
        for (int n = first; n <= last; ++n) all.push_back(std::to_string(n));
        return all;
    }
    /// The next `count` messages and gaps; fewer when they do not come.
    static std::vector<std::string> told(subscriber& reader, std::size_t count) {
        std::vector<std::string> all;
        while (all.size() != count) {
            const auto e = reader.next_event(patience);
            if (!e) break;
            if (const auto* m = std::get_if<message>(&*e)) all.emplace_back(m->text());
            if (const auto* g = std::get_if<gap>(&*e))
                all.push_back("gap " + std::to_string(g->range.first.value) + "-" +
                              std::to_string(g->range.last.value) + " " +
                              std::string(name(g->cause)));
        }
        return all;
    }
    static void pass(std::chrono::milliseconds time) {
        static_cast<void>(throughout(time, [] { return true; }));
    }
    /// What the logs of processes say, and what is stored, behind `before`.
    void check(const std::vector<fact>& before = {}) {
        std::vector<fact> facts = read_history(file("publisher.log"));
        facts.insert(facts.begin(), before.begin(), before.end());
        std::size_t kept = 0;
        {
            node here({.name = "checker", .store = store_});
            for (const message& m : replay(here, "torture")) {
                facts.push_back({fact::kind::stored, "", m.epoch().value, m.sequence().value, 0,
                                 std::string(m.text())});
                ++kept;
            }
        }
        for (const std::string& g : groups_) {
            const auto seen = read_history(file(g + ".log"));
            facts.insert(facts.end(), seen.begin(), seen.end());
        }
        const auto wrong = check_history(facts, groups_);
        for (std::size_t i = 0; i < wrong.size() && i != 20; ++i) ADD_FAILURE() << wrong[i];
        RecordProperty("stored", static_cast<int>(kept));
        EXPECT_GE(kept, 500U);
    }

    /// What the store has.
    std::vector<std::string> stored() const {
        node here({.name = "checker", .store = store_});
        std::vector<std::string> all;
        for (const message& m : replay(here, "torture")) all.emplace_back(m.text());
        return all;
    }

    std::mutex mutex_;
    std::string log_;  // guarded by mutex_
    temp_directory directory_;
    std::string store_ = "ipc://" + file("store");
    const std::vector<std::string> groups_{"alarms", "archive"};
    std::mt19937_64 random_;
    std::string seed_;
};

}  // namespace cairn::test
