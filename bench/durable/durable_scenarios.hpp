#pragma once

#include "scenarios.hpp"

#include <span>

namespace cairn::bench {

/// The scenarios named durable-…: a store in a process of its own, with publishers and readers that
/// reach it over the network. Beside them LMDB and the disk alone, in the same run.
std::span<const scenario> durable_scenarios();
/// Those in which live peers, or cairnd itself, take part.
std::span<const scenario> live_scenarios();

}  // namespace cairn::bench
