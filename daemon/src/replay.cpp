#include "replay.hpp"

#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <cstring>
#include <span>
#include <tuple>
#include <utility>

namespace cairn::daemon {

namespace {

/// Works out one page.
class page_maker {
public:
    page_maker(store::reader& reader, replay_cursor& cursor, std::uint64_t body_bytes_max,
               replay_page& out)
        : reader_(reader), cursor_(cursor), body_bytes_max_(body_bytes_max), out_(out) {}

    /// Adds sources that are new, and looks for newer runs of the others.
    errc look_at_sources();
    errc read(std::size_t bytes_max);
    /// What was stored when the sources were looked at, and did not come, is gone. Requires: all
    /// that is stored was read.
    void owe_nothing();
    /// Ends runs that are over and were sent.
    errc enter_next_runs();
    /// Head, and what is missing before it.
    void begin(std::uint32_t at);
    /// What is known of the sources is of another moment than the page, and that matters: something
    /// was looked up after it was read, or it misses what may have been stored after they were
    /// looked at.
    bool out_of_step() const noexcept { return out_of_step_; }

private:
    errc find(store::source_id id, std::uint32_t& at);
    errc take(const store::entry& e, store::offset kept_from);
    errc enter(std::uint32_t at, cairn::epoch e);
    void gone(std::uint32_t at, sequence_range range, errc cause);
    void head(std::uint32_t at);
    void batch(std::uint32_t at, const store::entry& e, sequence begin_at);
    void put(std::uint32_t at, const wire::batch_header& header, std::span<const std::byte> body);
    errc hole_cause() const { return cursor_.damage ? errc::store_damaged : errc::gone; }

