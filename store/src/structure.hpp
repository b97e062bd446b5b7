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

/// Whether the file ends before the last page that it counts, or cannot be made sense of. LMDB
/// would meet the end with a signal. What it has numbered and never written may lie there as well,
/// so only check_structure() tells whether something is missing. Takes constant time.
bool ends_early(const std::filesystem::path& file);

}  // namespace cairn::store
