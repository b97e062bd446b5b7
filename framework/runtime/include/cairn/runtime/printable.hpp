#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cairn::runtime {

/// What others wrote, as it may stand in a log or an error: its control characters as \xNN, so that
/// it neither forges lines nor steers a terminal, and "..." for what is behind `bytes_max` bytes.
std::string printable(std::string_view text, std::size_t bytes_max = std::string_view::npos);

}  // namespace cairn::runtime
