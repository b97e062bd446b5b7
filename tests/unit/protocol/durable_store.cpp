// The store of the simulation.

#include "durable_world.hpp"

namespace cairn::test {

void durable_world::kill_store() {
    store_up_ = false;
    for (source_side& of : sources_) {
        of.stored.crash();
        for (const auto& p : of.runs)
            if (p) cut_feed(*p);
    }
    for (const auto& m : members_) cut_store(*m);
    done_written_ = done_;
    if (!may_wipe_ || !random_.chance(50)) return;
    for (source_side& of : sources_) of.stored.wipe();
    ++generation_;
    wiped_ = true;
    ++seen_.wipes;
    done_ = done_written_ = {};
}

void durable_world::cut_store(member& m) {
    m.to_store.cut();
    if (m.acks) m.acks->link_lost();
    for (stream_side& s : m.streams)
        if (s.splice) s.splice->store_lost();
    m.at_store = {};
    m.subscribed = m.reads = m.reading_store = m.answered = false;
    // Its attachment ended with the link: what was not counted yet is told to nobody.
    m.acks_taken = 0;
    m.acks_fresh = false;
    m.unanswered = 0;
    if (active_ == &m) active_ = nullptr;
}

void durable_world::turn_store() {
    for (source_side& of : sources_)
        for (const auto& p : of.runs)
            if (p)
                while (const auto f = p->to_store.at_server(now_)) publisher_said(*p, *f);
    // What a reader relies on: what was under way from a run that ended is stored soon.
    if (calm_ || random_.chance(50) || now_ - synced_at_ > spliced_stream::question_wait / 3)
        sync();
    for (const auto& m : members_) {
        while (const auto f = m->to_store.at_server(now_)) reader_said(*m, *f);
        for (std::uint32_t i = 0; m->subscribed && i != sources_.size(); ++i) read_for(*m, i);
    }
}

void durable_world::publisher_said(process& p, const frame& f) {
    source_side& of = sources_[p.source];
    if (f.what == frame::kind::open_source) {
        if (!of.permitted) return;
        p.opened = {};
        if (!of.stored.open(f.epoch)) {
            p.to_store.answer({.what = frame::kind::fenced, .epoch = of.stored.epoch()}, soon());
            return;
        }
        sync();  // what it returns is durable
        p.opened = f.epoch;
        p.dropping = false;
        p.to_store.answer({.what = frame::kind::opened,
                           .epoch = f.epoch,
                           .range = {{1}, of.stored.last_durable(f.epoch)},
                           .generation = generation_},
                          soon());
        return;
    }
    if (p.opened != f.epoch) return;  // of a channel that is closed
    if (f.epoch < of.stored.epoch()) {
        p.opened = {};
        p.to_store.answer({.what = frame::kind::fenced, .epoch = of.stored.epoch()}, soon());
        return;
    }
    const sequence next = of.stored.last(f.epoch) + 1;
    const bool hole = f.range.first > next;
    const bool full = !hole && !calm_ && random_.chance(2);
    if (hole && p.dropping) return;
    if (hole || full) {
        p.dropping = true;
        if (hole) fail("the publisher left a hole before ", f.range);
        p.to_store.answer({.what = frame::kind::refused,
                           .epoch = f.epoch,
                           .range = {{1}, next},
                           .code = random_.chance(50) ? errc::store_full : errc::checksum_mismatch},
                          soon());
        return;
    }
    p.dropping = false;
    (void)of.stored.append(f.epoch, f.range, f.what == frame::kind::lost);
    if (twin_of(p) == 1) of.by_twin.mark(f.epoch, f.range);
    if (bug_ == planted::store_confirms_before_its_sync) confirm(p, of.stored.last(f.epoch));
}

void durable_world::sync() {
    synced_at_ = now_;
    done_ = done_written_;
    for (const auto& m : members_)
        if (std::exchange(m->acks_fresh, false))
            m->to_store.answer({.what = frame::kind::acked, .count = m->acks_taken}, soon());
    for (source_side& of : sources_) {
        of.stored.sync();
        for (const auto& p : of.runs)
            if (p && p->opened.value != 0) confirm(*p, of.stored.last_durable(p->opened));
    }
}

void durable_world::confirm(process& p, sequence up_to) {
    p.to_store.answer({.what = frame::kind::confirm,
                       .epoch = p.opened,
                       .range = {{1}, up_to},
                       .generation = generation_,
                       .count = up_to.value * 200},
                      soon());
}

void durable_world::reader_said(member& m, const frame& f) {
    if (f.what == frame::kind::ack) {
        done_written_[f.source].mark(f.epoch, f.range);
        if (f.reads) return;  // more of this frame follows
        ++m.acks_taken;
        m.acks_fresh = true;
        return;
    }
    m.subscribed = true;
    m.reads = f.reads;
    m.at_store = {};
    for (std::uint32_t i = 0; i != sources_.size(); ++i) begin_for(m, i, f.points[i]);
    m.to_store.answer({.what = frame::kind::subscribed}, soon());
}

void durable_world::begin_for(member& m, std::uint32_t source, const point& from) {
    const store_model& stored = sources_[source].stored;
    if (stored.epoch().value == 0) return;
    store_reader& s = m.at_store[source];
    s = {};
    s.known = true;
    s.epoch = from.epoch;
    s.next = from.next;
    if (!from.known && m.in_group) {
        s.epoch = stored.log().empty() ? stored.epoch() : stored.log()[0].epoch;
        s.next = {1};
    } else if (!from.known) {
        s.epoch = stored.epoch();
        s.next = stored.last_durable(s.epoch) + 1;
    }
    head_from_store(m, source, true);
}

void durable_world::head_from_store(member& m, std::uint32_t source, bool answers) {
    store_reader& s = m.at_store[source];
    s.told_last = sources_[source].stored.last_durable(s.epoch);
    s.told_storing = sources_[source].stored.epoch();
    m.to_store.answer({.what = frame::kind::head,
                       .source = source,
                       .reads = answers,
                       .head = {s.epoch,
                                {1},
                                s.told_last,
                                std::min(s.next, s.told_last + 1),
                                sources_[source].stored.epoch()}},
                      soon());
}

void durable_world::read_for(member& m, std::uint32_t source) {
    const store_model& stored = sources_[source].stored;
    store_reader& s = m.at_store[source];
    if (!s.known && stored.epoch().value != 0) {
        const cairn::epoch oldest = stored.log().empty() ? stored.epoch() : stored.log()[0].epoch;
        s = {};
        s.known = true;
        s.epoch = oldest;
        s.next = {1};
        head_from_store(m, source);
    }
    if (!s.known) return;
    for (std::uint64_t n = random_.between(1, 6); n != 0;) {
        if (s.at == stored.log().size()) {
            if (s.epoch < stored.epoch()) next_run(m, source, stored.epoch());
            break;
        }
        const store_model::entry& e = stored.log()[s.at];
        if (e.epoch < s.epoch || (e.epoch == s.epoch && e.range.last < s.next)) {
            ++s.at;
            continue;
        }
        if (!m.reads) break;
        if (e.epoch > s.epoch) next_run(m, source, e.epoch);
        m.to_store.answer({.what = e.lost ? frame::kind::gone : frame::kind::batch,
                           .source = source,
                           .epoch = e.epoch,
                           .range = e.range,
                           .code = errc::lost},
                          soon());
        s.next = e.range.last + 1;
        ++s.at;
        --n;
    }
    if (s.told_last != stored.last_durable(s.epoch) || s.told_storing != stored.epoch())
        head_from_store(m, source);
}

void durable_world::next_run(member& m, std::uint32_t source, cairn::epoch run) {
    head_from_store(m, source);
    m.at_store[source].epoch = run;
    m.at_store[source].next = {1};
    head_from_store(m, source);
}

/// In front of the first message that the group has not done.
point durable_world::group_point(std::uint32_t source) const {
    const store_model& stored = sources_[source].stored;
    const marks& done = done_[source];
    for (const store_model::entry& e : stored.log()) {
        if (e.lost) continue;
        if (const auto first = done.first_without(e.epoch, e.range)) return {true, e.epoch, *first};
    }
    if (stored.epoch().value == 0) return {};
    return {true, stored.epoch(), stored.last_durable(stored.epoch()) + 1};
}

}  // namespace cairn::test
