#pragma once

#include "directory.hpp"

#include <span>
#include <string_view>

namespace cairn::store {

/// Brings a database from one format to the next, inside a transaction of the caller's.
struct upgrade_step {
    std::uint32_t from = 0;  ///< to from + 1
    void (*run)(lmdb::transaction& txn, const databases& dbs);
    std::string_view needs{};  ///< the first cairn that opens what it leaves
};

/// The steps that this version knows, ascending. Format 1 is the first.
std::span<const upgrade_step> known_steps();

/// Brings an open environment from its format up to `to`, in one transaction: a crash leaves the
/// old format whole. Other content of the meta record than format and needs stays. Returns whether
/// there was anything to do.
/// Fails: throws error store_damaged when a step is missing; lmdb::failure.
bool upgrade(lmdb::environment& env, const databases& dbs, std::span<const upgrade_step> steps,
             std::uint32_t to);

}  // namespace cairn::store
