#pragma once

#include <cairn/ids.hpp>
#include <cairn/replay.hpp>
#include <cairn/subscriber.hpp>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cairn::tools {

/// A value that nobody can use. The text says what would be right.
struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What people write, as values; each throws usage_error.
std::uint64_t bytes_of(const std::string& text);             ///< 512MiB, 20GB, 4096
std::chrono::milliseconds span_of(const std::string& text);  ///< 100ms, 30s, 7d, 0
std::uint64_t count_of(const std::string& text);             ///< 1000
bool truth_of(const std::string& text);                      ///< true, false
wall_time time_of(const std::string& text);                  ///< ISO 8601; UTC unless it says
from from_of(const std::string& text);                       ///< first, live, last:N, …
until until_of(const std::string& text);                     ///< now, offset:N, time:T

/// Values, as people read them.
std::string shown_bytes(std::uint64_t bytes);            ///< 1.5 MiB
std::string shown_span(std::chrono::milliseconds span);  ///< 7d; in its largest whole unit
std::string shown_time(wall_time time);                  ///< 2026-03-01T12:00:00.000000000Z
std::string counted(std::uint64_t count, std::string_view what);  ///< 1 message, 2 messages

inline constexpr std::string_view places =
    "first, live, last:N, offset:N or time:2026-03-01T12:00Z";

}  // namespace cairn::tools
