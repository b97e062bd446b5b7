#include "lease_keys.hpp"
#include "lease_runs.hpp"

#include <cairn/protocol/lease_table.hpp>

#include <algorithm>
#include <array>
#include <cassert>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace cairn::protocol {

struct lease_member {
    lease_member(member_id number, lease_credit credit, std::uint64_t body_max,
                 std::pmr::memory_resource* memory)
        : id(number), body_bytes_max(body_max), granted(credit), held(memory) {}

    member_id id;
    std::uint64_t body_bytes_max;
    lease_credit granted;  // in all
    lease_credit lent;     // in all; bytes may pass what is granted by one message
    run_index held;
    std::uint64_t out = 0;
    std::uint64_t turn = 0;  // when it was last lent something
    std::uint32_t place = UINT32_MAX;
    bool paused = false;
    bool alone = false;  // what it holds is to be alone with it

    std::uint64_t messages() const { return granted.messages - lent.messages; }
    std::uint64_t bytes() const { return granted.bytes - std::min(granted.bytes, lent.bytes); }
};

namespace {

struct served_sooner {
    bool operator()(const lease_member& a, const lease_member& b) const {
        return std::tuple(a.out != 0, b.messages(), b.bytes(), a.turn, a.id) <
               std::tuple(b.out != 0, a.messages(), a.bytes(), b.turn, b.id);
    }
};

constexpr sequence_range range_of(std::uint64_t first, std::uint64_t last) {
    return {{first}, {last}};
}

}  // namespace

struct lease_table::impl {
    impl(lease_options given, sequence first)
        : options(std::move(given)), last_added(first.value - 1), keys(first.value) {}

    lease_options options;
    // Before the indexes and members, which give their nodes back to it.
    std::pmr::unsynchronized_pool_resource memory;
    run_list runs;
    run_index fresh{&memory};
    run_index due{&memory};
    run_index alone{&memory};
    size_index large{&memory};
    run_index waiting{&memory};
    run_index dead{&memory};
    run_timers timers;
    std::array<std::uint64_t, run_states> messages{};  // by state
    std::uint64_t last_added;
    key_order keys;

    std::unordered_map<member_id, lease_member> by_id;
    indexed_heap<lease_member, &lease_member::place, served_sooner> servable;
    lease_member* draining = nullptr;  // is lent nothing until it holds nothing: for `alone`
    std::uint64_t ids = 0;
    std::uint64_t turns = 0;
    std::uint64_t share = 0;     // messages a run, while share_left
    std::size_t share_left = 0;  // runs until the share is reckoned anew

    std::vector<given_up> reports;
    lease_counters counters;

    // --- Runs ---------------------------------------------------------------------------------

    std::uint64_t& count(run_state state) { return messages[static_cast<std::size_t>(state)]; }
    std::uint64_t count(run_state state) const { return messages[static_cast<std::size_t>(state)]; }
    std::uint64_t ready() const { return count(run_state::fresh) + count(run_state::due); }

    run_index* index_of(const run& r) {
        switch (r.state) {
            case run_state::fresh:
                return &fresh;
            case run_state::due:
                return &due;
            case run_state::alone:
                return &alone;
            case run_state::waiting:
                return &waiting;
            case run_state::out:
                return &r.owner->held;
            case run_state::large:
            case run_state::delayed:
                return nullptr;
            case run_state::given_up:
                return &dead;
        }
        return nullptr;
    }

    static bool timed(const run& r) {
        return r.state == run_state::out || r.state == run_state::delayed ||
               r.state == run_state::large;
    }

    void tally(const run& r, std::uint64_t added) {
        count(r.state) += added;
        if (r.state == run_state::out) r.owner->out += added;
    }

    void attach(run& r) {
        // Mostly at the end (what is lent for the first time), and then without a search.
        if (run_index* const index = index_of(r)) index->insert(index->end(), &r);
        if (r.state == run_state::large) large.insert(&r);
        if (timed(r)) timers.push(r);
        tally(r, r.size());
    }

