#pragma once

#include <cairn/protocol/tracker.hpp>

#include <cstdint>

namespace cairn::protocol {

/// Whether what a peer says of a stream can be true of any stream.
inline bool plausible(const stream_head& head) {
    return head.last <= sequence_max && head.first_held.value != 0 && head.next.value != 0 &&
           head.first_held <= head.last + 1 && head.next <= head.last + 1;
}

inline bool plausible(sequence first, std::uint32_t count) {
    return first.value != 0 && count != 0 && first <= sequence_max &&
           count - 1 <= sequence_max - first;
}

inline bool plausible(sequence_range range) {
    return range.first.value != 0 && !range.empty() && range.last <= sequence_max;
}

}  // namespace cairn::protocol
