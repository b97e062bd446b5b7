#pragma once

#include "acks.hpp"
#include "log.hpp"

#include <compare>
#include <functional>
#include <map>
#include <optional>
#include <set>

namespace cairn::store {

struct member_key {
    topic_id topic;
    std::uint32_t number = 0;  // of a source or group
    std::uint64_t chunk = 0;   // of a group's acks
    auto operator<=>(const member_key&) const = default;
};

/// What one write transaction has read and changed of the small records: each is read once, and
/// written once, at the end. A transaction that fails takes all of it with it.
///
/// Fails: damaged where a record fails its seal; lmdb::failure.
class changes {
public:
    changes(lmdb::transaction& txn, const databases& dbs, counters_record counters)
        : txn_(txn), dbs_(dbs), counters_(counters) {}

    lmdb::transaction& txn() noexcept { return txn_; }
    const databases& dbs() const noexcept { return dbs_; }

    /// Anything changed, so that there is something to commit.
    bool any() const noexcept { return steps_ > 0; }
    /// Rises with every change: who compares learns whether there was one in between.
    std::uint64_t steps() const noexcept { return steps_; }

    counters_record& counters() noexcept { return counters_; }

    // To read; null when there is none. Topics that were deleted are found by find_deleted alone.
    topic_record* topic(topic_id t);
    topic_record* deleted_topic(topic_id t);
    source_record* source(topic_id t, source_id s);
    group_record* group(topic_id t, group_id g);
    ack_chunk* chunk(topic_id t, group_id g, std::uint64_t n);

    // To change: the record is written at the end. Requires: there is one.
    topic_record& change(topic_id t);
    source_record& change(topic_id t, source_id s);
    group_record& change(topic_id t, group_id g);
    /// Made empty when there is none.
    ack_chunk& change_chunk(topic_id t, group_id g, std::uint64_t n);

    void add(topic_id t, topic_record r);
    void add(topic_id t, source_id s, source_record r);
    void add(topic_id t, group_id g, group_record r);
    void remove(topic_id t);
    void remove(topic_id t, group_id g);
    /// Forgets what was changed of a topic's sources and groups: they go with it.
    void forget_members(topic_id t);
    void remove_chunk(topic_id t, group_id g, std::uint64_t n);
    /// All of a group, damaged ones too.
    void remove_chunks(topic_id t, group_id g);

    /// Values that are written through, sealed.
    std::optional<bytes> get(bytes k) const;
    void put(const key& k, const std::vector<std::byte>& content);
    bool erase(const key& k);
    std::uint32_t number_at(const key& k) const;  // 0: none

    /// Chunks of a group from `from` on, as they will be after flush(), in order, until `f` returns
    /// false.
    void for_chunks(topic_id t, group_id g, std::uint64_t from,
                    const std::function<bool(std::uint64_t, const ack_chunk&)>& f);

    /// The groups of a topic as they will be after flush(), in no order.
    void for_groups(topic_id t, const std::function<void(group_id, const group_record&)>& f);

    /// Writes the records that were changed, and the counters.
    void flush();

    /// Topics that retention has to look at.
    std::set<topic_id>& due() noexcept { return due_; }

private:
    template <typename Record>
    struct slot {
        std::optional<Record> record;
        bool dirty = false;
    };
    template <typename Record>
    using slots = std::map<member_key, slot<Record>>;

    slot<topic_record>& topic_slot(topic_id t);
    slot<source_record>& source_slot(topic_id t, source_id s);
    slot<group_record>& group_slot(topic_id t, group_id g);
    slot<ack_chunk>& chunk_slot(topic_id t, group_id g, std::uint64_t n);
    template <typename Record>
    Record& dirtied(slot<Record>& s) {
        s.dirty = true;
        ++steps_;
        return *s.record;
    }
    template <typename Record, typename Key>
    void write(slots<Record>& all, const Key& key_of);

    lmdb::transaction& txn_;
    const databases& dbs_;
    counters_record counters_;
    std::uint64_t steps_ = 0;
    slots<topic_record> topics_;
    slots<source_record> sources_;
    slots<group_record> groups_;
    slots<ack_chunk> chunks_;
    std::set<topic_id> due_;
};

}  // namespace cairn::store
