#pragma once

#include "log.hpp"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace cairn::store {

/// A mark, or where a stretch begins: messages of one run that have consecutive positions and
/// offsets, in any number of batches. Where a stretch ends only the log tells.
struct index_entry {
    sequence first;
    offset at;
    part_kind kind = part_kind::piece;
    std::uint32_t number = 0;

    /// Where a position lies if the entry covers it. Requires: first <= s.
    offset at_of(sequence s) const { return kind == part_kind::mark ? at : at + (s - first); }
};

/// Value of the index for one key; throws damaged.
index_entry decode_index(bytes key, bytes value);

/// Where a position is.
struct found_position {
    std::optional<found_batch> batch;
    std::optional<mark_record> mark;  ///< it was declared lost
    offset mark_at;                   ///< the message that the mark stands in front of
};

struct held_position {
    sequence position;
    offset at;  ///< of the message, or that the mark stands in front of
};

/// Of so many stretches of a run one has an entry in the index; a look-up follows at most as many
/// links.
inline constexpr std::uint8_t stretches_linked_max = 32;

/// Where the positions of one run are, in one transaction that writes nothing meanwhile.
///
/// Each stretch is found in one of three ways: by its entry in the index; from the stretch behind
/// it, whose first batch says how far back it begins; or, the last one of a source's present run,
/// from the source's record. Entries of many sources lie far apart: with one for each stretch, a
/// commit in which sources take turns writes a page for each (note 0012).
///
/// Fails: damaged where what is needed cannot be read.
class run_index {
public:
    run_index(const lmdb::transaction& txn, const databases& dbs, topic_id topic, source_id source,
              epoch e, const source_record& record)
        : txn_(txn), dbs_(dbs), topic_(topic), source_(source), epoch_(e) {
        if (e == record.epoch && record.tail.at.value != 0)
            tail_ = index_entry{record.tail.first, record.tail.at};
    }

    /// The last mark or stretch that begins at or before `s`.
    std::optional<index_entry> before(sequence s) const;
    /// The first mark or stretch that begins at or behind `s`.
    std::optional<index_entry> from(sequence s) const;
    /// What is stored of a position; nothing in it when nothing is.
    found_position find(sequence s) const;
    /// The first position at or behind `s` that is in the log, as a message or in a mark.
    std::optional<held_position> held_from(sequence s) const;
    /// How much of the log was looked at where links are damaged, since this was asked last.
    std::uint64_t take_looked_at() noexcept { return std::exchange(looked_at_, 0); }
    /// No position below the returned one lies at `at` or behind it; nothing: none does at all.
    std::optional<sequence> first_behind(offset at) const;

private:
    std::optional<index_entry> indexed_before(sequence s) const;
    std::optional<index_entry> indexed_from(sequence s) const;
    struct neighbours {
        std::optional<index_entry> before;  ///< the last that is in front
        std::optional<index_entry> from;    ///< the first that is not
    };
    /// From `behind` to the front along the links. `floor`: the last one with an entry that is in
    /// front; where a link is damaged the log between the two is looked at.
    template <typename InFront>
    neighbours follow(const std::optional<index_entry>& floor, const index_entry& behind,
                      InFront in_front) const;
    template <typename InFront>
    neighbours in_log(const std::optional<index_entry>& floor, const index_entry& behind,
                      InFront in_front) const;
    std::optional<index_entry> previous(const index_entry& e,
                                        const std::optional<index_entry>& floor) const;
    std::optional<index_entry> linked(const index_entry& e) const;
    found_position find_in(const std::optional<index_entry>& entry, sequence s) const;
    std::optional<batch_record> head_at(offset at) const;

    const lmdb::transaction& txn_;
    const databases& dbs_;
    topic_id topic_;
    source_id source_;
    epoch epoch_;
    std::optional<index_entry> tail_;
    mutable std::vector<index_entry> followed_;  // the way of the last look-up, backwards
    mutable std::uint64_t looked_at_ = 0;
};

/// The first epoch of a source from `e` on of which something may be in the log; 0: none.
epoch first_run_from(const lmdb::transaction& txn, const databases& dbs, topic_id topic,
                     source_id source, epoch e, const source_record& record);

/// Makes the mark longer that `mark` goes on from, of its source, in front of `at` and for the same
/// cause; false when there is none. Throws damaged.
bool extend_mark(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset at,
                 const mark_record& mark);
/// Writes a mark in front of `at`, behind those that stand there, and its entry in the index.
void write_mark(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset at,
                const mark_record& mark);

/// A stretch of the source's present run begins with a batch at `at`. `kept`: the topic's lowest
/// offset that takes space. Changes the record; returns batch_record::back of the batch.
std::uint32_t begin_stretch(lmdb::transaction& txn, const databases& dbs, topic_id topic,
                            source_id source, source_record& record, offset kept, sequence first,
                            offset at);

/// Nothing will lead to the run's last stretch any more: a mark follows, or another run. Changes
/// the record.
void close_stretches(lmdb::transaction& txn, const databases& dbs, topic_id topic, source_id source,
                     source_record& record, offset kept);

/// A batch left the log at its front. The entry of its stretch goes with the last batch of it; a
/// stretch without one that goes on gets one, for the batch that links led to is gone. Throws
/// damaged.
void leave_stretch(lmdb::transaction& txn, const databases& dbs, topic_id topic,
                   const found_batch& dropped);
/// The same for one that cannot be read: what is at `at`, the first that is left, may be the rest
/// of its stretch. Throws damaged.
void lead_to(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset at);

}  // namespace cairn::store
