#include "service.hpp"

#include <utility>

namespace cairn::daemon {

service::service(service_parts parts, std::function<void(store_server_stats&)> of_disk)
    : parts_(parts),
      appending_(parts_),
      replaying_(parts_),
      grouping_(parts_),
      locating_(parts_),
      managing_(parts_, grouping_,
                {std::move(of_disk), [this](store_server_stats& to) { add_stats(to); }}) {
    using wire::kind;
    parts_.commits.add(*this);
    for (const kind k :
         {kind::open_source,  kind::append,       kind::lost,         kind::close_source,
          kind::subscribe,    kind::credit,       kind::repair,       kind::unsubscribe,
          kind::locate,       kind::attach_group, kind::ack,          kind::detach,
          kind::list_topics,  kind::list_sources, kind::list_groups,  kind::list_figures,
          kind::create_topic, kind::alter_topic,  kind::delete_topic, kind::trim,
          kind::create_group, kind::seek_group,   kind::delete_group})
        parts_.hub.serve(k, this);
    parts_.hub.add(*this);
}

service::~service() { parts_.hub.remove(*this); }

void service::link_down(runtime::link& gone) {
    appending_.link_down(gone);
    replaying_.link_down(gone);
    grouping_.link_down(gone);
    locating_.link_down(gone);
    managing_.link_down(gone);
    parts_.quota.link_down(gone);
    // Whoever comes back does not wait behind what was asked before.
    parts_.readers.abandon(gone.number());
}

void service::link_writable(runtime::link& free) { replaying_.go_on(free, true); }

void service::link_drained(runtime::link& drained) { replaying_.go_on(drained, false); }

errc service::frame(runtime::link& from, const wire::control_frame& frame) {
    if (stopped_) return errc::ok;
    if (const auto* f = std::get_if<wire::open_source>(&frame)) return appending_.open(from, *f);
    if (const auto* f = std::get_if<wire::lost>(&frame)) return appending_.lost(from, *f);
    if (const auto* f = std::get_if<wire::close_source>(&frame))
        return appending_.close(from, *f), errc::ok;
    if (const auto* f = std::get_if<wire::subscribe>(&frame)) return replaying_.subscribe(from, *f);
    if (const auto* f = std::get_if<wire::credit>(&frame))
        return replaying_.credit(from, *f), errc::ok;
    if (const auto* f = std::get_if<wire::repair>(&frame)) return replaying_.repair(from, *f);
    if (const auto* f = std::get_if<wire::unsubscribe>(&frame))
        return replaying_.unsubscribe(from, *f), errc::ok;
    if (const auto* f = std::get_if<wire::locate>(&frame)) return locating_.locate(from, *f);
    if (const auto* f = std::get_if<wire::attach_group>(&frame)) return grouping_.attach(from, *f);
    if (const auto* f = std::get_if<wire::ack>(&frame)) return grouping_.ack(from, *f);
    if (const auto* f = std::get_if<wire::detach>(&frame))
        return grouping_.detach(from, *f), errc::ok;
    return std::visit(
        [&](const auto& f) {
            if constexpr (requires { managing_.list(from, f); }) return managing_.list(from, f);
            if constexpr (requires { managing_.change(from, f); }) return managing_.change(from, f);
            return errc::not_supported;
        },
        frame);
}

void service::append(runtime::link& from, std::unique_ptr<runtime::received_batch> batch) {
    if (!stopped_) appending_.append(from, std::move(batch));
}

void service::add_stats(store_server_stats& to) const {
    appending_.add_stats(to);
    replaying_.add_stats(to);
    grouping_.add_stats(to);
}

}  // namespace cairn::daemon
