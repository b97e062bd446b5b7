#pragma once

#include "../../../store/src/upgrade.hpp"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>

/// A synthetic format before the present one: 3,000 records of a kind of their own, which the step
/// rewrites.
namespace cairn::test {

inline constexpr std::uint32_t older_records = 3'000;

inline store::key older_key(std::uint32_t n) {
    return store::last_of_key_key({0xffff'fff0}, std::to_string(n));
}

inline void put_older(store::lmdb::transaction& txn, const store::databases& dbs, char c) {
    const std::array<std::byte, 200> value = [c] {
        std::array<std::byte, 200> all{};
        all.fill(static_cast<std::byte>(c));
        return all;
    }();
    for (std::uint32_t n = 0; n < older_records; ++n) txn.put(dbs.state, older_key(n), value);
}

inline bool tell_of_upgrade = false;

inline constexpr std::uint32_t older_format = store::format_version - 1;

/// The step to the present format. Says "b" and "e" around it when it is told to.
inline void run_older_step(store::lmdb::transaction& txn, const store::databases& dbs) {
    if (tell_of_upgrade) (void)!::write(1, "b", 1);
    put_older(txn, dbs, 'n');
    if (tell_of_upgrade) (void)!::write(1, "e", 1);
}

struct open_environment {
    explicit open_environment(const std::filesystem::path& directory)
        : env(directory, {.map_bytes = std::size_t{1} << 30}) {
        store::lmdb::transaction txn(env, store::lmdb::transaction::mode::read);
        dbs = store::open_databases(txn, false);
        txn.commit();
    }
    store::lmdb::environment env;
    store::databases dbs;
};

inline bool upgrade_from_older(const std::filesystem::path& directory) {
    open_environment in(directory);
    const store::upgrade_step steps[] = {{older_format, run_older_step}};
    return store::upgrade(in.env, in.dbs, steps, store::format_version);
}

/// Makes what a database holds one of the older format.
inline void make_older(const std::filesystem::path& directory) {
    open_environment in(directory);
    store::lmdb::transaction txn(in.env, store::lmdb::transaction::mode::write);
    put_older(txn, in.dbs, 'o');
    const auto rewrite = [&](const store::key& k, const auto& record) {
        std::vector<std::byte> value;
        encode(record, value);
        store::add_seal(k, value);
        txn.put(in.dbs.state, k, value);
    };
    auto meta = *store::decode_meta(
        store::unsealed(store::meta_key(), *txn.get(in.dbs.state, store::meta_key())));
    meta.format = older_format;
    rewrite(store::meta_key(), meta);
    auto counters = *store::decode_counters(
        store::unsealed(store::counters_key(), *txn.get(in.dbs.state, store::counters_key())));
    counters.commit = txn.id();
    rewrite(store::counters_key(), counters);
    txn.commit();
}

/// 0 or 1 when all of it is of the older or the present format, nothing when it is half of each.
/// Throws damaged when the counters do not belong to the last transaction.
inline std::optional<std::uint32_t> format_of_all(const std::filesystem::path& directory) {
    open_environment in(directory);
    const store::lmdb::transaction txn(in.env, store::lmdb::transaction::mode::read);
    const auto meta = *store::decode_meta(
        store::unsealed(store::meta_key(), *txn.get(in.dbs.state, store::meta_key())));
    const auto counters = *store::decode_counters(
        store::unsealed(store::counters_key(), *txn.get(in.dbs.state, store::counters_key())));
    if (counters.commit != txn.id()) throw store::damaged{"the counters"};
    const auto wanted = static_cast<std::byte>(meta.format == older_format ? 'o' : 'n');
    for (std::uint32_t n = 0; n < older_records; ++n) {
        const auto value = txn.get(in.dbs.state, older_key(n));
        if (!value || value->size() != 200 || value->front() != wanted || value->back() != wanted)
            return std::nullopt;
    }
    return meta.format - older_format;
}

}  // namespace cairn::test