    void detach(run& r) {
        if (run_index* const index = index_of(r)) {
            index->erase(*index->begin() == &r ? index->begin() : index->find(&r));
        }
        if (r.state == run_state::large) large.erase(&r);
        timers.erase(r);
        tally(r, 0 - r.size());
    }

    /// To any state but out. `until` is for delayed and large, `body_bytes` for large only.
    void change(run& r, run_state state, time_point until = {}, std::uint64_t body_bytes = 0) {
        detach(r);
        r.state = state;
        r.owner = nullptr;
        r.begun = false;
        r.time = until;
        r.body_bytes = body_bytes;
        attach(r);
    }

    /// Cuts a run in two, the second from `at` on, and returns that.
    run& split(run& r, std::uint64_t at) {
        run& tail = runs.insert_after(&r, r);
        tail.first = at;
        tally(r, 0 - tail.size());
        r.last = at - 1;
        attach(tail);
        return tail;
    }

    /// The part of a run as a run of its own.
    run& cut_out(run& r, std::uint64_t first, std::uint64_t last) {
        if (last < r.last) split(r, last + 1);
        return r.first < first ? split(r, first) : r;
    }

    static bool alike(const run& a, const run& b) {
        return a.last + 1 == b.first && a.state == b.state && a.attempt == b.attempt &&
               a.owner == b.owner && a.time == b.time && a.begun == b.begun &&
               a.state != run_state::large;
    }

    /// Makes two neighbours one, which keeps few what came back in pieces.
    run& merge(run& a, run& b) {
        detach(b);
        tally(a, b.size());
        a.last = b.last;
        a.since = std::min(a.since, b.since);
        runs.erase(b);
        return a;
    }

    void merge_around(run& r) {
        run& grown = merge_before(r);
        if (grown.after && alike(grown, *grown.after)) merge(grown, *grown.after);
    }

    run& merge_before(run& r) { return r.before && alike(*r.before, r) ? merge(*r.before, r) : r; }

    // --- Where messages go --------------------------------------------------------------------

    void append(std::uint64_t first, std::uint64_t last, run_state state) {
        last_added = last;
        run like;
        like.first = first;
        like.last = last;
        like.state = state;
        run* const back = runs.back();
        if (back && alike(*back, like)) {
            back->last = last;
            tally(*back, like.size());
        } else {
            attach(runs.insert_after(back, like));
        }
    }

    bool is_last_delivery(const run& r) const {
        return r.attempt > 1 && options.deliveries_max != 0 && r.attempt >= options.deliveries_max;
    }

    void make_due(run& r) {
        change(r, is_last_delivery(r) ? run_state::alone : run_state::due);
        merge_around(r);
    }

    void unblock(std::uint64_t sequence) {
        run& held_back = **waiting.lower_bound(sequence);
        make_due(cut_out(held_back, sequence, sequence));
    }

    void finish_keys(std::uint64_t first, std::uint64_t last) {
        if (!options.ordered_by_key) return;
        for (std::uint64_t s = first; s <= last; ++s) {
            if (const auto held_back = keys.finish(s)) unblock(*held_back);
        }
    }

    /// Part of a run ceases to be; the rest stays as it is.
    void remove(run& r, std::uint64_t first, std::uint64_t last) {
        if (first != r.first && last != r.last) split(r, last + 1);
        if (first == r.first && last == r.last) {
            detach(r);
            runs.erase(r);
        } else {
            tally(r, 0 - (last - first + 1));
            if (first == r.first) {
                r.first = last + 1;
            } else {
                r.last = first - 1;
            }
        }
        if (options.ordered_by_key) keys.drop(floor());
    }

    void finish(run& r, std::uint64_t first, std::uint64_t last) {
        finish_keys(first, last);
        remove(r, first, last);
    }

    void give_up(run& r, errc cause, std::string_view reason) {
        counters.given_up += r.size();
        report(r, cause, reason);
        const std::uint64_t first = r.first;
        const std::uint64_t last = r.last;
        change(r, run_state::given_up);
        merge_around(r);
        finish_keys(first, last);
    }

