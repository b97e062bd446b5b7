#pragma once

#include "acks.hpp"
#include "log.hpp"

#include <compare>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace cairn::store {

struct member_key {
    topic_id topic;
    std::uint32_t number = 0;  // of a source or group
    std::uint64_t chunk = 0;   // of a group's acks
    auto operator<=>(const member_key&) const = default;
};

/// A small record as it is, or that there is none; dirty: not written yet.
template <typename Record>
struct slot {
    std::optional<Record> record;
    bool dirty = false;
};

/// Records of one kind that were looked at, and which of them are dirty.
template <typename Record>
struct slots {
    using entry = typename std::map<member_key, slot<Record>>::value_type;
    std::map<member_key, slot<Record>> all;
    std::vector<entry*> dirty;
};

/// The small records that were looked at, as the last commit left them: whoever sends in small
/// batches needs the same few in each transaction. Owned by the writer, for one transaction after
/// the other.
struct known_records {
    slots<topic_record> topics;
    slots<source_record> sources;
    slots<group_record> groups;

    std::size_t size() const noexcept {
        return topics.all.size() + sources.all.size() + groups.all.size();
    }
};

/// Groups that are told of what leaves a topic's log, with what is known of them as long as one
/// transaction looks at batch after batch.
struct topic_readers {
    struct group {
        group_id id;
        const group_record* record = nullptr;  // as it changes
        offset_range acked{{1}, {0}};          // all in it are, above the floor too
    };
    /// Of one source: who has a record of what it was not told of, at this position or before.
    struct noted {
        epoch run;
        sequence first;
        std::vector<bool> groups;
    };
    std::vector<group> groups;
    std::map<source_id, noted> of_source;
};

/// What one write transaction has read and changed of the small records: each is written once, at
/// the end. A transaction that is not settled takes all that is known with it.
///
/// Fails: damaged where a record fails its seal; lmdb::failure.
class changes {
public:
    changes(lmdb::transaction& txn, const databases& dbs, counters_record counters,
            known_records& known)
        : txn_(txn), dbs_(dbs), counters_(counters), known_(known) {}
    ~changes() {
        if (!settled_) known_ = {};
    }
    changes(const changes&) = delete;
    changes& operator=(const changes&) = delete;

    lmdb::transaction& txn() noexcept { return txn_; }
    const databases& dbs() const noexcept { return dbs_; }

    /// Anything changed, so that there is something to commit.
    bool any() const noexcept { return steps_ > 0; }
    /// Rises with every change: who compares learns whether there was one in between.
    std::uint64_t steps() const noexcept { return steps_; }

    counters_record& counters() noexcept { return counters_; }

    // To read; null when there is none. Topics that were deleted are found by find_deleted alone.
    const topic_record* topic(topic_id t);
    const topic_record* deleted_topic(topic_id t);
    const source_record* source(topic_id t, source_id s);
    const group_record* group(topic_id t, group_id g);
    const ack_chunk* chunk(topic_id t, group_id g, std::uint64_t n);

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
    /// The same for one that was read: throws damaged when it is not found again.
    void erase_found(const key& k);
    std::uint32_t number_at(const key& k) const;  // 0: none

    /// Chunks of a group from `from` on, as they will be after flush(), in order, until `f` returns
    /// false.
    void for_chunks(topic_id t, group_id g, std::uint64_t from,
                    const std::function<bool(std::uint64_t, const ack_chunk&)>& f);

    /// The groups of a topic as they will be after flush(), in no order.
    void for_groups(topic_id t, const std::function<void(group_id, const group_record&)>& f);

    /// The groups of a topic that have readers of their own, looked for once, and again when one
    /// came or went. Where a record is damaged there are none: who they are is not known.
    topic_readers& readers(topic_id t);
    /// The group has lost acks, or records of what it was not told of.
    void forget_noted(topic_id t, group_id g);
    /// Of that source a group's record of what it was not told of has gone or begins later.
    void forget_noted(topic_id t, group_id g, source_id s);

    /// Writes the records that were changed, and the counters.
    void flush();
    /// The transaction is committed, or changed nothing: what was looked at stays known.
    void settle() noexcept;

    /// Topics that retention has to look at.
    std::set<topic_id>& due() noexcept { return due_; }

private:
    template <typename Record>
    using entry = typename slots<Record>::entry;

    entry<topic_record>& topic_slot(topic_id t);
    entry<source_record>& source_slot(topic_id t, source_id s);
    entry<group_record>& group_slot(topic_id t, group_id g);
    entry<ack_chunk>& chunk_slot(topic_id t, group_id g, std::uint64_t n);
    template <typename Record>
    Record& dirtied(slots<Record>& of, entry<Record>& one);
    template <typename Record>
    void replace(slots<Record>& of, const member_key& which, std::optional<Record> by);
    template <typename Record, typename Key>
    void write(slots<Record>& of, const Key& key_of);

    lmdb::transaction& txn_;
    const databases& dbs_;
    counters_record counters_;
    known_records& known_;
    slots<ack_chunk> chunks_;
    std::map<topic_id, topic_readers> readers_;
    std::uint64_t steps_ = 0;
    bool settled_ = false;
    std::set<topic_id> due_;
};

}  // namespace cairn::store
