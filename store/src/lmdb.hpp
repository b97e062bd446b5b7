#pragma once

#include "bytes.hpp"
#include "open_here.hpp"

#include <lmdb.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>

/// The part of LMDB that the store uses, with owners. No DUPSORT, no nested transactions, no
/// WRITEMAP, no NOSYNC. Nothing here retries.
namespace cairn::store::lmdb {

/// What an LMDB call returned: an MDB_ code or an errno.
class failure : public std::runtime_error {
public:
    failure(const char* call, int code)
        : std::runtime_error(std::string(call) + ": " + mdb_strerror(code)), code_(code) {}
    int code() const noexcept { return code_; }

private:
    int code_;
};

/// This process has an environment open there, which a second one would harm.
class already_open : public failure {
public:
    explicit already_open(bool reads) : failure("mdb_env_open", EBUSY), reads_(reads) {}
    /// Whether the other copies or verifies it.
    bool reads() const noexcept { return reads_; }

private:
    bool reads_;
};

/// Whether an errno says that the disk, or a quota, has no room.
inline bool is_lack_of_room(int code) noexcept { return code == ENOSPC || code == EDQUOT; }

inline void expect_success(const char* call, int code) {
    if (code != MDB_SUCCESS) throw failure(call, code);
}

struct item {
    bytes key;
    bytes value;
};

/// The file on the disk, as it is now.
struct file_state {
    std::uint64_t bytes = 0;
    bool has_name = true;  // in any directory
};

struct settings {
    std::size_t map_bytes = 0;
    unsigned readers_max = 126;
    unsigned flags = 0;
};

/// Owns:    the mapping and its descriptors. One at a time in a directory.
/// Threads: thread-safe as LMDB says: one write transaction at a time, ended by its thread.
/// Fails:   throws failure; already_open.
class environment {
public:
    environment(const std::filesystem::path& directory, const settings& chosen);
    ~environment() { mdb_env_close(env_); }
    environment(const environment&) = delete;
    environment& operator=(const environment&) = delete;

    MDB_env* handle() const noexcept { return env_; }
    std::size_t map_bytes() const;
    /// Pages from the file's begin to the last that is used.
    std::uint64_t pages() const;
    std::uint32_t page_bytes() const;
    file_state file() const;
    /// Lets the system say now what it has not yet told LMDB's descriptors of writes that failed on
    /// their way to the disk. Returns the first errno that is no lack of room, or 0.
    int told_of_failed_writes() const noexcept;
    /// Clears reader slots of processes that died; how many.
    std::uint64_t clear_stale_readers();
    /// Takes what was looked at out of this process's resident memory. It stays in the page cache,
    /// and is mapped again when it is looked at again; transactions do not notice.
    void release_pages() const noexcept;

private:
    void find_map(const std::filesystem::path& data);
    void find_meta_descriptor();

    const open_here here_;
    MDB_env* env_ = nullptr;
    mdb_filehandle_t meta_ = -1;  // with which LMDB writes and syncs meta pages; -1: not found
    void* map_ = nullptr;         // where the kernel says; null: not found, and nothing is released
    std::size_t map_bytes_ = 0;
};

/// A transaction; aborted unless committed.
///
/// Threads: one at a time; a write transaction on the thread that began it.
class transaction {
public:
    enum class mode { read, write };

    transaction(environment& env, mode how) {
        expect_success("mdb_txn_begin", mdb_txn_begin(env.handle(), nullptr,
                                                      how == mode::read ? MDB_RDONLY : 0, &txn_));
    }
    ~transaction() {
        if (txn_ != nullptr) mdb_txn_abort(txn_);
    }
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;

    MDB_txn* handle() const noexcept { return txn_; }
    std::uint64_t id() const noexcept { return mdb_txn_id(txn_); }

    MDB_dbi open(const char* name, bool create) {
        MDB_dbi dbi = 0;
        expect_success("mdb_dbi_open", mdb_dbi_open(txn_, name, create ? MDB_CREATE : 0, &dbi));
        return dbi;
    }

    std::optional<bytes> get(MDB_dbi dbi, bytes key) const {
        MDB_val k = value_of(key);
        MDB_val v{};
        const int code = mdb_get(txn_, dbi, &k, &v);
        if (code == MDB_NOTFOUND) return std::nullopt;
        expect_success("mdb_get", code);
        return bytes_at(v);
    }

    void put(MDB_dbi dbi, bytes key, bytes value) {
        MDB_val k = value_of(key);
        MDB_val v = value_of(value);
        expect_success("mdb_put", mdb_put(txn_, dbi, &k, &v, 0));
    }

    /// Room for a value, to be filled before the next call.
    std::byte* reserve(MDB_dbi dbi, bytes key, std::size_t size) {
        MDB_val k = value_of(key);
        MDB_val v{size, nullptr};
        expect_success("mdb_put", mdb_put(txn_, dbi, &k, &v, MDB_RESERVE));
        return static_cast<std::byte*>(v.mv_data);
    }

    /// Whether there was one.
    bool erase(MDB_dbi dbi, bytes key) {
        MDB_val k = value_of(key);
        const int code = mdb_del(txn_, dbi, &k, nullptr);
        if (code == MDB_NOTFOUND) return false;
        expect_success("mdb_del", code);
        return true;
    }

    /// Requires: a write transaction.
    void commit() {
        MDB_txn* const txn = txn_;
        txn_ = nullptr;  // gone, whatever is returned
        expect_success("mdb_txn_commit", mdb_txn_commit(txn));
    }

    // A read transaction gives its snapshot back and takes a new one, in the same reader slot.
    void reset() noexcept { mdb_txn_reset(txn_); }
    void renew() { expect_success("mdb_txn_renew", mdb_txn_renew(txn_)); }

    static MDB_val value_of(bytes data) noexcept {
        return {data.size(), const_cast<std::byte*>(data.data())};
    }
    static bytes bytes_at(const MDB_val& value) noexcept {
        return {static_cast<const std::byte*>(value.mv_data), value.mv_size};
    }

private:
    MDB_txn* txn_ = nullptr;
};

/// Walks one database. Must be gone before its transaction ends, and is void after a write there.
class cursor {
public:
    cursor(const transaction& txn, MDB_dbi dbi) {
        expect_success("mdb_cursor_open", mdb_cursor_open(txn.handle(), dbi, &cursor_));
    }
    ~cursor() { mdb_cursor_close(cursor_); }
    cursor(const cursor&) = delete;
    cursor& operator=(const cursor&) = delete;

    /// The first item at or behind a key.
    std::optional<item> seek(bytes key) {
        MDB_val k = transaction::value_of(key);
        return step(&k, MDB_SET_RANGE);
    }
    std::optional<item> first() { return step(nullptr, MDB_FIRST); }
    std::optional<item> next() { return step(nullptr, MDB_NEXT); }
    std::optional<item> previous() { return step(nullptr, MDB_PREV); }
    std::optional<item> last() { return step(nullptr, MDB_LAST); }

    /// The last item before a key.
    std::optional<item> before(bytes key) { return seek(key) ? previous() : last(); }

private:
    std::optional<item> step(const MDB_val* wanted, MDB_cursor_op op) {
        MDB_val k = wanted != nullptr ? *wanted : MDB_val{};
        MDB_val v{};
        const int code = mdb_cursor_get(cursor_, &k, &v, op);
        if (code == MDB_NOTFOUND) return std::nullopt;
        expect_success("mdb_cursor_get", code);
        return item{transaction::bytes_at(k), transaction::bytes_at(v)};
    }

    MDB_cursor* cursor_ = nullptr;
};

}  // namespace cairn::store::lmdb
