#pragma once

#include "changes.hpp"

#include <cairn/store/options.hpp>

namespace cairn::store {

/// What bounds the whole store.
struct store_limits {
    std::uint64_t bytes_max = 0;
    std::uint64_t messages_max = 0;  ///< 0: none
    std::chrono::milliseconds age_max{0};
    bool until_acked = false;
    full_policy when_full = full_policy::refuse;
    std::uint32_t topics_max = 0;
    std::uint32_t sources_per_topic_max = 0;
    std::uint32_t groups_per_topic_max = 0;
};

/// How far topics were compared for the oldest messages of the store: it goes on from one
/// transaction to the next, so that each topic has its turn.
struct victim_search {
    topic_id oldest;       ///< that was found last
    topic_id compared;     ///< last
    bool in_vain = false;  ///< no topic holds anything
};

/// Pieces and records that may still be deleted in this transaction, so that none takes long.
struct work_budget {
    std::uint64_t pieces = 4'096;
    std::uint64_t trimmed_batches = 0;  // counted here, for the statistics
    victim_search search;
    bool spent() const noexcept { return pieces == 0; }
    void take(std::uint64_t n) noexcept { pieces -= std::min(pieces, n); }
};

/// Whether the batch that holds a topic's last message may be dropped.
enum class last_batch { goes, stays };

/// Deletes the oldest batch that still takes space, whether or not it is trimmed; what was readable
/// of it is gone then. Marks in front of it go too. False when nothing is there, or only what
/// `last` keeps.
bool drop_oldest_batch(changes& c, topic_id t, work_budget& budget,
                       last_batch last = last_batch::goes);

/// Makes `up_to` and all before it unreadable at once. The space comes back by and by.
/// Returns how many messages. Requires: up_to below next.
std::uint64_t trim_to(changes& c, topic_id t, offset up_to);

/// Deletes the marks behind the topic's last message, at once.
void erase_last_marks(changes& c, topic_id t);

/// Room for a batch in its topic and in the store, or for a mark: that has no messages. ok, or
/// store_full after the policies did what they may. One that drops takes as much as what comes even
/// when the budget is spent, and lets it in then: what is over a limit does not grow.
errc make_room(changes& c, const store_limits& limits, topic_id t, std::uint64_t cost,
               std::uint64_t messages, work_budget& budget);

/// Whether the store's own limits leave room, as it is now.
bool store_has_room(changes& c, const store_limits& limits, std::uint64_t cost,
                    std::uint64_t messages);

/// Does what is due for one topic: limits, acked messages, trimmed batches, deletion. Returns
/// whether more is due.
bool look_after(changes& c, const store_limits& limits, topic_id t, work_budget& budget);

/// Limits of the whole store that a commit may have passed. Returns whether more is due.
bool look_after_store(changes& c, const store_limits& limits, work_budget& budget);

/// The topic after `t` that has a record, or the first one; 0 when there is none.
topic_id topic_after(changes& c, topic_id t);

}  // namespace cairn::store
