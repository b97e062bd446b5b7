#include "scenarios.hpp"

#include "durable/durable_scenarios.hpp"
#include "harness/contest.hpp"
#include "peers/peer_scenarios.hpp"
#include "roles/call_timer.hpp"
#include "store/store_scenarios.hpp"

#include <cairn/publisher.hpp>
#include <cairn/puller.hpp>
#include <cairn/pusher.hpp>
#include <cairn/subscriber.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cairn::bench {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::array<std::size_t, 4> sizes_of_the_table{16, 100, 1'024, 65'536};

/// What a figure must reach, in the units that the row shows.
struct target {
    double bound;
    bool at_most = false;
};

std::string words_of(const target& wanted, std::string_view unit) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%s %g", wanted.at_most ? "<=" : ">=", wanted.bound);
    return text.data() + std::string(unit);
}

bool is_met(const target& wanted, double value) {
    return wanted.at_most ? value <= wanted.bound : value >= wanted.bound;
}

steady_clock::duration seconds_of(double count) {
    return std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(count));
}

row row_for(const scenario& self, const plan& run, std::size_t rounds = 1) {
    row result;
    result.scenario = self.name;
    result.size = run.traffic.size;
    result.transport = run.transport;
    result.peers = run.traffic.peers;
    result.rounds = rounds;
    return result;
}

plan plan_for(const options& wanted, std::string binder, std::string connector,
              std::size_t default_size, std::size_t default_peers = 1) {
    plan result{std::move(binder), std::move(connector), wanted.transport, {}};
    result.traffic.size = wanted.size.value_or(default_size);
    result.traffic.peers = wanted.peers.value_or(default_peers);
    return result;
}

plan with_roles(plan base, std::string binder, std::string connector, std::string variant = "") {
    base.binder = std::move(binder);
    base.connector = std::move(connector);
    base.traffic.variant = std::move(variant);
    return base;
}

contest contest_for(const options& wanted, plan cairn, std::size_t default_rounds = 5) {
    contest result;
    result.cairn = std::move(cairn);
    result.rounds = wanted.rounds > 0 ? wanted.rounds : default_rounds;
    result.measure = [](const sample& one) { return one.messages_per_s; };
    result.only_cairn = wanted.only_cairn;
    result.only_baseline = wanted.only_baseline;
    return result;
}

void judge_ratio(row& result, const std::optional<target>& wanted) {
    if (!wanted) return;
    result.target = words_of(*wanted, "");
    if (result.ratio) result.met = is_met(*wanted, *result.ratio);
}

void add_ratios(row& result, const outcome& held) {
    if (held.ratios.empty()) return;
    result.ratio = median(held.ratios);
    result.ratio_min = held.ratios.front();
    result.ratio_max = held.ratios.back();
}

std::string name_of_baseline(const plan& chosen) {
    return chosen.binder + "/" + chosen.connector +
           (chosen.traffic.variant.empty() ? "" : " " + chosen.traffic.variant);
}

row throughput_row(const scenario& self, const contest& held, const outcome& result) {
    row line = row_for(self, held.cairn, held.rounds);
    if (!held.only_baseline) {
        line.messages_per_s = result.cairn.messages_per_s;
        line.mb_per_s = result.cairn.messages_per_s * static_cast<double>(line.size) * 1e-6;
        if (result.cairn.latencies > 0) {
            line.p50_us = result.cairn.p50_us;
            line.p99_us = result.cairn.p99_us;
        }
        if (result.cairn.gaps > 0)
            line.details.emplace_back("gaps", static_cast<double>(result.cairn.gaps));
    }
    if (!held.only_cairn) {
        line.baseline = name_of_baseline(result.chosen_baseline);
        for (std::size_t i = 0; i < result.trials.size(); ++i)
            line.trials.emplace_back(name_of_baseline(held.baselines[i]), result.trials[i]);
        line.baseline_messages_per_s = result.baseline.messages_per_s;
    }
    add_ratios(line, result);
    return line;
}

std::vector<std::size_t> sizes_for(const options& wanted) {
    if (wanted.size) return {*wanted.size};
    return {sizes_of_the_table.begin(), sizes_of_the_table.end()};
}

std::optional<target> throughput_target(const plan& run) {
    static const std::map<std::size_t, double> at_least{
        {16, 4}, {100, 3}, {1'024, 1.5}, {65'536, 0.95}};
    const auto found = at_least.find(run.traffic.size);
    if (run.transport != "tcp" || run.traffic.peers != 1 || found == at_least.end()) return {};
    return target{found->second};
}

