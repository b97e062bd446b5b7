#pragma once

#include "../../../store/src/bounds.hpp"

namespace cairn::test {

/// While it lives, the bounds inside the store are these. Threads: no database is open.
class lowered_bounds {
public:
    explicit lowered_bounds(const store::bounds& to) noexcept;
    ~lowered_bounds();
    lowered_bounds(const lowered_bounds&) = delete;
    lowered_bounds& operator=(const lowered_bounds&) = delete;
};

/// Each command of a commit has a transaction of its own.
inline constexpr store::bounds commands_apart{.transaction_pages_max = 1};

}  // namespace cairn::test
