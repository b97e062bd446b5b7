// The readers of the simulation: a durable group, and one that reads on its own.

#include "durable_world.hpp"

namespace cairn::test {

namespace {

const std::array<std::string_view, sources_max> names{"s", "t"};

}  // namespace

point durable_world::standing(const stream_side& s) {
    return {s.splice->standing() != spliced_stream::state::unknown, s.splice->epoch(),
            s.splice->next()};
}

// --- Joining and leaving ----------------------------------------------------------------------

/// Its process begins anew, and knows nothing.
void durable_world::start_member(member& m) {
    for (std::uint32_t i = 0; i != sources_.size(); ++i)
        for (std::size_t which = 0; which != twins_max; ++which) cut_publisher(m, i, which);
    cut_store(m);
    const bool in_group = m.in_group;
    m = {};
    m.in_group = in_group;
    m.acks.emplace(ack_options{.delay_max = 50ms, .messages_max = 10});
    const duration wait = patient_ ? duration::max() : duration(500ms);
    for (std::uint32_t i = 0; i != sources_.size(); ++i) {
        if (in_group)
            begin_at(m, i, {}, false);
        else
            m.streams[i].splice.emplace(true, wait);
    }
    m.started = !in_group;
}

void durable_world::begin_at(member& m, std::uint32_t source, const point& from, bool jumps) {
    stream_side& s = m.streams[source];
    if (s.splice) leave(s);
    s.splice.emplace(true, patient_ ? duration::max() : duration(500ms), from.epoch, from.next);
    s.begun = true;
    s.at_run = from.epoch;
    s.at_next = from.next;
    if (!jumps) return;
    for (std::size_t which = 0; which != twins_max; ++which)
        if (s.to[which].up()) subscribe(m, source, which);
}

/// Another member is active. What this one was given it keeps, and acks.
void durable_world::stand_by(member& m) {
    m.started = false;
    m.subscribed = m.reads = m.reading_store = m.answered = false;
    m.unanswered = 0;
    for (std::uint32_t i = 0; i != sources_.size(); ++i) {
        for (std::size_t which = 0; which != twins_max; ++which) cut_publisher(m, i, which);
        m.streams[i].splice->store_lost();
    }
}

/// ATTACH_GROUP, and what GROUP_ATTACHED says.
void durable_world::attach(member& m) {
    if (m.generation != 0 && m.generation != generation_) m.acks->repeat_all();
    m.generation = generation_;
    for (stream_side& s : m.streams) s.stored = {};
    if (active_ != nullptr && active_ != &m) {
        if (m.started) stand_by(m);
        return;
    }
    m.acks_taken = 0;
    m.acks_fresh = false;
    seen_.takeovers += m.started ? 0 : 1;
    active_ = &m;
    for (std::uint32_t i = 0; i != sources_.size(); ++i) {
        const point from = group_point(i);
        if (!from.known) continue;
        if (from.next.value != 1) (void)m.acks->find_or_add(names[i], from.epoch, from.next - 1);
        const spliced_stream& is = *m.streams[i].splice;
        if (std::pair(from.epoch, from.next) > std::pair(is.epoch(), is.next()))
            begin_at(m, i, from, true);
    }
    m.started = true;
    m.acks->attached(now_);
    read_store(m);
}

void durable_world::turn_member(member& m) {
    const bool was_up = m.to_store.up();
    if (store_up_ && !was_up && connects()) {
        m.to_store.connect();
        if (!m.in_group) read_store(m);
    }
    const bool joins = m.to_store.up() && !m.to_store.is_mute() && m.in_group;
    if (joins && (!was_up || (active_ == nullptr && !m.started))) attach(m);
    if (m.started) connect_publishers(m);
    for (std::uint32_t i = 0; i != sources_.size(); ++i)
        for (std::size_t which = 0; which != twins_max; ++which)
            while (const auto f = m.streams[i].to[which].at_client(now_))
                publisher_sent(m, i, which, *f);
    while (m.to_store.up()) {
        const auto f = m.to_store.at_client(now_);
        if (!f) break;
        store_sent(m, *f);
    }
    for (std::uint32_t i = 0; i != sources_.size(); ++i) {
        // As a reader's timers do it: nobody looks who was not told to.
        spliced_stream& is = *m.streams[i].splice;
        for (int times = 0; is.wake_at() <= now_ && failure_.empty(); ++times) {
            tell(m, i, is.wake(now_), {});
            if (times == 8) fail("wakes again and again");
        }
        ask(m, i);
        if (m.in_group) ack_some(m, i);
    }
    if (m.answered && wants_store(m) != m.reading_store) read_store(m);
    if (!m.in_group || active_ != &m) return;
    m.acks->send(now_,
                 [&](std::string_view of, cairn::epoch e, std::span<const sequence_range> ranges) {
                     for (const sequence_range& r : ranges)
                         m.to_store.send({.what = frame::kind::ack,
                                          .source = of == names[0] ? 0U : 1U,
                                          .epoch = e,
                                          .range = r,
                                          .reads = &r != &ranges.back()},
                                         soon());
                 });
}

void durable_world::connect_publishers(member& m) {
    for (std::uint32_t i = 0; i != sources_.size(); ++i) {
        for (std::size_t which = 0; which != twins_max; ++which) {
            link& to = m.streams[i].to[which];
            if (!sources_[i].runs[which] || to.up() || !connects()) continue;
            to.connect();
            subscribe(m, i, which);
        }
    }
}

void durable_world::subscribe(member& m, std::uint32_t source, std::size_t which) {
    stream_side& s = m.streams[source];
    if (s.by == which) leave(s);
    frame f{.what = frame::kind::subscribe};
    f.points[0] = standing(s);
    s.to[which].send(f, soon());
}

void durable_world::leave(stream_side& s) {
    s.splice->live_lost();
    s.by.reset();
}

void durable_world::cut_publisher(member& m, std::uint32_t source, std::size_t which) {
    stream_side& s = m.streams[source];
    s.to[which].cut();
    if (s.splice && s.by == which) leave(s);
    if (s.cursor[which])
        sources_[source].runs[which]->ring.remove(*std::exchange(s.cursor[which], std::nullopt));
}

// --- What is sent and heard -------------------------------------------------------------------

bool durable_world::wants_store(const member& m) const {
    bool live = false;
    for (std::uint32_t i = 0; i != sources_.size(); ++i) {
        const spliced_stream& is = *m.streams[i].splice;
        if (is.wants_store()) return true;
        live = live || is.standing() == spliced_stream::state::live;
    }
    return !live;
}

void durable_world::read_store(member& m) {
    m.answered = false;
    ++m.unanswered;
    frame f{.what = frame::kind::subscribe, .reads = m.reading_store = wants_store(m)};
    for (std::uint32_t i = 0; i != sources_.size(); ++i) {
        m.streams[i].splice->store_asked(now_);
        f.points[i] = standing(m.streams[i]);
        if (f.points[i].epoch.value == 0) f.points[i].known = false;
    }
    m.to_store.send(f, soon());
}

void durable_world::ask(member& m, std::uint32_t source) {
    stream_side& s = m.streams[source];
    if (s.by) {
        const auto again = s.splice->take_repair(now_);
        if (again && bug_ != planted::reader_asks_for_no_repair)
            s.to[*s.by].send({.what = frame::kind::repair,
                              .epoch = s.splice->epoch(),
                              .range = {*again, *again}},
                             soon());
        if (s.splice->repair_time() <= now_) fail("spins");
    }
    if (!m.answered) return;
    const bool asks = s.splice->question_at() <= now_;
    if (asks && bug_ == planted::reader_asks_the_store_only_once) return;
    if (s.splice->take_store_repair(now_) || asks) read_store(m);
    if (s.splice->store_repair_time() <= now_ || s.splice->question_at() <= now_) fail("spins");
}

void durable_world::publisher_sent(member& m, std::uint32_t source, std::size_t which,
                                   const frame& f) {
    stream_side& side = m.streams[source];
    spliced_stream& s = *side.splice;
    const sequence before = side.at_next;
    const bool impatient =
        (bug_ == planted::reader_believes_the_first_gone && f.what == frame::kind::gone) ||
        (bug_ == planted::reader_enters_a_restart_at_once && f.what == frame::kind::head &&
         f.head.epoch > s.epoch());
    const auto take = [&] {
        if (f.what == frame::kind::head) return s.live_head(f.head, now_);
        if (f.what == frame::kind::gone) return s.live_gone(f.epoch, f.range, f.code, now_);
        return s.live_batch(f.epoch, f.range.first, static_cast<std::uint32_t>(f.range.size()),
                            now_);
    };
    splice_verdict v = take();
    if (v.what == verdict::kind::fenced)
        return side.to[which].send({.what = frame::kind::fenced, .epoch = s.epoch()}, soon());
    side.by = which;
    tell(m, source, v, f.range);
    seen_.live += f.what == frame::kind::batch && side.at_next != before ? 1 : 0;
    if (impatient && s.standing() == spliced_stream::state::catching_up) {
        const spliced_stream without(false, duration{}, s.epoch(), s.next());
        s = without;
        v = take();
        tell(m, source, v, f.range);
    }
}

void durable_world::store_sent(member& m, const frame& f) {
    if (f.what == frame::kind::acked) return m.acks->acked(f.count);
    if (f.what == frame::kind::subscribed) {
        if (--m.unanswered != 0) return;
        m.answered = true;
        for (std::uint32_t i = 0; i != sources_.size(); ++i)
            tell(m, i, m.streams[i].splice->store_answered(now_), {});
        return;
    }
    // Of two requests only the second one's answer counts.
    const bool of_answer = f.what == frame::kind::head && f.reads;
    if (m.unanswered > (of_answer ? 1 : 0)) return;
    stream_side& side = m.streams[f.source];
    spliced_stream& s = *side.splice;
    const sequence before = side.at_next;
    if (f.what == frame::kind::head) {
        tell(m, f.source, s.store_head(f.head, now_), {});
        note_stored(m, f.source, f.head.epoch, f.head.last);
    } else if (f.what == frame::kind::gone) {
        tell(m, f.source, s.store_gone(f.epoch, f.range, f.code, now_), {});
    } else {
        tell(
            m, f.source,
            s.store_batch(f.epoch, f.range.first, static_cast<std::uint32_t>(f.range.size()), now_),
            f.range);
        note_stored(m, f.source, f.epoch, f.range.last);
    }
    seen_.history += f.what == frame::kind::batch && side.at_next != before ? 1 : 0;
}

// --- The application --------------------------------------------------------------------------

/// Checks what it is told, and remembers what to ack.
void durable_world::tell(member& m, std::uint32_t source, const splice_verdict& v,
                         sequence_range batch) {
    stream_side& s = m.streams[source];
    const source_side& of = sources_[source];
    if (v.what == verdict::kind::malformed) fail("a frame is called malformed");
    note(s, v);
    if (v.tail) told_lost(m, source, *v.tail, errc::gone);
    if (v.orphaned && (v.orphaned->epoch != s.at_run || v.orphaned->range.last >= s.at_next))
        fail("orphaned, and never given: ", v.orphaned->range);
    if (v.orphaned && !wiped_ && !of.had_twin &&
        of.stored.holds(v.orphaned->epoch, v.orphaned->range))
        fail("orphaned, and stored: ", v.orphaned->range);
    if (v.restart) restarted(m, source, *v.restart);
    if (v.gap) told_lost(m, source, *v.gap, v.cause);
    if (v.what != verdict::kind::deliver) return;
    const sequence first = batch.first + v.skip;
    if (!s.begun) {
        s.begun = true;
        s.at_run = s.splice->epoch();
        s.at_next = first;
    }
    if (first != s.at_next || s.at_run != s.splice->epoch())
        fail("given ", first, " instead of ", s.at_next);
    s.at_next = batch.last + 1;
    if (!m.in_group) return;
    given_[source].mark(s.at_run, {first, batch.last});
    s.unacked.emplace_back(s.at_run, sequence_range{first, batch.last});
}

void durable_world::note(stream_side& s, const splice_verdict& v) {
    using state = spliced_stream::state;
    const state is = s.splice->standing();
    seen_.joined += s.was == state::catching_up && is == state::live ? 1 : 0;
    seen_.fell_back += s.was == state::live && is == state::catching_up ? 1 : 0;
    s.was = is;
    seen_.restarts += v.restart && v.restart->before.value != 0 ? 1 : 0;
    seen_.gaps += (v.gap ? 1 : 0) + (v.tail ? 1 : 0);
    seen_.orphaned += v.orphaned ? 1 : 0;
    seen_.duplicates += v.what == verdict::kind::duplicate ? 1 : 0;
}

void durable_world::restarted(member& m, std::uint32_t source, const verdict::restarted& what) {
    stream_side& s = m.streams[source];
    if (!s.begun) return;
    if (what.before != s.at_run || what.now <= s.at_run)
        fail("a restart that went back from ", what.before, " at ", s.at_run, " to ", what.now);
    const source_side& of = sources_[source];
    if (patient_) {
        for (const store_model::entry& e : of.stored.log())
            if (!e.lost && e.epoch < what.now &&
                (e.epoch > s.at_run || (e.epoch == s.at_run && e.range.last >= s.at_next)) &&
                !of.by_twin.has(e.epoch, e.range.last))
                fail("a restart hid ", e.range, " of ", e.epoch, " in the store");
    }
    s.at_run = what.now;
    s.at_next = {1};
}

void durable_world::told_lost(member& m, std::uint32_t source, const verdict::lost_range& what,
                              errc cause) {
    stream_side& s = m.streams[source];
    const source_side& of = sources_[source];
    if (!s.begun) {
        s.begun = true;
        s.at_run = what.epoch;
        s.at_next = what.range.first;
    }
    if (what.epoch != s.at_run || what.range.first != s.at_next)
        fail("a gap at ", what.range, " instead of ", s.at_next);
    if (patient_ && of.holds(what.epoch, what.range))
        fail("a gap over what the store holds: ", what.range);
    const process* const p = of.runs[0].get();
    if (patient_ && p && what.epoch == p->run && p->ring.first_held() <= what.range.last)
        fail("a gap over what the ring holds: ", what.range);
    if (cause == errc::lost && !wiped_ && !of.drops)
        fail("told lost without permission: ", what.range);
    s.at_next = what.range.last + 1;
    if (m.in_group) given_[source].mark(what.epoch, what.range);
}

// --- Acks -------------------------------------------------------------------------------------

/// In any order.
void durable_world::ack_some(member& m, std::uint32_t source) {
    stream_side& s = m.streams[source];
    std::uint64_t some = calm_ ? s.unacked.size() : random_.below(s.unacked.size() + 1);
    for (; some != 0; --some) {
        const std::size_t which = random_.below(s.unacked.size());
        const auto [run, range] = s.unacked[which];
        s.unacked[which] = s.unacked.back();
        s.unacked.pop_back();
        s.acked.mark(run, range);
        pass_ack(m, source, run, range);
    }
}

// As the reader of cairn does it: what the store is not known to have waits.
void durable_world::pass_ack(member& m, std::uint32_t source, cairn::epoch run,
                             sequence_range range) {
    stream_side& s = m.streams[source];
    if (run > s.stored.epoch || (run == s.stored.epoch && range.last >= s.stored.next)) {
        s.early.emplace_back(run, range);
        return;
    }
    m.acks->ack(m.acks->find_or_add(names[source], run, sequence{}), range, now_);
}

void durable_world::note_stored(member& m, std::uint32_t source, cairn::epoch run, sequence last) {
    stream_side& s = m.streams[source];
    const point now{true, run, last + 1};
    if (!m.in_group || (s.stored.known && now <= s.stored)) return;
    s.stored = now;
    for (const auto& [of, range] : std::exchange(s.early, {})) pass_ack(m, source, of, range);
}

}  // namespace cairn::test