// PUB as it comes; waiting for its slowest reader; and that with a longer queue. Which is fastest
// depends on size, peers and machine: the best competes.
std::vector<plan> pub_sub_baselines(const plan& base) {
    std::vector<plan> result;
    for (const char* variant : {"", "nodrop", "deep-nodrop"})
        result.push_back(with_roles(base, "zmq-pub", "zmq-sub", variant));
    return result;
}

void run_throughput(const scenario& self, const options& wanted, const row_sink& sink,
                    contest (*prepare)(const options&)) {
    const auto sizes = sizes_for(wanted);
    for (const auto size : sizes) {
        auto one = wanted;
        one.size = size;
        const auto held = prepare(one);
        const auto share = wanted.seconds / static_cast<double>(sizes.size());
        const auto result = hold(held, steady_clock::now() + seconds_of(share));
        auto line = throughput_row(self, held, result);
        judge_ratio(line, throughput_target(held.cairn));
        sink(line);
    }
}

void run_push(const scenario& self, const options& wanted, const row_sink& sink) {
    run_throughput(self, wanted, sink, [](const options& one) {
        const auto ours = plan_for(one, "cairn-pusher", "cairn-puller", 100);
        auto held = contest_for(one, ours);
        held.baselines = {with_roles(ours, "zmq-push", "zmq-pull"),
                          with_roles(ours, "zmq-push", "zmq-pull", "deep")};
        return held;
    });
}

void run_pubsub(const scenario& self, const options& wanted, const row_sink& sink) {
    run_throughput(self, wanted, sink, [](const options& one) {
        const auto ours = plan_for(one, "cairn-publisher", "cairn-subscriber", 100);
        auto held = contest_for(one, ours);
        held.baselines = pub_sub_baselines(ours);
        return held;
    });
}

void run_fanout_of(const scenario& self, const options& wanted, const row_sink& sink, plan ours,
                   std::size_t rounds, const target& at_least) {
    auto held = contest_for(wanted, ours, rounds);
    held.baselines = pub_sub_baselines(ours);
    const auto result = hold(held, steady_clock::now() + seconds_of(wanted.seconds));
    auto line = throughput_row(self, held, result);
    const bool as_in_table = !wanted.peers && ours.traffic.size == 100 && ours.transport == "tcp";
    if (as_in_table) judge_ratio(line, at_least);
    sink(line);
}

void run_fanout(const scenario& self, const options& wanted, const row_sink& sink) {
    run_fanout_of(self, wanted, sink,
                  plan_for(wanted, "cairn-publisher", "cairn-subscriber", 100, 4), 5, {2});
}

void run_fanout_single(const scenario& self, const options& wanted, const row_sink& sink) {
    auto ours = plan_for(wanted, "cairn-publisher", "cairn-subscriber", 100, 100);
    ours.traffic.variant = "single";
    // A hundred processes take about a second to come up: few rounds, or there is no time to count.
    run_fanout_of(self, wanted, sink, ours, 3, {0.7});
}

void run_rtt(const scenario& self, const options& wanted, const row_sink& sink) {
    auto one = wanted;
    one.peers = 1;
    const auto ours = plan_for(one, "cairn-rtt-server", "cairn-rtt-client", 64);
    auto held = contest_for(one, ours);
    held.baselines = {with_roles(ours, "zmq-pair-server", "zmq-pair-client")};
    held.measure = [](const sample& run) { return run.p50_us; };
    held.smaller_is_better = true;
    const auto result = hold(held, steady_clock::now() + seconds_of(one.seconds));
    auto line = throughput_row(self, held, result);
    if (!one.only_cairn) {
        line.baseline_p50_us = result.baseline.p50_us;
        line.details.emplace_back("baseline_p99_us", result.baseline.p99_us);
    }
    if (ours.traffic.size == 64 && ours.transport == "tcp")
        judge_ratio(line, target{1.2, /*at_most*/ true});
    sink(line);
}

