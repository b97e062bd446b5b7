#include <cairn/store/maintenance.hpp>

#include "database_impl.hpp"
#include "directory.hpp"
#include "structure.hpp"

#include <sys/stat.h>

#include <cstdio>

namespace cairn::store {

namespace fs = std::filesystem;

namespace {

using mode = lmdb::transaction::mode;

constexpr std::size_t map_bytes = std::size_t{1} << 40;

// A compacted copy counts its transactions from one; a restored one has a new generation. Either
// way the records of the file have to say so.
void rewrite_heads(const fs::path& directory, bool new_generation) {
    lmdb::environment env(directory, {.map_bytes = map_bytes});
    lmdb::transaction txn(env, mode::write);
    const databases dbs = open_databases(txn, false);
    const auto counted = txn.get(dbs.state, counters_key());
    auto counters = counted ? decode_counters(unsealed(counters_key(), *counted)) : std::nullopt;
    if (!counters) throw damaged{"the counters"};
    meta_record meta = read_meta(txn, dbs, directory);
    std::vector<std::byte> value;
    if (new_generation) {
        meta.generation.bytes = random_id();
        encode(meta, value);
        add_seal(meta_key(), value);
        txn.put(dbs.state, meta_key(), value);
        value.clear();
    }
    counters->commit = txn.id();
    counters->clean = true;
    encode(*counters, value);
    add_seal(counters_key(), value);
    txn.put(dbs.state, counters_key(), value);
    txn.commit();
}

// Copies an environment to directory/aside, complete and synced.
void copy_aside(MDB_env* env, const fs::path& directory, unsigned flags, bool new_generation) {
    clear_aside(directory);
    const fs::path aside = directory / aside_name;
    if (::mkdir(aside.c_str(), 0700) != 0) throw_errno("create", aside, errno);
    lmdb::expect_success("mdb_env_copy2", mdb_env_copy2(env, aside.c_str(), flags));
    rewrite_heads(aside, new_generation);
    sync_path(aside / data_name);
}

/// Takes away what a copy that fails has left, so that it can be tried again.
class unfinished_copy {
public:
    explicit unfinished_copy(const fs::path& target)
        : target_(target), made_(!fs::exists(target)) {}
    ~unfinished_copy() {
        if (finished_) return;
        std::error_code ignored;
        if (ours_) {
            fs::remove_all(target_ / aside_name, ignored);
            fs::remove(target_ / data_name, ignored);
            fs::remove(target_ / lock_name, ignored);
        }
        if (made_) fs::remove(target_, ignored);
    }
    unfinished_copy(const unfinished_copy&) = delete;
    unfinished_copy& operator=(const unfinished_copy&) = delete;
    /// Nobody else puts anything there.
    void locked() noexcept { ours_ = true; }
    void finish() {
        if (made_) sync_parent(target_);
        finished_ = true;
    }

private:
    fs::path target_;
    bool made_;
    bool ours_ = false;
    bool finished_ = false;
};

void rename_from_aside(const fs::path& directory) {
    if (::rename((directory / aside_name / data_name).c_str(), (directory / data_name).c_str()) !=
        0)
        throw_errno("rename", directory / data_name, errno);
    sync_path(directory);
    clear_aside(directory);
}

}  // namespace

std::uint64_t compact(const fs::path& directory) {
    const unique_fd lock = lock_directory("compact", directory, true, false);
    const fs::path file = directory / data_name;
    // The copy walks the trees as LMDB does, without looking.
    const structure_report trees = check_structure(file);
    if (!trees.problems.empty())
        throw error(errc::store_damaged,
                    "compact " + directory.string() + ": " + trees.problems.front());
    try {
        const std::uint64_t before = fs::file_size(file);
        {
            lmdb::environment env(directory, {.map_bytes = map_bytes});
            copy_aside(env.handle(), directory, MDB_CP_COMPACT, false);
        }
        const std::uint64_t after = fs::file_size(directory / aside_name / data_name);
        rename_from_aside(directory);
        return before > after ? before - after : 0;
    } catch (const lmdb::failure& what) {
        throw_failure("compact", directory, what);
    } catch (const damaged& what) {
        throw error(errc::store_damaged, "compact " + directory.string() + ": " + what.what);
    } catch (const fs::filesystem_error& what) {
        throw_errno("compact", directory, what.code().value());
    }
}

std::uint64_t backup(const database& source, const fs::path& target) {
    std::error_code ignored;
    if (fs::exists(target, ignored) && !fs::is_empty(target, ignored))
        throw error(errc::invalid_argument, "back up to " + target.string() + ": it is not empty");
    unfinished_copy copy(target);
    const unique_fd lock = lock_directory("back up to", target, true, true);
    if (fs::exists(target / data_name, ignored))
        throw error(errc::invalid_argument, "back up to " + target.string() + ": it is not empty");
    copy.locked();
    try {
        copy_aside(source.impl_->env->handle(), target, 0, true);
        rename_from_aside(target);
        copy.finish();
        return fs::file_size(target / data_name);
    } catch (const lmdb::failure& what) {
        throw_failure("back up to", target, what);
    } catch (const damaged& what) {
        throw error(errc::store_damaged, "back up to " + target.string() + ": " + what.what);
    } catch (const fs::filesystem_error& what) {
        throw_errno("back up to", target, what.code().value());
    }
}

}  // namespace cairn::store
