#pragma once

#include "scenarios.hpp"

#include <span>

namespace cairn::bench {

/// The scenarios named store-…: one process, the store as a library, LMDB alone beside it.
std::span<const scenario> store_scenarios();

}  // namespace cairn::bench
