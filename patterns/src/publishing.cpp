#include "publishing.hpp"

#include "topics.hpp"

#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <utility>

namespace cairn::patterns {

namespace {

// Heads in one frame: with the longest names still below control_bytes_max.
constexpr std::size_t heads_a_frame = 100;
// Resume points that one subscription may bring along in all its frames.
constexpr std::size_t resume_points_max = 65'536;

std::pair<std::string_view, std::string_view> name_of(const wire::resume_point& p) {
    return {p.topic, p.source};
}

}  // namespace

/// A SUBSCRIBE that came in several frames, with copies of its strings.
struct publishing::partial {
    struct point {
        std::string topic;
        std::string source;
        cairn::epoch epoch;
        sequence next;
    };
    std::vector<point> points;

    /// In order of their names, of two for one stream the last.
    std::vector<wire::resume_point> sorted() const {
        std::vector<wire::resume_point> all;
        all.reserve(points.size());
        for (auto p = points.rbegin(); p != points.rend(); ++p)
            all.push_back({p->topic, p->source, p->epoch, p->next});
        std::stable_sort(all.begin(), all.end(),
                         [](const auto& a, const auto& b) { return name_of(a) < name_of(b); });
        return all;
    }
};

publishing::publishing(runtime::hub& owner) : hub_(owner) {
    using wire::kind;
    for (const kind k : {kind::subscribe, kind::credit, kind::unsubscribe, kind::repair})
        hub_.serve(k, this);
    hub_.add(*this);
}

publishing::~publishing() = default;

// --- Publishers -------------------------------------------------------------------------------

void publishing::add(publication& which, time_point now) {
    publications_.push_back(&which);
    which.start();
    for (auto& [at, s] : subscriptions_) {
        if (!s->matches(which.topic())) continue;
        if (streams_of(at.first) >= hub_.options().topics_per_peer_max) {
            hub_.refuse(s->link, at.second, errc::limit_exceeded,
                        "a subscription grew beyond topics_per_peer_max");
            continue;
        }
        const wire::head head = which.attach(*s, nullptr, true, now);
        s->link.send(wire::heads{s->channel, {head}});
        s->link.ping();
    }
    hub_.loop().changed();
}

void publishing::remove(publication& which) {
    std::erase(publications_, &which);
    for (auto& [at, s] : subscriptions_) std::erase(s->stalled, &which);
}

std::uint64_t publishing::close_all(time_point until) {
    return close_each(hub_.loop(), publications_, [&](publication& p) { return p.close(until); });
}

void publishing::mirror(const publication& which, std::span<const std::byte> body) {
    wire::record_reader records(body);
    while (!records.done()) {
        const wire::record r = records.next();
        for (const auto& t : taps_) t->mirror(which.topic(), r.body);
    }
    for (const auto& t : taps_) t->sent();
}

runtime::endpoint publishing::open_tap(const runtime::endpoint& where) {
    return taps_.emplace_back(std::make_unique<tap>(hub_, where, taps_emptied_))->where();
}

bool publishing::close_tap(const runtime::endpoint& where) {
    return std::erase_if(taps_, [&](const auto& t) {
               return t->where() == where || runtime::connectable(t->where()) == where;
           }) != 0;
}

// --- Frames -----------------------------------------------------------------------------------

errc publishing::frame(runtime::link& from, const wire::control_frame& frame) {
    const time_point now = hub_.loop().now();
    if (const auto* request = std::get_if<wire::subscribe>(&frame))
        return subscribe(from, *request);
    if (const auto* granted = std::get_if<wire::credit>(&frame)) {
        // After UNSUBSCRIBE a CREDIT may still be on its way: no error.
        subscription* s = find(from, granted->channel);
        if (!s || !s->credit.raise({granted->granted, granted->consumed})) return errc::ok;
        const bool moved = s->credit.moved();
        std::vector<publication*> waiting;
        waiting.swap(s->stalled);
        for (publication* p : waiting) p->may_go_on(*s, moved, now);
        return errc::ok;
    }
    if (const auto* request = std::get_if<wire::repair>(&frame)) {
        subscription* s = find(from, request->channel);
        if (!s) return errc::unknown_subscription;
        for (publication* p : publications_)
            if (p->topic() == request->from.topic && p->source() == request->from.source &&
                p->epoch() == request->from.epoch)
                p->rewind(*s, request->from.next, now);
        return errc::ok;
    }
    if (const auto* ended = std::get_if<wire::unsubscribe>(&frame)) {
        subscriptions_.erase({from.number(), ended->channel});
        partial_.erase({from.number(), ended->channel});
        hub_.loop().changed();
        return errc::ok;
    }
    return errc::ok;
}

errc publishing::subscribe(runtime::link& from, const wire::subscribe& request) {
    if (!valid_pattern(request.pattern)) return errc::topic_invalid;
    if (!hub_.gate().allows(from, request.pattern, runtime::may_read)) return errc::not_authorised;
    const key at{from.number(), request.channel};
    const auto first = subscriptions_.lower_bound({from.number(), 0});
    const auto end = subscriptions_.lower_bound({from.number() + 1, 0});
    if (!subscriptions_.contains(at) && static_cast<std::size_t>(std::distance(first, end)) >=
                                            hub_.options().subscriptions_per_peer_max)
        return errc::limit_exceeded;
    // Of all requests of that peer that are not complete: half a request is memory too.
    std::size_t points = request.resume.size();
    std::size_t requests = 1;
    for (auto it = partial_.lower_bound({from.number(), 0});
         it != partial_.end() && it->first.first == from.number(); ++it, ++requests)
        points += it->second->points.size();
    if (points > resume_points_max || requests - 1 > hub_.options().subscriptions_per_peer_max) {
        partial_.erase(at);
        return errc::limit_exceeded;
    }
    std::unique_ptr<partial>& parts = partial_[at];
    if (!parts) parts = std::make_unique<partial>();
    for (const wire::resume_point& p : request.resume)
        parts->points.push_back({std::string(p.topic), std::string(p.source), p.epoch, p.next});
    if (request.more) return errc::ok;
    const std::unique_ptr<partial> complete = std::move(parts);
    partial_.erase(at);

    const time_point now = hub_.loop().now();
    // A reader that lost its bearings subscribes again under its channel.
    subscriptions_.erase(at);
    const auto matching = static_cast<std::size_t>(std::count_if(
        publications_.begin(), publications_.end(),
        [&](const publication* p) { return patterns::matches(request.pattern, p->topic()); }));
    if (streams_of(from.number()) + matching > hub_.options().topics_per_peer_max)
        return errc::limit_exceeded;
    const std::vector<wire::resume_point> known = complete->sorted();
    auto& made = subscriptions_[at];
    made = std::make_unique<subscription>(*this, from, request, now);
    wire::subscribed answer{request.channel, true, {}};
    for (publication* p : std::vector(publications_)) {
        if (!made->matches(p->topic())) continue;
        const std::pair<std::string_view, std::string_view> name{p->topic(), p->source()};
        const auto point = std::lower_bound(
            known.begin(), known.end(), name,
            [](const wire::resume_point& a, const auto& b) { return name_of(a) < b; });
        const bool found = point != known.end() && name_of(*point) == name;
        answer.heads.push_back(p->attach(*made, found ? &*point : nullptr, false, now));
        if (answer.heads.size() == heads_a_frame) {
            from.send(answer);
            answer.heads.clear();
        }
    }
    answer.more = false;
    from.send(answer);
    from.ping();
    hub_.loop().changed();
    return errc::ok;
}

subscription* publishing::find(runtime::link& from, wire::channel channel) {
    const auto found = subscriptions_.find({from.number(), channel});
    return found == subscriptions_.end() ? nullptr : found->second.get();
}

std::size_t publishing::streams_of(std::uint64_t link) const {
    std::size_t streams = 0;
    for (auto it = subscriptions_.lower_bound({link, 0});
         it != subscriptions_.end() && it->first.first == link; ++it)
        streams += it->second->heads.streams();
    return streams;
}

void publishing::fenced(runtime::link& from, const wire::fenced& told) {
    // Only a reader of the topic meets another run of its source.
    auto reader = subscriptions_.lower_bound({from.number(), 0});
    const auto end = subscriptions_.lower_bound({from.number() + 1, 0});
    while (reader != end && !reader->second->matches(told.topic)) ++reader;
    if (reader == end) return;
    for (publication* p : std::vector(publications_))
        if (p->topic() == told.topic && p->source() == told.source && p->epoch() < told.newer &&
            may_fence(from, told.topic))
            p->fence(told.newer);
}

bool publishing::may_fence(runtime::link& who, std::string_view topic) {
    if (hub_.gate().allows(who, topic, &rights::publish)) return true;
    hub_.refuse(
        who, 0, errc::not_authorised,
        "it says that a newer run exists on " + std::string(topic) + ", where it may not publish");
    return false;
}

void publishing::link_down(runtime::link& gone) {
    const auto erase = [&](auto& from) {
        from.erase(from.lower_bound({gone.number(), 0}), from.lower_bound({gone.number() + 1, 0}));
    };
    erase(subscriptions_);
    erase(partial_);
    hub_.loop().changed();
}

void publishing::link_writable(runtime::link& free) { go_on(free, true); }

void publishing::link_drained(runtime::link& drained) { go_on(drained, false); }

void publishing::go_on(const runtime::link& with, bool writable) {
    const time_point now = hub_.loop().now();
    for (auto it = subscriptions_.lower_bound({with.number(), 0});
         it != subscriptions_.end() && it->first.first == with.number(); ++it) {
        subscription& s = *it->second;
        if (writable) s.blocked = false;
        if (!s.ready()) continue;
        std::vector<publication*> waiting;
        waiting.swap(s.stalled);
        for (publication* p : waiting) p->may_go_on(s, false, now);
    }
}

void publishing::node_closing() {
    for (publication* p : publications_) p->node_closing();
    taps_.clear();
}

void publishing::add_stats(std::vector<handle_stats>& out) const {
    for (const publication* p : publications_) out.push_back(p->stats());
}

// --- Subscription -----------------------------------------------------------------------------

subscription::subscription(publishing& from_publishers, runtime::link& to,
                           const wire::subscribe& request, time_point now)
    : owner(from_publishers),
      link(to),
      channel(request.channel),
      pattern(request.pattern.ends_with('*') ? request.pattern.substr(0, request.pattern.size() - 1)
                                             : request.pattern),
      prefix(request.pattern.ends_with('*')),
      from(request.from),
      credit(request.credit),
      heads(now) {
    owner.hub().loop().at(*this, heads.next_time());
}

subscription::~subscription() {
    for (publication* p : by_schedule)
        if (p) p->detach(*this);
    owner.hub().loop().remove(*this);
}

bool subscription::matches(std::string_view topic) const noexcept {
    return prefix ? topic.starts_with(pattern) : topic == pattern;
}

void subscription::head_changed(protocol::scheduled_stream which, time_point now) {
    heads.changed(which, now);
    digest_stale = true;
    owner.hub().loop().at(*this, heads.next_time());
}

void subscription::run(time_point now) {
    wire::heads told{channel, {}};
    while (const auto which = heads.take_due(now)) {
        told.items.push_back(by_schedule[static_cast<std::size_t>(*which)]->head_for(*this));
        if (told.items.size() == heads_a_frame) {
            link.send(told);
            told.items.clear();
        }
    }
    if (!told.items.empty()) link.send(told);
    if (heads.take_digest(now)) stalled.empty() ? tell_digest() : tell_stalled();
    owner.hub().loop().at(*this, heads.next_time());
}

// What waits for the reader, closed in a batch or not, exists: should the publisher die now, the
// reader can tell what it will not get.
void subscription::tell_stalled() {
    wire::heads told{channel, {}};
    for (const publication* p : stalled) {
        told.items.push_back(p->head_for(*this));
        if (told.items.size() < heads_a_frame) continue;
        link.send(told);
        told.items.clear();
    }
    if (!told.items.empty()) link.send(told);
}

void subscription::tell_digest() {
    if (std::exchange(digest_stale, false)) {
        digest_sum = 0;
        for (const publication* p : by_schedule) {
            if (!p) continue;
            const wire::head head = p->head_for(*this);
            digest_sum += wire::stream_digest(head.topic, head.source, head.epoch, head.next - 1);
        }
    }
    link.send(wire::digest{channel, static_cast<std::uint32_t>(heads.streams()), digest_sum});
}

}  // namespace cairn::patterns
