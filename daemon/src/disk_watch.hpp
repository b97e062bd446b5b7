#pragma once

#include <cairn/runtime/hub.hpp>
#include <cairn/store/committer.hpp>
#include <cairn/store/database.hpp>

#include <chrono>

namespace cairn::daemon {

/// Says in the log, once for each change, that the disk failed, is full, or has room again, and
/// that the clock jumped ahead, which is not believed at once.
///
/// It looks rather than being told: the disk may fail under the upkeep of an idle store, which
/// nobody hears of.
///
/// Owns:    its timer. Hub, database and committer must outlive it.
/// Threads: loop, also construction and destruction.
class disk_watch final : public runtime::task {
public:
    disk_watch(runtime::hub& hub, const store::database& data, const store::committer& committer);
    ~disk_watch();

    void run(time_point now) override;

    static constexpr std::chrono::milliseconds interval = std::chrono::seconds(1);

private:
    runtime::hub& hub_;
    const store::database& data_;
    const store::committer& committer_;
    bool failed_ = false;
    bool full_ = false;
    bool ahead_ = false;
};

}  // namespace cairn::daemon
