#pragma once

#include <cstddef>
#include <cstdlib>

namespace cairn::test {

/// How many rounds a random test plays: `normal`, or twenty times as many when the environment says
/// CAIRN_TEST_LONG=1 (scripts/test --long).
inline std::size_t rounds(std::size_t normal) {
    const char* wish = std::getenv("CAIRN_TEST_LONG");
    return wish != nullptr && *wish == '1' ? normal * 20 : normal;
}

}  // namespace cairn::test
