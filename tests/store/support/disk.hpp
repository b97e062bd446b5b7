#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

/// What LMDB really does to one file: the program that links disk.cpp defines pwrite, writev and
/// fdatasync itself, so that LMDB's calls come by here.
///
/// Threads: one at a time; one file at a time.
namespace cairn::test::disk {

struct event {
    enum class kind { write, sync, confirm };
    kind what = kind::write;
    std::uint64_t offset = 0;
    std::vector<std::byte> bytes;
    bool synced = false;      ///< on a descriptor with O_DSYNC: durable when it returns
    bool failed = false;      ///< sync: what was written before stays unsure for ever
    bool lost = false;        ///< write: not on the disk, and no sync will bring it there
    std::uint64_t token = 0;  ///< confirm: the caller's
};

/// Keeps every write and sync of that file from now on.
void start_recording(const std::filesystem::path& file);
std::vector<event> stop_recording();
/// Notes among the events that the store has confirmed something.
void confirm(std::uint64_t token);

/// `unsure`: an error of input and output after which, by chance, the write is in the page cache or
/// not, and on the disk or not. In the cache it counts as written: no later sync looks at it.
enum class fault { none, io_error, no_space, no_quota, read_only, short_write, unsure };

/// Counts calls on that file from now on, and fails call number `at` (from 0), or all from it on.
void start_faults(const std::filesystem::path& file, fault what, std::uint64_t at, bool lasting,
                  std::uint64_t seed = 0);
/// Ends the faults; how many calls came by.
std::uint64_t stop_faults();
/// Whether a call failed or wrote less: a sync and a write of one part cannot be cut short.
bool struck();

/// What was written to that file fails with `first` on its way to the disk, later than the call. As
/// Linux does, each descriptor is told once, by its next sync or synced write, which does its work
/// all the same: who is told after the first one is told `then`. 0: nobody is told any more.
void fail_writeback(const std::filesystem::path& file, int first, int then);

/// Keeps the paths of all files and directories that are synced as a whole from now on.
void start_noting_syncs();
std::vector<std::filesystem::path> stop_noting_syncs();

/// Stops the next write() of a whole file, as a copy makes it, in its middle.
///
/// Threads: made and let go on one thread, while another copies.
class held_copy {
public:
    held_copy();
    /// Lets go.
    ~held_copy();
    held_copy(const held_copy&) = delete;
    held_copy& operator=(const held_copy&) = delete;
    void wait_until_held();
    void let_go();
};

/// Stops every fdatasync() of the file that is recorded, as a disk does that takes long.
///
/// Threads: made and let go on one thread, while others sync.
class held_syncs {
public:
    held_syncs();
    /// Lets go.
    ~held_syncs();
    held_syncs(const held_syncs&) = delete;
    held_syncs& operator=(const held_syncs&) = delete;
    void wait_until_held();
    void let_go();
};

/// Stops the first write of the file that is recorded until somebody asks the kernel to begin
/// writing the file back, with sync_file_range(); for a minute at most.
///
/// Threads: made and asked on one thread, while others write.
class held_write {
public:
    held_write();
    /// Lets go.
    ~held_write();
    held_write(const held_write&) = delete;
    held_write& operator=(const held_write&) = delete;
    bool was_let_go_by_writeback() const;
};

/// Counts how often fstat() asks for that file's times from now on.
void start_counting_times(const std::filesystem::path& file);
std::uint64_t stop_counting_times();

/// Keeps which files are removed from now on while nobody holds the lock, cairn.lock, that lies
/// beside them.
void start_noting_removals();
std::vector<std::filesystem::path> stop_noting_removals();

/// Whether somebody holds that lock.
bool is_locked(const std::filesystem::path& lock);

/// Does `what` in front of the next flock().
void before_next_lock(std::function<void()> what);

/// Whether no file gets room of its own from now on, whatever is written.
void pretend_full(bool full);

/// How many values one transaction of LMDB takes from now on, until it says that it is full; 0: the
/// truth, some 100,000 pages. Counted from the transaction's begin.
void limit_transactions(std::size_t puts);

/// Of so many transactions of LMDB's from now on the commit finds that they are full.
void refuse_commits(int transactions);

/// How often LMDB was asked for a key, or for the next one.
std::uint64_t lookups();

/// What statfs() says of any file from now on, a number of statfs(2); 0: the truth.
void pretend_filesystem(long type);

/// The file after a power cut at event `at`: everything synced before, and of the rest what
/// `arrives(write, sector)` says, by sectors of 512 bytes.
template <typename Arrives>
std::vector<std::byte> image_after(std::vector<std::byte> base, const std::vector<event>& events,
                                   std::size_t at, Arrives&& arrives) {
    constexpr std::size_t sector = 512;
    const auto put = [&](const event& e, std::size_t from, std::size_t to) {
        if (base.size() < e.offset + to) base.resize(e.offset + to);
        std::copy(e.bytes.begin() + static_cast<std::ptrdiff_t>(from),
                  e.bytes.begin() + static_cast<std::ptrdiff_t>(to),
                  base.begin() + static_cast<std::ptrdiff_t>(e.offset + from));
    };
    std::vector<bool> synced(at + 1);
    for (std::size_t i = 0, begin = 0; i < at; ++i) {
        if (events[i].what != event::kind::sync) continue;
        if (!events[i].failed)
            std::fill(synced.begin() + static_cast<std::ptrdiff_t>(begin),
                      synced.begin() + static_cast<std::ptrdiff_t>(i), true);
        begin = i;
    }
    for (std::size_t i = 0; i <= at && i < events.size(); ++i) {
        const event& e = events[i];
        if (e.what != event::kind::write || e.lost) continue;
        if (synced[i] || (e.synced && i < at)) {
            put(e, 0, e.bytes.size());
            continue;
        }
        for (std::size_t from = 0; from < e.bytes.size();) {
            const std::size_t to =
                std::min(e.bytes.size(), from + sector - (e.offset + from) % sector);
            if (arrives(i, from / sector)) put(e, from, to);
            from = to;
        }
    }
    return base;
}

std::vector<std::byte> read_file(const std::filesystem::path& file);
void write_file(const std::filesystem::path& file, std::span<const std::byte> bytes);

}  // namespace cairn::test::disk
