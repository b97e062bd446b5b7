#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/wire/channel.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

/// The frames between a store and its publishers and readers, beside those of frames.hpp, which
/// says what holds for all. APPEND, a batch, is there too.
/// Threads: plain values.
namespace cairn::wire {

/// A publisher will append, from now on, on this channel: one run of one source on one topic.
/// Answered by SOURCE_OPENED, FENCED or ERROR.
struct open_source {
    wire::channel channel = 0;
    std::string_view topic;
    std::string_view source;
    cairn::epoch epoch;
    bool operator==(const open_source&) const = default;
};

struct source_opened {
    wire::channel channel = 0;
    cairn::generation generation;
    sequence last;              ///< of this run all up to here is stored; 0: nothing
    std::uint64_t granted = 0;  ///< bytes that may be appended in all (CONFIRM raises it)
    bool operator==(const source_opened&) const = default;
};

/// What a confirm is worth.
enum class durability : std::uint8_t {
    flushed = 0,  ///< the sync that holds it returned
    written = 1,  ///< as the topic is configured: the sync follows
};

/// Of the run all up to `up_to` is durable. Cumulative.
struct confirm {
    wire::channel channel = 0;
    sequence up_to;
    durability level = durability::flushed;
    std::uint64_t granted = 0;  ///< in all, bytes
    bool operator==(const confirm&) const = default;
};

/// The store did not take an APPEND or LOST, and drops what follows until `next` comes.
struct append_refused {
    wire::channel channel = 0;
    errc code = errc::hole;
    sequence next;  ///< what it expects
    bool operator==(const append_refused&) const = default;
};

/// The publisher no longer has these, in the place of an APPEND: readers find a mark there.
struct lost {
    wire::channel channel = 0;
    sequence_range range;
    errc cause = errc::lost;
    bool operator==(const lost&) const = default;
};

struct close_source {
    wire::channel channel = 0;
    bool operator==(const close_source&) const = default;
};

/// Where a reader of a store wants to begin, in a topic's store order.
enum class place : std::uint8_t {
    end = 0,     ///< behind the last
    first = 1,   ///< at the first that is stored
    last = 2,    ///< `value` messages before the end
    offset = 3,  ///< at the offset `value`
    time = 4,    ///< at the first stored at or after `value`, nanoseconds since 1970
};

/// Asks which positions a place in a topic stands for. Answered by LOCATED or ERROR.
struct locate {
    wire::channel channel = 0;
    std::string_view topic;
    place from = place::end;
    std::uint64_t value = 0;
    bool operator==(const locate&) const = default;
};

/// The next message wanted of one source; the topic is the request's.
struct source_point {
    std::string_view source;
    cairn::epoch epoch;
    sequence next;
    bool operator==(const source_point&) const = default;
};

/// Answers LOCATE: a point for each source that the topic has; the last frame has more = false.
struct located {
    wire::channel channel = 0;
    cairn::generation generation;
    bool more = false;
    std::vector<source_point> points;
    bool operator==(const located&) const = default;
};

enum class group_kind : std::uint8_t {
    each = 0,   ///< one active member gets all
    share = 1,  ///< the members divide the work
};

/// Becomes a member of a durable group, which is made when the topic has none of that name.
struct attach_group {
    wire::channel channel = 0;
    std::string_view topic;
    std::string_view group;
    std::string_view member;  ///< for logs and counters
    group_kind sort = group_kind::each;
    place from = place::end;  ///< where a new group begins
    std::uint64_t value = 0;
    bool operator==(const attach_group&) const = default;
};

/// Messages of one source that a group has done above its point.
struct done_range {
    std::string_view source;
    cairn::epoch epoch;
    sequence_range range;
    bool operator==(const done_range&) const = default;
};

/// Answers ATTACH_GROUP, and comes again when the member becomes the active one. The last frame
/// has more = false.
struct group_attached {
    wire::channel channel = 0;
    cairn::generation generation;
    bool active = false;  ///< the group's messages are this member's; otherwise the lists are empty
    bool more = false;
    std::vector<source_point> points;  ///< all before is done
    std::vector<done_range> done;      ///< done behind the points
    incarnation of;                    ///< whose they are; nobody's when not active
    bool operator==(const group_attached&) const = default;
};

/// So many ACK frames of this attachment are durable, in all. Cumulative.
struct acked {
    wire::channel channel = 0;
    std::uint64_t frames = 0;
    bool operator==(const acked&) const = default;
};

}  // namespace cairn::wire
