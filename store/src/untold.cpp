#include "untold.hpp"

#include "run_index.hpp"

namespace cairn::store {

namespace {

constexpr offset never{~std::uint64_t{0}};

// The first offset of [first, last] that the group is not done with.
std::optional<offset> first_open(changes& c, topic_id t, topic_readers::group& g, offset first,
                                 offset last) {
    const group_record& r = *g.record;
    offset at = std::max(first, r.floor + 1);
    if (g.acked.first <= at && last <= g.acked.last) return {};
    const offset begin = at;
    while (at <= last) {
        const ack_chunk* const chunk = r.acked > 0 ? c.chunk(t, g.id, chunk_of(at.value)) : nullptr;
        if (chunk == nullptr) return at;
        const std::uint64_t base = chunk_of(at.value) * chunk_offsets;
        const std::uint64_t open = chunk->find(at.value - base, false);
        at = {base + open};
        if (open < chunk_offsets) break;
    }
    if (at <= last) return at;
    g.acked = {begin, at - 1};
    return {};
}

// Where the source's next message behind a loss lies: who is done with it was told of the loss.
offset message_behind(changes& c, topic_id t, const mark_record& mark) {
    const source_record* const source = c.source(t, mark.source);
    if (source == nullptr) throw damaged{"a mark of no source"};
    sequence next = mark.last + 1;
    for (epoch e = mark.epoch; e.value != 0;) {
        const run_index run(c.txn(), c.dbs(), t, mark.source, e, *source);
        for (auto entry = run.from(next); entry; entry = run.from(entry->first + 1))
            if (entry->kind != part_kind::mark) return entry->at;
        if (e >= source->epoch) break;
        next = {1};
        e = first_run_from(c.txn(), c.dbs(), t, mark.source, {e.value + 1}, *source);
    }
    return never;
}

void note(changes& c, topic_id t, group_id g, source_id s, epoch e, sequence first) {
    const key k = untold_key(t, g, s);
    if (const auto known = c.get(k)) {
        const auto before = decode_untold(*known);
        if (!before) throw damaged{"what a group was not told of"};
        // A purge takes the losses at the end first.
        if (std::pair(before->epoch, before->first) <= std::pair(e, first)) return;
    }
    std::vector<std::byte> value;
    encode(untold_record{e, first}, value);
    c.put(k, value);
}

// Which groups have a record of the source at that position or before: what lies there adds nothing
// to it. Positions rise with what leaves the log, but for losses at the end, which a purge takes
// first.
std::vector<bool>& noted_before(topic_readers& readers, source_id s, epoch e, sequence first) {
    topic_readers::noted& known = readers.of_source[s];
    if (known.groups.empty() || std::pair(e, first) < std::pair(known.run, known.first))
        known.groups.assign(readers.groups.size(), false);
    known.run = e;
    known.first = first;
    return known.groups;
}

// The run that follows `e` of those that the store knows.
epoch run_behind(changes& c, topic_id t, source_id s, epoch e) {
    lmdb::cursor walk(c.txn(), c.dbs().state);
    const key wanted = ended_run_key(t, s, {e.value + 1});
    const auto item = walk.seek(wanted);
    constexpr std::size_t own = state_prefix_bytes + sizeof s.value;
    if (item && item->key.size() == own + sizeof e.value && same_prefix(item->key, wanted, own))
        return {load_be<std::uint64_t>(item->key.data() + own)};
    return c.source(t, s)->epoch;
}

// Whether a position can still be read, as a message or as a loss.
bool is_held(changes& c, topic_id t, source_id s, epoch e, sequence at) {
    const found_position found = run_index(c.txn(), c.dbs(), t, s, e, *c.source(t, s)).find(at);
    const offset first = c.topic(t)->first;
    if (found.batch) return found.batch->offset_of(at) >= first;
    return found.mark && found.mark_at >= first;
}

}  // namespace

offset note_untold(changes& c, topic_id t, topic_readers& readers, offset from, offset to,
                   std::uint64_t entries_max) {
    auto& groups = readers.groups;
    if (groups.empty()) return to + 1;
    struct {
        source_id source;
        offset message{0};
    } behind;  // of the mark before
    log_walk walk(c.txn(), c.dbs(), t);
    for (walk.start(from); walk.here() != log_walk::kind::end && walk.at() <= to; walk.next()) {
        if (entries_max-- == 0) return walk.at();
        if (walk.here() == log_walk::kind::mark) {
            const mark_record& mark = walk.mark();
            if (behind.source != mark.source || behind.message < walk.at())
                behind = {mark.source, message_behind(c, t, mark)};
            auto& noted = noted_before(readers, mark.source, mark.epoch, mark.first);
            for (std::size_t i = 0; i < groups.size(); ++i) {
                if (noted[i] || groups[i].record->floor >= behind.message) continue;
                note(c, t, groups[i].id, mark.source, mark.epoch, mark.first);
                noted[i] = true;
            }
        } else if (walk.here() == log_walk::kind::batch) {
            const found_batch& batch = walk.batch();
            const batch_record& header = batch.header;
            const offset first = std::max(from, batch.first);
            const offset last = std::min(to, batch.last());
            auto& noted =
                noted_before(readers, header.source, header.epoch, batch.sequence_of(first));
            for (std::size_t i = 0; i < groups.size(); ++i) {
                if (noted[i] || groups[i].record->floor >= last) continue;
                const auto open = first_open(c, t, groups[i], first, last);
                if (!open) continue;
                note(c, t, groups[i].id, header.source, header.epoch, batch.sequence_of(*open));
                noted[i] = true;
            }
        }
    }
    return to + 1;
}

void settle_untold(changes& c, topic_id t, group_id g, source_id s, epoch e,
                   std::span<const sequence_range> ranges) {
    const key k = untold_key(t, g, s);
    const auto value = c.get(k);
    if (!value) return;
    auto untold = decode_untold(*value);
    if (!untold) throw damaged{"what a group was not told of"};
    if (untold->epoch != e) return;
    const sequence before = untold->first;
    for (const sequence_range& range : ranges)
        if (range.first <= untold->first && untold->first <= range.last)
            untold->first = range.last + 1;
    if (untold->first == before) return;
    c.forget_noted(t, g, s);
    const epoch present = c.source(t, s)->epoch;
    while (!is_held(c, t, s, untold->epoch, untold->first)) {
        if (untold->first <= last_of_run(c, t, s, untold->epoch).value_or(sequence{0})) {
            std::vector<std::byte> fresh;
            encode(*untold, fresh);
            c.put(k, fresh);
            return;
        }
        if (untold->epoch == present) break;
        *untold = {run_behind(c, t, s, untold->epoch), {1}};
    }
    c.erase(k);
}

void forget_untold(changes& c, topic_id t, group_id g) {
    c.forget_noted(t, g);
    const key own = untold_key(t, g, {0});
    for (;;) {
        key found;
        {
            lmdb::cursor walk(c.txn(), c.dbs().state);
            const auto item = walk.seek(own);
            if (!item || !same_prefix(item->key, own, state_prefix_bytes + sizeof g.value)) return;
            found = copy_of(item->key);
        }
        c.erase_found(found);
    }
}

std::optional<sequence> last_of_run(changes& c, topic_id t, source_id s, epoch e) {
    const source_record& r = *c.source(t, s);
    if (e == r.epoch) return r.last;
    if (e > r.epoch) return {};
    const auto ended = c.get(ended_run_key(t, s, e));
    if (!ended) return sequence{0};  // nothing was stored of it
    unpacker in(*ended);
    return sequence{in.number<std::uint64_t>()};
}

}  // namespace cairn::store
