#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>

namespace cairn::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// The environment says CAIRN_TEST_LONG=1 (scripts/test --long).
inline bool long_test() {
    const char* wish = std::getenv("CAIRN_TEST_LONG");
    return wish != nullptr && *wish == '1';
}

/// How many rounds a random test plays: `normal`, twenty times as many in a long test, and a tenth
/// of `normal` where a sanitizer looks at each step.
inline std::size_t rounds(std::size_t normal) {
    if (long_test()) return normal * 20;
    return sanitized ? std::max<std::size_t>(1, normal / 10) : normal;
}

}  // namespace cairn::test
