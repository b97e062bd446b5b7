#pragma once

#include "apply.hpp"
#include "directory.hpp"
#include "forks.hpp"

#include <cairn/store/database.hpp>

#include <atomic>
#include <map>
#include <set>

namespace cairn::store {

/// What the parts of the store see of an open database.
struct database::impl {
    impl(const std::filesystem::path& where, const options& chosen);

    bool commit(std::span<const command> commands, wall_time now, std::vector<reply>& replies,
                const early& written);
    void close();
    /// In a child of the process that opened it: nothing here may be touched.
    bool forked() const noexcept { return forks() != opened_after_forks; }
    enum class file_fate : std::uint8_t {
        whole,
        cut_short,  ///< what lies behind its end kills who looks at it
        removed,    ///< it can be read, and whoever opens the directory next finds nothing of it
    };
    /// What somebody else has done to the file.
    file_fate fate_of_file() const noexcept;
    /// Counts the free pages when the file has come near the end of its map.
    bool map_is_short() const;
    /// Bytes of free pages inside the file. Takes time in proportion to LMDB's list of them.
    std::uint64_t free_bytes() const;
    /// Notes what a reader copied out of the map. Replay would make the whole database resident.
    void has_read(std::size_t bytes) const noexcept;

    std::filesystem::path directory;
    options chosen;
    unique_fd lock;
    unique_fd data;  // to ask what became of writes to the file
    std::unique_ptr<lmdb::environment> env;
    databases dbs;
    store::opening opening;
    store_limits limits;
    store::ballast reserve;
    const std::uint64_t opened_after_forks = forks();
    mutable std::atomic<std::uint64_t> unreleased_bytes{0};
    std::atomic<std::uint64_t> file_bytes{0};  // never less, as long as nobody else changes it
    std::atomic<std::uint64_t> used_bytes{0};  // of them, up to the last page
    bool had_name = false;                     // at opening: some file systems count no names

    // Of the writer.
    bool disk_full = false;
    std::uint64_t last_commit = 0;
    known_records known;
    /// What is to be looked after in the next transactions.
    struct upkeep {
        std::set<topic_id> due;
        topic_id patrol;  // the topic that was looked after last in turn
        victim_search search;
    } kept_up;
    unsigned deaths = 0;  // in a row, of processes that had it open
    bool changed_since_open = false;
    bool open = true;
    wall_time readers_checked;

    struct counts {
        std::atomic<std::uint64_t> commits{0};
        std::atomic<std::uint64_t> refused{0};
        std::atomic<std::uint64_t> bytes{0};
        std::atomic<std::uint64_t> messages{0};
        std::atomic<std::uint64_t> trimmed{0};
        std::atomic<std::uint64_t> repeats{0};
        std::atomic<bool> disk_full{false};
        std::atomic<bool> failed{false};
        std::atomic<bool> file_removed{false};
    } counts;

private:
    enum class ending { unchanged, committed };
    struct admission {
        errc refuse = errc::ok;                    // what appends are answered; ok: they are taken
        std::size_t bytes_max = commit_bytes_max;  // of bodies
        errc beyond = errc::limit_exceeded;
        std::size_t commands_max = ~std::size_t{0};            // in one transaction
        bool maintains = true;                                 // does what is due besides
        std::map<std::size_t, errc> failed;                    // commands that failed halfway
        std::map<std::size_t, reply> told;                     // before the sync
        std::map<std::pair<topic_id, group_id>, errc> spoilt;  // none is tried any more
    };
    admission admit(std::span<const command> commands);
    /// What transactions of a commit have done of it.
    struct progress {
        std::vector<std::size_t> order;  // in which the commands are applied
        std::size_t applied = 0;         // so many of them
        std::size_t bytes = 0;           // of their bodies
    };
    static bool lighten(admission& let, const progress& done);
    ending attempt(std::span<const command> commands, wall_time now, std::vector<reply>& replies,
                   const early& written, admission& let, progress& done, bool& more);
    static void tell_early(std::span<const std::size_t> applied, const std::vector<reply>& replies,
                           const early& written, admission& let);
    void maintain(changes& c, work_budget& budget, bool idle, upkeep& left, bool& more);
    void count_refused(const std::vector<reply>& replies) noexcept;
    void check_trees() const;
    bool is_writable() const noexcept;
    /// Every descriptor of the file is told of what found no room. Throws lmdb::failure when
    /// something else failed.
    void hear_of_failed_writes() const;
    void see_file_size() noexcept;
    /// Nothing is written any more.
    void fail() noexcept;
};

}  // namespace cairn::store
