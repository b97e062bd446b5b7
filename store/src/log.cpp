#include "log.hpp"

#include "sabotage.hpp"

#include <cairn/wire/frames.hpp>

#include <algorithm>

namespace cairn::store {

namespace {

// A key of the topic that is none of ours is damaged. What it led to is told by its neighbours, for
// offsets are dense.
bool is_none_of(topic_id t, const std::optional<lmdb::item>& item) {
    if (!item || parse_log_key(item->key).valid) return false;
    return same_prefix(item->key, log_key(t, {0}, part_kind::mark, 0), sizeof t.value);
}

log_place last_before(lmdb::cursor& walk, topic_id t, const key& wanted) {
    auto item = walk.before(wanted);
    while (is_none_of(t, item)) item = walk.previous();
    return item ? parse_log_key(item->key) : log_place{};
}

}  // namespace

void write_batch(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset first,
                 const batch_record& header, bytes body) {
    std::size_t room = piece_bytes_max - entry_header_bytes;
    const std::size_t head = std::min(room, body.size());
    std::byte* out =
        txn.reserve(dbs.log, log_key(topic, first, part_kind::piece, 0), entry_header_bytes + head);
    encode(header, topic, first, out);
    std::memcpy(out + entry_header_bytes, body.data(), head);
    body = body.subspan(head);
    for (std::uint32_t number = 1; !body.empty(); ++number) {
        const std::size_t size = std::min(piece_bytes_max, body.size());
        out = txn.reserve(dbs.log, log_key(topic, first, part_kind::piece, number), size);
        std::memcpy(out, body.data(), size);
        body = body.subspan(size);
    }
}

std::uint32_t marks_at(const lmdb::transaction& txn, const databases& dbs, topic_id topic,
                       offset at) {
    // They are numbered without gaps: all of a place go at once.
    lmdb::cursor walk(txn, dbs.log);
    const log_place place = last_before(walk, topic, log_key(topic, at, part_kind::piece, 0));
    return place.valid && place.topic == topic && place.first == at ? place.number + 1 : 0;
}

void log_walk::start(offset from) {
    const key wanted = log_key(topic_, from, part_kind::mark, 0);
    auto item = cursor_.seek(wanted);
    if (item) {
        const log_place place = parse_log_key(item->key);
        if (place.topic == topic_ && place.first == from) return parse(item);
    }
    // The batch before may hold it.
    const auto previous = item ? cursor_.previous() : cursor_.last();
    const log_place place = previous ? parse_log_key(previous->key) : log_place{};
    if (place.valid && place.topic == topic_ && place.kind == part_kind::piece) {
        parse(cursor_.seek(log_key(topic_, place.first, part_kind::piece, 0)));
        if (kind_ == kind::batch && batch_.last() >= from) return;
    }
    parse(cursor_.seek(wanted));
}

void log_walk::parse(std::optional<lmdb::item> item) {
    kind_ = kind::end;
    while (is_none_of(topic_, item)) item = cursor_.next();
    if (!item) return;
    const log_place place = parse_log_key(item->key);
    if (!place.valid || place.topic != topic_) return;
    at_ = place.first;
    number_ = place.number;
    part_ = place.kind;
    kind_ = kind::damaged;
    if (place.kind == part_kind::mark) {
        if (const auto mark = decode_mark_record(item->value, topic_, at_, number_)) {
            mark_ = *mark;
            kind_ = kind::mark;
        }
        return;
    }
    if (place.number != 0) return;  // a piece whose beginning is missing
    if (const auto header = decode_batch_record(item->value, topic_, at_)) {
        batch_ = {at_, *header};
        piece_ = item->value;
        kind_ = kind::batch;
    }
}

bool log_walk::copy_body(std::byte* out) {
    const std::size_t size = batch_.header.body_bytes;
    bytes part = piece_.subspan(entry_header_bytes);
    std::size_t done = 0;
    for (std::uint32_t number = 0;;) {
        const std::size_t wanted = std::min(
            size - done, number == 0 ? piece_bytes_max - entry_header_bytes : piece_bytes_max);
        if (part.size() != wanted) return false;
        std::memcpy(out + done, part.data(), wanted);
        done += wanted;
        if (done == size) break;
        const auto item = cursor_.next();
        ++number;
        if (!item) return false;
        const log_place place = parse_log_key(item->key);
        if (!place.valid || place.topic != topic_ || place.first != at_ ||
            place.kind != part_kind::piece || place.number != number)
            return false;
        part = item->value;
    }
    return sabotaged("no-checksum") || wire::checksum({out, size}) == batch_.header.checksum;
}

void log_walk::next() {
    if (part_ == part_kind::mark)
        return parse(cursor_.seek(log_key(topic_, at_, part_kind::mark, number_ + 1)));
    const offset behind = kind_ == kind::batch ? batch_.last() + 1 : at_ + 1;
    parse(cursor_.seek(log_key(topic_, behind, part_kind::mark, 0)));
}

std::optional<found_batch> find_offset(const lmdb::transaction& txn, const databases& dbs,
                                       topic_id topic, offset o) {
    lmdb::cursor walk(txn, dbs.log);
    const log_place place = last_before(walk, topic, log_key(topic, o + 1, part_kind::mark, 0));
    if (!place.valid || place.topic != topic || place.kind != part_kind::piece) return {};
    const auto head = txn.get(dbs.log, log_key(topic, place.first, part_kind::piece, 0));
    const auto header = head ? decode_batch_record(*head, topic, place.first) : std::nullopt;
    if (!header) throw damaged{"a batch"};
    const found_batch batch{place.first, *header};
    if (batch.last() < o) return {};
    return batch;
}

std::vector<std::byte> body_of(const lmdb::transaction& txn, const databases& dbs, topic_id topic,
                               const found_batch& batch) {
    log_walk walk(txn, dbs, topic);
    walk.start(batch.first);
    while (walk.here() == log_walk::kind::mark) walk.next();
    std::vector<std::byte> body(batch.header.body_bytes);
    if (walk.here() != log_walk::kind::batch || walk.at() != batch.first ||
        walk.batch().header.body_bytes != body.size() || !walk.copy_body(body.data()))
        throw damaged{"a batch"};
    return body;
}

}  // namespace cairn::store
