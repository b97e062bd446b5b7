#pragma once

#include <string_view>

#ifdef CAIRN_DAEMON_SABOTAGE
#include <cstdlib>
#endif

namespace cairn::daemon {

/// True in a library that is broken on purpose (tests/torture), of the rule that the environment
/// names: the tests must notice.
#ifdef CAIRN_DAEMON_SABOTAGE
inline bool sabotaged(std::string_view rule) {
    static const char* const chosen = std::getenv("CAIRN_DAEMON_SABOTAGE");
    return chosen != nullptr && chosen == rule;
}
#else
constexpr bool sabotaged(std::string_view) { return false; }
#endif

}  // namespace cairn::daemon
