#pragma once

#include <cairn/store/commands.hpp>

#include <cstdint>
#include <string_view>

#ifdef CAIRN_DAEMON_SABOTAGE
#include <cstdlib>
#endif

namespace cairn::daemon {

/// sabotaged(): true in a library that is broken on purpose (tests/torture), of the rule that the
/// environment names: the tests must notice. tamper(): what such a store makes of the append with
/// that number before it keeps it.
#ifdef CAIRN_DAEMON_SABOTAGE
inline bool sabotaged(std::string_view rule) {
    static const char* const chosen = std::getenv("CAIRN_DAEMON_SABOTAGE");
    return chosen != nullptr && chosen == rule;
}
void tamper(store::append& wanted, std::uint64_t number);  // tests/torture/tamper.cpp
#else
constexpr bool sabotaged(std::string_view) { return false; }
inline void tamper(store::append&, std::uint64_t) {}
#endif

}  // namespace cairn::daemon
