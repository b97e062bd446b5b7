#pragma once

#include <cstdint>

namespace cairn::store {

/// How often this process was forked, counted in its children. What remembers another number was
/// made in a parent: its threads are not here, and LMDB's reader slots and locks are the parent's.
/// Costs no system call.
std::uint64_t forks() noexcept;

}  // namespace cairn::store
