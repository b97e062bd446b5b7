#pragma once

#include "apply.hpp"
#include "directory.hpp"

#include <cairn/store/database.hpp>

#include <atomic>

namespace cairn::store {

/// What the parts of the store see of an open database.
struct database::impl {
    impl(const std::filesystem::path& where, const options& chosen);

    bool commit(std::span<const command> commands, wall_time now, std::vector<reply>& replies,
                const early& written);
    void close();
    /// Counts the free pages when the file has come near the end of its map.
    bool map_is_short() const;

    std::filesystem::path directory;
    options chosen;
    unique_fd lock;
    std::unique_ptr<lmdb::environment> env;
    databases dbs;
    store::opening opening;
    store_limits limits;
    store::ballast reserve;

    // Of the writer.
    bool disk_full = false;
    std::set<topic_id> due;
    topic_id patrol;  // the topic that was looked after last in turn
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
    } counts;

private:
    enum class ending { unchanged, committed };
    ending attempt(std::span<const command> commands, wall_time now, std::vector<reply>& replies,
                   const early& written, errc refuse, bool& more);
    void maintain(changes& c, work_budget& budget, bool idle, bool& more);
    bool room_is_back();
};

}  // namespace cairn::store
