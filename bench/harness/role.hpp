#pragma once

#include "harness/board.hpp"
#include "harness/processes.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::bench {

/// What the processes of one run are told.
struct traffic {
    std::size_t size = 100;     ///< of a body, bytes
    std::size_t peers = 1;      ///< connecting roles
    std::size_t threads = 1;    ///< that send on one handle
    std::size_t topics = 1;     ///< idle-topics only
    std::string variant;        ///< of the role's sockets or options; empty: as they come
    std::uint64_t rate = 0;     ///< messages a second that a pacing role sends
    std::uint64_t backlog = 0;  ///< messages that are sent before those
    double flush_ms = 0;        ///< that each flush takes longer than the disk does
    std::string service;        ///< endpoint of the plan's service; empty: there is none
};

/// One part in a run: a function that runs until its process is killed.
///
/// The binding role is started first. It reports `bound ENDPOINT`; the connecting roles, each with
/// a lane of its own from 0 on, are given that endpoint. The binding role's lanes follow theirs.
/// A plan's service is started before all; the others find its endpoint in `traffic`.
struct role_context {
    const bench::traffic& traffic;
    std::string endpoint;
    std::size_t lane_index;
    board& shared;
    const reporter& report;

    void bound(const std::string& actual) const { report.line("bound " + actual); }

    /// Notes what the process needs before traffic begins.
    void note_anonymous_bytes() const {
        shared.at(lane_index).anonymous_bytes_before.store(status_bytes_of(0, "RssAnon"));
    }
};

using role_function = void (*)(role_context&);

/// The role of that name, or nullptr.
using role_finder = role_function (*)(std::string_view name);

}  // namespace cairn::bench
