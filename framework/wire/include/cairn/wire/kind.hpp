#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::wire {

/// What a frame is: the first item of its array.
enum class kind : std::uint8_t {
    hello = 1,
    bye = 2,
    heartbeat = 3,
    ping = 4,
    pong = 5,
    error = 6,

    subscribe = 10,
    subscribed = 11,
    heads = 12,
    digest = 13,
    batch = 14,
    gone = 15,
    credit = 16,
    unsubscribe = 17,
    fenced = 18,
    repair = 19,
    end = 20,

    attach = 30,
    attached = 31,
    jobs = 32,
    ack = 33,
    nack = 34,
    reject = 35,
    extend = 36,
    release = 37,
    work_credit = 38,
    detach = 39,
    job_refused = 40,
    begun = 41,

    open_source = 50,
    source_opened = 51,
    append = 52,
    confirm = 53,
    append_refused = 54,
    lost = 55,
    close_source = 56,
    locate = 57,
    located = 58,
    attach_group = 59,
    group_attached = 60,
    acked = 61,

    list_topics = 62,
    topics = 63,
    list_sources = 64,
    sources = 65,
    list_groups = 66,
    groups = 67,
    list_figures = 68,
    figures = 69,
    create_topic = 70,
    alter_topic = 71,
    delete_topic = 72,
    trim = 73,
    create_group = 74,
    seek_group = 75,
    delete_group = 76,
    done = 77,
};

/// Above every number of a kind.
inline constexpr std::size_t kinds_end = 100;

}  // namespace cairn::wire
