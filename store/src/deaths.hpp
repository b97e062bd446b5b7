#pragma once

#include "directory.hpp"

namespace cairn::store {

/// How often in a row the process died that had the database open, as the lock's file counts it,
/// this time not included; 0 where it says nothing. 254 at most.
unsigned deaths_before(const unique_fd& lock) noexcept;

/// For the next opening that finds it open. Not synced: mark_open() does that.
void note_deaths(const unique_fd& lock, unsigned deaths) noexcept;

}  // namespace cairn::store
