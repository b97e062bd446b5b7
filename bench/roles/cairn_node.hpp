#pragma once

#include "harness/role.hpp"

#include <cairn/node_options.hpp>

#include <chrono>
#include <string>

namespace cairn::bench::cairn_roles {

/// For all peers of a run to find each other; a hundred processes on two cores need seconds.
inline constexpr std::chrono::milliseconds peers_deadline = std::chrono::seconds(15);

/// Defaults, as a user would have them; the log goes nowhere but what is wrong is passed on.
inline node_options options_for(const role_context& context) {
    node_options options;
    options.name = "bench-" + std::to_string(context.lane_index);
    options.log = [&report = context.report](log_level level, std::string_view text) {
        if (level == log_level::error) report.line("log " + std::string(text));
    };
    return options;
}

}  // namespace cairn::bench::cairn_roles
