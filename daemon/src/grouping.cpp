#include "grouping.hpp"

#include "sabotage.hpp"

#include <cairn/protocol/topics.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace cairn::daemon {

struct grouping::member {
    /// An ACK frame that is not durable, or not all before it are.
    struct frame {
        std::uint32_t parts = 0;  // that are not durable
        std::size_t ranges = 0;
    };
    /// What was acked before it was stored.
    struct early_ack {
        std::uint64_t frame = 0;
        std::string source;
        cairn::epoch epoch;
        sequence_range range;
    };

    runtime::link* link = nullptr;  // nullptr: detached
    wire::channel channel = 0;
    std::string topic;
    std::string group_name;
    std::string name;
    wire::place from = wire::place::end;
    std::uint64_t value = 0;
    store::topic_id topic_id;
    store::offset start;
    topic_quota::client client;
    bool makes_topic = false;
    group* of = nullptr;  // joined
    std::deque<frame> frames;
    std::uint64_t frames_done = 0;  // durable, in order: ACKED
    std::vector<early_ack> waiting;
    std::size_t ranges = 0;  // of all frames
    bool marked = false;

    /// It counts until the store has answered all that it asked for.
    std::shared_ptr<of_one_link> of_link;

    explicit member(std::shared_ptr<of_one_link> counter) : of_link(std::move(counter)) {
        ++of_link->members;
    }
    ~member() {
        --of_link->members;
        of_link->ranges -= ranges;
    }
    member(const member&) = delete;
    member& operator=(const member&) = delete;
};

struct grouping::group {
    store::topic_id topic;
    store::group_id id;
    std::vector<std::shared_ptr<member>> members;  // the first is the active one
    std::size_t under_way = 0;                     // acks
    bool activating = false;                       // when none is under way
};

grouping::grouping(service_parts& parts) : parts_(parts) {
    parts_.commits.add(*this);
    parts_.topics.add(*this);
}

grouping::~grouping() = default;

// --- Attaching --------------------------------------------------------------------------------

errc grouping::attach(runtime::link& from, const wire::attach_group& request) {
    if (!protocol::valid_topic(request.topic)) return errc::topic_invalid;
    if (!parts_.hub.gate().allows(from, request.topic, &rights::consume))
        return errc::not_authorised;
    if (request.sort != wire::group_kind::each) return errc::not_supported;
    const channel_key at{from.number(), request.channel};
    if (members_.contains(at)) return errc::invalid_argument;
    std::shared_ptr<of_one_link>& of_link = members_of_[from.number()];
    if (!of_link) of_link = std::make_shared<of_one_link>();
    if (of_link->members >= parts_.hub.options().subscriptions_per_peer_max)
        return errc::limit_exceeded;
    const auto made = std::make_shared<member>(of_link);
    made->link = &from;
    made->channel = request.channel;
    made->topic = request.topic;
    made->group_name = request.group;
    made->name = request.member;
    made->from = request.from;
    made->value = request.value;
    made->client = topic_quota::of(from);
    members_.emplace(at, made);
    place(made);
    return errc::ok;
}

// A group that is there before the first message gets all of them: so is its topic.
void grouping::make_topic(const std::shared_ptr<member>& of) {
    if (of->makes_topic) return fail(of, errc::topic_unknown);  // deleted since
    if (!parts_.quota.take(of->client)) {
        parts_.hub.log(log_level::warning, "group",
                       of->link->description() + " cannot attach on " + of->topic +
                           ": it made topics_made_per_client_max topics already");
        return fail(of, errc::limit_exceeded);
    }
    of->makes_topic = true;
    parts_.commits.submit(store::create_topic{of->topic, parts_.options.topic_defaults}, *this,
                          flights_.put({flight::kind::make_topic, of, {}, 0, false}));
}

