#pragma once

#include "layout.hpp"

/// The frames of a store, and those that manage it: see layout.hpp, of which this is a part.
namespace cairn::wire {

// --- Store ------------------------------------------------------------------------------------

template <is<open_source> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.name(f.source, source_bytes_max);
    io.number(f.epoch.value);
}

template <is<source_opened> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.id(f.generation);
    io.number(f.last.value);
    io.number(f.granted);
}

template <is<confirm> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.number(f.up_to.value);
    io.choice(f.level, durability::written);
    io.number(f.granted);
}

template <is<append_refused> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.code(f.code);
    io.number(f.next.value);
}

template <is<lost> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.nested(f.range);
    io.code(f.cause);
}

template <is<locate> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.choice(f.from, place::time);
    io.number(f.value);
}

template <is<located> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.id(f.generation);
    io.flag(f.more);
    io.list(f.points);
}

template <is<attach_group> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.name(f.group, group_bytes_max);
    io.text(f.member, name_bytes_max);
    io.choice(f.sort, group_kind::share);
    io.choice(f.from, place::time);
    io.number(f.value);
}

template <is<group_attached> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.id(f.generation);
    io.flag(f.active);
    io.flag(f.more);
    io.list(f.points);
    io.list(f.done);
    io.id(f.of);
}

template <is<acked> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.number(f.frames);
}

// --- Managing a store -------------------------------------------------------------------------

template <is<topic_config> F>
void layout(auto& io, F& f) {
    io.number(f.age_max_ms);
    io.number(f.bytes_max);
    io.number(f.messages_max);
    io.flag(f.until_acked);
    io.choice(f.when_full, full_rule::drop_oldest);
    io.choice(f.confirm, durability::written);
    io.flag(f.last_per_key);
}

template <is<listed_topic> F>
void layout(auto& io, F& f) {
    io.name(f.name, topic_bytes_max);
    io.nested(f.config);
    io.number(f.first);
    io.number(f.end);
    io.number(f.bytes);
    io.number(f.sources);
    io.number(f.groups);
    io.flag(f.dead_letters);
    io.flag(f.damaged);
}

template <is<listed_source> F>
void layout(auto& io, F& f) {
    io.name(f.name, source_bytes_max);
    io.number(f.epoch.value);
    io.number(f.last.value);
    io.flag(f.damaged);
}

template <is<listed_group> F>
void layout(auto& io, F& f) {
    io.name(f.name, group_bytes_max);
    io.choice(f.sort, group_kind::share);
    io.number(f.next);
    io.number(f.done);
    io.number(f.pending);
    io.number(f.members);
    io.flag(f.damaged);
}

template <is<figure> F>
void layout(auto& io, F& f) {
    io.name(f.name, name_bytes_max);
    io.number(f.value);
}

template <is<list_topics> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.pattern, topic_bytes_max);
}

template <typename F>
requires is<F, topics> || is<F, sources> || is<F, groups>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.flag(f.more);
    io.list(f.items);
}

template <typename F>
requires std::is_base_of_v<topic_request, std::remove_const_t<F>>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
}

template <typename F>
requires is<F, list_figures>
void layout(auto& io, F& f) { io.number(f.channel); }

template <is<figures> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.id(f.generation);
    io.list(f.items);
}

template <typename F>
requires std::is_base_of_v<configure_topic, std::remove_const_t<F>>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.nested(f.config);
}

template <is<trim> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.choice(f.before, place::time);
    io.number(f.value);
}

template <is<create_group> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.name(f.group, group_bytes_max);
    io.choice(f.sort, group_kind::share);
    io.choice(f.from, place::time);
    io.number(f.value);
}

template <is<seek_group> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.name(f.group, group_bytes_max);
    io.choice(f.to, place::time);
    io.number(f.value);
}

template <is<delete_group> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.name(f.topic, topic_bytes_max);
    io.name(f.group, group_bytes_max);
}

template <is<done> F>
void layout(auto& io, F& f) {
    io.number(f.channel);
    io.number(f.messages);
}

}  // namespace cairn::wire