    void report(const run& r, errc cause, std::string_view reason) {
        // What nobody takes is given up before its next delivery.
        const std::uint32_t attempts = r.attempt - (cause == errc::too_large ? 1 : 0);
        if (!reports.empty()) {
            given_up& before = reports.back();
            if (before.range.last.value + 1 == r.first && before.cause == cause &&
                before.attempts == attempts && before.reason == reason) {
                before.range.last = {r.last};
                return;
            }
        }
        reports.push_back({range_of(r.first, r.last), cause, attempts, std::string(reason)});
    }

    struct retry {
        time_point now;
        duration delay{};  // asked for by the member
        double jitter = 0;
        std::string_view reason;
    };

    /// A delivery has failed.
    void fail(run& r, const retry& how) {
        if (options.deliveries_max != 0 && r.attempt >= options.deliveries_max) {
            return give_up(r, errc::deliveries_exceeded, how.reason);
        }
        const duration delay = delay_after(r.attempt, how);
        if (r.attempt < UINT32_MAX) ++r.attempt;
        if (delay <= duration::zero()) return make_due(r);
        change(r, run_state::delayed, how.now + delay);
        merge_around(r);
    }

    duration delay_after(std::uint32_t attempt, const retry& how) const {
        if (how.delay > duration::zero()) return std::min(how.delay, options.wait_max);
        if (options.backoff.empty()) return duration::zero();
        const std::size_t step = std::min<std::size_t>(attempt, options.backoff.size()) - 1;
        const auto most = static_cast<double>(options.wait_max.count());
        const auto base = static_cast<double>(options.backoff[step].count());
        return duration(static_cast<duration::rep>(std::clamp(base * (1 + how.jitter), 0.0, most)));
    }

    std::uint64_t floor() const { return runs.front() ? runs.front()->first - 1 : last_added; }

    // --- Members ------------------------------------------------------------------------------

    lease_member* find(member_id id) {
        const auto found = by_id.find(id);
        return found == by_id.end() ? nullptr : &found->second;
    }

    /// After any change of what decides whether and when a member is served.
    void reseat(lease_member& m) {
        if (m.out == 0) m.alone = false;
        const bool drains = &m == draining && m.out != 0;
        if (m.paused || m.alone || drains || m.messages() == 0 || m.bytes() == 0) {
            servable.erase(m);
        } else if (servable.holds(m)) {
            servable.update(m);
        } else {
            servable.push(m);
        }
    }

    void drain(lease_member* m) {
        lease_member* const before = std::exchange(draining, m);
        if (before) reseat(*before);
        if (m) reseat(*m);
    }

    bool somebody_takes(const run& r) const {
        return std::any_of(by_id.begin(), by_id.end(), [&r](const auto& entry) {
            return entry.second.body_bytes_max >= r.body_bytes;
        });
    }

    /// To whom a message goes that is not for everybody: it is alone, large, or both. When it is to
    /// be alone and all have work, who has least is lent nothing more until it has none.
    lease_member* taker_of(const run& r) {
        lease_member* best = nullptr;
        const bool last_delivery = is_last_delivery(r);
        for (auto& [id, m] : by_id) {
            if (!servable.holds(m) || m.body_bytes_max < r.body_bytes) continue;
            const bool sooner =
                best && (last_delivery && m.out != best->out ? m.out < best->out
                                                             : served_sooner{}(m, *best));
            if (!best || sooner) best = &m;
        }
        if (!best || !last_delivery || best->out == 0) return best;
        if (!draining) drain(best);
        return nullptr;
    }

    std::uint64_t run_messages_max(const lease_member& m) {
        if (share_left == 0) {
            share = 0;
            share_left = servable.size();
        }
        // Kept while the others get theirs: reckoned anew from what is left it would only shrink.
        share = std::max(share, (ready() + servable.size() - 1) / servable.size());
        return std::min(m.messages(), std::max(share, m.out));
    }

