#include "run_index.hpp"

#include <algorithm>
#include <utility>

namespace cairn::store {

namespace {

constexpr sequence last_of_all{~std::uint64_t{0} - 1};

// What is looked at where a link is damaged: some milliseconds of work.
constexpr int entries_looked_at_max = 65'536;

void write_index(lmdb::transaction& txn, const databases& dbs, const key& k, offset at,
                 part_kind kind, std::uint32_t number) {
    std::vector<std::byte> value;
    packer(value).number(at.value).number(static_cast<std::uint32_t>(kind) << 24 | number);
    add_seal(k, value);
    txn.put(dbs.index, k, value);
}

void index_stretch(lmdb::transaction& txn, const databases& dbs, topic_id topic, source_id source,
                   epoch e, sequence first, offset at) {
    write_index(txn, dbs, index_key(topic, source, e, first), at, part_kind::piece, 0);
}

std::optional<index_entry> entry_of_run(const std::optional<lmdb::item>& item, const key& own) {
    if (!item || !same_prefix(item->key, own, index_key_bytes - sizeof(std::uint64_t))) return {};
    return decode_index(item->key, item->value);
}

std::optional<index_entry> indexed_before(const lmdb::transaction& txn, const databases& dbs,
                                          topic_id topic, source_id source, epoch e, sequence s) {
    const key behind = index_key(topic, source, e, s + 1);
    lmdb::cursor cursor(txn, dbs.index);
    return entry_of_run(cursor.before(behind), behind);
}

bool is_of(const found_batch& batch, source_id source, epoch e) {
    return batch.header.source == source && batch.header.epoch == e;
}

// Whether a batch has the position of a run at that offset.
bool holds(const found_batch& batch, source_id source, epoch e, sequence s, offset o) {
    const batch_record& header = batch.header;
    return is_of(batch, source, e) && header.first <= s && s <= header.last() &&
           batch.offset_of(s) == o;
}

}  // namespace

index_entry decode_index(bytes k, bytes value) {
    const bytes content = unsealed(k, value);
    if (k.size() != index_key_bytes || content.size() < 12) throw damaged{"an index entry"};
    const auto part = load_be<std::uint32_t>(content.data() + 8);
    return {{load_be<std::uint64_t>(k.data() + 16)},
            {load_be<std::uint64_t>(content.data())},
            static_cast<part_kind>(part >> 24),
            part & 0xffffff};
}

std::optional<index_entry> run_index::indexed_before(sequence s) const {
    return store::indexed_before(txn_, dbs_, topic_, source_, epoch_, s);
}

std::optional<index_entry> run_index::indexed_from(sequence s) const {
    const key wanted = index_key(topic_, source_, epoch_, s);
    lmdb::cursor cursor(txn_, dbs_.index);
    return entry_of_run(cursor.seek(wanted), wanted);
}

std::optional<batch_record> run_index::head_at(offset at) const {
    const auto value = txn_.get(dbs_.log, log_key(topic_, at, part_kind::piece, 0));
    if (!value) return {};  // it left the log
    const auto header = decode_batch_record(*value, topic_, at);
    if (!header || header->source != source_ || header->epoch != epoch_)
        throw damaged{"the begin of a stretch"};
    return header;
}

std::optional<index_entry> run_index::linked(const index_entry& e) const {
    const auto head = head_at(e.at);
    if (!head || head->back == 0) return {};
    if (head->back >= e.at.value) throw damaged{"a link between stretches"};
    const offset at{e.at.value - head->back};
    const auto before = head_at(at);
    if (!before) return {};
    return index_entry{before->first, at};
}

std::optional<index_entry> run_index::previous(const index_entry& e,
                                               const std::optional<index_entry>& floor) const {
    const auto found = linked(e);
    return found && (!floor || floor->first <= found->first) ? found : floor;
}

template <typename InFront>
run_index::neighbours run_index::in_log(const std::optional<index_entry>& floor,
                                        const index_entry& behind, InFront in_front) const {
    neighbours found{floor, behind};
    log_walk walk(txn_, dbs_, topic_);
    walk.start(floor ? floor->at : offset{0});
    for (int n = 0; walk.here() != log_walk::kind::end && walk.at() < behind.at; walk.next()) {
        ++looked_at_;
        if (++n > entries_looked_at_max) throw damaged{"the begin of a stretch"};
        if (walk.here() != log_walk::kind::batch || !is_of(walk.batch(), source_, epoch_)) continue;
        const index_entry here{walk.batch().header.first, walk.at()};
        if (!in_front(here)) return {found.before, here};
        found.before = here;
    }
    return found;
}

template <typename InFront>
run_index::neighbours run_index::follow(const std::optional<index_entry>& floor,
                                        const index_entry& behind, InFront in_front) const {
    // In front of a mark every stretch has its entry.
    if (behind.kind == part_kind::mark) return {floor, behind};
    followed_.assign(1, behind);
    try {
        for (index_entry at = behind;;) {
            const auto next = previous(at, floor);
            if (next) followed_.push_back(*next);
            if (!next || in_front(*next)) return {next, at};
            at = *next;
        }
    } catch (const damaged&) {
        followed_.clear();
        return in_log(floor, behind, in_front);
    }
}

std::optional<index_entry> run_index::before(sequence s) const {
    if (s.value == 0) return {};
    // Who asks for one position after another goes the way only once.
    if (!followed_.empty() && followed_.back().first <= s && s < followed_.front().first)
        return *std::ranges::find_if(followed_, [s](const index_entry& e) { return e.first <= s; });
    const auto floor = indexed_before(s);
    if (tail_ && tail_->first <= s) return floor && floor->first > tail_->first ? floor : tail_;
    auto behind = indexed_from(s + 1);
    if (!behind) behind = tail_;
    if (!behind) return floor;
    return follow(floor, *behind, [s](const index_entry& e) { return e.first <= s; }).before;
}

std::optional<index_entry> run_index::from(sequence s) const {
    auto behind = indexed_from(s);
    if (!behind && tail_ && tail_->first >= s) behind = tail_;
    if (!behind || s.value == 0) return behind;
    return follow(indexed_before({s.value - 1}), *behind,
                  [s](const index_entry& e) { return e.first < s; })
        .from;
}

found_position run_index::find(sequence s) const { return find_in(before(s), s); }

found_position run_index::find_in(const std::optional<index_entry>& entry, sequence s) const {
    if (!entry) return {};
    if (entry->kind == part_kind::mark) {
        const auto value =
            txn_.get(dbs_.log, log_key(topic_, entry->at, entry->kind, entry->number));
        if (!value) throw damaged{"an index entry without its mark"};
        const auto mark = decode_mark_record(*value, topic_, entry->at, entry->number);
        if (!mark || mark->source != source_ || mark->epoch != epoch_ ||
            mark->first != entry->first)
            throw damaged{"a mark"};
        if (mark->last < s) return {};
        return {.batch = std::nullopt, .mark = mark, .mark_at = entry->at};
    }
    const offset o = entry->at_of(s);
    const auto batch = find_offset(txn_, dbs_, topic_, o);
    if (!batch || !holds(*batch, source_, epoch_, s, o)) return {};
    return {.batch = batch, .mark = std::nullopt, .mark_at = {}};
}

std::optional<held_position> run_index::held_from(sequence s) const {
    auto entry = before(s);
    try {
        const found_position found = find_in(entry, s);
        if (found.batch || found.mark) return held_position{s, entry->at_of(s)};
    } catch (const damaged&) {
        return held_position{s, entry->at_of(s)};  // who reads there is told
    }
    // A stretch may have lost its begin, which retention drops.
    if (!entry || entry->kind == part_kind::mark) entry = from(s);
    for (; entry; entry = from(std::max(s, entry->first + 1))) {
        const sequence begin = std::max(s, entry->first);
        if (entry->kind == part_kind::mark) return held_position{begin, entry->at};
        log_walk walk(txn_, dbs_, topic_);
        walk.start(entry->at_of(begin));
        while (walk.here() == log_walk::kind::mark || walk.here() == log_walk::kind::damaged)
            walk.next();
        if (walk.here() != log_walk::kind::batch) continue;
        const offset at = std::max(walk.at(), entry->at_of(begin));
        const sequence position = entry->first + (at - entry->at);
        if (holds(walk.batch(), source_, epoch_, position, at)) return held_position{position, at};
    }
    return {};
}

std::optional<sequence> run_index::first_behind(offset at) const {
    // Offsets rise with the sequences of a run: the entries on both sides, by halving.
    std::optional<index_entry> floor;
    std::optional<index_entry> behind = indexed_before(last_of_all);
    if (behind && behind->at < at) std::swap(floor, behind);
    if (behind) {
        for (sequence low{0}; low + 1 < behind->first;) {
            const sequence middle = low + (behind->first - low) / 2;
            const auto entry = indexed_before(middle);
            if (entry && entry->at >= at) {
                behind = entry;
            } else {
                floor = entry;
                low = middle;
            }
        }
    } else if (tail_) {
        if (tail_->at >= at)
            behind = tail_;
        else if (!floor || floor->first < tail_->first)
            floor = tail_;
    }
    if (behind) {
        const neighbours both =
            follow(floor, *behind, [at](const index_entry& e) { return e.at < at; });
        floor = both.before;
        behind = both.from;
    }
    if (!floor || floor->kind == part_kind::mark)
        return behind ? std::optional(behind->first) : std::nullopt;
    const sequence inside = floor->first + (at - floor->at);
    return behind ? std::min(inside, behind->first) : inside;
}

epoch first_run_from(const lmdb::transaction& txn, const databases& dbs, topic_id topic,
                     source_id source, epoch e, const source_record& record) {
    lmdb::cursor walk(txn, dbs.index);
    const key wanted = index_key(topic, source, e, {0});
    const auto item = walk.seek(wanted);
    const bool indexed =
        item && same_prefix(item->key, wanted, sizeof topic.value + sizeof source.value);
    if (indexed && item->key.size() != index_key_bytes) throw damaged{"an index entry"};
    const epoch found = indexed ? epoch_of_index(item->key) : epoch{};
    // The present run may have no entry yet.
    const bool present = record.tail.at.value != 0 && record.epoch >= e;
    return present && (found.value == 0 || found > record.epoch) ? record.epoch : found;
}

bool extend_mark(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset at,
                 const mark_record& mark) {
    const auto entry = indexed_before(txn, dbs, topic, mark.source, mark.epoch, mark.first);
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

std::uint32_t begin_stretch(lmdb::transaction& txn, const databases& dbs, topic_id topic,
                            source_id source, source_record& record, offset kept, sequence first,
                            offset at) {
    std::uint32_t back = 0;
    if (record.tail.at.value != 0 && record.tail.at >= kept) {
        if (at - record.tail.at <= back_max)
            back = static_cast<std::uint32_t>(at - record.tail.at);
        else
            close_stretches(txn, dbs, topic, source, record, kept);
    }
    record.tail = {first, at};
    if (++record.unindexed >= stretches_linked_max) {
        index_stretch(txn, dbs, topic, source, record.epoch, first, at);
        record.unindexed = 0;
    }
    return back;
}

void close_stretches(lmdb::transaction& txn, const databases& dbs, topic_id topic, source_id source,
                     source_record& record, offset kept) {
    // One whose begin left the log got its entry then.
    if (record.tail.at.value != 0 && record.tail.at >= kept)
        index_stretch(txn, dbs, topic, source, record.epoch, record.tail.first, record.tail.at);
    record.tail = {};
}

void leave_stretch(lmdb::transaction& txn, const databases& dbs, topic_id topic,
                   const found_batch& dropped) {
    const batch_record& header = dropped.header;
    // The entry of the stretch that has this position at this offset.
    const auto covering = [&](sequence s, offset at) {
        auto entry = indexed_before(txn, dbs, topic, header.source, header.epoch, s);
        if (entry && (entry->kind == part_kind::mark || entry->at_of(s) != at)) entry.reset();
        return entry;
    };
    const auto entry = covering(header.first, dropped.first);
    const offset behind = dropped.last() + 1;
    const sequence next = header.last() + 1;
    // The first batch that can be read tells, for the offsets of a stretch follow each other.
    log_walk walk(txn, dbs, topic);
    walk.start(behind);
    for (int n = 0; walk.here() == log_walk::kind::mark || walk.here() == log_walk::kind::damaged;
         walk.next())
        if (++n > entries_looked_at_max) throw damaged{"the rest of a stretch"};
    const bool goes_on =
        walk.here() == log_walk::kind::batch &&
        holds(walk.batch(), header.source, header.epoch, next + (walk.at() - behind), walk.at());
    const auto own = goes_on ? covering(next, behind) : std::nullopt;
    if (goes_on && !own) index_stretch(txn, dbs, topic, header.source, header.epoch, next, behind);
    if (entry && !(own && own->first == entry->first))
        txn.erase(dbs.index, index_key(topic, header.source, header.epoch, entry->first));
}

void lead_to(lmdb::transaction& txn, const databases& dbs, topic_id topic, offset at) {
    log_walk walk(txn, dbs, topic);
    walk.start(at);
    while (walk.here() == log_walk::kind::mark) walk.next();
    if (walk.here() != log_walk::kind::batch) return;
    const batch_record& header = walk.batch().header;
    if (header.back != 0) return;  // a begin, to which something leads
    const auto entry = indexed_before(txn, dbs, topic, header.source, header.epoch, header.first);
    if (entry && entry->kind == part_kind::piece && entry->at_of(header.first) == walk.at()) return;
    index_stretch(txn, dbs, topic, header.source, header.epoch, header.first, walk.at());
}

}  // namespace cairn::store
