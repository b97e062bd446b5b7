#include "harness/contest.hpp"

#include "harness/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace cairn::bench {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

/// Divides what is left of a scenario's time evenly among the runs to come.
class time_table {
public:
    time_table(steady_clock::time_point end, std::size_t runs) : end_(end), runs_left_(runs) {}

    steady_clock::time_point next_end() {
        const auto now = steady_clock::now();
        const auto left = std::max<steady_clock::duration>(end_ - now, 0s);
        const auto runs = static_cast<steady_clock::rep>(runs_left_ > 0 ? runs_left_-- : 1);
        return now + left / runs;
    }

private:
    steady_clock::time_point end_;
    std::size_t runs_left_;
};

sample median_of(const std::vector<sample>& samples) {
    const auto of = [&](auto member) {
        std::vector<double> values;
        for (const auto& one : samples) values.push_back(static_cast<double>(one.*member));
        return median(std::move(values));
    };
    sample result;
    result.messages_per_s = of(&sample::messages_per_s);
    result.sent_per_s = of(&sample::sent_per_s);
    result.p50_us = of(&sample::p50_us);
    result.p99_us = of(&sample::p99_us);
    for (const auto& one : samples) {
        result.latencies += one.latencies;
        result.gaps += one.gaps;
    }
    return result;
}

/// Tries the baselines and notes what each gave; the one that gave the best goes on.
plan best_of(const contest& wanted, time_table& times, std::vector<double>& trials) {
    if (wanted.baselines.size() == 1) return wanted.baselines.front();
    for (const auto& candidate : wanted.baselines)
        trials.push_back(wanted.measure(run_once(candidate, times.next_end())));
    const auto best = wanted.smaller_is_better ? std::min_element(trials.begin(), trials.end())
                                               : std::max_element(trials.begin(), trials.end());
    return wanted.baselines[static_cast<std::size_t>(best - trials.begin())];
}

}  // namespace

sample run_once(const plan& wanted, steady_clock::time_point end) {
    run running(wanted);
    running.wait_until_flowing();
    // A run that took all its time to start still measures something, over its time.
    const auto left = std::max<steady_clock::duration>(end - steady_clock::now(), 80ms);
    running.let_pass(left / 4);
    return running.measure(left - left / 4);
}

outcome hold(const contest& wanted, steady_clock::time_point end) {
    const bool with_baseline = !wanted.only_cairn && !wanted.baselines.empty();
    const bool with_cairn = !wanted.only_baseline;
    const auto trials = with_baseline && wanted.baselines.size() > 1 ? wanted.baselines.size() : 0;
    const auto sides = std::size_t{with_baseline} + std::size_t{with_cairn};
    time_table times(end, trials + wanted.rounds * sides);

    outcome result;
    if (with_baseline) result.chosen_baseline = best_of(wanted, times, result.trials);
    std::vector<sample> ours;
    std::vector<sample> theirs;
    const auto run_cairn = [&] {
        if (with_cairn) ours.push_back(run_once(wanted.cairn, times.next_end()));
    };
    for (std::size_t round = 0; round < wanted.rounds; ++round) {
        // Who goes first changes, so that a machine that slows down does so for both.
        if (round % 2 == 1) run_cairn();
        if (with_baseline) theirs.push_back(run_once(result.chosen_baseline, times.next_end()));
        if (round % 2 == 0) run_cairn();
    }
    for (std::size_t i = 0; with_cairn && with_baseline && i < wanted.rounds; ++i) {
        const double ratio = wanted.measure(ours[i]) / wanted.measure(theirs[i]);
        if (std::isfinite(ratio)) result.ratios.push_back(ratio);
    }
    std::sort(result.ratios.begin(), result.ratios.end());
    result.cairn = median_of(ours);
    result.baseline = median_of(theirs);
    return result;
}

}  // namespace cairn::bench
