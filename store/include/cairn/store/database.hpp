#pragma once

#include <cairn/store/commands.hpp>
#include <cairn/store/options.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace cairn::store {

/// What the last opening found.
struct opening {
    store::generation generation;
    std::uint32_t format = 0;
    bool created = false;
    bool clean = false;  ///< closed in good order before; true when created
    std::uint64_t last_commit = 0;
    std::uint64_t stale_readers = 0;  ///< left behind by processes that died
};

struct database_stats {
    std::uint64_t commits = 0;       ///< since open, that changed something
    std::uint64_t refused = 0;       ///< commands whose reply was not ok
    std::uint64_t stored_bytes = 0;  ///< what quota_bytes bounds
    std::uint64_t stored_messages = 0;
    std::uint64_t quota_bytes = 0;  ///< the one in force
    std::uint64_t file_bytes = 0;
    std::uint64_t trimmed_batches = 0;
    std::uint64_t repeats = 0;
    bool disk_full = false;
    bool failed = false;
    bool file_removed = false;  ///< that is why: its file was removed, or another put in its place
};

/// Throws error (invalid_argument) for what a database does not take.
void check_options(const std::filesystem::path& directory, const options& chosen);

/// A durable, sequence-numbered log of many topics in one directory: a state machine over LMDB.
///
/// When commit() has returned, everything that its replies confirm is on the disk, and survives the
/// death of the process and the loss of power. README.md says exactly what that means.
///
/// Owns:    the directory and its lock. One opener: a second throws store_in_use.
/// Threads: commit() and close() one at a time, always on one thread; stats() thread-safe.
///          Readers (reader.hpp) on threads of their own.
/// Fails:   construction throws error: store_in_use, store_newer, store_damaged, store_failed,
///          filesystem_refused, permission_denied, disk_full, invalid_argument, not_supported
///          (pages of another size than 4,096 bytes). commit() answers in its replies.
/// Limits:  options; commit_bytes_max a commit. In a forked child commit() answers forked; close
///          descriptors that you do not pass on: the lock is held as long as a child lives.
class database {
public:
    /// Opens the database in `directory`, or makes one, with the directory when its parent exists.
    /// What an interrupted backup left there is neither: it throws invalid_argument.
    explicit database(const std::filesystem::path& directory, const options& chosen = {});
    /// Closes.
    ~database();
    database(const database&) = delete;
    database& operator=(const database&) = delete;

    const opening& opened() const noexcept;
    const std::filesystem::path& directory() const noexcept;

    /// Told of replies that `durability::written` confirms, before the sync, once each: index in
    /// `commands`, and the reply. `replies` has the same there, or takes it back and has an error:
    /// when the sync fails, or when LMDB had no room for a command in front, without which it would
    /// get another offset than it was told (store_full).
    using early = std::function<void(std::size_t, const reply&)>;

    /// Applies all commands, in order, in one transaction, and syncs. In several, each synced
    /// before the next begins, when dead letters, redrives, forgotten attempts, keys, acks in many
    /// places or some 24,000 commands would make one too large. Appends next to each other are
    /// applied topic by topic, in the order of topic_id. `replies` gets one for each command.
    ///
    /// Does a bounded share of what is due besides (retention, deleted topics) and returns whether
    /// more is. Without commands it does only that.
    ///
    /// After a failed write or sync the commands of that transaction and all behind it are answered
    /// store_failed, and so are all commits until the database is opened again. What was answered
    /// ok, earlier in this commit too, is stored. Whether the transaction that failed is stored is
    /// not known, but it is whole or not at all; nothing behind it is. So it is when the file is
    /// found to be cut, or removed: what is there no more can still be read here, and backed up.
    /// `now` may jump: stored times never go back.
    bool commit(std::span<const command> commands, wall_time now, std::vector<reply>& replies,
                const early& written = {});

    /// Marks the database as closed in good order. No more commits. Readers must be gone.
    void close();

    database_stats stats() const noexcept;

    struct impl;

private:
    friend class reader;
    friend std::uint64_t backup(const database& source, const std::filesystem::path& target);
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn::store
