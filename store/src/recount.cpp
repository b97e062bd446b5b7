#include "recount.hpp"

#include <algorithm>
#include <cstring>

namespace cairn::store {

namespace {

// More topics than are made and deleted between the highest that is there and the counter.
constexpr std::uint32_t numbers_left_out = 1'000'000;

std::uint32_t highest_topic(const lmdb::transaction& txn, MDB_dbi dbi) {
    const auto item = lmdb::cursor(txn, dbi).last();
    return item && item->key.size() >= sizeof(topic_id::value)
               ? load_be<std::uint32_t>(item->key.data())
               : 0;
}

wall_time latest_stored(const lmdb::transaction& txn, const databases& dbs) {
    wall_time latest{};
    lmdb::cursor walk(txn, dbs.log);
    for (auto item = walk.first(); item; item = walk.next()) {
        const log_place at = parse_log_key(item->key);
        if (!at.valid) continue;
        if (at.kind == part_kind::mark) {
            const auto mark = decode_mark_record(item->value, at.topic, at.first, at.number);
            if (mark) latest = std::max(latest, mark->stored);
        } else if (at.number == 0) {
            const auto batch = decode_batch_record(item->value, at.topic, at.first);
            if (batch) latest = std::max(latest, batch->stored);
        }
    }
    return latest;
}

std::optional<topic_record> topic_at(bytes k, bytes value) {
    try {
        return decode_topic(unsealed(k, value));
    } catch (const damaged&) {
        return {};
    }
}

}  // namespace

counters_record recounted(const lmdb::transaction& txn, const databases& dbs) {
    counters_record counters;
    counters.time = latest_stored(txn, dbs);
    std::uint32_t highest = 0;
    for (const MDB_dbi dbi : {dbs.log, dbs.index, dbs.state})
        highest = std::max(highest, highest_topic(txn, dbi));
    constexpr std::uint32_t most = ~std::uint32_t{0};
    counters.next_topic = most - highest < numbers_left_out ? most : highest + numbers_left_out;
    lmdb::cursor walk(txn, dbs.state);
    for (topic_id t{1};; ++t.value) {
        const auto found = walk.seek(state_key(t, 0));
        if (!found || found->key.size() < sizeof t.value) break;
        t = {load_be<std::uint32_t>(found->key.data())};
        if (const auto value = txn.get(dbs.state, topic_key(t))) {
            const auto r = topic_at(topic_key(t), *value);
            if (!r || !r->deleted) ++counters.topics;
            if (r) counters.bytes += r->bytes;
            if (r && !r->deleted) counters.messages += r->next - r->first;
        }
        if (t.value == most) break;
    }
    return counters;
}

void require_whole_meta_by_free_pages(const lmdb::transaction& txn) {
    constexpr MDB_dbi free_pages = 0;
    const auto last = lmdb::cursor(txn, free_pages).last();
    std::size_t number = 1;  // the first commit frees nothing
    if (last && last->key.size() == sizeof number)
        std::memcpy(&number, last->key.data(), sizeof number);
    if (number < txn.id()) throw damaged{torn_meta};
}

}  // namespace cairn::store
