#pragma once

#if __cplusplus < 202002L
#error "cairn needs C++20: compile with -std=c++20"
#endif

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

namespace cairn {

/// Number of a message in its (topic, source, epoch): 1, 2, 3 … without holes. 0 is before the
/// first.
struct sequence {
    std::uint64_t value = 0;

    constexpr auto operator<=>(const sequence&) const = default;
    constexpr sequence& operator++() { return ++value, *this; }
    friend constexpr sequence operator+(sequence s, std::uint64_t n) { return {s.value + n}; }
    friend constexpr sequence operator-(sequence s, std::uint64_t n) { return {s.value - n}; }
    friend constexpr std::uint64_t operator-(sequence a, sequence b) { return a.value - b.value; }
};

/// Number of one run of a source; every start of the source takes a higher one.
struct epoch {
    std::uint64_t value = 0;

    constexpr auto operator<=>(const epoch&) const = default;
};

/// Names a message everywhere, with or without a store: (topic,) source, epoch, sequence.
struct position {
    std::string source;
    cairn::epoch epoch;
    cairn::sequence sequence;

    auto operator<=>(const position&) const = default;
};

/// Consecutive sequences, both ends included. Empty when last < first.
struct sequence_range {
    sequence first;
    sequence last;

    constexpr auto operator<=>(const sequence_range&) const = default;
    constexpr bool empty() const { return last < first; }
    constexpr std::uint64_t size() const { return empty() ? 0 : last - first + 1; }
};

/// A node's identity: random, new with every start of a process's node.
struct node_id {
    std::array<std::byte, 16> bytes{};

    auto operator<=>(const node_id&) const = default;
};

/// Random name of what a store holds: a wiped or restored store shows another one.
struct generation {
    std::array<std::byte, 16> bytes{};

    auto operator<=>(const generation&) const = default;
};

/// Names what a durable group's progress counts from: another one when the group was moved, or when
/// it or its topic was made anew.
struct incarnation {
    std::array<std::byte, 16> bytes{};

    auto operator<=>(const incarnation&) const = default;
};

/// Monotone time for deadlines and liveness; passed in wherever rules depend on it.
using clock = std::chrono::steady_clock;
using time_point = std::chrono::time_point<clock, std::chrono::nanoseconds>;
using duration = std::chrono::nanoseconds;

/// Wall-clock time, as batches carry it.
using wall_time = std::chrono::sys_time<std::chrono::nanoseconds>;

}  // namespace cairn
