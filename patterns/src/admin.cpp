#include <cairn/admin.hpp>

#include "node_parts.hpp"
#include "sending_side.hpp"
#include "store_place.hpp"

#include <cairn/error.hpp>
#include <cairn/runtime/printable.hpp>
#include <cairn/wire/manage_frames.hpp>

#include <algorithm>
#include <map>
#include <utility>

namespace cairn {

namespace {

using patterns::shown;

wire::topic_config told(const topic_settings& s, const std::string& what) {
    if (s.age_max < std::chrono::milliseconds::zero())
        throw error(errc::invalid_argument, what + ": age_max must not be below zero");
    return {static_cast<std::uint64_t>(s.age_max.count()),
            s.bytes_max,
            s.messages_max,
            s.until_acked,
            s.refuse_when_full ? wire::full_rule::refuse : wire::full_rule::drop_oldest,
            s.confirm_written ? wire::durability::written : wire::durability::flushed,
            s.last_per_key};
}

topic_settings settings_of(const wire::topic_config& c) {
    constexpr auto most = static_cast<std::uint64_t>(std::chrono::milliseconds::max().count());
    return {.age_max = std::chrono::milliseconds(std::min(c.age_max_ms, most)),
            .bytes_max = c.bytes_max,
            .messages_max = c.messages_max,
            .until_acked = c.until_acked,
            .refuse_when_full = c.when_full == wire::full_rule::refuse,
            .confirm_written = c.confirm == wire::durability::written,
            .last_per_key = c.last_per_key};
}

stored_topic topic_of(const wire::listed_topic& t) {
    return {std::string(t.name),
            settings_of(t.config),
            t.first,
            t.end,
            t.bytes,
            t.sources,
            t.groups,
            t.dead_letters,
            t.damaged};
}

stored_source source_of(const wire::listed_source& s) {
    return {std::string(s.name), s.epoch, s.last, s.damaged};
}

durable_group group_of(const wire::listed_group& g) {
    return {std::string(g.name), g.next, g.done, g.pending, g.members, g.damaged};
}

}  // namespace

/// The requests under way, by their channels.
///
/// Threads: loop, but ask() and what is built on it.
struct admin::impl final : runtime::frame_handler {
    /// What came so far in answer to one request.
    struct answer {
        bool sent = false;
        bool complete = false;
        std::optional<error> failure{};
        std::uint64_t messages = 0;
        std::vector<stored_topic> topics{};
        std::vector<stored_source> sources{};
        std::vector<durable_group> groups{};
        store_figures figures{};
    };

    impl(node& owner, admin_options given) : hub(owner.internals().hub), options(std::move(given)) {
        hub.check_open("administer");
        if (options.store.empty()) options.store = hub.options().store;
        if (options.store.empty())
            throw error(errc::invalid_argument,
                        "administer: this needs a store; set node_options::store or options.store");
        store = hub.connect_store(options.store);
        const runtime::loop::guard holding(hub.loop());
        hub.add(*this);
    }

    ~impl() {
        if (hub.forked()) return;  // it belongs to the parent
        const runtime::loop::guard holding(hub.loop());
        for (const auto& [channel, a] : under_way) hub.close_channel(channel);
        hub.remove(*this);
    }

    void link_up(runtime::link& peer) override {
        if (link || !peer.is_store(store)) return;
        link = &peer;
        hub.loop().changed();
    }

    void link_down(runtime::link& peer) override {
        if (link != &peer) return;
        link = nullptr;
        for (auto& [channel, a] : under_way)
            if (a->sent && !a->complete) {
                a->complete = true;
                a->failure.emplace(errc::peer_unreachable,
                                   "the link was lost before the answer came; look whether it "
                                   "was done, and ask again");
            }
        hub.loop().changed();
    }

    errc frame(runtime::link& from, const wire::control_frame& frame) override {
        if (&from == link)
            std::visit(
                [this](const auto& f) {
                    if constexpr (requires { f.channel; }) take(f);
                },
                frame);
        return errc::ok;
    }

    answer* of(wire::channel channel) {
        const auto found = under_way.find(channel);
        return found == under_way.end() ? nullptr : found->second;
    }
    void complete(answer& a) {
        a.complete = true;
        hub.loop().changed();
    }
    template <typename Frame>
    void take(const Frame&) {}
    void take(const wire::error_reply& f) {
        answer* const a = of(f.channel);
        if (!a) return;
        a->failure.emplace(
            f.code, f.text.empty() ? std::string(describe(f.code)) : runtime::printable(f.text));
        complete(*a);
    }
    template <typename Frame, typename Item, typename Make>
    void take_list(const Frame& f, std::vector<Item> answer::*list, Make make) {
        answer* const a = of(f.channel);
        if (!a) return;
        for (const auto& item : f.items) (a->*list).push_back(make(item));
        if (!f.more) complete(*a);
    }
    void take(const wire::topics& f) { take_list(f, &answer::topics, topic_of); }
    void take(const wire::sources& f) { take_list(f, &answer::sources, source_of); }
    void take(const wire::groups& f) { take_list(f, &answer::groups, group_of); }
    void take(const wire::figures& f) {
        answer* const a = of(f.channel);
        if (!a) return;
        a->figures.generation = f.generation;
        for (const wire::figure& g : f.items)
            a->figures.values.emplace_back(runtime::printable(g.name), g.value);
        complete(*a);
    }
    void take(const wire::done& f) {
        answer* const a = of(f.channel);
        if (!a) return;
        a->messages = f.messages;
        complete(*a);
    }

