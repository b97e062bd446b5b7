#pragma once

#include <cairn/ids.hpp>
#include <cairn/wire/store_frames.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

/// The frames by which a store is looked into and managed, beside those of frames.hpp, which says
/// what holds for all. A request is answered on its channel, once, by the frame named or by ERROR.
/// Threads: plain values.
namespace cairn::wire {

/// What happens to an append when a topic's limit in bytes or messages is reached.
enum class full_rule : std::uint8_t {
    refuse = 0,       ///< it is refused
    drop_oldest = 1,  ///< the oldest messages go
};

/// How a store keeps a topic; 0 means no limit.
struct topic_config {
    std::uint64_t age_max_ms = 0;  ///< since it was stored
    std::uint64_t bytes_max = 0;
    std::uint64_t messages_max = 0;
    bool until_acked = false;  ///< goes when all groups have acked it
    full_rule when_full = full_rule::drop_oldest;
    durability confirm = durability::flushed;
    bool last_per_key = false;  ///< an index of the last message of each key
    bool operator==(const topic_config&) const = default;
};

/// Answered by TOPICS.
struct list_topics {
    wire::channel channel = 0;
    std::string_view pattern;
    bool operator==(const list_topics&) const = default;
};

struct listed_topic {
    std::string_view name;
    topic_config config;
    std::uint64_t first = 0;  ///< lowest offset that is stored
    std::uint64_t end = 0;    ///< one behind the last
    std::uint64_t bytes = 0;
    std::uint32_t sources = 0;
    std::uint32_t groups = 0;
    bool dead_letters = false;
    bool damaged = false;  ///< its record fails its checksum: only the name is known
    bool operator==(const listed_topic&) const = default;
};

/// The last frame has more = false.
struct topics {
    wire::channel channel = 0;
    bool more = false;
    std::vector<listed_topic> items;
    bool operator==(const topics&) const = default;
};

/// What names a topic and nothing else.
struct topic_request {
    wire::channel channel = 0;
    std::string_view topic;
    bool operator==(const topic_request&) const = default;
};

/// Answered by SOURCES.
struct list_sources : topic_request {
    bool operator==(const list_sources&) const = default;
};
/// Answered by GROUPS.
struct list_groups : topic_request {
    bool operator==(const list_groups&) const = default;
};
/// Answered by DONE.
struct delete_topic : topic_request {
    bool operator==(const delete_topic&) const = default;
};

struct listed_source {
    std::string_view name;
    cairn::epoch epoch;    ///< of the newest run
    sequence last;         ///< of that run all up to here is stored
    bool damaged = false;  ///< only the name is known
    bool operator==(const listed_source&) const = default;
};

struct sources {
    wire::channel channel = 0;
    bool more = false;
    std::vector<listed_source> items;
    bool operator==(const sources&) const = default;
};

struct listed_group {
    std::string_view name;
    group_kind sort = group_kind::each;
    std::uint64_t next = 0;     ///< all offsets before are done
    std::uint64_t done = 0;     ///< messages done from there on
    std::uint64_t pending = 0;  ///< messages stored and not done
    std::uint32_t members = 0;  ///< attached now
    bool damaged = false;       ///< only name and members are known
    bool operator==(const listed_group&) const = default;
};

struct groups {
    wire::channel channel = 0;
    bool more = false;
    std::vector<listed_group> items;
    bool operator==(const groups&) const = default;
};

/// Answered by FIGURES.
struct list_figures {
    wire::channel channel = 0;
    bool operator==(const list_figures&) const = default;
};

struct figure {
    std::string_view name;
    std::uint64_t value = 0;
    bool operator==(const figure&) const = default;
};

/// Counters and gauges of the store, by names that do not change.
struct figures {
    wire::channel channel = 0;
    cairn::generation generation;
    std::vector<figure> items;
    bool operator==(const figures&) const = default;
};

struct configure_topic {
    wire::channel channel = 0;
    std::string_view topic;
    topic_config config;
    bool operator==(const configure_topic&) const = default;
};
/// Answered by DONE, also when it exists with this configuration.
struct create_topic : configure_topic {
    bool operator==(const create_topic&) const = default;
};
/// Answered by DONE.
struct alter_topic : configure_topic {
    bool operator==(const alter_topic&) const = default;
};

/// All before a place goes. Answered by DONE, with how many messages.
struct trim {
    wire::channel channel = 0;
    std::string_view topic;
    place before = place::end;
    std::uint64_t value = 0;
    bool operator==(const trim&) const = default;
};

/// All before a place counts as done. Answered by DONE, also when the group exists.
struct create_group {
    wire::channel channel = 0;
    std::string_view topic;
    std::string_view group;
    group_kind sort = group_kind::each;
    place from = place::end;
    std::uint64_t value = 0;
    bool operator==(const create_group&) const = default;
};

/// All before a place counts as done, and nothing behind it. Answered by DONE; the group's active
/// member gets GROUP_ATTACHED anew.
struct seek_group {
    wire::channel channel = 0;
    std::string_view topic;
    std::string_view group;
    place to = place::end;
    std::uint64_t value = 0;
    bool operator==(const seek_group&) const = default;
};

/// Answered by DONE; the attachments of its members end.
struct delete_group {
    wire::channel channel = 0;
    std::string_view topic;
    std::string_view group;
    bool operator==(const delete_group&) const = default;
};

/// What was asked for is done, and flushed.
struct done {
    wire::channel channel = 0;
    std::uint64_t messages = 0;  ///< that went
    bool operator==(const done&) const = default;
};

}  // namespace cairn::wire
