#pragma once

#include <cstdint>
#include <limits>

namespace cairn::protocol {

constexpr std::uint64_t add_saturated(std::uint64_t a, std::uint64_t b) noexcept {
    const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    return b > most - a ? most : a + b;
}

}  // namespace cairn::protocol
