#pragma once

#include "commit_queue.hpp"
#include "reader_pool.hpp"
#include "topic_quota.hpp"
#include "topic_table.hpp"

#include <cairn/ids.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/store_server.hpp>

#include <cstddef>
#include <string_view>
#include <utility>

namespace cairn::daemon {

/// A channel of one link.
using channel_key = std::pair<std::uint64_t, wire::channel>;  // link's number and channel

/// Items of a list in one frame: with the longest names still below control_bytes_max.
inline constexpr std::size_t items_a_frame = 100;

/// What the services of a store share.
struct service_parts {
    const store_server_options& options;
    runtime::hub& hub;
    commit_queue& commits;
    reader_pool& readers;
    topic_table& topics;
    topic_quota& quota;
    cairn::generation generation;
};

/// An ERROR that says how things stand, and breaks no rule: it does not count against the link.
inline void answer_error(runtime::link& to, wire::channel channel, errc code,
                         std::string_view text) {
    to.send(wire::error_reply{channel, code, text});
}
inline void answer_error(runtime::link& to, wire::channel channel, errc code) {
    answer_error(to, channel, code, describe(code));
}

}  // namespace cairn::daemon
