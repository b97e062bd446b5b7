#pragma once

#include "scenarios.hpp"

#include <span>

namespace cairn::bench {

/// Other systems that keep messages, each through its own C client, beside cairn and the disk.
/// Built with CAIRN_BUILD_PEERS; their servers are looked for in PATH.
std::span<const scenario> peer_scenarios();

}  // namespace cairn::bench