// Where a new group begins.
void grouping::place(const std::shared_ptr<member>& of) {
    const auto start = std::make_shared<result<store::offset>>(errc::topic_unknown);
    const auto points = std::make_shared<result<std::vector<located_point>>>(errc::topic_unknown);
    parts_.readers.submit(
        of->link->number(),
        [of, start, points](store::reader& reader) {
            const auto id = reader.find_topic(of->topic);
            if (!id) {
                *start = id.error();
                return;
            }
            const auto topic = reader.topic(*id);
            if (!topic) {
                *start = topic.error();
                return;
            }
            of->topic_id = *id;
            *start = offset_of_place(reader, *topic, of->from, of->value);
            *points = locate(reader, *id, topic->end);
        },
        [this, of, start, points] {
            if (!of->link) return;
            if (start->error() == errc::topic_unknown) return make_topic(of);
            if (!*start) return fail(of, start->error());
            if (!*points) return fail(of, points->error());
            // From here on it is known here what is stored of the topic.
            known_topic& topic = parts_.topics.find_or_add(of->topic_id, of->topic);
            for (const located_point& p : **points)
                parts_.topics.note(topic, p.id, p.source, p.newest, p.last);
            // What is stored while this is under way lies behind the end, too.
            of->start = of->from == wire::place::end ? store::offset{store::number_max} : **start;
            make_group(of);
            parts_.topics.tell();
        });
}

void grouping::make_group(const std::shared_ptr<member>& of) {
    parts_.commits.submit(
        store::create_group{of->topic_id, of->group_name, std::string(settings_each), of->start},
        *this, flights_.put({flight::kind::make_group, of, {}, 0, false}));
}

void grouping::joined(const std::shared_ptr<member>& of, store::group_id id) {
    auto& g = groups_[{of->topic_id.value, id.value}];
    if (!g) {
        g = std::make_unique<group>();
        g->topic = of->topic_id;
        g->id = id;
    }
    of->of = g.get();
    g->members.push_back(of);
    if (g->members.size() == 1) return activate(*g);
    of->link->send(wire::group_attached{of->channel, parts_.generation, false, false, {}, {}, {}});
}

void grouping::activate(group& of) {
    // What the member before acked comes first.
    of.activating = of.under_way != 0;
    if (of.activating || of.members.empty()) return;
    const std::shared_ptr<member>& to = of.members.front();
    const auto progress = std::make_shared<result<group_progress>>(errc::group_unknown);
    parts_.readers.submit(
        to->link->number(),
        [progress, topic = of.topic, id = of.id](store::reader& reader) {
            *progress = progress_of(reader, topic, id);
        },
        [this, to, progress] {
            if (!to->link) return;
            if (!*progress) return fail(to, progress->error());
            tell(*to, **progress);
        });
}

void grouping::tell(member& to, const group_progress& progress) {
    const auto name_of = [&](store::source_id id) -> std::string_view {
        for (const located_point& p : progress.points)
            if (p.id == id) return p.source;
        return {};
    };
    wire::group_attached told{to.channel, parts_.generation, true, true, {}, {}, progress.of};
    const auto flush = [&] {
        if (sabotaged("forget-acks")) told.points = {}, told.done = {};
        to.link->send(told);
        told.points.clear();
        told.done.clear();
    };
    for (const located_point& p : progress.points) {
        told.points.push_back({p.source, p.epoch, sabotaged("skip-points") ? p.next + 50 : p.next});
        if (told.points.size() == items_a_frame) flush();
    }
    for (const done_positions& d : progress.done) {
        told.done.push_back({name_of(d.id), d.epoch, d.range});
        if (told.done.size() == items_a_frame) flush();
    }
    told.more = false;
    flush();
}

void grouping::fail(const std::shared_ptr<member>& of, errc why) {
    answer_error(*of->link, of->channel, why);
    leave(of);
}

std::uint32_t grouping::members_of(store::topic_id topic, store::group_id group) const {
    const auto found = groups_.find({topic.value, group.value});
    return found == groups_.end() ? 0 : static_cast<std::uint32_t>(found->second->members.size());
}

void grouping::hold(store::topic_id topic, store::group_id group) {
    ++moving_[{topic.value, group.value}];
}

void grouping::moved(store::topic_id topic, store::group_id group) {
    const auto held = moving_.find({topic.value, group.value});
    if (--held->second == 0) moving_.erase(held);
    end_all(topic, group, errc::sought);
}

bool grouping::is_moving(const group& which) const {
    return moving_.contains({which.topic.value, which.id.value});
}

void grouping::end_all(store::topic_id topic, store::group_id group, errc why) {
    const auto found = groups_.find({topic.value, group.value});
    if (found == groups_.end()) return;
    // The last one may take the group along.
    const std::vector<std::shared_ptr<member>> all = found->second->members;
    for (auto m = all.rbegin(); m != all.rend(); ++m) fail(*m, why);
}

