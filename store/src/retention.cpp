#include "retention.hpp"

#include "groups.hpp"
#include "run_index.hpp"
#include "untold.hpp"

#include <cairn/wire/attributes.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>

namespace cairn::store {

namespace {

// How many topics are compared when the store has to drop its oldest: more would take time with
// each append, fewer would miss old ones for longer. Those that hold nothing count less.
constexpr int victims_max = 32;
constexpr int looked_at_max = 2 * victims_max;

// The oldest entries that take space. What cannot be decoded is there all the same.
struct oldest {
    log_walk::kind kind = log_walk::kind::end;
    offset at;
    found_batch batch;
};

oldest oldest_of(changes& c, topic_id t, const topic_record& r) {
    log_walk walk(c.txn(), c.dbs(), t);
    walk.start(r.kept);
    while (walk.here() == log_walk::kind::mark) walk.next();
    return {walk.here(), walk.at(), walk.batch()};
}

// When the oldest batch that can be read was stored: what is damaged in front of it is no younger.
std::optional<wall_time> oldest_time(changes& c, topic_id t, const topic_record& r) {
    log_walk walk(c.txn(), c.dbs(), t);
    walk.start(r.kept);
    while (walk.here() == log_walk::kind::mark || walk.here() == log_walk::kind::damaged)
        walk.next();
    if (walk.here() != log_walk::kind::batch) return {};
    return walk.batch().header.stored;
}

struct erased {
    std::uint64_t entries = 0;
    std::uint64_t marks = 0;  // among them
};

// Deletes log keys of the topic in [from, to): marks, and what is left of damaged batches.
erased erase_entries(changes& c, const key& from, const key& to, std::uint64_t limit) {
    erased all;
    for (; all.entries < limit; ++all.entries) {
        key found;
        {
            lmdb::cursor walk(c.txn(), c.dbs().log);
            const auto item = walk.seek(from);
            if (!item || text_of(item->key) >= text_of(to)) return all;
            found = copy_of(item->key);
            const log_place place = parse_log_key(item->key);
            if (place.valid && place.kind == part_kind::mark) {
                ++all.marks;
                if (const auto mark =
                        decode_mark_record(item->value, place.topic, place.first, place.number))
                    c.txn().erase(c.dbs().index,
                                  index_key(place.topic, mark->source, mark->epoch, mark->first));
            }
        }
        if (!c.txn().erase(c.dbs().log, found)) throw damaged{"a key out of its place"};
    }
    return all;
}

// Deletes what is left in the index of a topic without a log: what is damaged does not say which
// entries were its own. Returns how many.
std::uint64_t erase_index(changes& c, topic_id t, std::uint64_t limit) {
    const key first = index_key(t, {0}, {0}, {0});
    for (std::uint64_t n = 0; n < limit; ++n) {
        key found;
        {
            lmdb::cursor walk(c.txn(), c.dbs().index);
            const auto item = walk.seek(first);
            if (!item || !same_prefix(item->key, first, sizeof t.value)) return n;
            found = copy_of(item->key);
        }
        if (!c.txn().erase(c.dbs().index, found)) throw damaged{"a key out of its place"};
    }
    return limit;
}

void give_back(changes& c, topic_record& r, std::uint64_t cost) {
    r.bytes -= std::min(r.bytes, cost);
    c.counters().bytes -= std::min(c.counters().bytes, cost);
}

// Returns how many.
std::uint64_t forget_keys(changes& c, topic_id t, topic_record& r, const found_batch& batch) {
    std::vector<std::byte> body;
    try {
        body = body_of(c.txn(), c.dbs(), t, batch);
    } catch (const damaged&) {
        return 0;  // entries of the index stay behind; readers find that they lead nowhere
    }
    std::uint64_t forgotten = 0;
    offset at = batch.first;
    for (wire::record_reader records(body); !records.done(); at = at + 1) {
        const wire::record one = records.next();
        if (one.attributes.empty()) continue;
        const std::string_view name = wire::key_of(one.attributes);
        if (name.empty()) continue;
        const key k = last_of_key_key(t, name);
        try {
            const auto last = c.get(k);
            if (last && last->size() >= 8 && load_be<std::uint64_t>(last->data()) != at.value)
                continue;
        } catch (const damaged&) {
            // It leads nowhere for sure.
        }
        if (!c.erase(k)) continue;
        give_back(c, r, key_cost(name));
        ++forgotten;
    }
    return forgotten;
}

// Returns what they took.
std::uint64_t erase_range(changes& c, const key& first, const key& last) {
    for (std::uint64_t cost = 0;;) {
        key found;
        {
            lmdb::cursor walk(c.txn(), c.dbs().state);
            const auto item = walk.seek(first);
            if (!item || text_of(item->key) > text_of(last)) return cost;
            found = copy_of(item->key);
            cost += small_record_cost(item->key.size(), item->value.size());
        }
        c.erase_found(found);
    }
}

// [from, to] leaves the log.
void leave(changes& c, topic_id t, offset from, offset to) {
    try {
        note_untold(c, t, c.readers(t), from, to);
    } catch (const damaged&) {
        // Its space is needed all the same.
    }
}

// The floor of the slowest group; nothing without groups, or when one cannot be read: then nobody
// knows what it has acked, and nothing goes for that reason.
std::optional<offset> slowest_floor(changes& c, topic_id t) {
    std::optional<offset> slowest;
    try {
        c.for_groups(t, [&](group_id, const group_record& g) {
            if (!slowest || g.floor < *slowest) slowest = g.floor;
        });
    } catch (const damaged&) {
        return {};
    }
    return slowest;
}

bool over_own_limit(const topic_record& r, std::uint64_t cost, std::uint64_t messages) {
    const retention& keep = r.config.retention;
    return (keep.bytes_max > 0 && r.bytes + cost > keep.bytes_max) ||
           (keep.messages_max > 0 && r.next - r.first + messages > keep.messages_max);
}

bool over_store_limit(changes& c, const store_limits& limits, std::uint64_t cost,
                      std::uint64_t messages) {
    return c.counters().bytes + cost > limits.bytes_max ||
           (limits.messages_max > 0 && c.counters().messages + messages > limits.messages_max);
}

bool drop_trimmed(changes& c, topic_id t, work_budget& budget) {
    for (;;) {
        const topic_record& r = *c.topic(t);
        if (r.kept >= r.first) return false;
        const oldest found = oldest_of(c, t, r);
        const bool whole = found.kind == log_walk::kind::batch;
        if (found.kind == log_walk::kind::end || (whole && found.batch.last() >= r.first) ||
            (!whole && found.at >= r.first)) {
            // Only the begin of a batch that is still read.
            const offset reached = found.kind == log_walk::kind::end ? r.first : found.at;
            if (r.kept < reached) c.change(t).kept = std::min(reached, r.first);
            return false;
        }
        if (budget.spent()) return true;
        drop_oldest_batch(c, t, budget);
    }
}

// Step by step: log and index by batches, then the small records, then the topic itself.
bool drop_deleted(changes& c, topic_id t, work_budget& budget) {
    c.forget_members(t);
    while (!budget.spent()) {
        const topic_record& r = *c.deleted_topic(t);
        const oldest found = oldest_of(c, t, r);
        if (found.kind == log_walk::kind::end) break;
        drop_oldest_batch(c, t, budget);
    }
    if (budget.spent()) return true;
    budget.take(erase_entries(c, log_key(t, {0}, part_kind::mark, 0),
                              log_key({t.value + 1}, {0}, part_kind::mark, 0), budget.pieces)
                    .entries);
    budget.take(erase_index(c, t, budget.pieces));
    while (!budget.spent()) {
        key found;
        {
            lmdb::cursor walk(c.txn(), c.dbs().state);
            const key own = topic_key(t);
            auto item = walk.seek(state_key(t, 0));
            if (item && same_prefix(item->key, own, item->key.size()) &&
                item->key.size() == state_prefix_bytes)
                item = walk.next();  // the topic's own record goes last
            if (!item || !same_prefix(item->key, own, sizeof t.value)) break;
            found = copy_of(item->key);
        }
        c.erase_found(found);
        budget.take(1);
    }
    if (budget.spent()) return true;
    c.counters().bytes -= std::min(c.counters().bytes, c.deleted_topic(t)->bytes);
    c.remove(t);
    return false;
}

}  // namespace

bool drop_oldest_batch(changes& c, topic_id t, work_budget& budget, last_batch last) {
    const topic_record* known = c.topic(t);
    if (known == nullptr) known = c.deleted_topic(t);
    if (known == nullptr) return false;
    const oldest found = oldest_of(c, t, *known);
    if (found.kind == log_walk::kind::end) return false;
    if (last == last_batch::stays && found.kind == log_walk::kind::batch &&
        found.batch.last() + 1 == known->next && known->first < known->next)
        return false;
    topic_record& r = c.change(t);
    offset behind = found.at + 1;
    if (!r.deleted)
        leave(c, t, r.kept, found.kind == log_walk::kind::batch ? found.batch.last() : found.at);
    if (found.kind == log_walk::kind::batch) {
        const batch_record& header = found.batch.header;
        behind = found.batch.last() + 1;
        if (r.config.last_per_key) budget.take(forget_keys(c, t, r, found.batch));
        for (std::uint32_t n = header.pieces(); n-- > 0;)
            c.txn().erase(c.dbs().log, log_key(t, found.at, part_kind::piece, n));
        try {
            leave_stretch(c.txn(), c.dbs(), t, found.batch);
        } catch (const damaged&) {
            // The entry stays behind; readers find that it leads nowhere.
        }
        give_back(c, r, cost_of(header.body_bytes));
        budget.take(header.pieces());
    }
    if (r.letters) give_back(c, r, erase_range(c, story_key(t, {0}), story_key(t, behind - 1)));
    // Marks in front of it, and what a damaged batch left.
    const erased gone = erase_entries(c, log_key(t, {0}, part_kind::mark, 0),
                                      log_key(t, behind, part_kind::mark, 0), ~std::uint64_t{0});
    give_back(c, r, gone.marks * mark_cost);
    budget.take(1 + gone.entries);
    if (!r.deleted && found.kind == log_walk::kind::damaged) {
        try {
            lead_to(c.txn(), c.dbs(), t, behind);
        } catch (const damaged&) {
            // Told by its readers.
        }
    }
    if (!r.deleted && behind > r.first) trim_to(c, t, std::min(behind, r.next) - 1);
    r.kept = std::min(std::max(r.kept, behind), r.next);
    if (r.kept == r.next) {  // what damaged batches took is not known before
        r.last_source = {};
        const std::uint64_t left = marks_at(c.txn(), c.dbs(), t, r.next) * mark_cost;
        give_back(c, r, r.bytes - std::min(r.bytes, left));
    }
    ++budget.trimmed_batches;
    return true;
}

std::uint64_t trim_to(changes& c, topic_id t, offset up_to) {
    topic_record& r = c.change(t);
    if (up_to < r.first) return 0;
    const std::uint64_t messages = up_to - r.first + 1;
    r.first = up_to + 1;
    c.counters().messages -= std::min(c.counters().messages, messages);
    return messages;
}

void erase_last_marks(changes& c, topic_id t) {
    const offset end = c.topic(t)->next;
    leave(c, t, end, end);
    const erased gone = erase_entries(c, log_key(t, end, part_kind::mark, 0),
                                      log_key(t, end, part_kind::piece, 0), ~std::uint64_t{0});
    if (gone.marks > 0) give_back(c, c.change(t), gone.marks * mark_cost);
}

namespace {

// The topic whose oldest messages go next; 0: nothing is held.
topic_id next_victim(changes& c, topic_id own, victim_search& search) {
    topic_id victim{};
    wall_time since = wall_time::max();
    const auto holds_something = [&](topic_id t) {
        try {
            const topic_record* const r = c.topic(t);
            if (r == nullptr || r->first == r->next) return false;
            const oldest found = oldest_of(c, t, *r);
            if (found.kind == log_walk::kind::end) return false;
            const wall_time stored =
                found.kind == log_walk::kind::batch ? found.batch.header.stored : wall_time::min();
            if (stored < since) {
                since = stored;
                victim = t;
            }
            return true;
        } catch (const damaged&) {
            return false;  // what it holds cannot be told, and no other topic suffers
        }
    };
    holds_something(own);
    holds_something(search.oldest);
    const topic_id begin = search.compared;
    bool wrapped = false;
    for (int held = 0, looked = 0;
         !search.in_vain && held < victims_max && (looked < looked_at_max || victim == topic_id{});
         ++looked) {
        const topic_id before = search.compared;
        search.compared = topic_after(c, before);
        wrapped = wrapped || search.compared <= before;
        held += holds_something(search.compared) ? 1 : 0;
        if (wrapped && search.compared >= begin) break;
    }
    search.in_vain = victim == topic_id{};
    search.oldest = victim;
    return victim;
}

errc make_room_in_store(changes& c, const store_limits& limits, topic_id own, std::uint64_t cost,
                        std::uint64_t messages, work_budget& budget) {
    const counters_record before = c.counters();
    const auto made_its_room = [&] {
        return before.bytes - c.counters().bytes >= cost &&
               before.messages - c.counters().messages >= messages;
    };
    const bool drops = limits.when_full == full_policy::drop_oldest;
    if (cost > limits.bytes_max || (limits.messages_max > 0 && messages > limits.messages_max))
        return errc::store_full;
    while (drops && over_store_limit(c, limits, cost, messages) &&
           !(budget.spent() && made_its_room())) {
        const topic_id victim = next_victim(c, own, budget.search);
        if (victim == topic_id{} || !drop_oldest_batch(c, victim, budget)) break;
    }
    if (!over_store_limit(c, limits, cost, messages)) return errc::ok;
    return drops && budget.spent() && made_its_room() ? errc::ok : errc::store_full;
}

}  // namespace

errc make_room(changes& c, const store_limits& limits, topic_id t, std::uint64_t cost,
               std::uint64_t messages, work_budget& budget) {
    const topic_record& r = *c.topic(t);
    const retention& keep = r.config.retention;
    if (over_own_limit(r, cost, messages)) {
        drop_trimmed(c, t, budget);
        if (keep.when_full == full_policy::drop_oldest) {
            const std::uint64_t wanted = r.next - r.first + messages;
            if (keep.messages_max > 0 && wanted > keep.messages_max)
                trim_to(c, t, std::min(r.first + (wanted - keep.messages_max), r.next) - 1);
            const auto last = messages > 0 ? last_batch::goes : last_batch::stays;
            const std::uint64_t before = r.bytes;
            while (keep.bytes_max > 0 && r.bytes + cost > keep.bytes_max &&
                   (!budget.spent() || before - r.bytes < cost) &&
                   drop_oldest_batch(c, t, budget, last)) {
            }
        } else if (over_own_limit(r, cost, messages) && r.kept < r.next) {
            return errc::store_full;
        }
    }
    if (!over_store_limit(c, limits, cost, messages)) return errc::ok;
    drop_trimmed(c, t, budget);
    return make_room_in_store(c, limits, t, cost, messages, budget);
}

bool store_has_room(changes& c, const store_limits& limits, std::uint64_t cost,
                    std::uint64_t messages) {
    return !over_store_limit(c, limits, cost, messages);
}

bool look_after(changes& c, const store_limits& limits, topic_id t, work_budget& budget) {
    if (c.deleted_topic(t) != nullptr) return drop_deleted(c, t, budget);
    const topic_record* const r = c.topic(t);
    if (r == nullptr) return false;
    const retention& keep = r->config.retention;
    if (keep.until_acked || limits.until_acked) {
        const auto slowest = slowest_floor(c, t);
        if (slowest && *slowest >= r->first) trim_to(c, t, std::min(*slowest, r->next - 1));
    }
    if (keep.messages_max > 0 && r->next - r->first > keep.messages_max &&
        keep.when_full == full_policy::drop_oldest)
        trim_to(c, t, r->next - keep.messages_max - 1);
    if (drop_trimmed(c, t, budget)) return true;
    while (keep.bytes_max > 0 && r->bytes > keep.bytes_max &&
           keep.when_full == full_policy::drop_oldest) {
        if (budget.spent()) return true;
        if (!drop_oldest_batch(c, t, budget, last_batch::stays)) break;
    }
    auto age = keep.age_max;
    if (limits.age_max.count() > 0 && (age.count() == 0 || limits.age_max < age))
        age = limits.age_max;
    while (age.count() > 0 && r->kept < r->next) {
        const auto stored = oldest_time(c, t, *r);
        // In milliseconds: an age that says "for ever" is more nanoseconds than there are.
        if (!stored ||
            std::chrono::ceil<std::chrono::milliseconds>(c.counters().time - *stored) <= age)
            break;
        if (budget.spent()) return true;
        if (!drop_oldest_batch(c, t, budget)) break;
    }
    return false;
}

bool look_after_store(changes& c, const store_limits& limits, work_budget& budget) {
    // What was stored before the limits were lowered.
    if (limits.when_full != full_policy::drop_oldest || !over_store_limit(c, limits, 0, 0))
        return false;
    make_room_in_store(c, limits, budget.search.oldest, 0, 0, budget);
    return budget.spent();
}

topic_id topic_after(changes& c, topic_id t) {
    for (int round = 0; round < 2; ++round) {
        lmdb::cursor walk(c.txn(), c.dbs().state);
        const auto item = walk.seek(state_key({t.value + 1}, 0));
        if (item && item->key.size() >= sizeof t.value)
            return {load_be<std::uint32_t>(item->key.data())};
        t = topic_id{};
    }
    return {};
}

}  // namespace cairn::store
