#pragma once

#include "appending.hpp"
#include "grouping.hpp"
#include "locating.hpp"
#include "managing.hpp"
#include "replaying.hpp"

namespace cairn::daemon {

/// A store as its hub knows it: gives each frame to the service that it is for.
///
/// Owns:    the services.
/// Threads: loop.
class service final : public runtime::frame_handler, public commit_client {
public:
    /// `of_disk`: fills in what the database and its committer say of themselves; thread-safe.
    service(service_parts parts, std::function<void(store_server_stats&)> of_disk);
    ~service();

    /// What comes from now on is dropped: the store closes.
    void stop() noexcept { stopped_ = true; }

    void link_down(runtime::link& gone) override;
    void link_writable(runtime::link& free) override;
    void link_drained(runtime::link& drained) override;
    errc frame(runtime::link& from, const wire::control_frame& frame) override;
    void append(runtime::link& from, std::unique_ptr<runtime::received_batch> batch) override;

    void replied(std::uint32_t, const store::reply&, bool) override {}
    void settled() override { parts_.topics.tell(); }

    void add_stats(store_server_stats& to) const;
    using frame_handler::add_stats;

private:
    service_parts parts_;
    appending appending_;
    replaying replaying_;
    grouping grouping_;
    locating locating_;
    managing managing_;
    bool stopped_ = false;
};

}  // namespace cairn::daemon
