#pragma once

#include <sys/eventfd.h>

namespace cairn::runtime {

/// Makes an eventfd readable. Only fails when its counter would overflow, and then it is readable
/// already.
inline void ring(int bell) noexcept { [[maybe_unused]] const int ignored = eventfd_write(bell, 1); }

}  // namespace cairn::runtime
