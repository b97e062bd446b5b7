#include "log.hpp"

#include "sabotage.hpp"

#include <cairn/wire/frames.hpp>

#include <algorithm>

namespace cairn::store {

namespace {

void write_index(lmdb::transaction& txn, const databases& dbs, const key& k, offset at,
                 part_kind kind, std::uint32_t number) {
    std::vector<std::byte> value;
    packer(value).number(at.value).number(static_cast<std::uint32_t>(kind) << 24 | number);
    add_seal(k, value);
    txn.put(dbs.index, k, value);
}

}  // namespace

void write_batch(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset first,
                 const batch_record& header, bytes body, bool goes_on) {
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
    if (goes_on) return;
    write_index(txn, dbs, index_key(topic, header.source, header.epoch, header.first), first,
                part_kind::piece, 0);
}

std::uint32_t marks_at(const lmdb::transaction& txn, const databases& dbs, topic_id topic,
                       offset at) {
    // They are numbered without gaps: all of a place go at once.
    lmdb::cursor walk(txn, dbs.log);
    const auto last = walk.before(log_key(topic, at, part_kind::piece, 0));
    const log_place place = last ? parse_log_key(last->key) : log_place{};
    return place.valid && place.topic == topic && place.first == at ? place.number + 1 : 0;
}

bool extend_mark(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset at,
                 const mark_record& mark) {
    const auto entry = index_before(txn, dbs, topic, mark.source, mark.epoch, mark.first);
    if (!entry || entry->kind != part_kind::mark || entry->at != at) return false;
    const key where = log_key(topic, at, part_kind::mark, entry->number);
    const auto value = txn.get(dbs.log, where);
    auto known = value ? decode_mark_record(*value, topic, at, entry->number) : std::nullopt;
    if (!known) throw damaged{"a mark"};
    if (known->cause != mark.cause || known->last + 1 != mark.first) return false;
    known->last = mark.last;
    known->stored = mark.stored;
    encode(*known, topic, at, entry->number, txn.reserve(dbs.log, where, entry_header_bytes));
    return true;
}

void write_mark(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset at,
                const mark_record& mark) {
    const std::uint32_t number = marks_at(txn, dbs, topic, at);
    std::byte* out =
        txn.reserve(dbs.log, log_key(topic, at, part_kind::mark, number), entry_header_bytes);
    encode(mark, topic, at, number, out);
    write_index(txn, dbs, index_key(topic, mark.source, mark.epoch, mark.first), at,
                part_kind::mark, number);
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
    if (!item) return;
    const log_place place = parse_log_key(item->key);
    if (!place.valid || place.topic != topic_) {
        // A key that is not ours in the middle of the topic cannot be: LMDB keeps them in order.
        return;
    }
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
    const auto last = walk.before(log_key(topic, o + 1, part_kind::mark, 0));
    const log_place place = last ? parse_log_key(last->key) : log_place{};
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

index_entry decode_index(bytes k, bytes value) {
    const bytes content = unsealed(k, value);
    if (k.size() != index_key_bytes || content.size() < 12) throw damaged{"an index entry"};
    const auto part = load_be<std::uint32_t>(content.data() + 8);
    return {{load_be<std::uint64_t>(k.data() + 16)},
            {load_be<std::uint64_t>(content.data())},
            static_cast<part_kind>(part >> 24),
            part & 0xffffff};
}

std::optional<index_entry> index_before(const lmdb::transaction& txn, const databases& dbs,
                                        topic_id topic, source_id source, epoch e, sequence s) {
    const key behind = index_key(topic, source, e, s + 1);
    lmdb::cursor cursor(txn, dbs.index);
    const auto item = cursor.before(behind);
    if (!item || !same_prefix(item->key, behind, index_key_bytes - sizeof(std::uint64_t)))
        return {};
    return decode_index(item->key, item->value);
}

std::optional<index_entry> index_from(const lmdb::transaction& txn, const databases& dbs,
                                      topic_id topic, source_id source, epoch e, sequence s) {
    const key wanted = index_key(topic, source, e, s);
    lmdb::cursor cursor(txn, dbs.index);
    const auto item = cursor.seek(wanted);
    if (!item || !same_prefix(item->key, wanted, index_key_bytes - sizeof(std::uint64_t)))
        return {};
    return decode_index(item->key, item->value);
}

namespace {

// Whether a batch has the position of a run at that offset.
bool holds(const found_batch& batch, source_id source, epoch e, sequence s, offset o) {
    const batch_record& header = batch.header;
    return header.source == source && header.epoch == e && header.first <= s &&
           s <= header.last() && batch.offset_of(s) == o;
}

}  // namespace

found_position find_position(const lmdb::transaction& txn, const databases& dbs, topic_id topic,
                             source_id source, epoch e, sequence s) {
    const auto entry = index_before(txn, dbs, topic, source, e, s);
    if (!entry) return {};
    if (entry->kind == part_kind::mark) {
        const auto value = txn.get(dbs.log, log_key(topic, entry->at, entry->kind, entry->number));
        if (!value) throw damaged{"an index entry without its mark"};
        const auto mark = decode_mark_record(*value, topic, entry->at, entry->number);
        if (!mark || mark->source != source || mark->epoch != e || mark->first != entry->first)
            throw damaged{"a mark"};
        if (mark->last < s) return {};
        return {.batch = std::nullopt, .mark = mark, .mark_at = entry->at};
    }
    const offset o = entry->at_of(s);
    const auto batch = find_offset(txn, dbs, topic, o);
    if (!batch || !holds(*batch, source, e, s, o)) return {};
    return {.batch = batch, .mark = std::nullopt, .mark_at = {}};
}

std::optional<held_position> held_from(const lmdb::transaction& txn, const databases& dbs,
                                       topic_id topic, source_id source, epoch e, sequence s) {
    auto entry = index_before(txn, dbs, topic, source, e, s);
    try {
        const found_position found = find_position(txn, dbs, topic, source, e, s);
        if (found.batch || found.mark) return held_position{s, entry->at_of(s)};
    } catch (const damaged&) {
        return held_position{s, entry->at_of(s)};  // who reads there is told
    }
    // A stretch may have lost its begin, which retention drops.
    if (!entry || entry->kind == part_kind::mark) entry = index_from(txn, dbs, topic, source, e, s);
    for (; entry; entry = index_from(txn, dbs, topic, source, e, std::max(s, entry->first + 1))) {
        const sequence begin = std::max(s, entry->first);
        if (entry->kind == part_kind::mark) return held_position{begin, entry->at};
        log_walk walk(txn, dbs, topic);
        walk.start(entry->at_of(begin));
        while (walk.here() == log_walk::kind::mark || walk.here() == log_walk::kind::damaged)
            walk.next();
        if (walk.here() != log_walk::kind::batch) continue;
        const offset at = std::max(walk.at(), entry->at_of(begin));
        const sequence position = entry->first + (at - entry->at);
        if (holds(walk.batch(), source, e, position, at)) return held_position{position, at};
    }
    return {};
}

void end_stretch(lmdb::transaction& txn, const databases& dbs, topic_id topic,
                 const found_batch& dropped) {
    const batch_record& header = dropped.header;
    const auto entry = index_before(txn, dbs, topic, header.source, header.epoch, header.first);
    if (!entry || entry->at_of(header.first) != dropped.first) return;  // of another one
    const offset behind = dropped.last() + 1;
    log_walk walk(txn, dbs, topic);
    walk.start(behind);
    while (walk.here() == log_walk::kind::mark && walk.at() == behind) walk.next();
    const sequence next = header.last() + 1;
    if (walk.here() == log_walk::kind::damaged) return;  // it may go on behind that
    if (walk.here() == log_walk::kind::batch &&
        holds(walk.batch(), header.source, header.epoch, next, behind)) {
        const auto own = index_before(txn, dbs, topic, header.source, header.epoch, next);
        if (own && own->first == entry->first) return;
    }
    txn.erase(dbs.index, index_key(topic, header.source, header.epoch, entry->first));
}

}  // namespace cairn::store
