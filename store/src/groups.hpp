#pragma once

#include "changes.hpp"

namespace cairn::store {

/// Acks [first, last] of a group whose floor has followed the topic's trims. Returns how many were
/// not acked. Requires: first <= last < next of the topic.
std::uint64_t ack_range(changes& c, topic_id t, group_id g, offset first, offset last);

/// The floor follows the trims: what is gone needs no ack, but readers are to be told of it. A
/// floor very far behind follows by steps. Requires: topic and group are there.
void follow_trims(changes& c, topic_id t, group_id g);

/// Whether an offset needs no delivery any more.
bool is_acked(changes& c, topic_id t, group_id g, offset o);

/// Deletes acks, attempts and the group's own records.
void erase_group(changes& c, topic_id t, group_id g);

/// Deletes all acks above the floor, all attempts, and what readers are still to be told of.
void forget_acks(changes& c, topic_id t, group_id g);

}  // namespace cairn::store
