#pragma once

#include "scenarios.hpp"

#include <span>

namespace cairn::bench {

/// The scenarios named durable-…: a store in a process of its own, with publishers and readers that
/// reach it over the network. Beside them LMDB and the disk alone, in the same run.
std::span<const scenario> durable_scenarios();

}  // namespace cairn::bench
