#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cairn::bench {

/// One line of results. What does not apply to a scenario is empty, and null in JSON.
struct row {
    std::string scenario;
    std::size_t size = 0;
    std::string transport;
    std::size_t peers = 1;
    std::size_t rounds = 0;
    std::optional<double> messages_per_s;
    std::optional<double> mb_per_s;  ///< bodies only, 10^6 bytes
    std::optional<double> p50_us;
    std::optional<double> p99_us;
    std::optional<double> baseline_messages_per_s;
    std::optional<double> baseline_p50_us;
    std::optional<double> ratio;  ///< median over the rounds of (cairn / baseline)
    std::optional<double> ratio_min;
    std::optional<double> ratio_max;
    std::vector<std::pair<std::string, double>> details;  ///< of the scenario's own
    std::string baseline;                                ///< which sockets and options; empty: none
    std::vector<std::pair<std::string, double>> trials;  ///< how it was chosen; JSON only
    std::string target;                                  ///< in words; empty: none
    std::optional<bool> met;
};

/// One line without a line end.
std::string to_json(const row& result);

/// The heading of the table, and one line of it; both without a line end.
std::string table_heading();
std::string to_table_line(const row& result);

}  // namespace cairn::bench