    void refuse(sequence_range range, std::vector<sequence_range>& stale) {
        stale.push_back(range);
        // Numbers that never were would let one frame fill the counter.
        const std::uint64_t first = std::max<std::uint64_t>(range.first.value, 1);
        const std::uint64_t last = std::min(range.last.value, last_added);
        if (first <= last) counters.stale += last - first + 1;
    }

    /// Calls apply(run, first, last) for each part of `range` that the member holds.
    template <typename Apply>
    std::uint64_t for_held(member_id id, sequence_range range, std::vector<sequence_range>& stale,
                           Apply apply) {
        if (range.empty()) return 0;
        lease_member* const m = find(id);
        if (m == nullptr) return refuse(range, stale), 0;

        std::uint64_t held = 0;
        bool past_end = false;
        for (auto at = m->held.lower_bound(range.first.value);
             at != m->held.end() && (*at)->first <= range.last.value;) {
            run& r = **at++;  // before the run is changed, merged away or moved elsewhere
            const std::uint64_t first = std::max(r.first, range.first.value);
            const std::uint64_t last = std::min(r.last, range.last.value);
            if (range.first.value < first) refuse(range_of(range.first.value, first - 1), stale);
            held += last - first + 1;
            apply(r, first, last);
            past_end = last == range.last.value;
            range.first = {last + 1};
        }
        if (!past_end) refuse(range, stale);
        reseat(*m);
        return held;
    }
};

lease_table::lease_table(lease_options options, sequence first)
    : impl_(std::make_unique<impl>(std::move(options), first)) {}
lease_table::~lease_table() = default;
lease_table::lease_table(lease_table&&) noexcept = default;
lease_table& lease_table::operator=(lease_table&&) noexcept = default;

void lease_table::add(sequence_range range) {
    assert(!impl_->options.ordered_by_key && !range.empty() &&
           range.first.value > impl_->last_added);
    impl_->append(range.first.value, range.last.value, run_state::fresh);
}

void lease_table::add(sequence first, std::span<const std::uint64_t> keys) {
    if (keys.empty()) return;
    if (!impl_->options.ordered_by_key) return add({first, first + (keys.size() - 1)});
    assert(first.value > impl_->last_added);
    std::uint64_t s = first.value;
    for (const std::uint64_t key : keys) {
        const bool waits = impl_->keys.add(s, key);
        impl_->append(s, s, waits ? run_state::waiting : run_state::fresh);
        ++s;
    }
}

member_id lease_table::join(lease_credit credit, std::uint64_t body_bytes_max) {
    const member_id id{++impl_->ids};
    const auto added =
        impl_->by_id.try_emplace(id, id, credit, body_bytes_max, &impl_->memory).first;
    impl_->reseat(added->second);
    return id;
}

void lease_table::grant(member_id member, lease_credit total) {
    lease_member* const m = impl_->find(member);
    if (m == nullptr) return;
    m->granted.messages = std::max(m->granted.messages, total.messages);
    m->granted.bytes = std::max(m->granted.bytes, total.bytes);
    impl_->reseat(*m);
}

void lease_table::pause(member_id member) {
    lease_member* const m = impl_->find(member);
    if (m == nullptr) return;
    m->paused = true;
    impl_->reseat(*m);
}

void lease_table::resume(member_id member) {
    lease_member* const m = impl_->find(member);
    if (m == nullptr) return;
    m->paused = false;
    impl_->reseat(*m);
}

void lease_table::leave(member_id member, departure how, time_point now, std::string_view reason,
                        double jitter) {
    lease_member* const m = impl_->find(member);
    if (m == nullptr) return;
    pause(member);
    while (!m->held.empty()) {
        run& r = **m->held.begin();
        if (how == departure::orderly && !r.begun) {
            impl_->counters.released += r.size();
            impl_->make_due(r);
        } else {
            impl_->counters.failed += r.size();
            impl_->fail(r, {now, {}, jitter, reason.empty() ? "the worker failed" : reason});
        }
    }
    // Who waits for somebody like it waits a whole ack wait more.
    for (run* r : impl_->large) {
        if (r->body_bytes > m->body_bytes_max) break;
        r->time = now + impl_->options.ack_wait;
        impl_->timers.update(*r);
    }
    if (impl_->draining == m) impl_->draining = nullptr;
    impl_->by_id.erase(member);
}

