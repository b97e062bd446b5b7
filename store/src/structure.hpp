#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cairn::store {

struct structure_report {
    std::vector<std::string> problems;  ///< 100 at most; empty: LMDB may be let in
    std::uint64_t pages = 0;            ///< of trees, values' pages included
};

/// Walks the trees of an LMDB 0.9 file with every bound checked: LMDB itself trusts what it reads,
/// and a flipped bit in a tree page can end the process. Reads branch and leaf pages, and of the
/// pages of large values the header; needs one bit a page.
/// Requires: nobody writes the file. Fails: what cannot be read is a problem.
structure_report check_structure(const std::filesystem::path& file);

}  // namespace cairn::store
