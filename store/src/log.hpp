#pragma once

#include "keys.hpp"
#include "lmdb.hpp"
#include "records.hpp"

#include <optional>
#include <vector>

/// The log of one topic in one transaction: batches in pieces, marks, and the index of positions.
namespace cairn::store {

/// LMDB's numbers of our databases.
struct databases {
    MDB_dbi log = 0;
    MDB_dbi index = 0;
    MDB_dbi state = 0;
};

/// Writes the pieces of a batch, and its index entry unless it goes on from the batch in front.
void write_batch(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset first,
                 const batch_record& header, bytes body, bool goes_on);
/// How many marks stand in front of `at`.
std::uint32_t marks_at(const lmdb::transaction& txn, const databases& dbs, topic_id topic,
                       offset at);
/// Makes the mark longer that `mark` goes on from, of its source, in front of `at` and for the same
/// cause; false when there is none. Throws damaged.
bool extend_mark(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset at,
                 const mark_record& mark);
/// Writes a mark in front of `at`, behind those that stand there, and its index entry.
void write_mark(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset at,
                const mark_record& mark);

struct found_batch {
    offset first;
    batch_record header;

    offset last() const { return first + (header.count - 1); }
    /// Requires: the batch holds it.
    offset offset_of(sequence s) const { return first + (s - header.first); }
    sequence sequence_of(offset o) const { return header.first + (o - first); }
};

/// Where a position is.
struct found_position {
    std::optional<found_batch> batch;
    std::optional<mark_record> mark;  ///< it was declared lost
    offset mark_at;                   ///< the message that the mark stands in front of
};

/// A walk over the entries of one topic.
///
/// Fails: damaged where a header or piece is missing or fails its seal or checksum.
class log_walk {
public:
    log_walk(const lmdb::transaction& txn, const databases& dbs, topic_id topic)
        : cursor_(txn, dbs.log), topic_(topic) {}

    enum class kind { end, mark, batch, damaged };

    /// Goes to the entry that holds `from`, or the first behind it; marks in front of it included.
    void start(offset from);
    /// What is here. After damaged: damage() says how far it goes at least.
    kind here() const noexcept { return kind_; }
    offset at() const noexcept { return at_; }
    const found_batch& batch() const noexcept { return batch_; }
    const mark_record& mark() const noexcept { return mark_; }
    std::uint32_t mark_number() const noexcept { return number_; }

    /// Copies the body of the batch that is here to `out`; false when a piece is missing or the
    /// checksum differs. here() stays, the walk goes on with next().
    /// Requires: here() == batch; header.body_bytes at `out`.
    bool copy_body(std::byte* out);
    /// To the following entry.
    void next();

private:
    void parse(std::optional<lmdb::item> item);

    lmdb::cursor cursor_;
    topic_id topic_;
    kind kind_ = kind::end;
    offset at_;
    std::uint32_t number_ = 0;
    part_kind part_ = part_kind::piece;
    found_batch batch_;
    mark_record mark_;
    bytes piece_;  // of the batch that is here
};

/// The batch that holds an offset; nothing when none does. Throws damaged when that cannot be told.
std::optional<found_batch> find_offset(const lmdb::transaction& txn, const databases& dbs,
                                       topic_id topic, offset o);
/// The body of a found batch. Throws damaged.
std::vector<std::byte> body_of(const lmdb::transaction& txn, const databases& dbs, topic_id topic,
                               const found_batch& batch);

/// An entry of the index: a mark, or where a stretch begins: messages of one run that have
/// consecutive positions and offsets, in any number of batches. The entry of a stretch stays while
/// any of it is in the log; where it ends only the log tells.
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

/// The last index entry of an epoch that begins at or before `s`.
std::optional<index_entry> index_before(const lmdb::transaction& txn, const databases& dbs,
                                        topic_id topic, source_id source, epoch e, sequence s);

/// The first index entry of an epoch that begins at or behind `s`.
std::optional<index_entry> index_from(const lmdb::transaction& txn, const databases& dbs,
                                      topic_id topic, source_id source, epoch e, sequence s);

/// What is stored of a position; nothing in it when nothing is. Throws damaged.
found_position find_position(const lmdb::transaction& txn, const databases& dbs, topic_id topic,
                             source_id source, epoch e, sequence s);

struct held_position {
    sequence position;
    offset at;  ///< of the message, or that the mark stands in front of
};

/// The first position of a run at or behind `s` that is in the log, as a message or in a mark.
/// Throws damaged.
std::optional<held_position> held_from(const lmdb::transaction& txn, const databases& dbs,
                                       topic_id topic, source_id source, epoch e, sequence s);

/// Takes the entry of a dropped batch's stretch away, unless the stretch goes on behind it. Throws
/// damaged.
void end_stretch(lmdb::transaction& txn, const databases& dbs, topic_id topic,
                 const found_batch& dropped);

}  // namespace cairn::store