std::optional<lease_table::offer> lease_table::choose() {
    const auto single = [this](run& r) -> std::optional<offer> {
        const lease_member* const m = impl_->taker_of(r);
        if (m == nullptr) return std::nullopt;
        return offer{m->id, {range_of(r.first, r.first), m->bytes(), m->body_bytes_max}, &r};
    };
    if (!impl_->large.empty()) {
        if (const auto found = single(**impl_->large.begin())) return found;
    }
    if (!impl_->alone.empty()) {
        if (const auto found = single(**impl_->alone.begin())) return found;
    }
    if (impl_->ready() == 0 || impl_->servable.empty()) return std::nullopt;
    const lease_member& m = *impl_->servable.top();
    run& r = **(impl_->due.empty() ? impl_->fresh : impl_->due).begin();
    const std::uint64_t count = std::min(r.size(), impl_->run_messages_max(m));
    return offer{m.id, {range_of(r.first, r.first + (count - 1)), m.bytes(), m.body_bytes_max}, &r};
}

void lease_table::set_aside(const offer& chosen, std::uint64_t body_bytes, time_point now) {
    assert(body_bytes > chosen.what.body_bytes_max);
    const std::uint64_t first = chosen.what.range.first.value;
    impl_->change(impl_->cut_out(*chosen.from, first, first), run_state::large,
                  now + impl_->options.ack_wait, body_bytes);
}

assignment lease_table::lend(const offer& chosen, fitted taken, time_point now) {
    assert(taken.count >= 1 && taken.count <= chosen.what.range.size());
    lease_member& m = *impl_->find(chosen.member);
    run* lent = chosen.from;
    const bool for_everybody = lent->state == run_state::fresh || lent->state == run_state::due;
    if (taken.count == lent->size()) {
        impl_->detach(*lent);
    } else {
        // The front goes and the rest stays where it is, so that nothing is sorted in again.
        run front = *lent;
        front.last = front.first + (taken.count - 1);
        impl_->tally(*lent, 0 - taken.count);
        lent->first = front.last + 1;
        lent = &impl_->runs.insert_after(lent->before, front);
    }
    lent->state = run_state::out;
    lent->owner = &m;
    lent->since = now;
    lent->time = now + impl_->options.ack_wait;
    lent->body_bytes = 0;
    impl_->attach(*lent);

    m.lent.messages += taken.count;
    m.lent.bytes += taken.bytes;
    m.turn = ++impl_->turns;
    m.alone = impl_->is_last_delivery(*lent);
    impl_->reseat(m);
    if (m.alone) impl_->drain(nullptr);
    if (for_everybody) impl_->share_left = impl_->ready() == 0 ? 0 : impl_->share_left - 1;
    impl_->counters.deliveries += taken.count;
    if (lent->attempt > 1) impl_->counters.redeliveries += taken.count;
    return {m.id, range_of(lent->first, lent->last), taken.bytes, lent->attempt, lent->time};
}

std::uint64_t lease_table::ack(member_id member, sequence_range range,
                               std::vector<sequence_range>& stale) {
    const std::uint64_t held =
        impl_->for_held(member, range, stale,
                        [this](run& r, auto first, auto last) { impl_->finish(r, first, last); });
    impl_->counters.acked += held;
    return held;
}

std::uint64_t lease_table::nack(member_id member, sequence_range range, duration delay,
                                time_point now, std::vector<sequence_range>& stale, double jitter) {
    const impl::retry how{now, delay, jitter, "nacked"};
    const std::uint64_t held =
        impl_->for_held(member, range, stale, [this, &how](run& r, auto first, auto last) {
            impl_->fail(impl_->cut_out(r, first, last), how);
        });
    impl_->counters.nacked += held;
    return held;
}

