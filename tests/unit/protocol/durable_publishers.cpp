// The publishers of the simulation.

#include "durable_world.hpp"

namespace cairn::test {

void durable_world::start_run(source_side& of) {
    // Whose messages lie in the directory, or who pays what does, is alone: it has one user.
    if (of.spill.contains(of.run) || (of.runs[0] && !of.runs[0]->debts.empty())) stop_run(of, 0);
    if (of.runs[0]) {
        // Its process lives on, and does not know.
        stop_run(of, 1);
        of.runs[1] = std::move(of.runs[0]);
        of.had_twin = true;
        ++seen_.twins;
        for (const auto& m : members_) {
            stream_side& s = m->streams[of.runs[1]->source];
            s.to[1] = std::exchange(s.to[0], {});
            s.cursor[1] = std::exchange(s.cursor[0], std::nullopt);
            s.head_at[1] = s.head_at[0];
            if (s.by == 0U) s.by = 1U;
        }
    }
    of.run = {of.run.value + 1};
    const auto source = static_cast<std::uint32_t>(&of - sources_.data());
    of.runs[0] = std::make_unique<process>(source, of.run, bytes_max_,
                                           std::chrono::milliseconds(random_.below(100)));
    process& p = *of.runs[0];
    // What lies in a spill is paid by the next run, or by none.
    const auto spill = std::exchange(of.spill, {});
    if (!random_.chance(of.with_store_percent)) return;
    // Whom the store refuses has nobody who could tell what left its ring.
    const full_ring any =
        random_.chance(30) ? full_ring::spill : static_cast<full_ring>(random_.below(4));
    p.policy = of.permitted || any == full_ring::refuse ? any : full_ring::block;
    of.drops = of.drops || p.policy == full_ring::drop_history;
    p.mode = random_.chance(25) ? delivery::store_first : delivery::parallel;
    p.owed.emplace(p.ring, p.mode, p.policy, bytes_max_, now_);
    if (p.policy != full_ring::spill) return;
    of.spill = spill;
    for (const auto& [run, range] : of.spill) {
        p.debts.push_back(std::make_unique<process::debt>(run, range, now_));
        ++seen_.debts;
    }
}

void durable_world::stop_run(source_side& of, std::size_t which) {
    if (!of.runs[which]) return;
    process& p = *of.runs[which];
    for (const auto& m : members_) cut_publisher(*m, p.source, which);
    of.runs[which].reset();
}

void durable_world::cut_feed(process& p) {
    p.to_store.cut();
    p.opened = {};
    p.dropping = false;
    if (p.owed) p.active().link_lost();
}

void durable_world::publish(process& p) {
    if (p.fenced) return;
    const std::size_t bytes = random_.between(1, 12);
    if (!p.owed) {
        if (!p.ring.admit(bytes, now_)) return;
    } else {
        feed::answer answer = p.owed->admit(bytes, now_);
        while (answer.what == feed::room::spill) {
            if (twin_of(p) == 1) return;  // the directory has one user
            p.owed->spilled(now_);
            sources_[p.source].spill[p.run] = *p.owed->in_spill();
            ++seen_.spilled;
            answer = p.owed->admit(bytes, now_);
        }
        if (answer.what != feed::room::yes) return;
    }
    const timed_batch batch{{p.ring.last() + 1, p.ring.last() + random_.between(1, 3), bytes},
                            now_};
    p.ring.push(batch);
    if (p.owed) p.owed->pushed(batch);
    if (p.ring.bytes() > bytes_max_ && p.ring.batches() > 1) fail("the ring is too large");
}

void durable_world::turn_run(process& p) {
    if (p.owed && !p.fenced) {
        if (!p.to_store.up() && store_up_ && feed_connects()) {
            p.to_store.connect();
            p.to_store.send({.what = frame::kind::open_source, .epoch = p.active_run()}, soon());
        }
        while (const auto f = p.to_store.at_client(now_)) store_said(p, *f);
        for (std::uint64_t n = random_.between(1, 6); n != 0; --n) feed_store(p);
    }
    const std::size_t which = twin_of(p);
    for (const auto& m : members_) serve(p, *m, which);
}

void durable_world::store_said(process& p, const frame& f) {
    feed& active = p.active();
    if (f.what == frame::kind::fenced) {
        if (f.epoch <= p.run) {
            // Of a debt: a newer run was stored before it could be. It may be said twice.
            if (!p.debts.empty() && f.epoch > p.active_run()) end_debt(p);
            return;
        }
        p.owed->fenced();
        ++seen_.fenced;
        return fence(p);
    }
    if (f.epoch != p.active_run()) return;
    if (f.what == frame::kind::opened) {
        if (!p.debts.empty() && f.range.last >= active.in_spill()->last) return end_debt(p);
        const sequence last = bug_ == planted::publisher_goes_on_where_it_was
                                  ? std::max(f.range.last, active.durable())
                                  : f.range.last;
        active.opened(generation{{static_cast<std::byte>(f.generation)}}, last, 1 << 20, now_);
    } else if (f.what == frame::kind::confirm) {
        active.confirmed(f.range.last, f.count + (1 << 20), now_);
        if (sources_[p.source].stored.last_durable(f.epoch) < f.range.last &&
            f.generation == generation_)
            fail("confirmed and not durable: ", f.range.last);
    } else if (f.what == frame::kind::refused) {
        active.refused(f.code, f.range.last, now_);
    }
    if (active.standing() == feed::state::conflict) fail("the feed met a conflict");
    source_side& of = sources_[p.source];
    if (const auto held = active.in_spill())
        of.spill[p.active_run()] = *held;
    else
        of.spill.erase(p.active_run());
    if (!p.debts.empty() && !active.in_spill()) end_debt(p);
}

/// The oldest debt is done with, one way or the other.
void durable_world::end_debt(process& p) {
    sources_[p.source].spill.erase(p.debts.front()->run);
    p.debts.pop_front();
    p.opened = {};
    p.dropping = false;
    p.to_store.send({.what = frame::kind::open_source, .epoch = p.active_run()}, soon());
    for (const auto& m : members_) {
        stream_side& s = m->streams[p.source];
        if (s.cursor[twin_of(p)]) tell_head(p, s, twin_of(p));
    }
}

void durable_world::feed_store(process& p) {
    feed& active = p.active();
    const feed::step step = active.next(now_);
    using kind = feed::step::kind;
    if (step.what == kind::nothing) return;
    const bool lost = step.what == kind::lost;
    seen_.lost += lost ? 1 : 0;
    if (lost && p.policy != full_ring::drop_history && !wiped_)
        fail("lost without permission: ", step.range);
    if (!lost || bug_ != planted::publisher_names_no_loss)
        p.to_store.send({.what = lost ? frame::kind::lost : frame::kind::append,
                         .epoch = p.active_run(),
                         .range = step.range},
                        soon());
    if (lost)
        active.told_lost(step.range.last, now_);
    else
        active.sent(10, now_);
}

void durable_world::serve(process& p, member& m, std::size_t which) {
    stream_side& s = m.streams[p.source];
    while (const auto f = s.to[which].at_server(now_)) {
        if (f->what == frame::kind::fenced) {
            fence(p);
        } else if (f->what == frame::kind::repair) {
            if (s.cursor[which] && f->epoch == p.run)
                p.ring.rewind(*s.cursor[which], f->range.first, now_);
        } else {
            const point& from = f->points[0];
            if (from.known && from.epoch > p.run) fence(p);
            if (s.cursor[which]) p.ring.remove(*s.cursor[which]);
            const sequence next = !from.known           ? p.ring.last() + 1
                                  : from.epoch == p.run ? from.next
                                                        : sequence{1};
            s.cursor[which] = p.ring.add(next, now_);
            tell_head(p, s, which);
        }
    }
    if (!s.cursor[which] || p.fenced) return;
    using kind = ring_type::step::kind;
    for (std::uint64_t n = random_.below(6); n != 0; --n) {
        const ring_type::step step = p.ring.next(*s.cursor[which]);
        if (step.what == kind::nothing) break;
        const bool gone = step.what == kind::gone;
        if (p.owed && !p.owed->may_show(gone ? step.gone.last : step.batch->last())) break;
        s.to[which].answer(
            {.what = gone ? frame::kind::gone : frame::kind::batch,
             .epoch = p.run,
             .range = gone ? step.gone : sequence_range{step.batch->first(), step.batch->last()},
             .code = errc::gone},
            soon());
        p.ring.passed(*s.cursor[which], now_);
    }
    if (now_ >= s.head_at[which]) tell_head(p, s, which);
}

void durable_world::tell_head(process& p, stream_side& s, std::size_t which) {
    s.head_at[which] = now_ + 100ms;
    const sequence last =
        p.mode == delivery::store_first && p.owed ? p.owed->durable() : p.ring.last();
    cairn::epoch storing{};
    if (p.owed && !p.fenced)
        storing = bug_ == planted::publisher_hides_what_it_owes ? p.run : p.active_run();
    s.to[which].answer({.what = frame::kind::head,
                        .head = {p.run, std::min(p.ring.first_held(), last + 1), last,
                                 std::min(p.ring.wanted(*s.cursor[which]), last + 1), storing}},
                       soon());
}

}  // namespace cairn::test