    store::reader& reader_;
    replay_cursor& cursor_;
    std::uint64_t body_bytes_max_;
    replay_page& out_;
    std::size_t used_ = 0;  // of out_.block
    bool out_of_step_ = false;
};

errc page_maker::look_at_sources() {
    const auto sources = reader_.sources(cursor_.topic);
    if (!sources) return sources.error();
    for (const store::source_info& s : *sources) {
        const auto place = cursor_.places.find(s.id.value);
        if (place != cursor_.places.end()) {
            replay_stream& known = cursor_.streams[place->second];
            known.newest = s.epoch;
            known.newest_last = s.last;
            if (known.epoch == s.epoch) known.last = std::max(known.last, s.last);
            continue;
        }
        const auto run = reader_.run_from(cursor_.topic, s.id, {0});
        if (!run) return run.error();
        cursor_.add({s.id, s.name, run->epoch, {1}, run->first_held, run->last, s.epoch, s.last});
        begin(static_cast<std::uint32_t>(cursor_.streams.size() - 1));
    }
    return errc::ok;
}

errc page_maker::find(store::source_id id, std::uint32_t& at) {
    auto place = cursor_.places.find(id.value);
    if (place == cursor_.places.end()) {
        out_of_step_ = true;
        if (const errc failed = look_at_sources(); failed != errc::ok) return failed;
        place = cursor_.places.find(id.value);
        if (place == cursor_.places.end()) return errc::store_damaged;
    }
    at = place->second;
    return errc::ok;
}

void page_maker::head(std::uint32_t at) {
    const replay_stream& s = cursor_.streams[at];
    const sequence next = std::min(s.next, s.last + 1);
    out_.steps.push_back({.what = replay_step::kind::head,
                          .stream = at,
                          .epoch = s.epoch,
                          .first_held = std::min(s.first_held, s.last + 1),
                          .last = s.last,
                          .next = next});
}

// An empty range is nothing: what its reader has already may be what is missing.
void page_maker::gone(std::uint32_t at, sequence_range range, errc cause) {
    if (range.empty()) return;
    replay_stream& s = cursor_.streams[at];
    out_.steps.push_back({.what = replay_step::kind::gone,
                          .stream = at,
                          .epoch = s.epoch,
                          .range = range,
                          .cause = cause});
    s.next = range.last + 1;
    s.last = std::max(s.last, range.last);
    s.first_held = std::max(s.first_held, s.next);
}

// The older run's last head, then the newer's: so a reader learns where a run ended.
errc page_maker::enter(std::uint32_t at, cairn::epoch e) {
    replay_stream& s = cursor_.streams[at];
    if (s.next <= s.last) gone(at, {s.next, s.last}, hole_cause());
    s.first_held = s.last + 1;
    head(at);
    out_of_step_ = true;
    const auto run = reader_.run_from(cursor_.topic, s.id, e);
    if (!run) return run.error();
    s.epoch = run->epoch;
    s.next = {1};
    s.first_held = run->first_held;
    s.last = run->last;
    if (s.epoch > s.newest) {
        s.newest = s.epoch;
        s.newest_last = s.last;  // the one of the run before would hide all up to there
    }
    begin(at);
    return errc::ok;
}

void page_maker::begin(std::uint32_t at) {
    head(at);
    const replay_stream& s = cursor_.streams[at];
    if (s.next < s.first_held && s.next <= s.last)
        gone(at, {s.next, s.first_held - 1}, hole_cause());
}

errc page_maker::take(const store::entry& e, store::offset kept_from) {
    if (e.what == store::entry::kind::damaged) {
        cursor_.damage = out_of_step_ = true;
        return errc::ok;
    }
    std::uint32_t at = 0;
    if (const errc failed = find(e.source, at); failed != errc::ok) return failed;
    while (e.epoch > cursor_.streams[at].epoch) {
        // The end of a run that is over is known for good.
        const auto run = reader_.run_from(cursor_.topic, e.source, cursor_.streams[at].epoch);
        if (run && run->epoch == cursor_.streams[at].epoch)
            cursor_.streams[at].last = std::max(cursor_.streams[at].last, run->last);
        const errc failed = enter(at, {cursor_.streams[at].epoch.value + 1});
        if (failed != errc::ok) return failed;
    }
    replay_stream& s = cursor_.streams[at];
    if (e.epoch < s.epoch || e.sequences.last < s.next) return errc::ok;
    // A batch stays as long as any of it does.
    sequence begin = e.sequences.first;
    if (e.what == store::entry::kind::batch && e.offsets.first < kept_from)
        begin = begin + (kept_from - e.offsets.first);
    if (begin > s.next) gone(at, {s.next, begin - 1}, hole_cause());
    if (e.what == store::entry::kind::lost) {
        gone(at, {s.next, e.sequences.last}, e.cause);
        return errc::ok;
    }
    batch(at, e, begin);
    s.next = e.sequences.last + 1;
    s.last = std::max(s.last, e.sequences.last);
    return errc::ok;
}

// Messages with a body that the reader's node does not take are named; what lies between, or behind
// what was trimmed, goes as batches of its own.
void page_maker::batch(std::uint32_t at, const store::entry& e, sequence begin_at) {
    const replay_stream& s = cursor_.streams[at];
    wire::batch_header header{.channel = 0,
                              .topic = cursor_.name,
                              .source = s.name,
                              .epoch = e.epoch,
                              .first = e.sequences.first,
                              .count = static_cast<std::uint32_t>(e.sequences.size()),
                              .time = e.time,
                              .durable = e.sequences.last.value,
                              .checksum = e.checksum};
    const bool whole = begin_at == e.sequences.first;
    if (whole && e.body.size() <= body_bytes_max_) return put(at, header, e.body);
    const auto taken = [&](const wire::record& r) { return r.body.size() <= body_bytes_max_; };
    wire::record_reader records(e.body);
    sequence first = e.sequences.first;
    for (; first < begin_at; ++first) records.next();
    while (!records.done()) {
        const std::size_t begin = e.body.size() - records.remaining();
        const bool takes = taken(records.next());
        std::uint32_t count = 1;
        for (; !records.done(); ++count) {
            wire::record_reader ahead = records;
            if (taken(ahead.next()) != takes) break;
            records = ahead;
        }
        const std::size_t end = e.body.size() - records.remaining();
        if (takes) {
            const auto part = e.body.subspan(begin, end - begin);
            header.first = first;
            header.count = count;
            header.checksum = part.size() == e.body.size() ? e.checksum : wire::checksum(part);
            put(at, header, part);
        } else {
            gone(at, {std::max(first, s.next), first + (count - 1)}, errc::too_large);
        }
        first = first + count;
    }
}

void page_maker::put(std::uint32_t at, const wire::batch_header& header,
                     std::span<const std::byte> body) {
    if (header.last() < cursor_.streams[at].next) return;
    const std::size_t header_at = out_.headers.size();
    wire::encode(header, out_.headers);
    std::memcpy(out_.block.data() + used_, body.data(), body.size());
    out_.steps.push_back({.what = replay_step::kind::batch,
                          .stream = at,
                          .epoch = header.epoch,
                          .range = {header.first, header.last()},
                          .header = header_at,
                          .header_bytes = out_.headers.size() - header_at,
                          .body = used_,
                          .body_bytes = body.size()});
    used_ += body.size();
}

errc page_maker::read(std::size_t bytes_max) {
    // Large, and used again by each read of the thread.
    static thread_local std::vector<std::byte> buffer;
    static thread_local store::page page;
    if (const errc failed = reader_.read(cursor_.topic, cursor_.next, bytes_max, buffer, page);
        failed != errc::ok)
        return failed;
    if (cursor_.next < page.first) cursor_.trimmed = out_of_step_ = true;
    std::size_t bytes = 0;
    for (const store::entry& e : page.entries) bytes += e.body.size();
    if (bytes != 0) out_.block = runtime::block_ref::make(bytes);
    for (const store::entry& e : page.entries)
        if (const errc failed = take(e, page.first); failed != errc::ok) return failed;
    cursor_.next = page.next;
    out_.end = page.next >= page.end;
    // A single large batch is no reason to keep so much for ever.
    constexpr std::size_t kept_bytes_max = std::size_t{4} << 20;
    if (buffer.size() > kept_bytes_max) buffer = {};
    return errc::ok;
}

void page_maker::owe_nothing() {
    for (std::uint32_t at = 0; at != cursor_.streams.size(); ++at) {
        const replay_stream& s = cursor_.streams[at];
        if (s.next <= s.last) gone(at, {s.next, s.last}, hole_cause());
    }
}

errc page_maker::enter_next_runs() {
    for (std::uint32_t at = 0; at != cursor_.streams.size(); ++at) {
        while (cursor_.streams[at].epoch < cursor_.streams[at].newest) {
            replay_stream& s = cursor_.streams[at];
            const auto run = reader_.run_from(cursor_.topic, s.id, s.epoch);
            if (!run) return run.error();
            if (run->epoch == s.epoch) s.last = std::max(s.last, run->last);
            if (s.next <= s.last) break;
            const errc failed = enter(at, {s.epoch.value + 1});
            if (failed != errc::ok) return failed;
        }
    }
    return errc::ok;
}

}  // namespace

replay_points::replay_points(std::vector<replay_point> of) : points_(std::move(of)) {
    std::stable_sort(points_.begin(), points_.end(),
                     [](const replay_point& a, const replay_point& b) {
                         return std::tie(a.topic, a.source) < std::tie(b.topic, b.source);
                     });
}

const replay_point* replay_points::find(std::string_view topic, std::string_view source) const {
    const std::pair wanted(topic, source);
    const auto of = [](const replay_point& p) {
        return std::pair<std::string_view, std::string_view>(p.topic, p.source);
    };
    const auto found =
        std::lower_bound(points_.begin(), points_.end(), wanted,
                         [&](const replay_point& p, const auto& key) { return of(p) < key; });
    return found != points_.end() && of(*found) == wanted ? &*found : nullptr;
}

result<replay_cursor> open_replay(store::reader& reader, const store::topic_info& topic,
                                  const replay_points& points, replay_start start,
                                  replay_page& begin) {
    replay_cursor cursor;
    cursor.topic = topic.id;
    cursor.name = topic.name;
    cursor.next = topic.end;
    const auto sources = reader.sources(topic.id);
    if (!sources) return sources.error();
    page_maker make(reader, cursor, 0, begin);
    for (const store::source_info& source : *sources) {
        const replay_point* const point = points.find(topic.name, source.name);
        const bool resumes = point != nullptr;
        replay_stream s{source.id, source.name, source.epoch, {},
                        {1},       {},          source.epoch, source.last};
        store::offset at = topic.end;
        if (resumes && point->epoch > source.epoch) {
            // Of a run that the store has yet to hear of.
            s.epoch = point->epoch;
            s.next = std::max(point->next, sequence{1});
        } else if (!resumes && start == replay_start::live) {
            s.last = source.last;
            s.next = s.first_held = s.last + 1;
        } else {
            const auto run = resumes ? reader.run_from(topic.id, source.id, point->epoch)
                             : start == replay_start::whole
                                 ? reader.run_from(topic.id, source.id, {0})
                                 : reader.held_run_from(topic.id, source.id, {0});
            if (!run) return run.error();
            s.epoch = resumes ? point->epoch : run->epoch;
            if (s.epoch == run->epoch) {
                s.first_held = run->first_held;
                s.last = run->last;
            }
            s.next = resumes                        ? std::max(point->next, sequence{1})
                     : start == replay_start::whole ? sequence{1}
                                                    : run->first_held;
            const bool held = s.first_held <= s.last && s.next <= s.last;
            if (held && s.next <= s.first_held) {
                at = run->at;
            } else if (held) {
                const auto exact = reader.offset_of(topic.id, source.id, s.epoch, s.next);
                at = exact ? *exact : run->at;
            } else if (s.epoch < source.epoch) {
                const auto later = reader.held_run_from(topic.id, source.id, {s.epoch.value + 1});
                if (!later) return later.error();
                at = later->at;
            }
        }
        cursor.next = std::min(cursor.next, at);
        cursor.add(std::move(s));
        make.begin(static_cast<std::uint32_t>(cursor.streams.size() - 1));
    }
    return cursor;
}

errc read_replay(store::reader& reader, replay_cursor& cursor, std::size_t bytes_max,
                 std::uint64_t body_bytes_max, bool sources, replay_page& out) {
    page_maker make(reader, cursor, body_bytes_max, out);
    const auto topic = reader.topic(cursor.topic);
    if (!topic) return topic.error();
    // Trimmed away under the reader: nothing that comes may tell what is missing.
    if (cursor.next < topic->first) cursor.trimmed = true;
    const bool look = sources || cursor.trimmed || cursor.damage;
    if (look)
        if (const errc failed = make.look_at_sources(); failed != errc::ok) return failed;
    if (bytes_max != 0) {
        if (const errc failed = make.read(bytes_max); failed != errc::ok) return failed;
        const bool owes = cursor.damage || cursor.trimmed;
        // The sources have to be looked at before the last page is read, and what it misses be
        // known before that: what is learnt of a source while the page is taken apart may be newer
        // than it, and is not missing; what was stored and trimmed in between is.
        if (owes && (!look || make.out_of_step())) out.end = false;
        if (out.end && owes) {
            make.owe_nothing();
            cursor.damage = cursor.trimmed = false;
        }
    } else {
        out.end = cursor.next >= topic->end;
    }
    return make.enter_next_runs();
}

result<store::offset> offset_of_place(store::reader& reader, const store::topic_info& topic,
                                      wire::place from, std::uint64_t value) {
    switch (from) {
        case wire::place::end:
            return topic.end;
        case wire::place::first:
            return topic.first;
        case wire::place::last: {
            const std::uint64_t held = topic.end - topic.first;
            return topic.end - std::min(value, held);
        }
        case wire::place::offset:
            return std::clamp(store::offset{value}, topic.first, topic.end);
        case wire::place::time:
            break;
    }
    constexpr auto latest = static_cast<std::uint64_t>(wall_time::max().time_since_epoch().count());
    return reader.offset_at(topic.id, wall_time(std::chrono::nanoseconds(std::min(value, latest))));
}

result<std::vector<located_point>> locate(store::reader& reader, store::topic_id topic,
                                          store::offset at) {
    const auto sources = reader.sources(topic);
    if (!sources) return sources.error();
    std::vector<located_point> points;
    for (const store::source_info& s : *sources) {
        const auto position = reader.position_at(topic, s.id, at);
        if (!position) return position.error();
        points.push_back({s.id, s.name, position->epoch, position->sequence, s.epoch, s.last});
    }
    return points;
}

namespace {

/// Numbers of topics and groups are not used again.
incarnation incarnation_of(store::topic_id topic, const store::group_info& group) {
    incarnation made;
    auto out = made.bytes.rbegin();
    const auto put = [&](auto number) {
        for (std::size_t i = 0; i != sizeof number; ++i, number >>= 8)
            *out++ = static_cast<std::byte>(number & 0xff);
    };
    put(group.moves);
    put(group.id.value);
    put(topic.value);
    return made;
}

}  // namespace

result<group_progress> progress_of(store::reader& reader, store::topic_id topic,
                                   store::group_id group) {
    const auto g = reader.group(topic, group);
    if (!g) return g.error();
    const auto sources = reader.sources(topic);
    if (!sources) return sources.error();
    group_progress progress;
    progress.of = incarnation_of(topic, *g);
    for (const store::source_info& s : *sources) {
        const auto at = reader.position_of(topic, group, s.id);
        if (!at) return at.error();
        progress.points.push_back(
            {s.id, s.name, at->next.epoch, at->next.sequence, s.epoch, s.last});
        for (const store::range_of_run& acked : at->done)
            progress.done.push_back({s.id, acked.epoch, acked.range});
    }
    if (g->acked == 0) return progress;
    // What is not pending above the floor is done.
    store::offset at = g->floor + 1;
    std::uint64_t left = g->acked;
    while (left != 0 && progress.done.size() < done_ranges_max) {
        const auto pending = reader.pending(topic, group, at, 1);
        if (!pending) return pending.error();
        const bool last = pending->empty();
        const store::offset behind = last ? at + left : pending->front().first;
        if (behind > at) {
            const store::offset_range acked{at, behind - 1};
            for (store::offset from = acked.first; from <= acked.last;) {
                const auto places = reader.positions(topic, {from, acked.last});
                if (!places) return places.error();
                for (const store::placed& p : *places)
                    progress.done.push_back(
                        {p.source, p.epoch, {p.first, p.first + (p.offsets.size() - 1)}});
                if (places->empty()) break;
                from = places->back().offsets.last + 1;
            }
            left -= std::min(left, acked.size());
        }
        if (last) break;
        at = pending->front().last + 1;
    }
    if (progress.done.size() > done_ranges_max) progress.done.resize(done_ranges_max);
    return progress;
}

}  // namespace cairn::daemon
