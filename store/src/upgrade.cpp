#include "upgrade.hpp"

#include "directory.hpp"

namespace cairn::store {

bool upgrade(lmdb::environment& env, const databases& dbs, std::span<const upgrade_step> steps,
             std::uint32_t to) {
    lmdb::transaction txn(env, lmdb::transaction::mode::write);
    const auto value = txn.get(dbs.state, meta_key());
    if (!value) throw error(errc::store_damaged, "upgrade: the meta record is missing");
    auto meta = decode_meta(unsealed(meta_key(), *value));
    if (!meta) throw error(errc::store_damaged, "upgrade: the meta record is damaged");
    if (meta->format >= to) return false;
    for (; meta->format < to; ++meta->format) {
        const upgrade_step* found = nullptr;
        for (const upgrade_step& step : steps)
            if (step.from == meta->format) found = &step;
        if (found == nullptr)
            throw error(errc::store_damaged,
                        "upgrade: nothing leads on from format " + std::to_string(meta->format));
        found->run(txn, dbs);
        meta->needs = found->needs;
    }
    std::vector<std::byte> fresh;
    encode(*meta, fresh);
    add_seal(meta_key(), fresh);
    txn.put(dbs.state, meta_key(), fresh);
    // Every transaction leaves its number, so that a torn meta page is noticed.
    counters_record counters = read_counters(txn, dbs);
    require_whole_meta(counters, txn.id() - 1);
    counters.commit = txn.id();
    fresh.clear();
    encode(counters, fresh);
    add_seal(counters_key(), fresh);
    txn.put(dbs.state, counters_key(), fresh);
    txn.commit();
    return true;
}

}  // namespace cairn::store
