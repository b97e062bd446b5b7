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

/// An item's key, to be used when the cursor is gone. Throws damaged.
inline key copy_of(bytes read) {
    key k;
    if (!k.assign(read)) throw damaged{"a key"};
    return k;
}

/// Writes the pieces of a batch.
void write_batch(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset first,
                 const batch_record& header, bytes body);
/// How many marks stand in front of `at`.
std::uint32_t marks_at(const lmdb::transaction& txn, const databases& dbs, topic_id topic,
                       offset at);
struct found_batch {
    offset first;
    batch_record header;

    offset last() const { return first + (header.count - 1); }
    /// Requires: the batch holds it.
    offset offset_of(sequence s) const { return first + (s - header.first); }
    sequence sequence_of(offset o) const { return header.first + (o - first); }
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

}  // namespace cairn::store
