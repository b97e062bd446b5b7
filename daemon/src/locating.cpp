#include "locating.hpp"

#include <cairn/protocol/topics.hpp>

#include <iterator>
#include <memory>
#include <string>

namespace cairn::daemon {

namespace {

// With the longest names still below control_bytes_max.
constexpr std::size_t points_a_frame = 200;

}  // namespace

errc locating::locate(runtime::link& from, const wire::locate& request) {
    if (!protocol::valid_topic(request.topic)) return errc::topic_invalid;
    if (!parts_.hub.gate().allows(from, request.topic, runtime::may_read))
        return errc::not_authorised;
    const channel_key at{from.number(), request.channel};
    const auto begin = under_way_.lower_bound({from.number(), 0});
    const auto end = under_way_.lower_bound({from.number() + 1, 0});
    if (under_way_.contains(at)) return errc::invalid_argument;
    if (static_cast<std::size_t>(std::distance(begin, end)) >= requests_per_link_max)
        return errc::limit_exceeded;
    under_way_.emplace(at, &from);
    const auto points = std::make_shared<result<std::vector<located_point>>>(errc::ok);
    parts_.readers.submit(
        from.number(),
        [points, name = std::string(request.topic), place = request.from,
         value = request.value](store::reader& reader) {
            const auto id = reader.find_topic(name);
            if (!id) {
                *points = id.error();
                return;
            }
            const auto topic = reader.topic(*id);
            if (!topic) {
                *points = topic.error();
                return;
            }
            const auto offset = offset_of_place(reader, *topic, place, value);
            if (!offset)
                *points = offset.error();
            else
                *points = daemon::locate(reader, *id, *offset);
        },
        [this, at, points] {
            const auto asked = under_way_.find(at);
            if (asked == under_way_.end()) return;
            runtime::link& to = *asked->second;
            under_way_.erase(asked);
            answer(to, at.second, *points);
        });
    return errc::ok;
}

void locating::answer(runtime::link& to, wire::channel channel,
                      const result<std::vector<located_point>>& points) {
    wire::located told{channel, parts_.generation, true, {}};
    if (points) {
        for (const located_point& p : *points) {
            told.points.push_back({p.source, p.epoch, p.next});
            if (told.points.size() < points_a_frame) continue;
            to.send(told);
            told.points.clear();
        }
    } else if (points.error() != errc::topic_unknown) {
        return answer_error(to, channel, points.error());
    }
    // Of a topic that nobody has appended to there is nothing to be told.
    told.more = false;
    to.send(told);
}

void locating::link_down(const runtime::link& gone) {
    under_way_.erase(under_way_.lower_bound({gone.number(), 0}),
                     under_way_.lower_bound({gone.number() + 1, 0}));
}

}  // namespace cairn::daemon
