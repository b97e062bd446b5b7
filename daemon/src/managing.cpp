#include "managing.hpp"

#include <cairn/protocol/topics.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace cairn::daemon {

namespace {

store::topic_config stored_config(const wire::topic_config& c) {
    constexpr std::uint64_t age_max = std::uint64_t{1} << 53;
    return {.retention = {.age_max = std::chrono::milliseconds(std::min(c.age_max_ms, age_max)),
                          .bytes_max = c.bytes_max,
                          .messages_max = c.messages_max,
                          .until_acked = c.until_acked,
                          .when_full = static_cast<store::full_policy>(c.when_full)},
            .confirm = static_cast<store::durability>(c.confirm),
            .last_per_key = c.last_per_key};
}

wire::topic_config told_config(const store::topic_config& c) {
    return {static_cast<std::uint64_t>(c.retention.age_max.count()),
            c.retention.bytes_max,
            c.retention.messages_max,
            c.retention.until_acked,
            static_cast<wire::full_rule>(c.retention.when_full),
            static_cast<wire::durability>(c.confirm),
            c.last_per_key};
}

std::uint64_t damaged_topics(store::reader& reader) {
    std::uint64_t damaged = 0;
    std::string after;
    for (;;) {
        const auto some = reader.topics(after);
        if (!some || some->empty()) return damaged;
        damaged += static_cast<std::uint64_t>(
            std::count_if(some->begin(), some->end(), [](const auto& t) { return t.damaged; }));
        after = some->back().name;
    }
}

/// Sends a list in as many frames as it needs.
template <typename Frame, typename Items, typename Tell>
void send_list(runtime::link& to, wire::channel channel, const Items& items, bool more_after,
               Tell&& tell) {
    Frame frame{channel, true, {}};
    for (const auto& item : items) {
        if (frame.items.size() == items_a_frame) {
            to.send(frame);
            frame.items.clear();
        }
        frame.items.push_back(tell(item));
    }
    frame.more = more_after;
    to.send(frame);
}

}  // namespace

managing::managing(service_parts& parts, grouping& groups, figures_of figures)
    : parts_(parts), groups_(groups), figures_(std::move(figures)) {
    parts_.commits.add(*this);
}

managing::handle managing::begin(runtime::link& from, wire::channel channel, std::string_view topic,
                                 bool (*right)(const rights&), errc& problem) {
    const channel_key at{from.number(), channel};
    const auto of_link = std::distance(under_way_.lower_bound({from.number(), 0}),
                                       under_way_.lower_bound({from.number() + 1, 0}));
    if (!protocol::valid_pattern(topic))
        problem = errc::topic_invalid;
    else if (right && !parts_.hub.gate().allows(from, topic, right))
        problem = errc::not_authorised;
    else if (under_way_.contains(at))
        problem = errc::invalid_argument;
    else if (static_cast<std::size_t>(of_link) >= requests_per_link_max)
        problem = errc::limit_exceeded;
    else
        problem = errc::ok;
    if (problem != errc::ok) return nullptr;
    auto made = std::make_shared<request>();
    made->link = &from;
    made->channel = channel;
    made->topic = topic;
    under_way_.emplace(at, made);
    return made;
}

managing::handle managing::begin_topic(runtime::link& from, wire::channel channel,
                                       std::string_view topic, bool (*right)(const rights&),
                                       errc& problem) {
    if (protocol::valid_topic(topic)) return begin(from, channel, topic, right, problem);
    problem = errc::topic_invalid;
    return nullptr;
}

void managing::end(const handle& of) {
    if (of->link) under_way_.erase({of->link->number(), of->channel});
    of->link = nullptr;
}

void managing::fail(const handle& of, errc why) {
    const bool known = why == errc::not_supported && !of->unsupported.empty();
    if (of->link)
        answer_error(*of->link, of->channel, why, known ? of->unsupported : describe(why));
    end(of);
}

void managing::link_down(const runtime::link& gone) {
    const auto begin = under_way_.lower_bound({gone.number(), 0});
    const auto end = under_way_.lower_bound({gone.number() + 1, 0});
    for (auto it = begin; it != end; ++it) it->second->link = nullptr;
    under_way_.erase(begin, end);
}

// --- Lists ------------------------------------------------------------------------------------

errc managing::list(runtime::link& from, const wire::list_topics& request) {
    errc problem;
    // Without a right of its own: what the asking node may not see is left out below.
    const handle of = begin(from, request.channel, request.pattern, nullptr, problem);
    if (of) next_topics(of, {});
    return problem;
}

