#include "durable/durable_scenarios.hpp"

#include "durable/parts.hpp"
#include "harness/statistics.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace cairn::bench {

namespace {

using namespace std::chrono_literals;

// What the committer takes into one transaction under load.
constexpr std::size_t sync_bytes = std::size_t{4} << 20;
constexpr std::size_t producers = 64;

/// Messages that one publisher's store confirmed, and what the disk takes.
void run_publish(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 3);
    const std::vector<std::size_t> sizes =
        wanted.size ? std::vector{*wanted.size} : std::vector<std::size_t>{100, 1'024, 65'536};
    const auto time = share_of(wanted, 0.7 / static_cast<double>(rounds * sizes.size()));
    for (const std::size_t size : sizes) {
        std::vector<double> ours, disk, ratios;
        std::optional<plan> last;
        for (std::size_t i = 0; i < rounds; ++i) {
            const scratch where(wanted.directory);
            last = store_and(wanted, where, "cairn-durable-publisher", size);
            ours.push_back(measured(*last, time).messages_per_s);
            disk.push_back(disk_bytes_per_s(where / "disk", sync_bytes, time / 3) /
                           static_cast<double>(size));
            ratios.push_back(ours.back() / disk.back());
        }
        row line = durable_row(self, *last, rounds);
        set_rate(line, median(ours));
        line.baseline_messages_per_s = median(disk);
        line.baseline = "the disk alone: the bodies' bytes written and fdatasync'ed, 4 MiB at once";
        set_ratio(line, ratios);
        line.target = size == 100 ? ">= 3 M/s, or 0.75 of the disk" : ">= 0.75 of the disk";
        line.met = *line.ratio >= 0.75 || (size == 100 && *line.messages_per_s >= 3e6);
        sink(line);
    }
}

/// One message, and the wait until it is durable.
void run_wait(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 3);
    const std::size_t size = wanted.size.value_or(100);
    const auto time = share_of(wanted, 0.25 / static_cast<double>(rounds));
    std::vector<double> ours, p99, theirs, ratios;
    std::optional<plan> last;
    for (std::size_t i = 0; i < rounds; ++i) {
        const scratch where(wanted.directory);
        last = store_and(wanted, where, "cairn-durable-waiter", size);
        const sample mine = measured(*last, time);
        plan trip{"zmq-pair-server", "zmq-pair-client", wanted.transport, {}};
        trip.traffic.size = size;
        const double both = measured(trip, time).p50_us +
                            percentile(lmdb_commit_us(where / "lmdb", size, time), 0.5);
        ours.push_back(mine.p50_us);
        p99.push_back(mine.p99_us);
        theirs.push_back(both);
        ratios.push_back(mine.p50_us / both);
    }
    row line = durable_row(self, *last, rounds);
    line.p50_us = median(ours);
    line.p99_us = median(p99);
    line.baseline_p50_us = median(theirs);
    line.baseline = "LMDB's own commit and libzmq's round trip, one after the other";
    set_ratio(line, ratios);
    line.target = "<= 1.3";
    line.met = *line.ratio <= 1.3;
    sink(line);
}

/// Many publishers of one process that wait for each confirm, beside one.
void run_producers(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 3);
    const std::size_t size = wanted.size.value_or(100);
    const auto time = share_of(wanted, 0.4 / static_cast<double>(rounds));
    std::vector<double> ours, theirs, ratios;
    std::optional<plan> last;
    for (std::size_t i = 0; i < rounds; ++i) {
        const scratch many(wanted.directory);
        const scratch one(wanted.directory);
        last = store_and(wanted, many, "cairn-durable-waiter", size, producers);
        ours.push_back(measured(*last, time).messages_per_s);
        theirs.push_back(
            measured(store_and(wanted, one, "cairn-durable-waiter", size), time).messages_per_s);
        ratios.push_back(ours.back() / theirs.back());
    }
    row line = durable_row(self, *last, rounds);
    line.peers = producers;
    set_rate(line, median(ours));
    line.baseline_messages_per_s = median(theirs);
    line.baseline = "one publisher";
    set_ratio(line, ratios);
    line.target = ">= 30";
    line.met = *line.ratio >= 30;
    sink(line);
}

/// A warm store, read from its beginning by one reader.
void run_replay(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 3);
    const std::size_t size = wanted.size.value_or(100);
    const std::uint64_t messages = wanted.messages.value_or(std::min<std::uint64_t>(
        5'000'000, (std::uint64_t{2} << 30) / std::max<std::size_t>(size, 1)));
    const scratch where(wanted.directory);
    {
        store::database db(where / "db");
        stream to(db, "bench", "a");
        fill(db, to, batch_of(size, gathered(size)), messages);
    }
    const plan reading = store_and(wanted, where, "cairn-replay", size);
    std::vector<double> ours;
    for (std::size_t i = 0; i < rounds; ++i)
        ours.push_back(
            measured(reading, share_of(wanted, 0.7 / static_cast<double>(rounds))).messages_per_s);
    row line = durable_row(self, reading, rounds);
    set_rate(line, median(ours));
    line.details = {{"messages", static_cast<double>(messages)}};
    line.target = size == 100 ? ">= 3 M/s" : "";
    if (size == 100) line.met = *line.messages_per_s >= 3e6;
    sink(line);
}

constexpr std::array scenarios{
    scenario{"durable-publish", "confirmed messages of one publisher; the disk alone", run_publish,
             false, true},
    scenario{"durable-wait", "one message until it is durable; LMDB and a round trip", run_wait,
             false, true},
    scenario{"durable-producers", "64 publishers, each waits for each confirm; one", run_producers,
             false, true},
    scenario{"durable-replay", "a warm store read over the network", run_replay, false, true},
};

}  // namespace

std::span<const scenario> durable_scenarios() { return scenarios; }

}  // namespace cairn::bench
