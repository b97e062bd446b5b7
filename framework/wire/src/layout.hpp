#pragma once

#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>

#include <type_traits>

/// What each frame holds, item by item: the same list drives encoder, decoder and size bound, so
/// they cannot differ. `Io` has one member function for each type of item:
///
///     number(x)            unsigned integer, range of x's type
///     flag(x)              bool
///     code(x)              errc
///     choice(x, last)      enum without gaps, 0 to last
///     id(x)                16 bytes
///     name(x, max)         str of 1 to max bytes
///     text(x, max)         str of 0 to max bytes
///     time(x)              wall_time
///     channel_first(x)     channel, always five bytes
///     list(xs)             array of arrays
///     nested(x)            array
namespace cairn::wire {

template <typename T>
inline constexpr kind kind_of = kind{};
template <>
inline constexpr kind kind_of<hello> = kind::hello;
template <>
inline constexpr kind kind_of<bye> = kind::bye;
template <>
inline constexpr kind kind_of<heartbeat> = kind::heartbeat;
template <>
inline constexpr kind kind_of<ping> = kind::ping;
template <>
inline constexpr kind kind_of<pong> = kind::pong;
template <>
inline constexpr kind kind_of<error_reply> = kind::error;
template <>
inline constexpr kind kind_of<subscribe> = kind::subscribe;
template <>
inline constexpr kind kind_of<subscribed> = kind::subscribed;
template <>
inline constexpr kind kind_of<heads> = kind::heads;
template <>
inline constexpr kind kind_of<digest> = kind::digest;
template <>
inline constexpr kind kind_of<batch_header> = kind::batch;
template <>
inline constexpr kind kind_of<gone> = kind::gone;
template <>
inline constexpr kind kind_of<credit> = kind::credit;
template <>
inline constexpr kind kind_of<unsubscribe> = kind::unsubscribe;
template <>
inline constexpr kind kind_of<fenced> = kind::fenced;
template <>
inline constexpr kind kind_of<repair> = kind::repair;
template <>
inline constexpr kind kind_of<end> = kind::end;
template <>
inline constexpr kind kind_of<attach> = kind::attach;
template <>
inline constexpr kind kind_of<attached> = kind::attached;
template <>
inline constexpr kind kind_of<jobs_header> = kind::jobs;
template <>
inline constexpr kind kind_of<ack> = kind::ack;
template <>
inline constexpr kind kind_of<nack> = kind::nack;
template <>
inline constexpr kind kind_of<reject> = kind::reject;
template <>
inline constexpr kind kind_of<extend> = kind::extend;
template <>
inline constexpr kind kind_of<release> = kind::release;
template <>
inline constexpr kind kind_of<begun> = kind::begun;
template <>
inline constexpr kind kind_of<work_credit> = kind::work_credit;
template <>
inline constexpr kind kind_of<detach> = kind::detach;
template <>
inline constexpr kind kind_of<job_refused> = kind::job_refused;
template <>
inline constexpr kind kind_of<open_source> = kind::open_source;
template <>
inline constexpr kind kind_of<source_opened> = kind::source_opened;
template <>
inline constexpr kind kind_of<append_header> = kind::append;
template <>
inline constexpr kind kind_of<confirm> = kind::confirm;
template <>
inline constexpr kind kind_of<append_refused> = kind::append_refused;
template <>
inline constexpr kind kind_of<lost> = kind::lost;
template <>
inline constexpr kind kind_of<close_source> = kind::close_source;
template <>
inline constexpr kind kind_of<locate> = kind::locate;
template <>
inline constexpr kind kind_of<located> = kind::located;
template <>
inline constexpr kind kind_of<attach_group> = kind::attach_group;
template <>
inline constexpr kind kind_of<group_attached> = kind::group_attached;
template <>
inline constexpr kind kind_of<acked> = kind::acked;
template <>
inline constexpr kind kind_of<list_topics> = kind::list_topics;
template <>
inline constexpr kind kind_of<topics> = kind::topics;
template <>
inline constexpr kind kind_of<list_sources> = kind::list_sources;
template <>
inline constexpr kind kind_of<sources> = kind::sources;
template <>
inline constexpr kind kind_of<list_groups> = kind::list_groups;
template <>
inline constexpr kind kind_of<groups> = kind::groups;
template <>
inline constexpr kind kind_of<list_figures> = kind::list_figures;
template <>
inline constexpr kind kind_of<figures> = kind::figures;
template <>
inline constexpr kind kind_of<create_topic> = kind::create_topic;
template <>
inline constexpr kind kind_of<alter_topic> = kind::alter_topic;
template <>
inline constexpr kind kind_of<delete_topic> = kind::delete_topic;
template <>
inline constexpr kind kind_of<trim> = kind::trim;
template <>
inline constexpr kind kind_of<create_group> = kind::create_group;
template <>
inline constexpr kind kind_of<seek_group> = kind::seek_group;
template <>
inline constexpr kind kind_of<delete_group> = kind::delete_group;
template <>
inline constexpr kind kind_of<done> = kind::done;

/// F is T or const T: an encoder sees its frame const.
template <typename F, typename T>
concept is = std::is_same_v<std::remove_const_t<F>, T>;

// --- Parts of frames --------------------------------------------------------------------------

template <is<sequence_range> F>
void layout(auto& io, F& f) {
    io.number(f.first.value);
    io.number(f.last.value);
}

template <is<resume_point> F>
void layout(auto& io, F& f) {
    io.name(f.topic, topic_bytes_max);
    io.name(f.source, source_bytes_max);
    io.number(f.epoch.value);
    io.number(f.next.value);
}

template <is<head> F>
void layout(auto& io, F& f) {
    io.name(f.topic, topic_bytes_max);
    io.name(f.source, source_bytes_max);
    io.number(f.epoch.value);
    io.number(f.first_held.value);
    io.number(f.last.value);
    io.number(f.next.value);
    io.number(f.storing.value);
}

template <is<source_point> F>
void layout(auto& io, F& f) {
    io.name(f.source, source_bytes_max);
    io.number(f.epoch.value);
    io.number(f.next.value);
}

template <is<done_range> F>
void layout(auto& io, F& f) {
    io.name(f.source, source_bytes_max);
    io.number(f.epoch.value);
    io.nested(f.range);
}

// --- Link -------------------------------------------------------------------------------------

template <is<hello> F>
void layout(auto& io, F& f) {
    io.number(f.version);
    io.number(f.version_min);
    io.id(f.node);
    io.text(f.node_name, name_bytes_max);
    io.number(f.body_bytes_max);
    io.flag(f.store);
}

template <is<bye> F>
void layout(auto& io, F& f) {
    io.code(f.reason);
    io.text(f.text, text_bytes_max);
}

template <is<heartbeat> F>
void layout(auto&, F&) {}

template <typename F>
requires is<F, ping> || is<F, pong>
void layout(auto& io, F& f) { io.number(f.token); }

template <is<error_reply> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.code(f.code);
    io.text(f.text, text_bytes_max);
}

