#pragma once

#include "lmdb.hpp"
#include "log.hpp"
#include "records.hpp"

#include <cairn/store/options.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

/// The files of a database: lock, creation, ballast. Names are those of FORMAT.md.
namespace cairn::store {

inline constexpr std::string_view lock_name = "cairn.lock";
inline constexpr std::string_view data_name = "data.mdb";
inline constexpr std::string_view lmdb_lock_name = "lock.mdb";
inline constexpr std::string_view ballast_name = "ballast";
inline constexpr std::string_view aside_name = "aside";  // a directory for what is not finished
// The same for a backup: what it leaves in its target is no store that begins.
inline constexpr std::string_view unfinished_copy_name = "unfinished_copy";

/// An open file descriptor.
class unique_fd {
public:
    explicit unique_fd(int fd = -1) noexcept : fd_(fd) {}
    ~unique_fd();
    unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

/// Throws error: what an errno means for `operation` on `object`.
[[noreturn]] void throw_errno(std::string_view operation, const std::filesystem::path& object,
                              int number);
/// The same for what an LMDB call threw.
[[noreturn]] void throw_failure(std::string_view operation, const std::filesystem::path& object,
                                const lmdb::failure& what);

/// Name of a network file system by statfs's type number; empty for a local one.
std::string_view network_filesystem(long type) noexcept;

/// Holds the directory's lock; `operation` is for the error's text. Made when it is missing, with
/// the directory, if `create`.
/// Fails: throws error store_in_use, filesystem_refused, permission_denied, invalid_argument.
unique_fd lock_directory(std::string_view operation, const std::filesystem::path& directory,
                         bool allow_network, bool create);

// The lock's file says whether the database was closed in good order: what LMDB's own file says can
// only be read by trusting it.

/// unknown: a new directory, a copy.
enum class last_end : std::uint8_t { unknown, closed, open };
last_end how_it_ended(const unique_fd& lock) noexcept;
inline bool was_closed(const unique_fd& lock) noexcept {
    return how_it_ended(lock) == last_end::closed;
}
/// From now on it counts as not closed, also after a power cut. Throws error(store_failed).
void mark_open(const unique_fd& lock, const std::filesystem::path& directory);
void mark_closed(const unique_fd& lock) noexcept;

/// Flushes a file's or directory's metadata. Throws error(store_failed).
void sync_path(const std::filesystem::path& path);
/// The same for the directory that holds `path`.
void sync_parent(const std::filesystem::path& path);

/// What is read of the file from now on is on the disk, whatever the process died of that had
/// written it. Throws error(store_failed).
void settle(const std::filesystem::path& file);

/// 16 bytes from the system's random source.
std::array<std::byte, 16> random_id();

/// Makes data.mdb complete or not at all: aside, with its meta record, synced, then renamed.
/// Requires: the lock. Throws error; lmdb::failure.
void create_data(const std::filesystem::path& directory, wall_time now);

/// Removes what an interrupted creation, compaction or copy left.
void clear_aside(const std::filesystem::path& directory);

/// Opens our three databases by name. Throws lmdb::failure; damaged.
databases open_databases(lmdb::transaction& txn, bool create);

/// Reads the meta record of an open environment and judges it.
/// Fails: throws damaged; error store_newer, not_supported.
meta_record read_meta(const lmdb::transaction& txn, const databases& dbs,
                      const std::filesystem::path& directory);

/// Throws damaged.
counters_record read_counters(const lmdb::transaction& txn, const databases& dbs);

/// A meta page of LMDB's has no checksum; each of our commits notes its number inside. One that is
/// torn names the last commit, and leads to an earlier one: what was confirmed since is not there.
/// `last`: the last commit by LMDB's count. Throws damaged.
void require_whole_meta(const counters_record& counters, std::uint64_t last);

/// Room on disk that is given back when the disk is full.
class ballast {
public:
    ballast(std::filesystem::path file, std::size_t size) : file_(std::move(file)), size_(size) {}

    /// Takes the room when the disk has twice as much; false when it has not.
    bool take() noexcept;
    void give_back() noexcept;
    std::size_t size() const noexcept { return size_; }
    /// Whether the disk, or the quota, has no room for a mebibyte. LMDB calls a write that the end
    /// of the disk cuts short an input/output error.
    bool is_needed() const noexcept;

private:
    std::filesystem::path file_;
    std::size_t size_;
};

}  // namespace cairn::store