void grouping::detach(runtime::link& from, const wire::detach& request) {
    const auto found = members_.find({from.number(), request.channel});
    if (found != members_.end()) leave(std::shared_ptr<member>(found->second));
}

void grouping::link_down(const runtime::link& gone) {
    for (;;) {
        const auto found = members_.lower_bound({gone.number(), 0});
        if (found == members_.end() || found->first.first != gone.number()) break;
        leave(std::shared_ptr<member>(found->second));
    }
    members_of_.erase(gone.number());
}

void grouping::leave(const std::shared_ptr<member>& of) {
    if (!of->link) return;
    members_.erase({of->link->number(), of->channel});
    of->link = nullptr;
    of->waiting.clear();
    if (std::exchange(of->marked, false)) std::erase(marked_, of);
    group* const g = std::exchange(of->of, nullptr);
    if (!g) return;
    const bool was_active = g->members.front() == of;
    std::erase(g->members, of);
    if (g->members.empty()) {
        if (g->under_way == 0) groups_.erase({g->topic.value, g->id.value});
    } else if (was_active) {
        activate(*g);
    }
}

// --- Acks -------------------------------------------------------------------------------------

errc grouping::ack(runtime::link& from, const wire::ack& request) {
    const auto found = members_.find({from.number(), request.channel});
    if (found == members_.end() || !found->second->of) return errc::unknown_subscription;
    const std::shared_ptr<member> of = found->second;
    if (is_moving(*of->of)) return errc::ok;
    known_topic* const topic = parts_.topics.find(of->topic_id);
    if (!topic) return errc::topic_unknown;
    const known_source* const source = topic->find(request.source);
    const bool present = source && request.epoch == source->epoch;
    const bool ahead = !source || request.epoch > source->epoch;
    const auto stored_to = present ? source->last : sequence{0};
    const auto is_stored = [&](const sequence_range& r) { return !ahead && r.last <= stored_to; };
    const std::size_t more = request.ranges.size();
    if (of->frames.size() == ack_frames_max || of->ranges + more > ack_ranges_max ||
        of->of_link->ranges + more > ack_ranges_a_link_max) {
        fail(of, errc::limit_exceeded);
        return errc::ok;
    }
    of->ranges += more;
    of->of_link->ranges += more;
    const std::uint64_t number = of->frames_done + of->frames.size();
    of->frames.push_back({1, more});  // a part until all of it is under way
    if (sabotaged("lose-acks")) {
        part_done(of, number);
        settled();
        return errc::ok;
    }
    std::vector<sequence_range> stored;
    for (const sequence_range& range : request.ranges) {
        if (!ahead && !present) {
            submit(of, number, source->id, request.epoch, true, {range});
            continue;
        }
        sequence_range now = range;
        if (!is_stored(range)) {
            const sequence begin = std::max(range.first, stored_to + 1);
            of->waiting.push_back(
                {number, std::string(request.source), request.epoch, {begin, range.last}});
            ++of->frames.back().parts;
            now.last = begin - 1;
        }
        if (!now.empty()) stored.push_back(now);
    }
    if (!stored.empty()) submit(of, number, source->id, request.epoch, false, std::move(stored));
    part_done(of, number);
    // A frame that names nothing waits for no commit.
    if (request.ranges.empty()) settled();
    return errc::ok;
}

void grouping::submit(const std::shared_ptr<member>& of, std::uint64_t frame,
                      store::source_id source, cairn::epoch epoch, bool former_run,
                      std::vector<sequence_range> ranges) {
    ++of->frames[frame - of->frames_done].parts;
    ++of->of->under_way;
    const group_key key{of->topic_id.value, of->of->id.value};
    store::ack_positions wanted{of->topic_id, of->of->id, source, epoch, ranges};
    const std::uint32_t token = flights_.put(
        {flight::kind::ack, of, key, frame, former_run, source, epoch, std::move(ranges)});
    parts_.commits.submit(std::move(wanted), *this, token);
}

