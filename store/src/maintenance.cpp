#include <cairn/store/maintenance.hpp>

#include "database_impl.hpp"
#include "directory.hpp"
#include "recount.hpp"
#include "structure.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::store {

namespace fs = std::filesystem;

namespace {

using mode = lmdb::transaction::mode;

constexpr std::size_t map_bytes = std::size_t{1} << 40;

struct copying {
    unsigned flags = 0;
    bool new_generation = false;
    bool looks = false;                         // at the copy's trees
    std::optional<counters_record> counters{};  // for those that cannot be read
};

// A compacted copy counts its transactions from one; a restored one has a new generation. Either
// way the records of the file have to say so.
void rewrite_heads(const fs::path& directory, const copying& how) {
    lmdb::environment env(directory, {.map_bytes = map_bytes});
    lmdb::transaction txn(env, mode::write);
    const databases dbs = open_databases(txn, false);
    counters_record counters = how.counters ? *how.counters : read_counters(txn, dbs);
    // Of a file that may be open, and was not looked at before. One that is compacted was.
    if (how.new_generation) require_whole_meta(counters, txn.id() - 1);
    meta_record meta = read_meta(txn, dbs, directory);
    std::vector<std::byte> value;
    if (how.new_generation) {
        meta.generation.bytes = random_id();
        encode(meta, value);
        add_seal(meta_key(), value);
        txn.put(dbs.state, meta_key(), value);
        value.clear();
    }
    counters.commit = txn.id();
    counters.clean = true;
    encode(counters, value);
    add_seal(counters_key(), value);
    txn.put(dbs.state, counters_key(), value);
    txn.commit();
}

// In the copy the numbers of commits begin anew, and nothing would tell of a torn meta page any
// more. Returns counters for those that cannot be read.
std::optional<counters_record> look_at_heads(lmdb::environment& env) {
    databases dbs;
    {
        lmdb::transaction txn(env, mode::read);
        dbs = open_databases(txn, false);
        txn.commit();  // keeps the handles
    }
    const lmdb::transaction txn(env, mode::read);
    std::optional<counters_record> counters;
    try {
        counters = read_counters(txn, dbs);
    } catch (const damaged&) {
    }
    if (!counters) {
        require_whole_meta_by_free_pages(txn);
        return recounted(txn, dbs);
    }
    require_whole_meta(*counters, txn.id());
    return {};
}

// LMDB walks trees without looking.
void require_sound_trees(std::string_view operation, const fs::path& directory,
                         const fs::path& file) {
    const structure_report trees = check_structure(file);
    if (!trees.problems.empty())
        throw error(errc::store_damaged, std::string(operation) + " " + directory.string() + ": " +
                                             trees.problems.front());
}

/// A directory for what is not finished; gone with this.
class aside_directory {
public:
    aside_directory(const fs::path& in, std::string_view name) : path_(in / name) {
        clear_aside(in);
        if (::mkdir(path_.c_str(), 0700) != 0) throw_errno("create", path_, errno);
    }
    ~aside_directory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    aside_directory(const aside_directory&) = delete;
    aside_directory& operator=(const aside_directory&) = delete;

