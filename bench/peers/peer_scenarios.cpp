#include "peers/peer_scenarios.hpp"

#include "durable/parts.hpp"
#include "harness/statistics.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

namespace cairn::bench {

namespace {

using namespace std::chrono_literals;

// What cairn's committer takes into one transaction under load.
constexpr std::size_t sync_bytes = std::size_t{4} << 20;

struct peer {
    const char* server;
    /// Ways to publish; the fastest competes.
    std::vector<const char*> publishers;
    const char* words;
    double at_least;  ///< cairn / peer
};

/// Servers are killed with the role that started them, and passed to us: then they can be waited
/// for, before their directory goes.
void wait_for_servers() {
    while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) continue;
}

sample peer_sample(const options& wanted, const peer& of, const char* publisher, std::size_t size,
                   std::chrono::nanoseconds time) {
    const scratch where(wanted.directory);
    plan alone{of.server, publisher, "tcp", {}};
    alone.traffic.size = size;
    alone.traffic.variant = where / "data";
    const sample seen = measured(alone, time);
    wait_for_servers();
    return seen;
}

const char* best_of(const options& wanted, const peer& of, std::size_t size,
                    std::chrono::nanoseconds time, row& line) {
    for (const char* publisher : of.publishers)
        line.trials.emplace_back(publisher,
                                 peer_sample(wanted, of, publisher, size, time).messages_per_s);
    const auto best = std::max_element(
        line.trials.begin(), line.trials.end(),
        [](const auto& left, const auto& right) { return left.second < right.second; });
    return of.publishers[static_cast<std::size_t>(best - line.trials.begin())];
}

void run_beside(const scenario& self, const options& wanted, const row_sink& sink, const peer& of) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const std::size_t rounds = rounds_of(wanted, 3);
    const std::size_t size = wanted.size.value_or(100);
    const auto time = share_of(wanted, 1.0 / (2.5 * static_cast<double>(rounds) +
                                              static_cast<double>(of.publishers.size())));
    plan ours;
    std::vector<double> cairn, theirs, disk, ratios, to_disk;
    row trials;
    const char* const chosen = best_of(wanted, of, size, time, trials);
    for (std::size_t i = 0; i < rounds; ++i) {
        const auto run_peer = [&] {
            theirs.push_back(peer_sample(wanted, of, chosen, size, time).messages_per_s);
        };
        if (i % 2 == 0) run_peer();  // who goes first changes
        {
            const scratch where(wanted.directory);
            ours = store_and(wanted, where, "cairn-durable-publisher", size);
            disk.push_back(disk_bytes_per_s(where / "disk", sync_bytes, time / 2) /
                           static_cast<double>(size));
            cairn.push_back(measured(ours, time).messages_per_s);
        }
        if (i % 2 == 1) run_peer();
        ratios.push_back(cairn.back() / theirs.back());
        to_disk.push_back(cairn.back() / disk.back());
    }
    row line = durable_row(self, ours, rounds);
    set_rate(line, median(cairn));
    line.baseline_messages_per_s = median(theirs);
    line.baseline = std::string(of.words) + "; " + chosen;
    line.trials = trials.trials;
    set_ratio(line, ratios);
    line.details = {{"disk_messages_per_s", median(disk)}, {"ratio_to_disk", median(to_disk)}};
    line.target = ">= " + std::to_string(static_cast<int>(of.at_least));
    if (size == 100) line.met = *line.ratio >= of.at_least;
    sink(line);
}

void run_jetstream(const scenario& self, const options& wanted, const row_sink& sink) {
    run_beside(self, wanted, sink,
               {"nats-server",
                {"jetstream-4k-pending", "jetstream-64k-pending"},
                "NATS JetStream, file storage, asynchronous publish: confirms what is not flushed",
                10});
}

void run_redis(const scenario& self, const options& wanted, const row_sink& sink) {
    run_beside(self, wanted, sink,
               {"redis-server",
                {"redis-pipeline", "redis-16-pipelines"},
                "Redis Streams, appendfsync always, pipelined: confirms what is flushed",
                8});
}

constexpr std::array scenarios{
    scenario{"durable-jetstream", "confirmed messages; NATS JetStream", run_jetstream, false, true},
    scenario{"durable-redis", "confirmed messages; Redis Streams", run_redis, false, true},
};

}  // namespace

std::span<const scenario> peer_scenarios() { return scenarios; }

}  // namespace cairn::bench