void run_publish_cost(const scenario& self, const options& wanted, const row_sink& sink) {
    auto one = wanted;
    one.peers = 1;
    const auto ours = plan_for(one, "cairn-publish-calls", "cairn-subscriber", 100);
    auto held = contest_for(one, ours);
    held.baselines = {with_roles(ours, "zmq-pub-calls", "zmq-sub", "deep")};
    held.measure = [](const sample& run) { return run.p50_us; };
    held.smaller_is_better = true;
    const auto result = hold(held, steady_clock::now() + seconds_of(one.seconds));
    if (!one.only_baseline && result.cairn.latencies == 0)
        throw std::runtime_error("publish-cost: no burst was received while it was measured");
    row line = row_for(self, ours, held.rounds);
    const auto per_call = [](double burst_us) { return burst_us / double{calls_in_burst}; };
    add_ratios(line, result);
    if (!one.only_cairn) {
        line.baseline = name_of_baseline(result.chosen_baseline);
        line.baseline_p50_us = per_call(result.baseline.p50_us);
    }
    if (!one.only_baseline) {
        line.p50_us = per_call(result.cairn.p50_us);
        line.p99_us = per_call(result.cairn.p99_us);
        const target at_most{60, /*at_most*/ true};
        const bool as_in_table = ours.traffic.size == 100;
        if (as_in_table) line.target = words_of(at_most, " ns a call");
        if (as_in_table) line.met = is_met(at_most, *line.p50_us * 1e3);
    }
    sink(line);
}

void run_publish_threads(const scenario& self, const options& wanted, const row_sink& sink) {
    constexpr std::size_t threads = 4;
    const auto one_thread = plan_for(wanted, "cairn-publisher", "cairn-subscriber", 100);
    auto ours = one_thread;
    ours.traffic.threads = threads;
    auto held = contest_for(wanted, ours);
    held.baselines = {one_thread};
    const auto result = hold(held, steady_clock::now() + seconds_of(wanted.seconds));
    auto line = throughput_row(self, held, result);
    if (!line.baseline.empty()) line.baseline += " with one thread";
    judge_ratio(line, target{1});
    sink(line);
}

double mb(std::size_t bytes) { return static_cast<double>(bytes) * 1e-6; }

double growth_mb(const child_process& process, const lane& its_lane) {
    const auto before = its_lane.anonymous_bytes_before.load();
    const auto now = process.anonymous_bytes();
    return now > before ? mb(now - before) : 0;
}

void run_idle_topics(const scenario& self, const options& wanted, const row_sink& sink) {
    auto one = wanted;
    one.peers = 1;
    auto ours = plan_for(one, "cairn-idle-publishers", "cairn-idle-subscriber", 100);
    ours.traffic.topics = wanted.topics.value_or(10'000);
    const auto begin = steady_clock::now();
    run running(ours);
    running.wait_until_flowing(ours.traffic.topics);
    running.let_pass(seconds_of(wanted.seconds / 4));  // what is told after a change has been told

    const auto publisher_cpu = running.binder().cpu_time();
    const auto subscriber_cpu = running.connector(0).cpu_time();
    const auto quiet_from = steady_clock::now();
    const auto end = begin + seconds_of(wanted.seconds);
    running.let_pass(std::max<steady_clock::duration>(end - quiet_from, 50ms));
    const std::chrono::duration<double> quiet = steady_clock::now() - quiet_from;
    const auto percent = [&](std::chrono::nanoseconds used) {
        return std::chrono::duration<double>(used) / quiet * 100;
    };

    row line = row_for(self, ours);
    const double publisher_mb = growth_mb(running.binder(), running.binder_lane());
    const double subscriber_mb = growth_mb(running.connector(0), running.connector_lane(0));
    const double publisher_percent = percent(running.binder().cpu_time() - publisher_cpu);
    const double subscriber_percent = percent(running.connector(0).cpu_time() - subscriber_cpu);
    line.details = {{"topics", static_cast<double>(ours.traffic.topics)},
                    {"publisher_growth_mb", publisher_mb},
                    {"subscriber_growth_mb", subscriber_mb},
                    {"publisher_cpu_percent", publisher_percent},
                    {"subscriber_cpu_percent", subscriber_percent}};
    if (ours.traffic.topics == 10'000) {
        line.target = "< 20 MB, < 1 % of a core";
        line.met = std::max(publisher_mb, subscriber_mb) < 20 &&
                   std::max(publisher_percent, subscriber_percent) < 1;
    }
    sink(line);
}

/// Largest growth of a process that is looked at again and again.
class growth_watch {
public:
    growth_watch(child_process& process, lane& its_lane) : process_(process), lane_(its_lane) {}
    void look() { largest_mb_ = std::max(largest_mb_, growth_mb(process_, lane_)); }
    double largest_mb() const { return largest_mb_; }

private:
    child_process& process_;
    lane& lane_;
    double largest_mb_ = 0;
};

// Limits count the bytes of messages; what the allocator needs to hold them is not theirs.
constexpr double allocator_share = 1.0 / 16;

struct memory_limits {
    std::size_t sender_bytes;
    std::size_t reader_bytes;
};

/// Stops the last reader while traffic flows, lets it go on later, and watches how far the sender
/// and that reader grow.
void run_stopped(const scenario& self, const options& wanted, const row_sink& sink, plan ours,
                 const memory_limits& limits) {
    const auto stopped = ours.traffic.peers - 1;
    run running(ours);
    running.wait_until_flowing();
    growth_watch sender(running.binder(), running.binder_lane());
    growth_watch reader(running.connector(stopped), running.connector_lane(stopped));
    const auto watch_until = [&](steady_clock::time_point end) {
        while (steady_clock::now() < end) {
            running.let_pass(10ms);
            sender.look();
            reader.look();
        }
    };
    const auto received_by_others = [&] {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < stopped; ++i) sum += running.connector_lane(i).messages.load();
        return sum;
    };
    const auto begin = steady_clock::now();
    running.connector(stopped).stop();
    const auto before = received_by_others();
    watch_until(begin + seconds_of(wanted.seconds * 0.75));
    const std::chrono::duration<double> stopped_for = steady_clock::now() - begin;
    const auto received = received_by_others() - before;
    running.connector(stopped).resume();
    watch_until(begin + seconds_of(wanted.seconds));

    row line = row_for(self, ours);
    if (stopped > 0) line.messages_per_s = static_cast<double>(received) / stopped_for.count();
    line.details = {{"sender_growth_mb", sender.largest_mb()},
                    {"sender_limit_mb", mb(limits.sender_bytes)},
                    {"reader_growth_mb", reader.largest_mb()},
                    {"reader_limit_mb", mb(limits.reader_bytes)}};
    const double largest_share = std::max(sender.largest_mb() / mb(limits.sender_bytes),
                                          reader.largest_mb() / mb(limits.reader_bytes));
    line.details.emplace_back("share_of_limit", largest_share);
    line.target = "inside the limits (and 1/16 for the allocator)";
    line.met = largest_share <= 1 + allocator_share;
    sink(line);
}

