#pragma once

#include <string_view>

#ifndef CAIRN_STORE_SABOTAGE
#define CAIRN_STORE_SABOTAGE ""
#endif

namespace cairn::store {

/// Negative controls: tests/store builds this library again with one rule broken on purpose, and
/// expects its own suites to notice. Always false in what is installed.
constexpr bool sabotaged(std::string_view rule) {
    return std::string_view(CAIRN_STORE_SABOTAGE) == rule;
}

}  // namespace cairn::store
