#pragma once

#include <cairn/cairn.hpp>
#include <cairn/store/database.hpp>
#include <cairn/store/reader.hpp>

#include <gtest/gtest.h>

#include "history.hpp"
#include "store/support/made.hpp"
#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/temp_directory.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace cairn::test {

using namespace std::chrono_literals;

/// Longer than anything takes that works, on a busy machine and under a sanitizer.
inline constexpr std::chrono::milliseconds patience = 30s;

/// Counts the facts of one kind in a log as it grows.
class followed {
public:
    followed(const std::string& log, fact::kind what) : log_(log), what_(static_cast<char>(what)) {}

    std::uint64_t count() {
        std::ifstream lines(log_);
        lines.seekg(at_);
        for (std::string line; std::getline(lines, line) && !lines.eof();) {
            at_ += std::ssize(line) + 1;
            count_ += line.starts_with(what_) ? 1 : 0;
        }
        return count_;
    }
    bool grows(std::uint64_t by = 1) {
        const std::uint64_t before = count();
        return eventually([&] { return count() >= before + by; }, patience);
    }

private:
    std::string log_;
    char what_;
    std::streamoff at_ = 0;
    std::uint64_t count_ = 0;
};

/// How many messages of all runs of one source the store confirmed, from its log as it grows.
class followed_confirms {
public:
    explicit followed_confirms(const std::string& log) : log_(log) {}

    std::uint64_t count() {
        std::ifstream lines(log_);
        lines.seekg(at_);
        for (std::string line; std::getline(lines, line) && !lines.eof();) {
            at_ += std::ssize(line) + 1;
            const bool tells = line.starts_with('d') || line.starts_with('l');
            if (const auto f = tells ? fact::from(line) : std::nullopt) add(*f);
        }
        return confirmed_;
    }
    /// Without those that were lost to it.
    std::uint64_t stored() { return count() - std::min(lost_, confirmed_); }
    /// Epoch and sequence up to where it confirmed.
    std::pair<std::uint64_t, std::uint64_t> newest() {
        static_cast<void>(count());
        if (runs_.empty()) return {};
        return *runs_.rbegin();
    }
    /// The store has nothing any more of what was heard of until now, whose runs are over.
    /// Returns the newest of them.
    std::uint64_t forget() {
        static_cast<void>(count());
        std::uint64_t newest = 0;
        for (const fact& f : read_history(log_)) newest = std::max(newest, f.epoch);
        runs_.clear();
        return newest;
    }

private:
    void add(const fact& f) {
        std::uint64_t& of_run = runs_[f.epoch];
        if (f.what == fact::kind::lost) {
            // It may be told again; and what was confirmed before, a store that was wiped had.
            std::uint64_t& told = lost_of_[f.epoch];
            lost_ += f.last - std::min(f.last, std::max({f.first - 1, of_run, told}));
            told = std::max(told, f.last);
            return;
        }
        confirmed_ += std::max(of_run, f.first) - of_run;
        of_run = std::max(of_run, f.first);
    }

    std::string log_;
    std::streamoff at_ = 0;
    std::map<std::uint64_t, std::uint64_t> runs_;     // epoch: confirmed up to there
    std::map<std::uint64_t, std::uint64_t> lost_of_;  // epoch: told as lost up to there
    std::uint64_t confirmed_ = 0;
    std::uint64_t lost_ = 0;
};

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
    /// What a store gives that runs.
    std::vector<fact> given_by_the_store() const {
        std::vector<fact> facts;
        node here({.name = "checker", .store = store_});
        for (const message& m : replay(here, "torture"))
            facts.push_back({fact::kind::stored, "", std::string(m.source()), m.epoch().value,
                             m.sequence().value, 0, std::string(m.text())});
        return facts;
    }
    /// What a store has that does not run; twice what it has twice.
    std::vector<fact> found_on_the_disk() const {
        std::vector<fact> facts;
        const store::database data(file("data"));
        store::reader reader(data);
        const auto topic = reader.find_topic("torture");
        EXPECT_EQ(topic.error(), errc::ok);
        std::map<std::uint32_t, std::string> names;
        const auto sources = reader.sources(*topic);
        for (const store::source_info& s : *sources) names[s.id.value] = s.name;
        std::vector<std::byte> buffer;
        store::page page;
        for (store::offset at{1};; at = page.next) {
            EXPECT_EQ(reader.read(*topic, at, std::size_t{1} << 20, buffer, page), errc::ok);
            for (const store::entry& e : page.entries) {
                std::uint64_t n = e.sequences.first.value;
                for (const std::string& text : texts_of(e.body))
                    facts.push_back({fact::kind::stored, "", names[e.source.value], e.epoch.value,
                                     n++, 0, text});
            }
            if (page.next >= page.end) return facts;
        }
    }
    /// C7, of a store that does not run: how far it has that source's runs.
    std::pair<std::uint64_t, std::uint64_t> head_on_the_disk(const std::string& source) const {
        const store::database data(file("data"));
        store::reader reader(data);
        const auto topic = reader.find_topic("torture");
        if (topic.error() != errc::ok) return {};
        const auto sources = reader.sources(*topic);
        for (const store::source_info& s : *sources)
            if (s.name == source) return {s.epoch.value, s.last.value};
        return {};
    }
    /// What is wrong with what the logs of processes say, and is stored, behind `before`.
    std::vector<std::string> wrong(const std::vector<fact>& stored,
                                   const std::vector<fact>& before = {}) const {
        std::vector<fact> facts = before;
        const auto add = [&](const std::vector<fact>& more) {
            facts.insert(facts.end(), more.begin(), more.end());
        };
        for (const std::string& source : sources_) add(read_history(file(source + ".log")));
        add(stored);
        for (const std::string& g : groups_) add(read_history(file(g + ".log")));
        return check_history(facts, groups_);
    }
    void check(const std::vector<fact>& stored, const std::vector<fact>& before = {}) const {
        const auto found = wrong(stored, before);
        for (std::size_t i = 0; i < found.size() && i != 20; ++i) ADD_FAILURE() << found[i];
    }
    void check() const { check(given_by_the_store()); }
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
    std::vector<std::string> sources_{"publisher"};
    std::vector<std::string> groups_{"alarms", "archive"};
    std::mt19937_64 random_;
    std::string seed_;
};

}  // namespace cairn::test
