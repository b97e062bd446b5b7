#pragma once

#include "replay.hpp"
#include "service_parts.hpp"

#include <cstddef>
#include <map>
#include <vector>

namespace cairn::daemon {

/// Answers LOCATE.
///
/// Threads: loop.
/// Limits:  requests_per_link_max under way a link.
class locating {
public:
    static constexpr std::size_t requests_per_link_max = 256;

    explicit locating(service_parts& parts) : parts_(parts) {}

    errc locate(runtime::link& from, const wire::locate& request);
    void link_down(const runtime::link& gone);

private:
    void answer(runtime::link& to, wire::channel channel,
                const result<std::vector<located_point>>& points);

    service_parts& parts_;
    std::map<channel_key, runtime::link*> under_way_;
};

}  // namespace cairn::daemon
