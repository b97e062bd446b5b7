#pragma once

#include <cairn/store/options.hpp>

#include <cstdint>

namespace cairn::store {

/// Bounds of the inside, which tests lower to meet them.
struct bounds {
    /// Pages that the commands of one transaction may change. LMDB keeps a list of those that a
    /// transaction has changed, 131,071 at most, and writes some of them early when it gets full
    /// (spilling), which we never let it do. The rest is for what is due besides.
    std::uint64_t transaction_pages_max = 98'304;
    /// Bytes of a file up to which check::after_crash walks it after a single crash.
    std::uint64_t walked_bytes_max = check_bytes_max;
};

/// Those in force: the same as long as a database is open.
const bounds& known_bounds() noexcept;

}  // namespace cairn::store
