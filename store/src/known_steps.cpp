#include "upgrade.hpp"

#include <algorithm>
#include <iterator>
#include <map>

namespace cairn::store {

namespace {

// An entry of the index for each batch, as in format 1, or for each stretch, as in format 2, is
// what later formats may have too.
void leave_as_it_is(lmdb::transaction&, const databases&) {}

template <typename Record, typename Decode>
Record read(const lmdb::transaction& txn, const databases& dbs, const key& k, Decode&& decode) {
    const auto value = txn.get(dbs.state, k);
    auto record = value ? decode(unsealed(k, *value)) : std::nullopt;
    if (!record) throw damaged{"what is counted"};
    return *std::move(record);
}

template <typename Record>
void write(lmdb::transaction& txn, const databases& dbs, const key& k, const Record& r) {
    std::vector<std::byte> value;
    encode(r, value);
    add_seal(k, value);
    txn.put(dbs.state, k, value);
}

// Since format 4 the last messages of keys and the stories of letters are counted in bytes.
void count_small_records(lmdb::transaction& txn, const databases& dbs) {
    std::map<topic_id, topic_record> topics;
    std::uint64_t sum = 0;
    const auto count = [&](bytes k, bytes value) {
        const topic_id t{load_be<std::uint32_t>(k.data())};
        const auto kind = static_cast<char>(k[sizeof t.value]);
        if (kind != 'K' && kind != 'D') return;
        const auto known = topics.find(t);
        topic_record& r =
            known != topics.end()
                ? known->second
                : topics.emplace(t, read<topic_record>(txn, dbs, topic_key(t), decode_topic))
                      .first->second;
        const bytes at = kind == 'K' ? value : k.subspan(state_prefix_bytes);
        // What damaged batches have left behind leads nowhere, and is not counted.
        if (at.size() < 8 || load_be<std::uint64_t>(at.data()) < r.kept.value) return;
        const std::uint64_t cost = small_record_cost(k.size(), value.size());
        r.bytes += cost;
        sum += cost;
    };
    {
        lmdb::cursor walk(txn, dbs.state);
        for (auto item = walk.first(); item; item = walk.next()) {
            try {
                if (item->key.size() > state_prefix_bytes) count(item->key, item->value);
            } catch (const damaged&) {
                // Told by who reads that topic; others are brought up.
            }
        }
    }
    for (const auto& [t, r] : topics) write(txn, dbs, topic_key(t), r);
    auto counters = read<counters_record>(txn, dbs, counters_key(), decode_counters);
    counters.bytes += sum;
    write(txn, dbs, counters_key(), counters);
}

constexpr upgrade_step steps_known[] = {
    {1, leave_as_it_is, "0.1.0"}, {2, leave_as_it_is, "0.1.0"}, {3, count_small_records, "0.1.0"}};
static_assert(std::all_of(std::begin(steps_known), std::end(steps_known),
                          [](const upgrade_step& one) { return !one.needs.empty(); }));

}  // namespace

std::span<const upgrade_step> known_steps() { return steps_known; }

}  // namespace cairn::store