void managing::next_topics(const handle& of, std::string after) {
    const auto found = std::make_shared<result<std::vector<store::topic_info>>>(errc::store_failed);
    parts_.readers.submit(
        of->link->number(),
        [found, after = std::move(after)](store::reader& reader) { *found = reader.topics(after); },
        [this, of, found] {
            if (!of->link) return;
            if (!*found) return fail(of, found->error());
            std::vector<store::topic_info>& all = **found;
            const std::string last = all.empty() ? std::string() : all.back().name;
            std::erase_if(all, [&](const store::topic_info& t) {
                return !protocol::matches(of->topic, t.name) ||
                       !parts_.hub.gate().allows(*of->link, t.name, any_right);
            });
            send_list<wire::topics>(
                *of->link, of->channel, all, !last.empty(), [](const store::topic_info& t) {
                    return wire::listed_topic{t.name,        told_config(t.config),
                                              t.first.value, t.end.value,
                                              t.bytes,       t.sources,
                                              t.groups,      t.dead_letters,
                                              t.damaged};
                });
            if (last.empty()) return end(of);
            next_topics(of, last);
        });
}

errc managing::list(runtime::link& from, const wire::list_sources& request) {
    errc problem;
    const handle of = begin_topic(from, request.channel, request.topic, any_right, problem);
    if (!of) return problem;
    const auto found =
        std::make_shared<result<std::vector<store::source_info>>>(errc::store_failed);
    parts_.readers.submit(
        of->link->number(),
        [found, name = of->topic](store::reader& reader) {
            const auto id = reader.find_topic(name);
            if (id)
                *found = reader.sources(*id);
            else
                *found = id.error();
        },
        [this, of, found] {
            if (!of->link) return;
            if (!*found) return fail(of, found->error());
            send_list<wire::sources>(
                *of->link, of->channel, **found, false, [](const store::source_info& s) {
                    return wire::listed_source{s.name, s.epoch, s.last, s.damaged};
                });
            end(of);
        });
    return errc::ok;
}

errc managing::list(runtime::link& from, const wire::list_groups& request) {
    errc problem;
    const handle of = begin_topic(from, request.channel, request.topic, any_right, problem);
    if (!of) return problem;
    const auto found = std::make_shared<result<std::vector<store::group_info>>>(errc::store_failed);
    parts_.readers.submit(
        of->link->number(),
        [of, found](store::reader& reader) {
            const auto id = reader.find_topic(of->topic);
            if (id) {
                of->topic_id = *id;
                *found = reader.groups(*id);
            } else {
                *found = id.error();
            }
        },
        [this, of, found] {
            if (!of->link) return;
            if (!*found) return fail(of, found->error());
            send_list<wire::groups>(
                *of->link, of->channel, **found, false, [&](const store::group_info& g) {
                    return wire::listed_group{g.name,
                                              wire::group_kind::each,
                                              g.floor.value + 1,
                                              g.acked,
                                              g.pending,
                                              groups_.members_of(of->topic_id, g.id),
                                              g.damaged};
                });
            end(of);
        });
    return errc::ok;
}

errc managing::list(runtime::link& from, const wire::list_figures& request) {
    errc problem;
    const handle of = begin(from, request.channel, "*", admin_right, problem);
    if (!of) return problem;
    const auto stats = std::make_shared<store_server_stats>();
    const auto damaged = std::make_shared<std::uint64_t>();
    parts_.readers.submit(
        of->link->number(),
        [stats, damaged, of_disk = figures_.of_disk](store::reader& reader) {
            of_disk(*stats);
            *damaged = damaged_topics(reader);
        },
        [this, of, stats, damaged] {
            if (!of->link) return;
            figures_.of_loop(*stats);
            const store_server_stats& s = *stats;
            of->link->send(wire::figures{of->channel,
                                         parts_.generation,
                                         {{"stored_bytes", s.storage.stored_bytes},
                                          {"stored_messages", s.storage.stored_messages},
                                          {"quota_bytes", s.storage.quota_bytes},
                                          {"file_bytes", s.storage.file_bytes},
                                          {"trimmed_batches", s.storage.trimmed_batches},
                                          {"repeated_batches", s.storage.repeats},
                                          {"disk_full", s.storage.disk_full ? 1U : 0U},
                                          {"failed", s.storage.failed ? 1U : 0U},
                                          {"damaged_topics", *damaged},
                                          {"transactions", s.transactions},
                                          {"waiting_bytes", s.waiting_bytes},
                                          {"sources", s.sources},
                                          {"subscriptions", s.subscriptions},
                                          {"members", s.members},
                                          {"appends", s.appends},
                                          {"append_bytes", s.append_bytes},
                                          {"appends_refused", s.appends_refused},
                                          {"confirms", s.confirms},
                                          {"replayed_batches", s.replayed_batches},
                                          {"replayed_bytes", s.replayed_bytes},
                                          {"replay_held_bytes", s.replay_held_bytes}}});
            end(of);
        });
    return errc::ok;
}

// --- Changes ----------------------------------------------------------------------------------

