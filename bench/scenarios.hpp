#pragma once

#include "harness/options.hpp"
#include "harness/report.hpp"

#include <functional>
#include <span>
#include <string_view>

namespace cairn::bench {

using row_sink = std::function<void(const row&)>;

/// One thing that can be measured.
struct scenario {
    std::string_view name;
    std::string_view summary;
    void (*run)(const scenario& self, const options& wanted, const row_sink& sink);
    bool against_libzmq = true;
    bool needs_processes = false;  ///< that inproc does not have
};

std::span<const scenario> all_scenarios();

}  // namespace cairn::bench
