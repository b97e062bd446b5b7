// cairn-bench: measures cairn beside libzmq alone, in separate processes, in turns. README.md says
// how to read what it prints.

#include "harness/options.hpp"
#include "harness/report.hpp"
#include "harness/run.hpp"
#include "roles/roles.hpp"
#include "scenarios.hpp"
#include "store/slow_disk.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace cairn::bench;

void list_scenarios() {
    for (const auto& one : all_scenarios())
        std::printf("%-16.*s %.*s\n", static_cast<int>(one.name.size()), one.name.data(),
                    static_cast<int>(one.summary.size()), one.summary.data());
}

bool applies(const scenario& one, const options& wanted) {
    return (one.against_libzmq || !wanted.only_baseline) &&
           (!one.needs_processes || wanted.transport != "inproc");
}

std::vector<scenario> chosen_by(const options& wanted) {
    std::vector<scenario> chosen;
    for (const auto& one : all_scenarios())
        if (wanted.scenario == one.name || (wanted.scenario == "all" && applies(one, wanted)))
            chosen.push_back(one);
    return chosen;
}

/// Whether all that it flushes is flushed by this program.
bool can_be_slowed(const scenario& one) {
    return one.name.starts_with("store-") || one.name == "durable-publish" ||
           one.name == "durable-wait" || one.name == "durable-producers";
}

// Targets are for the disk as it is.
row as_emulated(row result, double flush_ms) {
    result.details.emplace_back("emulated_flush_ms", flush_ms);
    result.met.reset();
    return result;
}

std::chrono::nanoseconds from_ms(double ms) {
    return std::chrono::round<std::chrono::nanoseconds>(
        std::chrono::duration<double, std::milli>(ms));
}

int measure(const options& wanted) {
    const auto chosen = chosen_by(wanted);
    if (chosen.empty()) {
        std::fprintf(stderr, "no scenario is named %s; cairn-bench --list names them\n",
                     wanted.scenario.c_str());
        return 2;
    }
    if (!applies(chosen.front(), wanted)) {
        std::fprintf(stderr, "%s\n",
                     chosen.front().against_libzmq || !wanted.only_baseline
                         ? "this scenario needs separate processes: --transport tcp or ipc"
                         : "this scenario does not measure libzmq");
        return 2;
    }
    if (wanted.flush_ms > 0 && !std::all_of(chosen.begin(), chosen.end(), can_be_slowed)) {
        std::fprintf(stderr,
                     "--flush-ms is for store-…, durable-publish, durable-wait and "
                     "durable-producers\n");
        return 2;
    }
    slow_flushes_by(from_ms(wanted.flush_ms));
    if (!wanted.json) std::printf("%s\n", table_heading().c_str());
    std::fflush(stdout);
    for (const auto& one : chosen) {
        one.run(one, wanted, [&](const row& measured) {
            const row result =
                wanted.flush_ms > 0 ? as_emulated(measured, wanted.flush_ms) : measured;
            std::printf("%s\n", (wanted.json ? to_json(result) : to_table_line(result)).c_str());
            std::fflush(stdout);
        });
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        int exit_code = 0;
        const auto parsed = parse(argc, argv, exit_code);
        if (!parsed) return exit_code;
        if (!parsed->role.roles.empty()) {
            slow_flushes_by(from_ms(parsed->role.traffic.flush_ms));
            return run_roles(parsed->role, find_role);
        }
        if (parsed->options.list) return list_scenarios(), 0;
        return measure(parsed->options);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "cairn-bench: %s\n", failure.what());
        return 1;
    }
}
