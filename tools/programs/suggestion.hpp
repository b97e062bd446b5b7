#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn::programs {

/// "; did you mean "…"?" when a known name is near, or nothing.
std::string suggestion(std::string_view unknown, const std::vector<std::string>& known);

}  // namespace cairn::programs
