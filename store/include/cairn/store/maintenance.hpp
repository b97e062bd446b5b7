#pragma once

#include <cairn/error.hpp>
#include <cairn/store/database.hpp>
#include <cairn/store/ids.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cairn::store {

/// Something that verify() found.
struct finding {
    std::string what;      ///< in words, with the page, or the record by its name
    topic_id topic;        ///< 0: not of one topic
    offset_range offsets;  ///< messages that cannot be served; empty: none
};

/// What makes a database whole again.
enum class remedy {
    nothing,  ///< it is
    /// It opens, and what cannot be read is told as a gap or refused. It is sound again without the
    /// messages (trim), group or topic that are damaged; a backup has them.
    leave_out,
    compact,  ///< it does not open before compact() has made its counters anew
    restore   ///< a backup: it does not open, or may end the process
};

struct verify_report {
    std::vector<finding> findings;   ///< 1,024 at most
    std::uint64_t found = 0;         ///< in all
    remedy helps = remedy::nothing;  ///< the furthest that a finding asks for
    std::uint64_t pages = 0;         ///< of the trees
    /// Whether what follows is known: where the trees or the meta record are damaged, nothing else
    /// is looked at.
    bool content_walked = false;
    std::uint64_t topics = 0;
    std::uint64_t batches = 0;
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;  ///< of bodies whose checksum was made again
    bool sound() const noexcept { return found == 0; }
};

// verify() and compact() take the lock of a closed database, and throw error as the database's
// constructor does. Threads: any; one of them at a time for one directory, the others throw
// store_in_use, as all do while this process copies it by its path.

/// Walks everything: tree pages, pieces, checksums, indexes, sequences, group state.
/// Changes nothing.
/// Whatever is damaged is a finding; trees that are damaged are not trusted further.
verify_report verify(const std::filesystem::path& directory);

/// What compact() did.
struct compact_report {
    std::uint64_t given_back = 0;  ///< bytes that the disk got back
    bool counted_anew = false;     ///< the store's counters were damaged
};

/// Writes the database anew without its free pages, and replaces the file; needs room for both.
///
/// Damaged counters of the whole store, for which it does not open, are made anew from what is
/// stored. Two of them no record tells. The latest stored time is that of the youngest message that
/// is there: where the clock was ahead and what came then has gone, stored times go back to the
/// clock's. Topics that are made later have numbers a million higher, since those of deleted topics
/// are not used again. A torn meta page is noticed all the same.
/// Fails: throws error: store_damaged (the trees, the meta record, or a torn meta page: a confirmed
/// commit is not there), disk_full, store_failed, and for the lock as the database's constructor.
compact_report compact(const std::filesystem::path& directory);

/// Copies an open database, while it is written, as it is at one moment, to `target`, a directory
/// that does not exist, is empty, or holds what an interrupted backup left. The copy has a
/// generation of its own; opening it is restoring it.
/// Returns its bytes. Any thread. While it runs, pages that writers free are not used again, so the
/// file grows by what is written meanwhile.
/// Fails: throws error: invalid_argument (`target` holds something, or one of the two directories
/// lies in the other), disk_full, store_failed, forked (in a child of the process that opened it).
std::uint64_t backup(const database& source, const std::filesystem::path& target);

/// The same for a database that another process has open, or nobody; it goes on, or is opened
/// there, meanwhile. The copy's trees are looked at, as when a database is opened after a crash.
/// Fails: as above; invalid_argument (no database, or this process has it open or compacts it),
/// store_in_use (this process is copying it by its path, or verifying it), store_damaged.
std::uint64_t backup(const std::filesystem::path& source, const std::filesystem::path& target);

}  // namespace cairn::store
