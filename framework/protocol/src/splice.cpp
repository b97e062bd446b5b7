#include <cairn/protocol/splice.hpp>

#include "plausible.hpp"

#include <algorithm>

namespace cairn::protocol {

namespace {

splice_verdict only(verdict::kind what) {
    splice_verdict out;
    out.what = what;
    return out;
}

}  // namespace

spliced_stream::spliced_stream(bool has_store, duration history_wait)
    : has_store_(has_store), history_wait_(history_wait) {}

spliced_stream::spliced_stream(bool has_store, duration history_wait, cairn::epoch epoch,
                               sequence next)
    : spliced_stream(has_store, history_wait) {
    begin(epoch, std::clamp(next, sequence{1}, sequence_max + 1));
    first_ = sequence{1};
    placed_ = epoch == cairn::epoch{};  // who wants all is told of all, asked before or after
}

void spliced_stream::begin(cairn::epoch epoch, sequence next) noexcept {
    known_ = true;
    epoch_ = epoch;
    first_ = next;
    next_ = next;
    known_last_ = next - 1;
}

spliced_stream::state spliced_stream::standing() const noexcept {
    if (!known_) return state::unknown;
    if (!publisher_.there) return state::history;
    return blocked() ? state::catching_up : state::live;
}

bool spliced_stream::in_ring(sequence s) const noexcept {
    return publisher_.there && publisher_.epoch == epoch_ && publisher_.first_held <= s;
}

// The publisher is there, and cannot send what comes next.
bool spliced_stream::blocked() const noexcept {
    return known_ && publisher_.there && !in_ring(next_);
}

// It said that it holds the next message of our run, and did not send it: what it sends of a newer
// run then is of a subscription that was replaced, or comes behind a hole.
bool spliced_stream::store_owes() const noexcept {
    return store_.there && store_.epoch == epoch_ && store_.last >= next_;
}

// What is missing comes into no store through the publisher: an earlier run was paid, or belongs to
// nobody; of its own run that holds when it stores nothing at all.
bool spliced_stream::publisher_brings_nothing() const noexcept {
    if (!blocked() || !publisher_.storing) return false;
    const bool of_earlier = publisher_.epoch > epoch_ && *publisher_.storing >= publisher_.epoch;
    return of_earlier || publisher_.storing->value == 0;
}

bool spliced_stream::nobody_has_it() const noexcept {
    const bool store_tells_of_newer =
        store_.there && std::max(store_.epoch, store_.storing.value_or(cairn::epoch{})) > epoch_;
    return publisher_brings_nothing() && !store_owes() && !store_tells_of_newer;
}

bool spliced_stream::wants_store() const noexcept {
    if (!has_store_) return false;
    if (!known_ || blocked()) return true;
    // What no publisher serves.
    return !publisher_.there &&
           (store_.epoch > epoch_ || (store_.epoch == epoch_ && store_.last >= next_));
}

void spliced_stream::hear(side& from, cairn::epoch epoch, sequence last) noexcept {
    if (!from.there || from.epoch < epoch) {
        from = {};
        from.there = true;
        from.epoch = epoch;
        from.first_held = sequence{1};
    }
    from.last = std::max(from.last, last);
    if (epoch == epoch_) known_last_ = std::max(known_last_, last);
}

// What is waited for then is another thing: also when nothing else is heard, it is looked at in its
// time.
void spliced_stream::advance(sequence last, time_point now) noexcept {
    next_ = last + 1;
    known_last_ = std::max(known_last_, last);
    blocked_since_ = blocked() ? std::optional(now) : std::nullopt;
}

void spliced_stream::tell_through(sequence last, errc cause, time_point now,
                                  splice_verdict& out) noexcept {
    out.gap = {epoch_, {next_, last}};
    out.cause = cause;
    advance(last, now);
}

// Before it speaks of a newer run, the store tells the last head of ours.
void spliced_stream::enter(cairn::epoch epoch, bool store_said_all, splice_verdict& out) noexcept {
    if (lag() != 0) out.tail = {epoch_, {next_, known_last_}};
    const sequence unstored = std::max(first_, store_.last + 1);
    if (store_said_all && store_.there && store_.epoch == epoch_ && unstored < next_)
        out.orphaned = {epoch_, {unstored, next_ - 1}};
    out.restart = {epoch_, epoch};
    begin(epoch, sequence{1});
    // A twin of an older run may live on; it has nothing for us.
    if (publisher_.epoch < epoch) publisher_ = {};
    if (publisher_.there && publisher_.epoch == epoch) known_last_ = publisher_.last;
    blocked_since_.reset();
}

// A batch of our run: gives what is new of it.
void spliced_stream::take(side& from, cairn::epoch epoch, sequence first, sequence last,
                          time_point now, splice_verdict& out) {
    if (epoch != epoch_) {
        out.what = verdict::kind::hole;
        return;
    }
    if (first > next_) {
        out.what = verdict::kind::hole;
        from.sent = std::max(from.sent, last);
        return;
    }
    // It sends on from here, so what it had sent further on is no sign of another hole.
    from.asked = false;
    from.sent = last;
    if (last < next_) {
        out.what = verdict::kind::duplicate;
        return;
    }
    out.what = verdict::kind::deliver;
    out.skip = static_cast<std::uint32_t>(next_ - first);
    advance(last, now);
}

// Nobody has the next message, or nobody sent it for too long.
void spliced_stream::settle(time_point now, splice_verdict& out) {
    if (!blocked()) {
        blocked_since_.reset();
        return;
    }
    if (!blocked_since_) blocked_since_ = now;
    if (has_store_ && wake_at() > now) return;
    // One thing at a time, in their order: wake_at() is due.
    if (out.gap) return;
    if (publisher_.epoch != epoch_) {
        if (out.restart) return;
        enter(publisher_.epoch, answered_ && nobody_has_it(), out);
        // What it has still to send of the run before may keep it there: who is live gives it no
        // credit. Unless it speaks of this one soon, it is asked anew.
        if (store_.there && !behind_since_) behind_since_ = now;
    }
    if (blocked() && (!has_store_ || !out.restart || (answered_ && nobody_has_it())))
        tell_through(publisher_.first_held - 1, errc::gone, now, out);
    if (blocked()) blocked_since_ = now;
}

time_point spliced_stream::wake_at() const noexcept {
    if (!blocked_since_) return time_point::max();
    if (answered_ && nobody_has_it()) return *blocked_since_;
    return history_wait_ > time_point::max() - *blocked_since_ ? time_point::max()
                                                               : *blocked_since_ + history_wait_;
}

splice_verdict spliced_stream::wake(time_point now) {
    splice_verdict out;
    settle(now, out);
    return out;
}

// --- The publisher ----------------------------------------------------------------------------

splice_verdict spliced_stream::live_head(const stream_head& head, time_point now) {
    if (!plausible(head)) return only(verdict::kind::malformed);
    if (!known_) begin(head.epoch, head.next);
    if (head.epoch < std::max(epoch_, publisher_.there ? publisher_.epoch : cairn::epoch{}))
        return only(verdict::kind::fenced);
    hear(publisher_, head.epoch, head.last);
    if (publisher_.storing != head.storing) {
        publisher_.storing = head.storing;
        said_at_ = now;
        asked_ = answered_ = false;
    }
    publisher_.first_held = std::max(publisher_.first_held, head.first_held);
    publisher_.sent = std::max(publisher_.sent, head.next - 1);
    splice_verdict out;
    settle(now, out);
    return out;
}

splice_verdict spliced_stream::live_batch(cairn::epoch epoch, sequence first, std::uint32_t count,
                                          time_point now) {
    if (!plausible(first, count)) return only(verdict::kind::malformed);
    if (!known_) begin(epoch, first);
    if (epoch < std::max(epoch_, publisher_.there ? publisher_.epoch : cairn::epoch{}))
        return only(verdict::kind::fenced);
    const sequence last = first + (count - 1);
    hear(publisher_, epoch, last);
    splice_verdict out;
    settle(now, out);
    // What is sent of a run that was not entered yet has to be sent again.
    if (epoch != epoch_) publisher_.sent = std::max(publisher_.sent, last);
    take(publisher_, epoch, first, last, now, out);
    return out;
}

splice_verdict spliced_stream::live_gone(cairn::epoch epoch, sequence_range range, errc cause,
                                         time_point now) {
    if (!plausible(range)) return only(verdict::kind::malformed);
    if (!known_) return {};
    if (epoch < std::max(epoch_, publisher_.there ? publisher_.epoch : cairn::epoch{}))
        return only(verdict::kind::fenced);
    hear(publisher_, epoch, range.last);
    publisher_.sent = std::max(publisher_.sent, range.last);
    publisher_.asked = false;
    splice_verdict out;
    if (cause != errc::gone) {
        // It has the message and will not send it to us; nor will the store.
        if (epoch == epoch_ && range.first <= next_ && next_ <= range.last)
            tell_through(range.last, cause, now, out);
        return out;
    }
    publisher_.first_held = std::max(publisher_.first_held, range.last + 1);
    settle(now, out);
    return out;
}

splice_verdict spliced_stream::live_end(cairn::epoch epoch, sequence last, time_point now) {
    if (last > sequence_max) return only(verdict::kind::malformed);
    if (!known_) return {};
    if (epoch < epoch_) return only(verdict::kind::fenced);
    hear(publisher_, epoch, last);
    splice_verdict out;
    if (!has_store_ && epoch == epoch_ && last >= next_) tell_through(last, errc::gone, now, out);
    settle(now, out);
    live_lost();
    return out;
}

void spliced_stream::live_lost() noexcept {
    publisher_ = {};
    blocked_since_.reset();
}

std::optional<sequence> spliced_stream::take_repair(time_point now) noexcept {
    if (now < repair_time()) return std::nullopt;
    return ask(publisher_, now);
}

time_point spliced_stream::repair_time() const noexcept {
    const bool passed = known_ && in_ring(next_) && publisher_.sent >= next_;
    return passed ? time_to_ask(publisher_) : time_point::max();
}

time_point spliced_stream::time_to_ask(const side& whom) noexcept {
    return whom.asked ? whom.asked_at + repair_wait : time_point::min();
}

sequence spliced_stream::ask(side& whom, time_point now) noexcept {
    whom.asked = true;
    whom.asked_at = now;
    return next_;
}

// --- The store --------------------------------------------------------------------------------

splice_verdict spliced_stream::store_head(const stream_head& head, time_point now) {
    if (!plausible(head)) return only(verdict::kind::malformed);
    splice_verdict out;
    if (!known_) begin(head.epoch, head.next);
    if (is_ahead(head.epoch, now)) return only(verdict::kind::hole);
    if (head.epoch < epoch_) {
        // It did not know the source when we asked, and serves us from its beginning.
        if (head.storing >= epoch_ && !behind_since_) behind_since_ = now;
        return out;
    }
    // It has told the last head of our run before, and sent all of that.
    if (head.epoch > epoch_) enter(head.epoch, true, out);
    hear(store_, head.epoch, head.last);
    store_.last = head.last;
    store_.storing = head.storing;
    store_.sent = std::max(store_.sent, head.next - 1);
    settle(now, out);
    return out;
}

splice_verdict spliced_stream::store_batch(cairn::epoch epoch, sequence first, std::uint32_t count,
                                           time_point now) {
    if (!plausible(first, count)) return only(verdict::kind::malformed);
    splice_verdict out;
    if (!known_) begin(epoch, first);
    const sequence last = first + (count - 1);
    if (epoch < epoch_) return only(verdict::kind::duplicate);
    if (is_ahead(epoch, now)) return only(verdict::kind::hole);
    if (epoch > epoch_) enter(epoch, true, out);
    hear(store_, epoch, last);
    take(store_, epoch, first, last, now, out);
    if (out.what != verdict::kind::deliver) settle(now, out);
    return out;
}

splice_verdict spliced_stream::store_gone(cairn::epoch epoch, sequence_range range, errc cause,
                                          time_point now) {
    if (!plausible(range)) return only(verdict::kind::malformed);
    splice_verdict out;
    if (!known_ || epoch < epoch_) return out;
    if (is_ahead(epoch, now)) return only(verdict::kind::hole);
    if (epoch > epoch_) enter(epoch, true, out);
    hear(store_, epoch, range.last);
    store_.asked = false;
    store_.sent = range.last;
    if (range.first <= next_ && next_ <= range.last && !in_ring(next_)) {
        // What the ring still has of the range comes from there.
        sequence end = range.last;
        if (in_ring(range.last)) end = std::min(end, publisher_.first_held - 1);
        tell_through(end, cause, now, out);
    }
    settle(now, out);
    return out;
}

// It tells of a newer run without having told how ours ended: it owes something of ours, which is
// on its way or gone with its topic, or it began where it is itself, since it was asked before we
// knew where we are. Unless it speaks of ours soon, it is asked anew.
bool spliced_stream::is_ahead(cairn::epoch told, time_point now) noexcept {
    if (told == epoch_) {
        placed_ = true;
        behind_since_.reset();
    }
    if (told <= epoch_ || (placed_ && !store_owes())) return false;
    if (!behind_since_) behind_since_ = now;
    return true;
}

void spliced_stream::store_asked(time_point now) noexcept {
    store_lost();
    placed_ = known_;
    asked_ = publisher_.storing && now >= said_at_ + question_wait;
}

splice_verdict spliced_stream::store_answered(time_point now) {
    splice_verdict out;
    answered_ = asked_;
    settle(now, out);
    return out;
}

void spliced_stream::store_lost() noexcept {
    store_ = {};
    behind_since_.reset();
    asked_ = answered_ = placed_ = false;
}

time_point spliced_stream::question_at() const noexcept {
    if (behind_since_) return *behind_since_ + question_wait;
    const bool due = has_store_ && !asked_ && blocked_since_ && nobody_has_it();
    return due ? std::max(said_at_, *blocked_since_) + question_wait : time_point::max();
}

std::optional<sequence> spliced_stream::take_store_repair(time_point now) noexcept {
    if (now < store_repair_time()) return std::nullopt;
    return ask(store_, now);
}

time_point spliced_stream::store_repair_time() const noexcept {
    const bool passed =
        wants_store() && store_.there && store_.epoch == epoch_ && store_.sent >= next_;
    return passed ? time_to_ask(store_) : time_point::max();
}

}  // namespace cairn::protocol