void managing::look_up(const handle& of, wire::place place, std::uint64_t value,
                       std::function<void()> then) {
    const auto failed = std::make_shared<errc>(errc::ok);
    parts_.readers.submit(
        of->link->number(),
        [of, failed, place, value](store::reader& reader) {
            const auto id = reader.find_topic(of->topic);
            if (!id) {
                *failed = id.error();
                return;
            }
            of->topic_id = *id;
            const auto topic = reader.topic(*id);
            if (!topic) {
                *failed = topic.error();
                return;
            }
            const auto at = offset_of_place(reader, *topic, place, value);
            if (at)
                of->at = *at;
            else
                *failed = at.error();
            if (of->group.empty() || !at) return;
            const auto group = reader.find_group(*id, of->group);
            if (group)
                of->group_id = *group;
            else
                *failed = group.error();
        },
        [this, of, failed, then = std::move(then)] {
            if (!of->link) return;
            if (*failed != errc::ok) return fail(of, *failed);
            then();
        });
}

void managing::submit(const handle& of, store::command wanted) {
    parts_.commits.submit(std::move(wanted), *this, flights_.put(of));
}

void managing::replied(std::uint32_t token, const store::reply& answer, bool /*flushed*/) {
    const handle of = flights_.take(token);
    if (of->when_done) of->when_done(answer.code);
    if (!answer.ok()) return fail(of, answer.code);
    if (of->link) {
        const auto* gone = std::get_if<store::counted>(&answer.value);
        of->link->send(wire::done{of->channel, gone ? gone->messages : 0});
    }
    end(of);
}

errc managing::change(runtime::link& from, const wire::create_topic& request) {
    errc problem;
    const handle of = begin_topic(from, request.channel, request.topic, admin_right, problem);
    if (of) submit(of, store::create_topic{of->topic, stored_config(request.config)});
    return problem;
}

errc managing::change(runtime::link& from, const wire::alter_topic& request) {
    errc problem;
    const handle of = begin_topic(from, request.channel, request.topic, admin_right, problem);
    if (!of) return problem;
    of->unsupported = "last_per_key is chosen when a topic is made; make another one with it";
    look_up(of, wire::place::end, 0, [this, of, config = stored_config(request.config)] {
        submit(of, store::alter_topic{of->topic_id, config});
    });
    return errc::ok;
}

errc managing::change(runtime::link& from, const wire::delete_topic& request) {
    errc problem;
    const handle of = begin_topic(from, request.channel, request.topic, admin_right, problem);
    if (!of) return problem;
    look_up(of, wire::place::end, 0, [this, of] {
        of->when_done = [this, id = of->topic_id](errc code) {
            known_topic* const known = parts_.topics.find(id);
            if (code == errc::ok && known) parts_.topics.remove(*known);
        };
        submit(of, store::delete_topic{of->topic_id});
    });
    return errc::ok;
}

errc managing::change(runtime::link& from, const wire::trim& request) {
    errc problem;
    const handle of = begin_topic(from, request.channel, request.topic, admin_right, problem);
    if (!of) return problem;
    look_up(of, request.before, request.value, [this, of, before = request.before] {
        if (before == wire::place::end) return submit(of, store::purge{of->topic_id});
        if (of->at > store::offset{1}) return submit(of, store::trim{of->topic_id, of->at - 1});
        of->link->send(wire::done{of->channel, 0});
        end(of);
    });
    return errc::ok;
}

errc managing::change(runtime::link& from, const wire::create_group& request) {
    if (request.sort != wire::group_kind::each) return errc::not_supported;
    errc problem;
    const handle of = begin_topic(from, request.channel, request.topic, admin_right, problem);
    if (!of) return problem;
    look_up(of, request.from, request.value, [this, of, group = std::string(request.group)] {
        submit(of, store::create_group{of->topic_id, group, std::string(grouping::settings_each),
                                       of->at});
    });
    return errc::ok;
}

errc managing::change(runtime::link& from, const wire::seek_group& request) {
    errc problem;
    const handle of = begin_topic(from, request.channel, request.topic, admin_right, problem);
    if (!of) return problem;
    of->group = request.group;
    look_up(of, request.to, request.value, [this, of] {
        // Acks of before are committed before; those that come from now on are of before, too.
        groups_.hold(of->topic_id, of->group_id);
        of->when_done = [this, topic = of->topic_id, group = of->group_id](errc) {
            groups_.moved(topic, group);
        };
        submit(of, store::seek_group{of->topic_id, of->group_id, of->at});
    });
    return errc::ok;
}

errc managing::change(runtime::link& from, const wire::delete_group& request) {
    errc problem;
    const handle of = begin_topic(from, request.channel, request.topic, admin_right, problem);
    if (!of) return problem;
    of->group = request.group;
    look_up(of, wire::place::end, 0, [this, of] {
        of->when_done = [this, topic = of->topic_id, group = of->group_id](errc code) {
            if (code == errc::ok) groups_.end_all(topic, group, errc::group_unknown);
        };
        submit(of, store::delete_group{of->topic_id, of->group_id});
    });
    return errc::ok;
}

}  // namespace cairn::daemon