void run_stopped_reader(const scenario& self, const options& wanted, const row_sink& sink) {
    const auto ours = plan_for(wanted, "cairn-publisher", "cairn-subscriber", 1'024, 2);
    const auto credit = subscriber_options{}.credit_bytes;
    run_stopped(self, wanted, sink, ours,
                {publisher_options{}.ring_bytes_max + credit * ours.traffic.peers, credit});
}

void run_stopped_puller(const scenario& self, const options& wanted, const row_sink& sink) {
    const auto ours = plan_for(wanted, "cairn-pusher", "cairn-puller", 1'024);
    const auto credit = puller_options{}.credit_bytes;
    run_stopped(self, wanted, sink, ours,
                {pusher_options{}.backlog_bytes_max + credit * ours.traffic.peers, credit});
}

constexpr std::array scenarios{
    scenario{"push", "one pusher, one puller, acks and credit on; PUSH/PULL", run_push},
    scenario{"pubsub", "one publisher, one subscriber; PUB/SUB", run_pubsub},
    scenario{"rtt", "round trip with one message in flight; PAIR", run_rtt},
    scenario{"fanout", "one publisher, 4 subscribers, delivered in sum; PUB/SUB", run_fanout},
    scenario{"fanout-single", "the same with 100 subscribers and batches of one; PUB/SUB",
             run_fanout_single},
    scenario{"publish-cost", "what one call of publish() costs its caller; zmq_send() on PUB",
             run_publish_cost},
    scenario{"publish-threads", "4 threads on one publisher, beside one thread",
             run_publish_threads, /*against_libzmq*/ false},
    scenario{"idle-topics", "memory and processor for 10,000 quiet topics", run_idle_topics,
             /*against_libzmq*/ false, /*needs_processes*/ true},
    scenario{"stopped-reader", "memory while one of 2 subscribers is stopped", run_stopped_reader,
             /*against_libzmq*/ false, /*needs_processes*/ true},
    scenario{"stopped-puller", "memory while the only puller is stopped", run_stopped_puller,
             /*against_libzmq*/ false, /*needs_processes*/ true},
};

}  // namespace

std::span<const scenario> all_scenarios() {
    static const std::vector<scenario> all = [] {
        std::vector<scenario> all_of_them(scenarios.begin(), scenarios.end());
        for (const auto& more : {store_scenarios(), durable_scenarios(), live_scenarios()})
            all_of_them.insert(all_of_them.end(), more.begin(), more.end());
#ifdef CAIRN_BENCH_PEERS
        all_of_them.insert(all_of_them.end(), peer_scenarios().begin(), peer_scenarios().end());
#endif
        return all_of_them;
    }();
    return all;
}

}  // namespace cairn::bench
