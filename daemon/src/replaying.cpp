#include "replaying.hpp"

#include "sabotage.hpp"

#include <cairn/protocol/topics.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <utility>

namespace cairn::daemon {

namespace {

// Heads in one frame: with the longest names still below control_bytes_max.
constexpr std::size_t heads_a_frame = 100;

std::uint64_t bytes_of(const replay_page& page) {
    return page.block.capacity() + page.headers.size() + page.steps.size() * sizeof(replay_step);
}

}  // namespace

/// A SUBSCRIBE that came in several frames.
struct replaying::partial {
    std::vector<replay_point> points;
};

/// What a reader thread found of a subscription's topics.
struct replaying::opening {
    struct topic {
        replay_cursor cursor;
        replay_page begin;
    };
    std::vector<topic> topics;
    std::size_t streams = 0;
    errc failed = errc::ok;
};

// Two a thread: one is read while the other is sent.
replaying::replaying(service_parts& parts)
    : parts_(parts), budget_(parts.options.replay_bytes_max, 2 * parts.options.replay_threads) {
    parts_.topics.add(*this);
}

replaying::~replaying() = default;

// --- Frames -----------------------------------------------------------------------------------

errc replaying::subscribe(runtime::link& from, const wire::subscribe& request) {
    if (!protocol::valid_pattern(request.pattern)) return errc::topic_invalid;
    if (!parts_.hub.gate().allows(from, request.pattern, runtime::may_read))
        return errc::not_authorised;
    const node_options& limits = parts_.hub.options();
    const channel_key at{from.number(), request.channel};
    const auto of_link = [&](const auto& all) {
        return static_cast<std::size_t>(std::distance(all.lower_bound({from.number(), 0}),
                                                      all.lower_bound({from.number() + 1, 0})));
    };
    if (!subscriptions_.contains(at) &&
        of_link(subscriptions_) >= limits.subscriptions_per_peer_max)
        return errc::limit_exceeded;
    // The newest request of a channel replaces the one that waits.
    if (const store_subscription* const s = find(from, request.channel);
        s && waiting_.contains(s->serial))
        supersede(at);
    if (points_of(from.number()) + request.resume.size() > resume_points_max ||
        of_link(partial_) > limits.subscriptions_per_peer_max) {
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
    // A reader that lost its bearings subscribes again under its channel.
    supersede(at);
    auto made = std::make_unique<store_subscription>(*this, from, next_serial_++, request,
                                                     parts_.hub.loop().now());
    made->points = std::move(complete->points);
    waiting_.emplace(made->serial, made.get());
    subscriptions_.emplace(at, std::move(made));
    open_some();
    serve(from.number());
    return errc::ok;
}

void replaying::credit(runtime::link& from, const wire::credit& granted) {
    // After UNSUBSCRIBE a CREDIT may still be on its way: no error.
    store_subscription* const s = find(from, granted.channel);
    if (s && s->credit.raise({granted.granted, granted.consumed}) && !s->opening)
        serve(from.number());
}

errc replaying::repair(runtime::link& from, const wire::repair& request) {
    store_subscription* const s = find(from, request.channel);
    if (!s) return errc::unknown_subscription;
    for (auto& [id, of] : s->topics) {
        if (of->name != request.from.topic) continue;
        for (topic_replay::stream& stream : of->streams) {
            // What was sent to it since may be of later runs.
            if (stream.name != request.from.source || stream.epoch < request.from.epoch) continue;
            stream.epoch = request.from.epoch;
            stream.next = std::max(request.from.next, sequence{1});
            put_back(*of);
            pump(*s, of);
            serve(from.number());
            return errc::ok;
        }
    }
    return errc::ok;
}

void replaying::unsubscribe(runtime::link& from, const wire::unsubscribe& request) {
    subscriptions_.erase({from.number(), request.channel});
    partial_.erase({from.number(), request.channel});
    serve(from.number());
}

void replaying::link_down(const runtime::link& gone) {
    const auto erase = [&](auto& from) {
        from.erase(from.lower_bound({gone.number(), 0}), from.lower_bound({gone.number() + 1, 0}));
    };
    erase(subscriptions_);
    erase(partial_);
    served_last_.erase(gone.number());
    budget_.set_in_transit(gone.number(), 0);
}

void replaying::go_on(const runtime::link& with, bool writable) {
    if (writable) {
        for (auto it = subscriptions_.lower_bound({with.number(), 0});
             it != subscriptions_.end() && it->first.first == with.number(); ++it)
            it->second->blocked = false;
    }
    see_transit(with);
    serve(with.number());
}

store_subscription* replaying::find(const runtime::link& from, wire::channel channel) {
    const auto found = subscriptions_.find({from.number(), channel});
    return found == subscriptions_.end() ? nullptr : found->second.get();
}

std::size_t replaying::streams_of(std::uint64_t link) const {
    std::size_t streams = 0;
    for (auto it = subscriptions_.lower_bound({link, 0});
         it != subscriptions_.end() && it->first.first == link; ++it)
        streams += std::max(it->second->heads.streams(), it->second->topics.size());
    return streams;
}

// A subscription may grow while others walk over all of them: it is ended later.
bool replaying::may_grow(store_subscription& to, std::size_t topics, std::size_t streams) {
    const std::size_t now = std::max(to.heads.streams(), to.topics.size());
    const std::size_t then = std::max(to.heads.streams() + streams, to.topics.size() + topics);
    if (streams_of(to.link.number()) - now + then <= parts_.hub.options().topics_per_peer_max)
        return true;
    grown_.insert({to.link.number(), to.channel});
    return false;
}

void replaying::end_grown() {
    for (const channel_key& at : std::exchange(grown_, {})) {
        const auto found = subscriptions_.find(at);
        if (found == subscriptions_.end()) continue;
        parts_.hub.log(log_level::warning, "replay",
                       "a subscription of " + found->second->link.description() + " to " +
                           found->second->pattern + " grew beyond topics_per_peer_max");
        fail(*found->second, errc::limit_exceeded);
    }
}

// --- Beginning --------------------------------------------------------------------------------

// Each SUBSCRIBE is answered, or its reader would wait for that for ever.
void replaying::supersede(channel_key at) {
    const auto found = subscriptions_.find(at);
    if (found == subscriptions_.end()) return;
    store_subscription& s = *found->second;
    if (s.opening) s.link.send(wire::subscribed{s.channel, false, {}});
    subscriptions_.erase(found);
}

// Half a request is memory too.
std::size_t replaying::points_of(std::uint64_t link) const {
    std::size_t points = 0;
    for (auto it = partial_.lower_bound({link, 0}); it != partial_.end() && it->first.first == link;
         ++it)
        points += it->second->points.size();
    for (auto it = subscriptions_.lower_bound({link, 0});
         it != subscriptions_.end() && it->first.first == link; ++it)
        points += it->second->points.size();
    return points;
}

// What waits here ends with its link and its channel; what a reader thread has does not.
void replaying::open_some() {
    for (auto it = waiting_.begin();
         it != waiting_.end() && under_way_.size() < parts_.options.replay_threads;) {
        store_subscription& next = *it->second;
        if (under_way_.contains({next.link.number(), next.channel})) {
            ++it;
            continue;
        }
        it = waiting_.erase(it);
        open(next);
    }
}

void replaying::open(store_subscription& to) {
    const channel_key at{to.link.number(), to.channel};
    under_way_.insert(at);
    const auto found = std::make_shared<opening>();
    const replay_start start =
        to.from == wire::start::live ? replay_start::live : replay_start::earliest;
    auto work = [found, start, pattern = to.pattern,
                 streams_max = parts_.hub.options().topics_per_peer_max,
                 given = std::exchange(to.points, {})](store::reader& reader) mutable {
        const replay_points points(std::move(given));
        const auto take = [&](const store::topic_info& topic) {
            opening::topic t;
            auto cursor = open_replay(reader, topic, points, start, t.begin);
            if (!cursor) {
                // Deleted since it was listed.
                if (cursor.error() != errc::topic_unknown) found->failed = cursor.error();
                return;
            }
            t.cursor = std::move(*cursor);
            found->streams += std::max<std::size_t>(1, t.cursor.streams.size());
            found->topics.push_back(std::move(t));
            if (found->streams > streams_max) found->failed = errc::limit_exceeded;
        };
        const auto take_named = [&](const std::string& name) {
            const auto id = reader.find_topic(name);
            if (!id && id.error() != errc::topic_unknown) found->failed = id.error();
            if (!id) return;
            if (const auto topic = reader.topic(*id)) take(*topic);
        };
        if (!pattern.ends_with('*')) return take_named(pattern);
        const std::string_view prefix = std::string_view(pattern).substr(0, pattern.size() - 1);
        // Names behind the prefix less one bit begin with it, or are all behind it.
        std::string after(prefix);
        if (!after.empty()) take_named(after);
        for (;;) {
            const auto some = reader.topics(after);
            if (!some) {
                found->failed = some.error();
                return;
            }
            for (const store::topic_info& t : *some) {
                if (!t.name.starts_with(prefix) || found->failed != errc::ok) return;
                take(t);
            }
            if (some->empty()) return;
            after = some->back().name;
        }
    };
    parts_.readers.submit(at.first, std::move(work), [this, at, found, serial = to.serial] {
        under_way_.erase(at);
        const auto s = subscriptions_.find(at);
        if (s != subscriptions_.end() && s->second->serial == serial) opened(*s->second, *found);
        open_some();
        parts_.topics.tell();
    });
}

void replaying::opened(store_subscription& to, opening& found) {
    if (found.failed != errc::ok) return fail(to, found.failed);
    if (streams_of(to.link.number()) + found.streams > parts_.hub.options().topics_per_peer_max)
        return fail(to, errc::limit_exceeded);
    to.opening = false;
    for (opening::topic& t : found.topics) {
        const auto made = std::make_shared<topic_replay>();
        made->name = t.cursor.name;
        made->cursor = std::move(t.cursor);
        std::erase_if(t.begin.steps, [&](const replay_step& step) {
            if (step.what != replay_step::kind::head) return false;
            add_stream(to, *made, step);
            return true;
        });
        made->page = std::move(t.begin);
        known_topic& topic = parts_.topics.find_or_add(made->cursor.topic, made->name);
        note(*made);
        attach(to, made, topic);
    }
    tell_subscribed(to);
    // Topics that were made since the reader thread looked.
    parts_.topics.each([&](known_topic& topic) {
        if (!to.topics.contains(topic.id.value) && protocol::matches(to.pattern, topic.name))
            add_topic(to, topic);
    });
    for (auto& [id, of] : to.topics) pump(to, of);
    serve_starved();
}

void replaying::tell_subscribed(store_subscription& to) {
    wire::subscribed answer{to.channel, true, {}};
    for (const auto& [id, of] : to.topics) {
        for (const topic_replay::stream& s : of->streams) {
            answer.heads.push_back(head_of(*of, s));
            if (answer.heads.size() < heads_a_frame) continue;
            to.link.send(answer);
            answer.heads.clear();
        }
    }
    answer.more = false;
    to.link.send(answer);
}

void replaying::attach(store_subscription& to, const std::shared_ptr<topic_replay>& made,
                       known_topic& topic) {
    made->to = &to;
    made->link = to.link.number();
    to.topics.emplace(topic.id.value, made);
    readers_[topic.id.value].push_back(&to);
    for (const auto& [id, s] : topic.sources) {
        const auto place = made->places.find(id);
        if (place == made->places.end() || s.epoch > made->cursor.streams[place->second].newest)
            made->sources = true;
    }
}

void replaying::add_topic(store_subscription& to, known_topic& topic) {
    if (!may_grow(to, 1, 0)) return;
    const auto made = std::make_shared<topic_replay>();
    made->name = topic.name;
    made->cursor.topic = topic.id;
    made->cursor.name = topic.name;
    made->sources = true;
    attach(to, made, topic);
    pump(to, made);
}

topic_replay::stream& replaying::add_stream(store_subscription& to, topic_replay& of,
                                            const replay_step& head) {
    const auto index = static_cast<std::uint32_t>(of.streams.size());
    const replay_stream& known = of.cursor.streams[head.stream];
    of.places.emplace(known.id.value, index);
    const protocol::scheduled_stream schedule = to.heads.add();
    const auto slot = static_cast<std::size_t>(schedule);
    if (slot >= to.by_schedule.size()) to.by_schedule.resize(slot + 1);
    to.by_schedule[slot] = {&of, index};
    of.streams.push_back(
        {known.id, known.name, head.epoch, head.first_held, head.last, head.next, schedule});
    return of.streams.back();
}

void replaying::fail(store_subscription& to, errc why) {
    answer_error(to.link, to.channel, why);
    subscriptions_.erase({to.link.number(), to.channel});
}

void replaying::forget(store_subscription& which, std::uint32_t topic) {
    const auto readers = readers_.find(topic);
    if (readers == readers_.end()) return;
    std::erase(readers->second, &which);
    if (readers->second.empty()) readers_.erase(readers);
}

void replaying::note(const topic_replay& of) {
    known_topic* const topic = parts_.topics.find(of.cursor.topic);
    if (!topic) return;
    for (const replay_stream& s : of.cursor.streams)
        parts_.topics.note(*topic, s.id, s.name, s.newest, s.newest_last);
}

// --- Sending ----------------------------------------------------------------------------------

void replaying::pump(store_subscription& to, const std::shared_ptr<topic_replay>& of) {
    if (of->reading) return;
    if (!send_steps(to, *of)) {
        if (!std::exchange(of->waits_to_send, true)) to.to_send.push_back(of);
        return;
    }
    if (of->again) return begin_again(of);
    const std::uint64_t room = of->end ? 0 : room_for(to);
    if (of->sources || room != 0) return read(to, of, room);
    if (of->end || std::exchange(of->waits_to_read, true)) return;
    to.to_read.push_back(of);
    starved_.insert(of->link);
}

// Something that the link's topics may wait for has changed: credit, what it holds or has on its
// way. Subscriptions begin in turn, since the first takes what it can.
void replaying::serve(std::uint64_t link) {
    const auto begin = subscriptions_.lower_bound({link, 0});
    const auto end = subscriptions_.lower_bound({link + 1, 0});
    if (begin != end) {
        wire::channel& last = served_last_[link];
        auto first = subscriptions_.upper_bound({link, last});
        if (first == end) first = begin;
        last = first->first.second;
        const auto serve_all = [&] {
            for (auto it = first; it != end; ++it) serve(*it->second);
            for (auto it = begin; it != first; ++it) serve(*it->second);
        };
        serve_all();
        if (put_back_pages(link)) serve_all();
    }
    starved_.erase(link);
    end_grown();
}

// A topic that has become due may need the room of a page that nothing else brings to light.
void replaying::serve_starved() {
    for (const std::uint64_t link : std::exchange(starved_, {})) serve(link);
    end_grown();
}

// Who grants nothing more in the middle of a page does not hold up its node's other subscriptions:
// what is left of it is read again.
bool replaying::put_back_pages(std::uint64_t link) {
    if (budget_.room(link) != 0) return false;
    const auto begin = subscriptions_.lower_bound({link, 0});
    const auto end = subscriptions_.lower_bound({link + 1, 0});
    const bool wanted = std::any_of(begin, end, [](const auto& entry) {
        const store_subscription& s = *entry.second;
        return !s.to_read.empty() && s.ready() && s.credit.left() > s.holds;
    });
    if (!wanted) return false;
    bool any = false;
    for (auto it = begin; it != end; ++it) {
        if (it->second->credit.may_send()) continue;
        for (const std::shared_ptr<topic_replay>& of : it->second->to_send) {
            if (!of->to || of->reading || of->page.steps.empty()) continue;
            put_back(*of);
            any = true;
        }
    }
    return any;
}

void replaying::put_back(topic_replay& of) {
    of.page = {};
    of.sent = 0;
    of.again = true;
    if (!of.reading) hold(of, 0);
}

void replaying::serve(store_subscription& to) {
    if (to.opening) return;
    for (std::size_t n = to.to_send.size(); n != 0 && to.ready(); --n) {
        const std::shared_ptr<topic_replay> of = std::move(to.to_send.front());
        to.to_send.pop_front();
        of->waits_to_send = false;
        if (of->to) pump(to, of);
    }
    while (!to.to_read.empty() && room_for(to) != 0) {
        const std::shared_ptr<topic_replay> of = std::move(to.to_read.front());
        to.to_read.pop_front();
        of->waits_to_read = false;
        if (of->to) pump(to, of);
    }
}

std::uint64_t replaying::room_for(const store_subscription& to) const {
    if (!to.ready() || to.credit.left() <= to.holds) return 0;
    return std::min({to.credit.left() - to.holds, std::uint64_t{parts_.options.replay_page_bytes},
                     budget_.room(to.link.number())});
}

void replaying::hold(topic_replay& of, std::uint64_t bytes) {
    if (of.holds == 0 && bytes != 0)
        budget_.take(of.link, bytes);
    else if (of.holds != 0 && bytes == 0)
        budget_.release(of.link, of.holds);
    else if (bytes != 0)
        budget_.resize(of.link, of.holds, bytes);
    if (of.to) of.to->holds += bytes - of.holds;
    of.holds = bytes;
}

void replaying::let_go(topic_replay& of) {
    if (of.reading)
        of.to->holds -= of.holds;
    else
        hold(of, 0);
    of.to = nullptr;
}

// Of what was sent last nobody will say that it was read.
void replaying::see_transit(const runtime::link& of) {
    const std::uint64_t sent = of.in_transit();
    budget_.set_in_transit(of.number(), sent - std::min(sent, runtime::link::transit_ping_bytes));
}

// False when credit or the link ends before the page.
bool replaying::send_steps(store_subscription& to, topic_replay& of) {
    wire::heads told{to.channel, {}};
    const auto flush = [&] {
        if (!told.items.empty()) to.link.send(told);
        told.items.clear();
    };
    while (of.sent != of.page.steps.size()) {
        const replay_step& step = of.page.steps[of.sent];
        if (step.what == replay_step::kind::head) {
            if (step.stream == of.streams.size()) {
                flush();  // its views end when streams move
                if (!may_grow(to, 0, 1)) return false;
                add_stream(to, of, step);
            } else {
                topic_replay::stream& s = of.streams[step.stream];
                s.epoch = step.epoch;
                s.first_held = step.first_held;
                s.last = step.last;
                s.next = step.next;
            }
            told.items.push_back(head_of(of, of.streams[step.stream]));
            if (told.items.size() == heads_a_frame) flush();
        } else {
            flush();
            topic_replay::stream& s = of.streams[step.stream];
            if (step.what == replay_step::kind::gone)
                to.link.send(
                    wire::gone{to.channel, of.name, s.name, step.epoch, step.range, step.cause});
            else if (!send_batch(to, of, step))
                return false;
            s.next = step.range.last + 1;
            s.last = std::max(s.last, step.range.last);
        }
        ++of.sent;
    }
    flush();
    of.page = {};
    of.sent = 0;
    hold(of, 0);
    return true;
}

bool replaying::send_batch(store_subscription& to, topic_replay& of, const replay_step& step) {
    if (!to.ready()) return false;
    if (sabotaged("false-gone") && batches_ % 8 == 7) {
        ++batches_;
        const auto& s = of.streams[step.stream];
        to.link.send(wire::gone{to.channel, of.name, s.name, step.epoch, step.range, errc::gone});
        return true;
    }
    const std::span header(of.page.headers.data() + step.header, step.header_bytes);
    const std::span<const std::byte> body(of.page.block.data() + step.body, step.body_bytes);
    const auto outcome = to.link.send_batch(header, to.channel, of.page.block, body);
    if (outcome != runtime::link::sent::yes) {
        to.blocked = true;
        return false;
    }
    to.credit.spend(body.size() + wire::batch_charge_bytes);
    see_transit(to.link);
    ++batches_;
    bytes_ += body.size();
    return true;
}

void replaying::read(store_subscription& to, const std::shared_ptr<topic_replay>& of,
                     std::uint64_t bytes) {
    hold(*of, bytes);
    const auto page = std::make_shared<replay_page>();
    const auto failed = std::make_shared<errc>(errc::ok);
    of->reading = true;
    of->more = false;
    parts_.readers.submit(
        of->link,
        [of, page, failed, bytes, body_max = to.link.peer_body_bytes_max(),
         sources = std::exchange(of->sources, false)](store::reader& reader) {
            *failed = read_replay(reader, of->cursor, bytes, body_max, sources, *page);
        },
        [this, of, page, failed] {
            was_read(of, *page, *failed);
            serve(of->link);
            parts_.topics.tell();
        });
}

void replaying::was_read(const std::shared_ptr<topic_replay>& of, replay_page& page, errc failed) {
    of->reading = false;
    if (!of->to) return hold(*of, 0);
    store_subscription& to = *of->to;
    if (failed != errc::ok) {
        if (!reading_failed(*of, failed)) return;
    } else {
        of->end = page.end && !of->more;
    }
    note(*of);
    // After REPAIR it begins anew: what was read is behind that.
    if (!of->again) {
        of->page = std::move(page);
        of->sent = 0;
    }
    hold(*of, bytes_of(of->page));
    pump(to, of);
}

// False when the topic is gone, and with it this.
bool replaying::reading_failed(topic_replay& of, errc why) {
    if (why == errc::topic_unknown) {
        // It was deleted while it became known here.
        if (known_topic* const topic = parts_.topics.find(of.cursor.topic))
            parts_.topics.remove(*topic);
        return false;
    }
    hub().log(log_level::error, "replay",
              "reading topic " + of.name + " for " + of.to->link.description() +
                  " failed: " + std::string(describe(why)));
    answer_error(of.to->link, of.to->channel, why);
    of.end = true;
    return true;
}

void replaying::begin_again(const std::shared_ptr<topic_replay>& of) {
    of->again = false;
    of->reading = true;
    of->more = false;
    std::vector<replay_point> points;
    for (const topic_replay::stream& s : of->streams)
        points.push_back({of->name, s.name, s.epoch, s.next});
    const auto page = std::make_shared<replay_page>();
    const auto cursor = std::make_shared<result<replay_cursor>>(errc::topic_unknown);
    parts_.readers.submit(
        of->link,
        [of, page, cursor, points = std::move(points)](store::reader& reader) mutable {
            const auto topic = reader.topic(of->cursor.topic);
            *cursor = topic ? open_replay(reader, *topic, replay_points(std::move(points)),
                                          replay_start::whole, *page)
                            : topic.error();
        },
        [this, of, page, cursor] {
            began_again(of, *cursor, *page);
            serve(of->link);
            parts_.topics.tell();
        });
}

void replaying::began_again(const std::shared_ptr<topic_replay>& of, result<replay_cursor>& cursor,
                            replay_page& page) {
    of->reading = false;
    if (!of->to) return;
    store_subscription& to = *of->to;
    if (of->again) return pump(to, of);
    if (!cursor) {
        static_cast<void>(reading_failed(*of, cursor.error()));
        return;
    }
    of->cursor = std::move(*cursor);
    // Sources may come in another order than before.
    std::vector<topic_replay::stream> before;
    before.swap(of->streams);
    const auto known = std::move(of->places);
    of->places.clear();
    for (const replay_step& step : page.steps) {
        if (step.what != replay_step::kind::head) continue;
        const replay_stream& s = of->cursor.streams[step.stream];
        const auto old = known.find(s.id.value);
        if (old == known.end()) {
            add_stream(to, *of, step);
            continue;
        }
        const auto index = static_cast<std::uint32_t>(of->streams.size());
        topic_replay::stream kept = std::move(before[old->second]);
        kept.epoch = step.epoch;
        kept.first_held = step.first_held;
        kept.last = step.last;
        kept.next = step.next;
        of->places.emplace(s.id.value, index);
        to.by_schedule[static_cast<std::size_t>(kept.schedule)] = {of.get(), index};
        of->streams.push_back(std::move(kept));
    }
    // Its reader knows the heads.
    std::erase_if(page.steps,
                  [](const replay_step& step) { return step.what == replay_step::kind::head; });
    of->page = std::move(page);
    of->sent = 0;
    of->end = false;
    pump(to, of);
}

// --- What was stored --------------------------------------------------------------------------

void replaying::topic_appeared(known_topic& topic) {
    for (auto& [at, s] : subscriptions_)
        if (!s->opening && !s->topics.contains(topic.id.value) &&
            protocol::matches(s->pattern, topic.name))
            add_topic(*s, topic);
    serve_starved();
}

void replaying::topic_changed(known_topic& topic) {
    const auto readers = readers_.find(topic.id.value);
    if (readers == readers_.end()) return;
    const time_point now = hub().loop().now();
    for (store_subscription* s : readers->second) {
        const std::shared_ptr<topic_replay>& of = s->topics.at(topic.id.value);
        for (const std::uint32_t id : topic.changed) {
            const auto place = of->places.find(id);
            if (place == of->places.end()) {
                of->sources = true;
                continue;
            }
            const topic_replay::stream& stream = of->streams[place->second];
            if (stream.epoch < topic.sources.at(id).epoch) of->sources = true;
            s->heads.changed(stream.schedule, now);
        }
        hub().loop().at(*s, s->heads.next_time());
        of->end = false;
        of->more = true;
        pump(*s, of);
    }
    serve_starved();
}

void replaying::topic_removed(known_topic& topic) {
    const auto readers = readers_.find(topic.id.value);
    if (readers == readers_.end()) return;
    for (store_subscription* s : readers->second) {
        const auto of = s->topics.find(topic.id.value);
        for (const topic_replay::stream& stream : of->second->streams) {
            s->heads.remove(stream.schedule);
            s->by_schedule[static_cast<std::size_t>(stream.schedule)] = {};
        }
        let_go(*of->second);
        s->topics.erase(of);
    }
    const std::vector<store_subscription*> left = std::move(readers->second);
    readers_.erase(readers);
    std::set<std::uint64_t> links;
    for (store_subscription* s : left) {
        links.insert(s->link.number());
        if (s->pattern == topic.name) fail(*s, errc::topic_unknown);
    }
    for (const std::uint64_t link : links) serve(link);
}

wire::head replaying::head_of(const topic_replay& in, const topic_replay::stream& of) {
    sequence last = of.last;
    cairn::epoch newest = of.epoch;
    if (const known_topic* topic = parts_.topics.find(in.cursor.topic)) {
        const auto known = topic->sources.find(of.id.value);
        if (known != topic->sources.end()) {
            newest = std::max(newest, known->second.epoch);
            if (known->second.epoch == of.epoch) last = std::max(last, known->second.last);
        }
    }
    return {in.name,  of.name,
            of.epoch, std::min(of.first_held, last + 1),
            last,     std::min(of.next, last + 1),
            newest};
}

void replaying::add_stats(store_server_stats& to) const {
    to.subscriptions = subscriptions_.size();
    to.replayed_batches = batches_;
    to.replayed_bytes = bytes_;
    to.replay_held_bytes = budget_.held();
}

// --- Subscription -----------------------------------------------------------------------------

store_subscription::store_subscription(replaying& from_store, runtime::link& to,
                                       std::uint64_t number, const wire::subscribe& request,
                                       time_point now)
    : owner(from_store),
      link(to),
      serial(number),
      channel(request.channel),
      pattern(request.pattern),
      from(request.from),
      credit(request.credit),
      heads(now) {}

store_subscription::~store_subscription() {
    owner.waits_no_more(*this);
    for (auto& [id, of] : topics) {
        owner.let_go(*of);
        owner.forget(*this, id);
    }
    owner.hub().loop().remove(*this);
}

void store_subscription::run(time_point now) {
    wire::heads told{channel, {}};
    while (const auto which = heads.take_due(now)) {
        const scheduled& of = by_schedule[static_cast<std::size_t>(*which)];
        told.items.push_back(owner.head_of(*of.topic, of.topic->streams[of.stream]));
        if (told.items.size() < heads_a_frame) continue;
        link.send(told);
        told.items.clear();
    }
    if (!told.items.empty()) link.send(told);
    // A store sends no digest: who is live has more of a stream than the store.
    static_cast<void>(heads.take_digest(now));
    owner.hub().loop().at(*this, heads.next_time());
}

}  // namespace cairn::daemon
