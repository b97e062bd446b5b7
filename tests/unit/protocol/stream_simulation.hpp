#pragma once

#include "random.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace cairn::test {

/// A mistake in the drivers around the rules, to see that the simulation notices it.
enum class sabotage : std::uint8_t {
    none,
    reader_never_repairs,
    reader_ignores_heads,      ///< and digests
    reader_ignores_gone,       ///< and what heads say of it
    reader_gives_all_records,  ///< also those that a verdict says to skip
    reader_grants_nothing,
    publisher_ignores_repair,
    publisher_ignores_credit,
    publisher_keeps_its_epoch,  ///< after a restart, and begins again at 1
};

/// One publisher, a few readers and the links between them, on a manual clock: ring, credit, heads
/// and tracker, driven as the runtime drives them. Messages are published, links delay, lose,
/// repeat and reorder frames and break, readers stall, the publisher restarts; then all that
/// stops. Returns what went wrong:
/// - a message given out of order, twice, or that was never published; a run that goes back;
/// - a gap that does not begin where the reader is, or tells of messages that are still held;
/// - more memory than the ring or a window allows;
/// - a run that ends without its known tail told;
/// - anything of the last run that in the end was neither given nor told.
std::optional<std::string> run_stream_schedule(std::uint64_t seed, sabotage bug = sabotage::none);

}  // namespace cairn::test
