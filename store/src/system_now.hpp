#pragma once

#include <cairn/ids.hpp>

#include <chrono>

namespace cairn::store {

/// The wall clock, which may go back; what is stored never does.
inline wall_time system_now() {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

}  // namespace cairn::store
