#pragma once

#include <cairn/ids.hpp>

#include <time.h>

#include <chrono>

namespace cairn::store {

/// The wall clock, which may go back; what is stored never does.
inline wall_time system_now() {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

/// What passed since the machine started, with what it slept.
inline std::chrono::nanoseconds since_boot() {
    timespec passed{};
    ::clock_gettime(CLOCK_BOOTTIME, &passed);
    return std::chrono::seconds(passed.tv_sec) + std::chrono::nanoseconds(passed.tv_nsec);
}

}  // namespace cairn::store