    const fs::path& path() const noexcept { return path_; }
    fs::path data() const { return path_ / data_name; }

private:
    fs::path path_;
};

// Copies an environment, complete and synced.
void copy_to(const aside_directory& aside, MDB_env* env, const copying& how) {
    lmdb::expect_success("mdb_env_copy2", mdb_env_copy2(env, aside.path().c_str(), how.flags));
    // LMDB makes it readable for all.
    fs::permissions(aside.data(), fs::perms::owner_read | fs::perms::owner_write);
    if (how.looks) require_sound_trees("copy", aside.path(), aside.data());
    rewrite_heads(aside.path(), how);
    sync_path(aside.data());
}

void take_from(const aside_directory& aside, const fs::path& directory) {
    if (::rename(aside.data().c_str(), (directory / data_name).c_str()) != 0)
        throw_errno("rename", directory / data_name, errno);
    sync_path(directory);
}

/// Calls `work`; what LMDB, a record or a file is to blame for is thrown as error.
template <typename Work>
auto told(std::string_view operation, const fs::path& directory, Work&& work) {
    try {
        return work();
    } catch (const lmdb::failure& what) {
        throw_failure(operation, directory, what);
    } catch (const damaged& what) {
        throw error(errc::store_damaged,
                    std::string(operation) + " " + directory.string() + ": " + what.what);
    } catch (const fs::filesystem_error& what) {
        throw_errno(operation, directory, what.code().value());
    }
}

/// A directory that a copy is made in, and its lock. What a copy that fails has left is taken away
/// while it is locked, so that it can be tried again, and nobody has opened any of it.
class unfinished_copy {
public:
    /// Why not is told by lock().
    explicit unfinished_copy(const fs::path& target)
        : target_(target), made_(::mkdir(target.c_str(), 0700) == 0) {}
    ~unfinished_copy() {
        if (finished_) return;
        std::error_code ignored;
        if (ours_) {
            fs::remove(target_ / data_name, ignored);
            fs::remove(target_ / lock_name, ignored);  // who opened it before begins anew
        }
        if (made_) fs::remove(target_, ignored);
    }
    unfinished_copy(const unfinished_copy&) = delete;
    unfinished_copy& operator=(const unfinished_copy&) = delete;
    void lock(std::string_view operation) {
        lock_ = lock_directory(operation, target_, true, true);
    }
    /// Nothing of others is there, and nobody else puts anything there.
    void own() noexcept { ours_ = true; }
    void finish() {
        if (made_) sync_parent(target_);
        finished_ = true;
    }

private:
    fs::path target_;
    bool made_;
    bool ours_ = false;
    bool finished_ = false;
    unique_fd lock_;
};

/// Whether `inner` is `outer`, or is or would be below it, by whatever names they are given.
bool lies_in(const fs::path& inner, const fs::path& outer) {
    std::error_code unknown;  // what cannot be looked at is not written to either
    fs::path at = fs::weakly_canonical(fs::absolute(inner, unknown), unknown);
    while (!fs::equivalent(at, outer, unknown) && at.has_relative_path()) at = at.parent_path();
    return fs::equivalent(at, outer, unknown);
}

void require_apart(const fs::path& source, const fs::path& target) {
    const auto refuse = [&](const char* why) {
        throw error(errc::invalid_argument, "back up to " + target.string() + ": " + why + ", " +
                                                source.string() + "; name a directory beside it");
    };
    if (lies_in(target, source)) refuse("it is in the directory that is to be copied");
    if (lies_in(source, target)) refuse("it holds the directory that is to be copied");
}

// The lock's file is empty until a database is opened.
bool is_of_an_unfinished_copy(const fs::directory_entry& what) {
    const fs::path name = what.path().filename();
    if (name == lock_name) return what.file_size() == 0;
    return name == unfinished_copy_name && what.is_directory() &&
           std::all_of(fs::directory_iterator(what), fs::directory_iterator(), [](const auto& e) {
               return e.path().filename() == data_name || e.path().filename() == lmdb_lock_name;
           });
}

std::uint64_t back_up(MDB_env* env, const fs::path& target, bool looks) {
    constexpr std::string_view operation = "back up to";
    const auto require_free = [&] {
        if (fs::exists(target) && !std::all_of(fs::directory_iterator(target),
                                               fs::directory_iterator(), is_of_an_unfinished_copy))
            throw error(
                errc::invalid_argument,
                "back up to " + target.string() +
                    ": it is not empty; name a directory that is, or that is not there yet");
    };
    return told(operation, target, [&] {
        require_free();
        unfinished_copy copy(target);
        copy.lock(operation);
        require_free();  // of another copy, too, that ended meanwhile
        copy.own();
        const aside_directory aside(target, unfinished_copy_name);
        copy_to(aside, env, {.new_generation = true, .looks = looks});
        take_from(aside, target);
        copy.finish();
        return fs::file_size(target / data_name);
    });
}

}  // namespace

compact_report compact(const fs::path& directory) {
    const fs::path file = directory / data_name;
    std::error_code ignored;
    const unique_fd lock = lock_directory("compact", directory, true, fs::exists(file, ignored));
    require_sound_trees("compact", directory, file);
    return told("compact", directory, [&] {
        const std::uint64_t before = fs::file_size(file);
        const aside_directory aside(directory, aside_name);
        compact_report report;
        {
            lmdb::environment env(directory, {.map_bytes = map_bytes});
            const auto anew = look_at_heads(env);
            report.counted_anew = anew.has_value();
            copy_to(aside, env.handle(),
                    {.flags = MDB_CP_COMPACT, .looks = true, .counters = anew});
        }
        const std::uint64_t after = fs::file_size(aside.data());
        take_from(aside, directory);
        // A backup that is under way holds LMDB's table of the file that was here: the number of
        // its last transaction in there is not for this one.
        fs::remove(directory / lmdb_lock_name, ignored);
        report.given_back = before > after ? before - after : 0;
        return report;
    });
}

std::uint64_t backup(const database& source, const fs::path& target) {
    if (source.impl_->forked())
        throw error(errc::forked, "back up to " + target.string() + ": in a forked child");
    require_apart(source.directory(), target);
    return back_up(source.impl_->env->handle(), target, false);
}

std::uint64_t backup(const fs::path& source, const fs::path& target) {
    const auto refuse = [&](const char* why) {
        throw error(errc::invalid_argument, "back up " + source.string() + ": " + why);
    };
    std::error_code ignored;
    if (!fs::exists(source / data_name, ignored)) refuse("there is no database");
    require_apart(source, target);
    std::optional<lmdb::environment> env;
    try {
        // Room for one reader, if the table has none: who has it open maps no more than it asked.
        env.emplace(source,
                    lmdb::settings{.map_bytes = map_bytes, .readers_max = 1, .flags = MDB_RDONLY});
    } catch (const lmdb::already_open& other) {
        if (!other.reads()) refuse("this process has it open; back up the open database");
        throw_failure("back up", source, other);
    } catch (const lmdb::failure& what) {
        throw_failure("back up", source, what);
    }
    return back_up(env->handle(), target, true);
}

}  // namespace cairn::store
