#include "durable/durable_scenarios.hpp"
#include "durable/parts.hpp"
#include "harness/program.hpp"
#include "harness/statistics.hpp"
#include "harness/traffic.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace cairn::bench {

namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

double mb(std::size_t bytes) { return static_cast<double>(bytes) * 1e-6; }

plan plain(const std::string& transport, std::size_t size) {
    plan made{"", "", transport, {}};
    made.traffic.size = size;
    return made;
}

/// How the store is doing while peers talk.
enum class store_state : std::uint8_t { off, on, stopped, killed };
constexpr std::array all_states{store_state::off, store_state::on, store_state::stopped,
                                store_state::killed};
constexpr std::array<const char*, 4> state_names{"off", "on", "stopped", "killed"};

sample latency_beside(const options& wanted, store_state state, std::size_t size,
                      std::chrono::nanoseconds time) {
    const scratch where(wanted.directory);
    plan pair =
        peers_beside_store(wanted, where, "cairn-paced-publisher", "cairn-subscriber", size);
    pair.traffic.rate = wanted.rate.value_or(1'000);
    if (state == store_state::off) pair.service.clear();
    run going(pair);
    going.wait_until_flowing();
    // As long as the peers have no debt to the store in any state.
    going.let_pass(time / 10);
    if (state == store_state::stopped) going.service().stop();
    if (state == store_state::killed) going.end_service();
    going.let_pass(time / 10);
    return going.measure(std::max<std::chrono::nanoseconds>(time * 8 / 10, 500ms));
}

/// From publishing to receiving, at a rate that leaves the machine time, whatever the store does.
void run_isolation(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 5);
    const std::size_t size = wanted.size.value_or(100);
    const auto time = share_of(wanted, 1.0 / static_cast<double>(rounds * all_states.size()));
    std::array<std::vector<double>, all_states.size()> p50, p99, ratios;
    for (std::size_t i = 0; i < rounds; ++i) {
        for (std::size_t j = 0; j < all_states.size(); ++j) {
            const std::size_t s = (i + j) % all_states.size();  // who goes first changes
            const sample seen = latency_beside(wanted, all_states[s], size, time);
            if (seen.latencies == 0)
                throw std::runtime_error("isolation: nothing was received in time");
            p50[s].push_back(seen.p50_us);
            p99[s].push_back(seen.p99_us);
        }
        for (std::size_t s = 1; s < all_states.size(); ++s)
            ratios[s].push_back(p50[s].back() / p50[0].back());
    }
    std::size_t worst = 1;
    for (std::size_t s = 2; s < all_states.size(); ++s)
        if (median(ratios[s]) > median(ratios[worst])) worst = s;
    row line = durable_row(self, plain(wanted.transport, size), rounds);
    line.p50_us = median(p50[worst]);
    line.p99_us = median(p99[worst]);
    line.baseline_p50_us = median(p50[0]);
    line.baseline = "no store; beside it the worst of on, stopped and killed";
    set_ratio(line, ratios[worst]);
    line.details = {{"rate", static_cast<double>(wanted.rate.value_or(1'000))}};
    for (std::size_t s = 0; s < all_states.size(); ++s) {
        const std::string name = state_names[s];
        line.details.emplace_back(name + "_p50_us", median(p50[s]));
        line.details.emplace_back(name + "_p99_us", median(p99[s]));
        if (s > 0) line.details.emplace_back(name + "_ratio", median(ratios[s]));
    }
    line.target = "<= 1.1";
    line.met = *line.ratio <= 1.1;
    sink(line);
}

/// As latency_beside(), of readers beside one more, which is stopped or reads as they do.
sample latency_beside_one(bool stopped, const options& wanted, std::size_t readers,
                          std::size_t size, std::chrono::nanoseconds time) {
    const scratch where(wanted.directory);
    plan crowd =
        peers_beside_store(wanted, where, "cairn-paced-publisher", "cairn-subscriber", size);
    crowd.traffic.rate = wanted.rate.value_or(1'000);
    crowd.traffic.peers = readers + 1;
    run going(crowd);
    going.wait_until_flowing();
    if (stopped) going.connector(readers).stop();
    going.let_pass(time / 5);
    return going.measure(std::max<std::chrono::nanoseconds>(time * 8 / 10, 500ms));
}

void run_stuck_reader(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 3);
    const std::size_t size = wanted.size.value_or(100);
    const std::size_t readers = wanted.peers.value_or(20);
    const auto time = share_of(wanted, 0.5 / static_cast<double>(rounds));
    std::array<std::vector<double>, 2> p50, p99;  // of all that read, and beside a stopped one
    std::vector<double> ratios;
    for (std::size_t i = 0; i < rounds; ++i) {
        for (std::size_t j = 0; j < 2; ++j) {
            const std::size_t stopped = (i + j) % 2;  // who goes first changes
            const sample seen = latency_beside_one(stopped == 1, wanted, readers, size, time);
            if (seen.latencies == 0)
                throw std::runtime_error("stuck-reader: nothing was received in time");
            p50[stopped].push_back(seen.p50_us);
            p99[stopped].push_back(seen.p99_us);
        }
        ratios.push_back(p99[1].back() / p99[0].back());
    }
    row line = durable_row(self, plain(wanted.transport, size), rounds);
    line.peers = readers;
    line.p50_us = median(p50[1]);
    line.p99_us = median(p99[1]);
    line.baseline_p50_us = median(p50[0]);
    line.baseline = "one more that reads; the ratio is that of the 99th percentiles";
    set_ratio(line, ratios);
    line.details = {{"rate", static_cast<double>(wanted.rate.value_or(1'000))},
                    {"baseline_p99_us", median(p99[0])}};
    line.target = "<= 2 at p99";
    line.met = *line.ratio <= 2;
    sink(line);
}

/// One publisher as fast as the store and a live subscriber take it.
void run_live(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 3);
    const std::size_t size = wanted.size.value_or(100);
    const auto time = share_of(wanted, 0.8 / static_cast<double>(rounds));
    std::vector<double> live, durable;
    std::uint64_t gaps = 0;
    std::optional<plan> last;
    for (std::size_t i = 0; i < rounds; ++i) {
        const scratch where(wanted.directory);
        last =
            peers_beside_store(wanted, where, "cairn-stored-publisher", "cairn-subscriber", size);
        const sample seen = measured(*last, time);
        live.push_back(seen.messages_per_s);
        durable.push_back(seen.sent_per_s);
        gaps += seen.gaps;
    }
    row line = durable_row(self, *last, rounds);
    set_rate(line, median(live));
    line.details = {{"durable_messages_per_s", median(durable)},
                    {"gaps", static_cast<double>(gaps)}};
    line.target = size == 100 ? ">= 2 M/s, both, no gap" : "";
    if (size == 100) line.met = median(live) >= 2e6 && median(durable) >= 2e6 && gaps == 0;
    sink(line);
}

// Beyond this a reader counts as one that never gets live.
constexpr auto catch_up_patience = 120s;

/// A reader that starts at the beginning of what a publisher has stored and goes on publishing.
void run_catch_up(const scenario& self, const options& wanted, const row_sink& sink) {
    constexpr std::size_t memory_max = 200'000'000;
    const std::size_t size = wanted.size.value_or(100);
    const scratch where(wanted.directory);
    plan pair =
        peers_beside_store(wanted, where, "cairn-paced-publisher", "cairn-late-subscriber", size);
    pair.traffic.rate = wanted.rate.value_or(200'000);
    pair.traffic.backlog = wanted.messages.value_or(10'000'000);
    run going(pair);
    lane& reader = going.connector_lane(0);
    const std::uint64_t begin = now_ns();
    const std::uint64_t sent_before = going.binder_lane().messages.load();
    std::size_t anonymous = 0;
    while (reader.reached_ns.load() == 0) {
        going.let_pass(10ms);
        anonymous = std::max(anonymous, going.service().anonymous_bytes());
        if (now_ns() - begin > std::uint64_t(std::chrono::nanoseconds(catch_up_patience).count()))
            throw std::runtime_error("durable-catch-up: the reader did not get live");
    }
    const auto took = static_cast<double>(reader.reached_ns.load() - begin) * 1e-9;
    const auto received = static_cast<double>(reader.messages.load());
    const auto sent = static_cast<double>(going.binder_lane().messages.load() - sent_before);
    going.let_pass(share_of(wanted, 0.1));  // and stays so
    anonymous = std::max(anonymous, going.service().anonymous_bytes());

    row line = durable_row(self, pair, 1);
    set_rate(line, received / took);
    const double wrong = static_cast<double>(reader.gaps.load() + reader.misplaced.load());
    const std::size_t peak = going.service().peak_resident_bytes();
    line.details = {{"messages", static_cast<double>(pair.traffic.backlog)},
                    {"seconds_until_live", took},
                    {"sent_per_s", sent / took},
                    {"gaps", static_cast<double>(reader.gaps.load())},
                    {"misplaced", static_cast<double>(reader.misplaced.load())},
                    {"store_peak_mb", mb(peak)},
                    {"store_anonymous_mb", mb(anonymous)}};
    line.target = "live, no gap, nothing twice, store < 200 MB";
    line.met = wrong == 0 && peak < memory_max;
    sink(line);
}

/// What the page cache holds of a file is dropped, as after a restart of the machine.
void forget_cached(const std::filesystem::path& directory) {
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
        if (file < 0) continue;
        ::fdatasync(file);
        ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        ::close(file);
    }
}

/// From starting the program until it says that it is ready.
double start_ms(const std::filesystem::path& data) {
    const auto begin = steady_clock::now();
    program daemon({CAIRND, "--data", data, "--listen", "tcp://127.0.0.1:0"});
    daemon.wait_for_output("ready\n", 60s);
    const double ms =
        std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count();
    daemon.terminate();
    return ms;
}

void start_row(const scenario& self, std::vector<double> ms, std::size_t size,
               std::uint64_t messages, double ms_max, const row_sink& sink) {
    row line = durable_row(self, plain("tcp", size), ms.size());
    line.p50_us = median(ms) * 1e3;
    line.p99_us = *std::max_element(ms.begin(), ms.end()) * 1e3;
    line.details = {{"messages", static_cast<double>(messages)}, {"start_ms", median(ms)}};
    line.target = "<= " + std::to_string(static_cast<int>(ms_max)) + " ms";
    line.met = median(ms) <= ms_max;
    sink(line);
}

void run_start(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 5);
    const std::size_t size = wanted.size.value_or(100);
    const std::uint64_t messages = wanted.messages.value_or(5'000'000);
    std::vector<double> empty, full;
    for (std::size_t i = 0; i < rounds; ++i) {
        const scratch where(wanted.directory);
        empty.push_back(start_ms(where / "db"));
    }
    start_row(self, empty, size, 0, 50, sink);
    const scratch where(wanted.directory);
    {
        store::database db(where / "db");
        stream to(db, "bench", "a");
        fill(db, to, batch_of(size, gathered(size)), messages);
    }
    for (std::size_t i = 0; i < rounds; ++i) {
        forget_cached(where / "db");
        full.push_back(start_ms(where / "db"));
    }
    start_row(self, full, size, messages, 300, sink);
}

constexpr std::array scenarios{
    scenario{"isolation", "latency of peers, whatever the store does; no store", run_isolation,
             false, true},
    scenario{"stuck-reader", "latency of 20 readers beside one that is stopped; that reads",
             run_stuck_reader, false, true},
    scenario{"durable-live", "one publisher, confirmed and to a live subscriber", run_live, false,
             true},
    scenario{"durable-catch-up", "a reader far behind a publisher that goes on", run_catch_up,
             false, true},
    scenario{"durable-start", "cairnd on an empty store, and on a full one", run_start, false,
             true},
};

}  // namespace

std::span<const scenario> live_scenarios() { return scenarios; }

}  // namespace cairn::bench