std::uint64_t lease_table::reject(member_id member, sequence_range range, std::string_view reason,
                                  std::vector<sequence_range>& stale) {
    return impl_->for_held(member, range, stale, [this, reason](run& r, auto first, auto last) {
        impl_->give_up(impl_->cut_out(r, first, last), errc::rejected, reason);
    });
}

std::uint64_t lease_table::extend(member_id member, sequence_range range, duration ack_wait,
                                  time_point now, std::vector<sequence_range>& stale) {
    const time_point end = now + std::clamp(ack_wait, duration::zero(), impl_->options.wait_max);
    return impl_->for_held(member, range, stale, [this, end](run& r, auto first, auto last) {
        run& extended = impl_->cut_out(r, first, last);
        extended.time = end;
        impl_->timers.update(extended);
        impl_->merge_before(extended);
    });
}

std::uint64_t lease_table::release(member_id member, sequence_range range,
                                   std::vector<sequence_range>& stale) {
    const std::uint64_t held = impl_->for_held(
        member, range, stale,
        [this](run& r, auto first, auto last) { impl_->make_due(impl_->cut_out(r, first, last)); });
    impl_->counters.released += held;
    return held;
}

std::uint64_t lease_table::note_begun(member_id member, sequence_range range,
                                      std::vector<sequence_range>& stale) {
    return impl_->for_held(member, range, stale, [this](run& r, auto first, auto last) {
        run& begun = impl_->cut_out(r, first, last);
        begun.begun = true;
        impl_->merge_before(begun);
    });
}

std::uint64_t lease_table::expire(time_point now, double jitter) {
    std::uint64_t changed = 0;
    while (!impl_->timers.empty() && impl_->timers.top()->time <= now) {
        run& r = *impl_->timers.top();
        if (r.state == run_state::large && impl_->somebody_takes(r)) {
            r.time = now + impl_->options.ack_wait;
            impl_->timers.update(r);
            continue;
        }
        changed += r.size();
        if (r.state == run_state::delayed) {
            impl_->make_due(r);
            continue;
        }
        if (r.state == run_state::large) {
            impl_->give_up(r, errc::too_large, "no worker takes a body of that size");
            continue;
        }
        lease_member& m = *r.owner;
        impl_->counters.expired += r.size();
        impl_->fail(r, {now, {}, jitter, "the ack wait ended"});
        impl_->reseat(m);
    }
    return changed;
}

std::optional<time_point> lease_table::next_deadline() const {
    if (impl_->timers.empty()) return std::nullopt;
    return impl_->timers.top()->time;
}

std::vector<given_up> lease_table::take_given_up() { return std::exchange(impl_->reports, {}); }

void lease_table::forget(sequence_range range) {
    run_index& dead = impl_->dead;
    for (auto at = dead.lower_bound(range.first.value);
         at != dead.end() && (*at)->first <= range.last.value;) {
        run& r = **at++;
        impl_->remove(r, std::max(r.first, range.first.value), std::min(r.last, range.last.value));
    }
}

sequence lease_table::floor() const { return {impl_->floor()}; }
sequence lease_table::last() const { return {impl_->last_added}; }

std::uint64_t lease_table::unfinished() const {
    return ready() + impl_->count(run_state::alone) + impl_->count(run_state::large) +
           impl_->count(run_state::waiting) + impl_->count(run_state::out) +
           impl_->count(run_state::delayed);
}

std::uint64_t lease_table::ready() const { return impl_->ready(); }
std::uint64_t lease_table::out() const { return impl_->count(run_state::out); }
std::size_t lease_table::members() const { return impl_->by_id.size(); }
std::size_t lease_table::runs() const { return impl_->runs.size(); }
const lease_counters& lease_table::counters() const { return impl_->counters; }

std::optional<member_status> lease_table::status(member_id member, time_point now) const {
    const lease_member* const m = impl_->find(member);
    if (m == nullptr) return std::nullopt;
    member_status status{m->out, m->held.size(), {}, m->messages(), m->bytes(), m->paused};
    for (const run* r : m->held) {
        status.oldest_lease = std::max(status.oldest_lease, now - r->since);
    }
    return status;
}

}  // namespace cairn::protocol
