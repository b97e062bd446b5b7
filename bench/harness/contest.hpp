#pragma once

#include "harness/run.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <vector>

namespace cairn::bench {

/// cairn and its baseline, run in turns so that both see the same machine.
struct contest {
    plan cairn;
    /// Ways to do the same without cairn. When there are several, each runs once before the rounds
    /// and the best one competes.
    std::vector<plan> baselines;
    std::size_t rounds = 5;
    /// What is compared; larger is better unless `smaller_is_better`.
    std::function<double(const sample&)> measure;
    bool smaller_is_better = false;
    bool only_cairn = false;
    bool only_baseline = false;
};

struct outcome {
    sample cairn;     ///< medians, each figure for itself
    sample baseline;  ///< likewise
    plan chosen_baseline;
    std::vector<double> trials;  ///< what each baseline measured before the rounds, if there were
                                 ///< several
    std::vector<double> ratios;  ///< cairn / baseline of each round, ascending
};

/// Runs the contest so that it ends about at `end`.
outcome hold(const contest& wanted, std::chrono::steady_clock::time_point end);

/// One run of `wanted` that ends about at `end`: a quarter of the time is warm-up, the rest counts.
sample run_once(const plan& wanted, std::chrono::steady_clock::time_point end);

}  // namespace cairn::bench
