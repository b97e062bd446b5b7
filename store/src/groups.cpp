#include "groups.hpp"

#include "untold.hpp"

#include <algorithm>

namespace cairn::store {

namespace {

// What is trimmed and not yet dropped is seldom more than a batch.
constexpr std::uint64_t trims_looked_at_max = 4'096;

offset first_of_chunk(std::uint64_t chunk) { return {chunk * chunk_offsets}; }

void forget_attempts(changes& c, topic_id t, group_id g, offset first, offset last) {
    while (c.group(t, g)->attempts > 0) {
        key found;
        {
            lmdb::cursor walk(c.txn(), c.dbs().state);
            const auto item = walk.seek(attempt_key(t, g, first));
            if (!item || text_of(item->key) > text_of(attempt_key(t, g, last))) return;
            found = copy_of(item->key);
        }
        c.erase_found(found);
        --c.change(t, g).attempts;
    }
}

// How many in [first, last] are acked already, all of them above the floor.
std::uint64_t acked_within(changes& c, topic_id t, group_id g, offset first, offset last) {
    std::uint64_t sum = 0;
    c.for_chunks(t, g, chunk_of(first.value), [&](std::uint64_t n, const ack_chunk& chunk) {
        if (first_of_chunk(n) > last) return false;
        const offset begin = std::max(first, first_of_chunk(n));
        const offset end = std::min(last, first_of_chunk(n + 1) - 1);
        sum += chunk.count(begin.value % chunk_offsets, end.value % chunk_offsets);
        return true;
    });
    return sum;
}

// Passes the floor over what is acked behind it, and deletes chunks that it has left.
void advance(changes& c, topic_id t, group_id g) {
    group_record& r = c.change(t, g);
    while (r.acked > 0) {
        const offset next = r.floor + 1;
        const ack_chunk* const chunk = c.chunk(t, g, chunk_of(next.value));
        if (chunk == nullptr || !chunk->test(next.value % chunk_offsets)) break;
        const std::uint64_t open = chunk->find(next.value % chunk_offsets, false);
        const offset behind = first_of_chunk(chunk_of(next.value)) + open;
        r.acked -= behind - next;
        r.floor = behind - 1;
    }
    const std::uint64_t reached = r.acked > 0 ? chunk_of((r.floor + 1).value) : ~std::uint64_t{0};
    std::vector<std::uint64_t> left;
    c.for_chunks(t, g, 0, [&](std::uint64_t n, const ack_chunk&) {
        if (n >= reached) return false;
        left.push_back(n);
        return true;
    });
    for (const std::uint64_t n : left) c.remove_chunk(t, g, n);
}

// All up to `to` is done; what was acked of it above the floor no longer counts as above.
void raise_floor(changes& c, topic_id t, group_id g, offset to) {
    const offset floor = c.group(t, g)->floor;
    const bool had_acks = c.group(t, g)->acked > 0;
    const std::uint64_t inside = had_acks ? acked_within(c, t, g, floor + 1, to) : 0;
    group_record& r = c.change(t, g);
    r.acked -= std::min(r.acked, inside);
    r.floor = to;
    forget_attempts(c, t, g, floor + 1, to);
    if (had_acks) advance(c, t, g);
}

}  // namespace

std::uint64_t ack_range(changes& c, topic_id t, group_id g, offset first, offset last) {
    const group_record& r = *c.group(t, g);
    first = std::max(first, r.floor + 1);
    if (first > last) return 0;
    const std::uint64_t before = r.acked > 0 ? acked_within(c, t, g, first, last) : 0;
    const std::uint64_t added = last - first + 1 - before;
    if (first == r.floor + 1) {
        raise_floor(c, t, g, last);
        return added;
    }
    if (added == 0) return 0;
    for (std::uint64_t n = chunk_of(first.value); n <= chunk_of(last.value); ++n) {
        const offset begin = std::max(first, first_of_chunk(n));
        const offset end = std::min(last, first_of_chunk(n + 1) - 1);
        c.change_chunk(t, g, n).set(begin.value % chunk_offsets, end.value % chunk_offsets);
    }
    c.change(t, g).acked += added;
    forget_attempts(c, t, g, first, last);
    return added;
}

void follow_trims(changes& c, topic_id t, group_id g) {
    const topic_record& topic = *c.topic(t);
    const group_record& r = *c.group(t, g);
    const offset gone = topic.first - 1;
    if (r.floor >= gone) return;
    topic_readers own{{{.id = g, .record = &r}}, {}};
    const offset behind =
        note_untold(c, t, own, std::max(r.floor + 1, topic.kept), gone, trims_looked_at_max);
    if (r.floor + 1 < behind) raise_floor(c, t, g, behind - 1);
}

bool is_acked(changes& c, topic_id t, group_id g, offset o) {
    const group_record& r = *c.group(t, g);
    if (o <= r.floor) return true;
    if (r.acked == 0) return false;
    const ack_chunk* const chunk = c.chunk(t, g, chunk_of(o.value));
    return chunk != nullptr && chunk->test(o.value % chunk_offsets);
}

void forget_acks(changes& c, topic_id t, group_id g) {
    forget_attempts(c, t, g, {0}, {~std::uint64_t{0}});
    c.remove_chunks(t, g);
    c.change(t, g).acked = 0;
    forget_untold(c, t, g);
}

void erase_group(changes& c, topic_id t, group_id g) {
    forget_acks(c, t, g);
    c.erase(group_name_key(t, c.group(t, g)->name));
    c.remove(t, g);
}

}  // namespace cairn::store
