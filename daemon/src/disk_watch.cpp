#include "disk_watch.hpp"

#include <string>
#include <utility>

namespace cairn::daemon {

disk_watch::disk_watch(runtime::hub& hub, const store::database& data,
                       const store::committer& committer)
    : hub_(hub), data_(data), committer_(committer) {
    run(hub_.loop().now());
}

disk_watch::~disk_watch() { hub_.loop().remove(*this); }

void disk_watch::run(time_point now) {
    const store::database_stats found = data_.stats();
    const std::string disk = "the disk of " + data_.directory().string();
    if (found.failed && !std::exchange(failed_, true))
        hub_.log(
            log_level::error, "disk",
            found.file_removed
                ? "the data file in " + data_.directory().string() +
                      " was removed, or another was put in its place: nothing more is stored or "
                      "confirmed. Whoever opens the store next finds what is there now: end it, "
                      "and put the data or a backup there first"
                : disk +
                      " failed in a write or a sync: nothing more is stored or confirmed until the "
                      "store is opened again. What was confirmed before is not concerned");
    if (std::exchange(full_, found.disk_full) != found.disk_full)
        hub_.log(found.disk_full ? log_level::error : log_level::info, "disk",
                 disk + (found.disk_full ? " is full: appends are refused, acks and trims go on"
                                         : " has room again: appends are taken"));
    const std::chrono::nanoseconds ahead = committer_.stats().clock_ahead;
    if (const bool jumped = ahead.count() != 0; std::exchange(ahead_, jumped) != jumped && jumped)
        hub_.log(log_level::warning, "clock",
                 "the clock jumped ahead by " +
                     std::to_string(std::chrono::ceil<std::chrono::seconds>(ahead).count()) +
                     " s: it is not followed before it has been so for ten minutes, since what it "
                     "makes older than its age limit is deleted");
    hub_.loop().at(*this, now + interval);
}

}  // namespace cairn::daemon
