#pragma once

#include "changes.hpp"

#include <span>

/// What leaves the log before a group is done with it: its readers are told of it as a gap, also
/// those that attach later. Of each source the group has the first such position (untold_record);
/// all that left the log behind it is told with it.
namespace cairn::store {

/// Notes what of [from, to] the readers' groups are not done with, and losses that they may not
/// have been told of. Looks at `entries_max` batches and marks at most; returns where it stopped.
offset note_untold(changes& c, topic_id t, topic_readers& readers, offset from, offset to,
                   std::uint64_t entries_max = ~std::uint64_t{0});

/// A reader of the group was told of, or is done with, positions of a run. Requires: `ranges` rise.
void settle_untold(changes& c, topic_id t, group_id g, source_id s, epoch e,
                   std::span<const sequence_range> ranges);

void forget_untold(changes& c, topic_id t, group_id g);

/// The highest sequence that was stored of a run, or declared lost; nothing for a run that the
/// source never began or the store never knew.
std::optional<sequence> last_of_run(changes& c, topic_id t, source_id s, epoch e);

}  // namespace cairn::store
