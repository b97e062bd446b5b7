#pragma once

#include "programs/quantities.hpp"

#include <cairn/ids.hpp>
#include <cairn/replay.hpp>
#include <cairn/subscriber.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::tools {

using programs::bytes_of;
using programs::count_of;
using programs::shown_span;
using programs::span_of;
using programs::truth_of;
using programs::usage_error;

/// What people write, as values; each throws usage_error.
wall_time time_of(const std::string& text);    ///< ISO 8601; UTC unless it says
from from_of(const std::string& text);         ///< first, live, last:N, …
from stored_from_of(const std::string& text);  ///< the same but for live
until until_of(const std::string& text);       ///< now, offset:N, time:T

/// Values, as people read them.
std::string shown_bytes(std::uint64_t bytes);  ///< 1.5 MiB
std::string shown_time(wall_time time);        ///< 2026-03-01T12:00:00.000000000Z
std::string counted(std::uint64_t count, std::string_view what);  ///< 1 message, 2 messages

inline constexpr std::string_view places =
    "first, live, last:N, offset:N or time:2026-03-01T12:00Z";
inline constexpr std::string_view stored_places =
    "first, last:N, offset:N or time:2026-03-01T12:00Z";

}  // namespace cairn::tools
