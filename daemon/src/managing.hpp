#pragma once

#include "grouping.hpp"
#include "replay.hpp"
#include "service_parts.hpp"

#include <cairn/wire/manage_frames.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::daemon {

/// Answers the requests of tools: lists, and changes of topics and groups.
///
/// Owns:    the requests under way.
/// Threads: loop.
/// Limits:  requests_per_link_max under way a link; a list is read and sent page by page.
class managing final : public commit_client {
public:
    /// Where the values of FIGURES come from.
    struct figures_of {
        std::function<void(store_server_stats&)> of_disk;  ///< called on a reader's thread
        std::function<void(store_server_stats&)> of_loop;
    };

    static constexpr std::size_t requests_per_link_max = 64;

    managing(service_parts& parts, grouping& groups, figures_of figures);

    errc list(runtime::link& from, const wire::list_topics& request);
    errc list(runtime::link& from, const wire::list_sources& request);
    errc list(runtime::link& from, const wire::list_groups& request);
    errc list(runtime::link& from, const wire::list_figures& request);
    errc change(runtime::link& from, const wire::create_topic& request);
    errc change(runtime::link& from, const wire::alter_topic& request);
    errc change(runtime::link& from, const wire::delete_topic& request);
    errc change(runtime::link& from, const wire::trim& request);
    errc change(runtime::link& from, const wire::create_group& request);
    errc change(runtime::link& from, const wire::seek_group& request);
    errc change(runtime::link& from, const wire::delete_group& request);
    void link_down(const runtime::link& gone);

    void replied(std::uint32_t token, const store::reply& answer, bool flushed) override;
    void settled() override {}

private:
    struct request {
        runtime::link* link = nullptr;  // nullptr: its answer is not wanted any more
        wire::channel channel = 0;
        std::string topic;
        std::string group;
        store::topic_id topic_id{};
        store::group_id group_id{};
        store::offset at{};                     // of the place, when one is named
        std::function<void(errc)> when_done{};  // told what became of the command
        std::string_view unsupported{};         // what not_supported means here
    };
    using handle = std::shared_ptr<request>;

    static bool any_right(const rights& may) {
        return may.publish || may.subscribe || may.consume || may.admin;
    }
    static bool admin_right(const rights& may) { return may.admin; }

    /// Checks the request and puts it among those under way; otherwise `problem` says why not.
    handle begin(runtime::link& from, wire::channel channel, std::string_view topic,
                 bool (*right)(const rights&), errc& problem);
    handle begin_topic(runtime::link& from, wire::channel channel, std::string_view topic,
                       bool (*right)(const rights&), errc& problem);
    void next_topics(const handle& of, std::string after);
    /// Looks up topic, group (unless empty) and place, then calls `then` on the loop.
    void look_up(const handle& of, wire::place place, std::uint64_t value,
                 std::function<void()> then);
    void submit(const handle& of, store::command wanted);
    void end(const handle& of);
    void fail(const handle& of, errc why);

    service_parts& parts_;
    grouping& groups_;
    figures_of figures_;
    std::map<channel_key, handle> under_way_;
    slots<handle> flights_;
};

}  // namespace cairn::daemon