// The store looks at so much at once.
void grouping::go_on(const flight& which, sequence next) {
    if (!which.of->link || is_moving(*which.of->of)) return;
    std::vector<sequence_range> rest;
    for (const sequence_range& r : which.ranges)
        if (next <= r.last) rest.push_back({std::max(next, r.first), r.last});
    submit(which.of, which.frame, which.source, which.epoch, which.former_run, std::move(rest));
}

void grouping::part_done(const std::shared_ptr<member>& of, std::uint64_t frame) {
    --of->frames[frame - of->frames_done].parts;
    while (!of->frames.empty() && of->frames.front().parts == 0) {
        of->ranges -= of->frames.front().ranges;
        of->of_link->ranges -= of->frames.front().ranges;
        of->frames.pop_front();
        ++of->frames_done;
        if (!std::exchange(of->marked, true)) marked_.push_back(of);
    }
}

// What waited to be stored may be by now.
void grouping::release(const std::shared_ptr<member>& of, known_topic& topic) {
    if (is_moving(*of->of)) return;
    std::vector<member::early_ack> left;
    std::vector<member::early_ack> all;
    all.swap(of->waiting);
    for (member::early_ack& w : all) {
        const known_source* const source = topic.find(w.source);
        if (!source || w.epoch > source->epoch ||
            (w.epoch == source->epoch && source->last < w.range.first)) {
            left.push_back(std::move(w));
            continue;
        }
        sequence_range now = w.range;
        if (w.epoch == source->epoch) now.last = std::min(now.last, source->last);
        submit(of, w.frame, source->id, w.epoch, w.epoch < source->epoch, {now});
        if (now.last == w.range.last) {
            part_done(of, w.frame);
        } else {
            w.range.first = now.last + 1;
            left.push_back(std::move(w));
        }
    }
    of->waiting = std::move(left);
}

void grouping::topic_changed(known_topic& topic) {
    for (auto it = groups_.lower_bound({topic.id.value, 0});
         it != groups_.end() && it->first.first == topic.id.value; ++it)
        for (const std::shared_ptr<member>& m : it->second->members)
            if (!m->waiting.empty()) release(m, topic);
}

void grouping::topic_removed(known_topic& topic) {
    for (;;) {
        const auto it = groups_.lower_bound({topic.id.value, 0});
        if (it == groups_.end() || it->first.first != topic.id.value) return;
        const group_key key = it->first;
        // The last one may take the group along.
        for (const auto& m : std::vector(it->second->members)) fail(m, errc::topic_unknown);
        groups_.erase(key);
    }
}

void grouping::replied(std::uint32_t token, const store::reply& answer, bool /*flushed*/) {
    const flight which = flights_.take(token);
    const std::shared_ptr<member>& of = which.of;
    switch (which.what) {
        case flight::kind::make_topic:
            if (!answer.ok() || !std::get<store::topic_created>(answer.value).made)
                parts_.quota.give_back(of->client);
            if (!of->link) return;
            // It may exist, and be configured otherwise.
            if (!answer.ok() && answer.code != errc::topic_exists) return fail(of, answer.code);
            return place(of);
        case flight::kind::make_group:
            if (!of->link) return;
            if (!answer.ok()) return fail(of, answer.code);
            return joined(of, std::get<store::group_created>(answer.value).group);
        case flight::kind::ack:
            if (const auto* done = std::get_if<store::acked>(&answer.value))
                if (done->next.value != 0) go_on(which, done->next);
            return acked(which, answer.code);
    }
}

void grouping::acked(const flight& which, errc code) {
    const std::shared_ptr<member>& of = which.of;
    if (const auto found = groups_.find(which.group); found != groups_.end()) {
        group& g = *found->second;
        --g.under_way;
        if (g.members.empty()) {
            if (g.under_way == 0) groups_.erase(found);
        } else if (g.activating && g.under_way == 0) {
            activate(g);
        }
    }
    if (!of->link) return;
    // What an ended run did not bring here will never be here.
    if (code == errc::ok || (code == errc::not_stored && which.former_run))
        part_done(of, which.frame);
    else
        fail(of, code);
}

void grouping::settled() {
    for (const std::shared_ptr<member>& m : std::exchange(marked_, {})) {
        m->marked = false;
        m->link->send(wire::acked{m->channel, m->frames_done});
    }
}

void grouping::add_stats(store_server_stats& to) const { to.members = members_.size(); }

}  // namespace cairn::daemon
