#include "durable_simulation.hpp"

#include "durable_world.hpp"

#include <algorithm>

namespace cairn::test {

durable_world::durable_world(std::uint64_t seed, planted bug, sights& seen)
    : random_(seed), bug_(bug), seen_(seen) {
    bytes_max_ = random_.between(10, 120);
    delay_ms_max_ = random_.between(1, 60);
    step_ms_max_ = random_.chance(70) ? 40 : 400;
    connect_percent_ = random_.chance(70) ? 40 : 5;
    feed_connect_percent_ = random_.chance(70) ? 40 : 3;
    store_up_ = random_.chance(80);
    twin_percent_ = random_.chance(30) ? 50 : 0;
    may_wipe_ = random_.chance(15);
    patient_ = random_.chance(80);
    sources_ = std::vector<source_side>(random_.chance(30) ? 2 : 1);
    for (source_side& of : sources_) {
        of.permitted = random_.chance(90);
        of.with_store_percent = random_.chance(80) ? 100 : random_.chance(50) ? 50 : 0;
        start_run(of);
    }
    const std::uint64_t in_group = random_.chance(40) ? 2 : 1;
    const std::uint64_t alone = random_.chance(25) ? 1 : 0;
    for (std::uint64_t i = 0; i != in_group + alone; ++i) {
        members_.push_back(std::make_unique<member>());
        members_.back()->in_group = i < in_group;
        start_member(*members_.back());
    }
}

std::optional<std::string> durable_world::run() {
    const std::uint64_t steps = random_.between(15, 80);
    for (std::uint64_t i = 0; i < steps && failure_.empty(); ++i) {
        now_ += std::chrono::milliseconds(random_.below(step_ms_max_));
        disturb();
        turn();
    }
    calm_ = true;
    store_up_ = true;
    for (source_side& of : sources_) {
        if (!of.runs[0]) start_run(of);
        for (const auto& p : of.runs)
            if (p && p->to_store.is_mute()) cut_feed(*p);
    }
    for (const auto& m : members_) {
        if (m->to_store.is_mute()) cut_store(*m);
        for (std::uint32_t i = 0; i != sources_.size(); ++i)
            for (std::size_t which = 0; which != twins_max; ++which)
                if (m->streams[i].to[which].is_mute()) cut_publisher(*m, i, which);
    }
    const time_point deadline = now_ + 60s;
    while (failure_.empty() && !settled()) {
        if (now_ > deadline) fail("quiet, and something is neither here nor told: ", status());
        now_ += 50ms;
        turn();
    }
    if (failure_.empty()) check_end();
    return failure_.empty() ? std::nullopt : std::optional(failure_);
}

std::string durable_world::status() const {
    std::ostringstream text;
    for (const source_side& of : sources_) {
        const process& p = *of.runs[0];
        text << p.run << " last " << p.ring.last() << " stored " << of.stored.last_durable(p.run)
             << " debts " << p.debts.size() << (p.owed ? "" : " without a store")
             << (of.permitted ? "" : " unpermitted") << (of.runs[1] ? " twin" : "") << "; ";
    }
    for (const auto& m : members_) {
        text << (m->in_group ? (active_ == m.get() ? "member" : "standby") : "reader") << " at";
        for (std::size_t i = 0; i != sources_.size(); ++i) {
            const spliced_stream& is = *m->streams[i].splice;
            text << ' ' << is.epoch() << ' ' << is.next() << " state "
                 << static_cast<int>(is.standing());
        }
        text << " acks " << m->acks->waiting() << "; ";
    }
    return text.str();
}

// --- What happens to everybody ----------------------------------------------------------------

void durable_world::disturb() {
    for (source_side& of : sources_) {
        for (const auto& p : of.runs) {
            if (!p) continue;
            if (random_.chance(60)) publish(*p);
            if (p->owed && random_.chance(p->to_store.is_mute() ? 30 : 4)) cut_feed(*p);
            if (random_.chance(1)) p->to_store.mute();
        }
        if (random_.chance(3)) {
            if (!random_.chance(twin_percent_)) stop_run(of, 0);
            start_run(of);
        }
        if (random_.chance(2)) stop_run(of, 0);
        if (random_.chance(2)) stop_run(of, 1);
        if (!of.runs[0] && random_.chance(30)) start_run(of);
    }
    for (const auto& m : members_) {
        for (std::uint32_t i = 0; i != sources_.size(); ++i) {
            for (std::size_t which = 0; which != twins_max; ++which) {
                link& to = m->streams[i].to[which];
                if (!to.up()) continue;
                if (random_.chance(to.is_mute() ? 30 : 4))
                    cut_publisher(*m, i, which);
                else if (random_.chance(1))
                    to.mute();
                else if (random_.chance(1))
                    subscribe(*m, i, which);
            }
        }
        if (random_.chance(m->to_store.is_mute() ? 30 : 4)) cut_store(*m);
        if (random_.chance(1)) m->to_store.mute();
        if (m->answered && random_.chance(1)) read_store(*m);
        if (random_.chance(1)) start_member(*m);
    }
    if (random_.chance(3)) kill_store();
    if (!store_up_ && random_.chance(connect_percent_)) store_up_ = true;
}

void durable_world::turn() {
    for (source_side& of : sources_)
        for (const auto& p : of.runs)
            if (p) turn_run(*p);
    if (store_up_) turn_store();
    for (const auto& m : members_) turn_member(*m);
}

bool durable_world::settled(const source_side& of) const {
    const process& p = *of.runs[0];
    if (of.runs[1] && !of.runs[1]->fenced) return false;
    if (!p.owed || !of.permitted) return true;
    return p.debts.empty() && of.stored.last_durable(p.run) == p.ring.last() &&
           p.owed->durable() == p.ring.last();
}

bool durable_world::settled() const {
    if (active_ == nullptr) return false;
    for (std::size_t i = 0; i != sources_.size(); ++i) {
        const source_side& of = sources_[i];
        if (!settled(of)) return false;
        const process& p = *of.runs[0];
        const sequence next =
            (p.owed && p.mode == delivery::store_first ? p.owed->durable() : p.ring.last()) + 1;
        for (const auto& m : members_) {
            if (m->in_group && active_ != m.get()) continue;
            const stream_side& s = m->streams[i];
            const bool told_late = std::ranges::any_of(s.early, [&](const auto& early) {
                return of.stored.holds(early.first, early.second);
            });
            if (m->acks->waiting() != 0 || !s.unacked.empty() || told_late) return false;
            if (s.begun ? s.at_run != p.run || s.at_next != next
                        : s.splice->epoch() != p.run || s.splice->next() != next)
                return false;
        }
    }
    return true;
}

void durable_world::check_end() {
    for (std::uint32_t i = 0; i != sources_.size(); ++i) {
        const source_side& of = sources_[i];
        if (!of.stored.whole()) fail("the store has a hole, or went back to an older run");
        for (const store_model::entry& e : of.stored.log()) {
            for (sequence at = e.range.first; at <= e.range.last && !e.lost; at = at + 1) {
                if (patient_ && !given_[i].has(e.epoch, at) && !of.by_twin.has(e.epoch, at))
                    fail("stored, and withheld from the group in silence: ", at, " of ", e.epoch);
                for (const auto& m : members_)
                    if (m.get() == active_ && m->streams[i].acked.has(e.epoch, at) &&
                        !done_[i].has(e.epoch, at))
                        fail("acked, and the store does not know: ", at, " of ", e.epoch);
            }
        }
    }
}

std::optional<std::string> run_durable_schedule(std::uint64_t seed, planted bug, sights* seen) {
    sights unseen;
    return durable_world(seed, bug, seen != nullptr ? *seen : unseen).run();
}

}  // namespace cairn::test
