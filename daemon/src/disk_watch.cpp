#include "disk_watch.hpp"

#include <string>
#include <utility>

namespace cairn::daemon {

disk_watch::disk_watch(runtime::hub& hub, const store::database& data) : hub_(hub), data_(data) {
    run(hub_.loop().now());
}

disk_watch::~disk_watch() { hub_.loop().remove(*this); }

void disk_watch::run(time_point now) {
    const store::database_stats found = data_.stats();
    const std::string disk = "the disk of " + data_.directory().string();
    if (found.failed && !std::exchange(failed_, true))
        hub_.log(log_level::error, "disk",
                 disk +
                     " failed in a write or a sync: nothing more is stored or confirmed until the "
                     "store is opened again. What was confirmed before is not concerned");
    if (std::exchange(full_, found.disk_full) != found.disk_full)
        hub_.log(found.disk_full ? log_level::error : log_level::info, "disk",
                 disk + (found.disk_full ? " is full: appends are refused, acks and trims go on"
                                         : " has room again: appends are taken"));
    hub_.loop().at(*this, now + interval);
}

}  // namespace cairn::daemon
