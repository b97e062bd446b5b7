#pragma once

#include <cstdint>

namespace cairn {

/// Who sees a message of a publisher, and when.
enum class delivery : std::uint8_t {
    peers,        ///< no store
    parallel,     ///< peers and store at the same time
    store_first,  ///< peers see what is durable
};

/// What happens to a message when the ring is full of what the store does not have.
enum class full_ring : std::uint8_t {
    block,   ///< its publisher waits
    refuse,  ///< its publisher is told `full`
    spill,   ///< the oldest go to files in the node's state directory, and from there to the
             ///< store when it is back, also after a restart: the next run of this source on
             ///< this topic, if it uses a store, pays them before its own, whatever its policy.
             ///< To be put aside is not to be taken: of what the store does not take then (a body
             ///< above its body_bytes_max) the run that pays is told by on_lost, with the epoch
             ///< of the run that published it, and flush() and close() of both have said 0
    drop_history,  ///< the store loses the oldest, and is told so; peers lose nothing
    // With delivery::store_first peers are shown nothing before the store has it. When the ring is
    // full meanwhile and the oldest go, they are left behind as by a reader that takes nothing:
    // who reads the store gets them from there, who does not is told of a gap.
};

}  // namespace cairn