// --- Publish / subscribe ----------------------------------------------------------------------

template <is<subscribe> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.pattern, topic_bytes_max);
    io.choice(f.from, start::earliest);
    io.number(f.credit);
    io.flag(f.more);
    io.list(f.resume);
}

template <is<subscribed> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.flag(f.more);
    io.list(f.heads);
}

template <is<heads> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.list(f.items);
}

template <is<digest> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.number(f.streams);
    io.number(f.sum);
}

template <is<gone> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.name(f.source, source_bytes_max);
    io.number(f.epoch.value);
    io.nested(f.range);
    io.code(f.cause);
}

template <is<credit> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.number(f.granted);
    io.number(f.consumed);
}

template <typename F>
requires is<F, unsubscribe> || is<F, detach> || is<F, close_source>
void layout(auto& io, F& f) { io.number(f.channel); }

template <is<fenced> F>
void layout(auto& io, F& f) {
    io.name(f.topic, topic_bytes_max);
    io.name(f.source, source_bytes_max);
    io.number(f.newer.value);
}

template <is<repair> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.nested(f.from);
}

template <is<end> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.name(f.source, source_bytes_max);
    io.number(f.epoch.value);
    io.number(f.last.value);
}

// --- Push / pull ------------------------------------------------------------------------------

template <is<attach> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.text(f.member, name_bytes_max);
    io.number(f.messages);
    io.number(f.bytes);
}

template <is<attached> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.number(f.pushers);
}

template <is<work_credit> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.source, source_bytes_max);
    io.number(f.epoch.value);
    io.number(f.messages);
    io.number(f.bytes);
}

template <typename F>
requires std::is_base_of_v<job_ranges, std::remove_const_t<F>>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.source, source_bytes_max);
    io.number(f.epoch.value);
    io.list(f.ranges);
    if constexpr (is<F, nack>) io.number(f.delay_ms);
    if constexpr (is<F, reject>) io.text(f.reason, text_bytes_max);
    if constexpr (is<F, extend>) io.number(f.ack_wait_ms);
    if constexpr (is<F, job_refused>) io.code(f.code);
}

// --- Batches ----------------------------------------------------------------------------------

template <typename F>
requires std::is_base_of_v<batch_header, std::remove_const_t<F>>
void layout(auto& io, F& f) {
    io.channel_first(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.name(f.source, source_bytes_max);
    io.number(f.epoch.value);
    io.number(f.first.value);
    io.number(f.count);
    io.time(f.time);
    io.number(f.durable);
    io.number(f.checksum);
    if constexpr (is<F, jobs_header>) io.number(f.attempt);
    if constexpr (is<F, jobs_header>) io.number(f.ack_wait_ms);
}

}  // namespace cairn::wire

#include "store_layout.hpp"
