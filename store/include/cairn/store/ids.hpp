#pragma once

#include <cairn/ids.hpp>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace cairn::store {

/// Number that the store gives a message in its topic: 1, 2, 3 … without holes, never given twice.
/// 0 is before the first.
struct offset {
    std::uint64_t value = 0;

    constexpr auto operator<=>(const offset&) const = default;
    friend constexpr offset operator+(offset o, std::uint64_t n) { return {o.value + n}; }
    friend constexpr offset operator-(offset o, std::uint64_t n) { return {o.value - n}; }
    friend constexpr std::uint64_t operator-(offset a, offset b) { return a.value - b.value; }
};

/// Consecutive offsets, both ends included. Empty when last < first.
struct offset_range {
    offset first;
    offset last;

    constexpr auto operator<=>(const offset_range&) const = default;
    constexpr bool empty() const { return last < first; }
    constexpr std::uint64_t size() const { return empty() ? 0 : last - first + 1; }
};

/// Numbers a topic in one database; 0 is none. A deleted topic's number is not given again.
struct topic_id {
    std::uint32_t value = 0;
    constexpr auto operator<=>(const topic_id&) const = default;
};

/// Numbers a source in its topic; 0 is none.
struct source_id {
    std::uint32_t value = 0;
    constexpr auto operator<=>(const source_id&) const = default;
};

/// Numbers a group in its topic; 0 is none. A deleted group's number is not given again.
struct group_id {
    std::uint32_t value = 0;
    constexpr auto operator<=>(const group_id&) const = default;
};

/// Random name of a database's content: a wiped or restored store shows another one.
struct generation {
    std::array<std::byte, 16> bytes{};
    auto operator<=>(const generation&) const = default;
};

/// Highest sequence and offset that can be stored.
inline constexpr std::uint64_t number_max = (std::uint64_t{1} << 63) - 1;

}  // namespace cairn::store