    /// Sends `request` on a channel of its own and waits for the answer. `what`: for errors.
    answer ask(const std::string& what, wire::control_frame request) {
        hub.check_open(what);
        const time_point deadline = patterns::later(hub.loop().now(), options.patience);
        answer mine;
        wire::channel channel = 0;
        {
            const runtime::loop::guard holding(hub.loop());
            if (under_way.size() >= requests_max)
                throw error(errc::limit_exceeded,
                            what + ": " + std::to_string(requests_max) +
                                " calls are waiting on this handle; wait for one of them");
            channel = hub.open_channel(*this);
            std::visit(
                [channel](auto& f) {
                    if constexpr (requires { f.channel; }) f.channel = channel;
                },
                request);
            under_way.emplace(channel, &mine);
        }
        const bool answered = hub.loop().wait_until(deadline, [&] {
            if (!mine.sent && link) {
                mine.sent = true;
                link->send(request);
            }
            return mine.complete || hub.closed();
        });
        {
            const runtime::loop::guard holding(hub.loop());
            under_way.erase(channel);
            hub.close_channel(channel);
        }
        hub.check_open(what);
        if (!answered || !mine.complete)
            throw error(errc::timed_out,
                        what + ": " +
                            (mine.sent ? "the store at " + store +
                                             " did not answer in time; it may still do it"
                                       : "nobody answers at " + store +
                                             "; start cairnd there or name another endpoint"));
        if (mine.failure) throw error(mine.failure->code(), what + ": " + mine.failure->what());
        return mine;
    }

    runtime::hub& hub;
    admin_options options;
    std::string store;  // endpoint
    runtime::link* link = nullptr;
    std::map<wire::channel, answer*> under_way;
};

admin::admin(node& owner, admin_options options)
    : impl_(std::make_unique<impl>(owner, std::move(options))) {}

admin::~admin() = default;

namespace {

std::string on_topic(std::string_view verb, std::string_view topic) {
    if (!patterns::valid_topic(topic))
        throw error(errc::topic_invalid,
                    std::string(verb) + " " + shown(topic) +
                        ": a topic has 1 to 255 bytes, no `*` and no control characters");
    return std::string(verb) + " " + shown(topic);
}

std::string on_group(std::string_view verb, std::string_view topic, std::string_view group) {
    const std::string what = on_topic(std::string(verb) + " " + shown(group) + " of", topic);
    if (group.empty() || group.size() > wire::group_bytes_max)
        throw error(errc::invalid_argument, what + ": the name of a group has 1 to 255 bytes");
    return what;
}

wire::place place_in(const from& given, const std::string& what) {
    if (given.where == from::place::positions)
        throw error(errc::invalid_argument,
                    what + ": from::after() does not go with this; use an offset or a time");
    return patterns::place_of(given.where);
}

}  // namespace

std::vector<stored_topic> admin::topics(std::string_view pattern) {
    const std::string what = "list topics " + shown(pattern);
    if (!patterns::valid_pattern(pattern))
        throw error(
            errc::topic_invalid,
            what + ": a pattern is a topic, or the beginning of topics followed by one `*`");
    return impl_->ask(what, wire::list_topics{0, pattern}).topics;
}

stored_topic admin::topic(std::string_view name) {
    const std::string what = on_topic("look at topic", name);
    auto found = impl_->ask(what, wire::list_topics{0, name}).topics;
    if (found.empty())
        throw error(errc::topic_unknown, what + ": " + std::string(describe(errc::topic_unknown)));
    return std::move(found.front());
}

std::vector<stored_source> admin::sources(std::string_view topic) {
    return impl_->ask(on_topic("list sources of", topic), wire::list_sources{{0, topic}}).sources;
}

std::vector<durable_group> admin::groups(std::string_view topic) {
    return impl_->ask(on_topic("list groups of", topic), wire::list_groups{{0, topic}}).groups;
}

store_figures admin::figures() {
    return impl_->ask("ask for figures", wire::list_figures{}).figures;
}

void admin::create_topic(std::string_view name, const topic_settings& settings) {
    const std::string what = on_topic("create topic", name);
    impl_->ask(what, wire::create_topic{{0, name, told(settings, what)}});
}

void admin::alter_topic(std::string_view name, const topic_settings& settings) {
    const std::string what = on_topic("alter topic", name);
    impl_->ask(what, wire::alter_topic{{0, name, told(settings, what)}});
}

void admin::delete_topic(std::string_view name) {
    impl_->ask(on_topic("delete topic", name), wire::delete_topic{{0, name}});
}

std::uint64_t admin::trim(std::string_view topic, const from& place) {
    const std::string what = on_topic("trim topic", topic);
    return impl_->ask(what, wire::trim{0, topic, place_in(place, what), place.value}).messages;
}

std::uint64_t admin::purge(std::string_view topic) {
    return impl_->ask(on_topic("purge topic", topic), wire::trim{0, topic, wire::place::end, 0})
        .messages;
}

void admin::create_group(std::string_view topic, std::string_view group, const from& start) {
    const std::string what = on_group("create group", topic, group);
    impl_->ask(what, wire::create_group{0, topic, group, wire::group_kind::each,
                                        place_in(start, what), start.value});
}

void admin::seek_group(std::string_view topic, std::string_view group, const from& to) {
    const std::string what = on_group("move group", topic, group);
    impl_->ask(what, wire::seek_group{0, topic, group, place_in(to, what), to.value});
}

void admin::delete_group(std::string_view topic, std::string_view group) {
    impl_->ask(on_group("delete group", topic, group), wire::delete_group{0, topic, group});
}

}  // namespace cairn
