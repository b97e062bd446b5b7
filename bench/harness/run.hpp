#pragma once

#include "harness/board.hpp"
#include "harness/options.hpp"
#include "harness/processes.hpp"
#include "harness/role.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cairn::bench {

/// Which roles to run against each other, and with what.
struct plan {
    std::string binder;
    std::string connector;
    std::string transport;
    bench::traffic traffic;
    /// A role that the others reach besides, over the same transport; empty: none. Needs processes.
    std::string service{};
};

/// What one run, or the median of several, gave.
struct sample {
    double messages_per_s = 0;  ///< received, summed over the connecting roles
    double sent_per_s = 0;
    double p50_us = 0;
    double p99_us = 0;
    std::uint64_t latencies = 0;  ///< that p50_us and p99_us are of
    std::uint64_t gaps = 0;       ///< messages that readers were told they will not get
};

/// The processes of one plan, alive from construction to destruction.
///
/// Owns:    its processes and their board.
/// Threads: one at a time, on the main thread.
/// Fails:   everything throws std::runtime_error when a process does not get ready, or ends.
class run {
public:
    explicit run(const plan& wanted);
    ~run();
    run(const run&) = delete;
    run& operator=(const run&) = delete;

    /// Waits until every connecting role has received at least `messages`.
    void wait_until_flowing(std::uint64_t messages = 1);

    /// Sleeps, but not past the end of a process.
    void let_pass(std::chrono::nanoseconds time);

    /// Counts for as long as `window`, and on until something came; a run is measured once.
    sample measure(std::chrono::nanoseconds window);

    child_process& binder() { return children_.front(); }
    child_process& connector(std::size_t index) { return children_.at(index + 1); }
    /// Requires: the plan has one.
    child_process& service() { return *service_; }
    /// Kills it; the run goes on without.
    void end_service() { service_.reset(); }
    lane& binder_lane() { return board_.at(traffic_.peers); }
    lane& connector_lane(std::size_t index) { return board_.at(index); }

private:
    std::uint64_t received();
    std::uint64_t sent();
    void check_alive();

    bench::traffic traffic_;
    bench::board board_;
    std::optional<child_process> service_;
    std::vector<child_process> children_;  ///< the binding one first; all in one over inproc
};

/// The body of a started process: runs its roles, which go on until the process is killed. When one
/// fails, the parent is told and the process ends.
int run_roles(const role_options& role, role_finder find);

}  // namespace cairn::bench
