#pragma once

#include <cstdint>

namespace cairn::wire {

/// Numbers a subscription, an attachment or a request to a store on one link; chosen by who asks,
/// never used twice on it.
using channel = std::uint32_t;

}  // namespace cairn::wire
