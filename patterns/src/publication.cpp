#include "publishing.hpp"

#include "cut.hpp"
#include "sending_side.hpp"

#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace cairn::patterns {

namespace {

constexpr int batches_a_round = 32;

}  // namespace

publication::publication(publishing& owner, std::string topic, publisher_options options,
                         cairn::epoch run, const std::string& store)
    : owner_(owner),
      users_(owner.hub().loop()),
      topic_(std::move(topic)),
      options_(std::move(options)),
      epoch_(run),
      inlet_({.batch_bytes = batch_bytes(options_.batch_bytes_max, options_.ring_bytes_max),
              .batch_messages = wire::batch_messages_max,
              .waiting_bytes =
                  waiting_bytes(batch_bytes(options_.batch_bytes_max, options_.ring_bytes_max),
                                options_.ring_bytes_max),
              .body_bytes = owner.hub().options().body_bytes_max}),
      ring_(options_.ring_bytes_max, options_.patience) {
    if (store.empty()) return;
    store_ = std::make_unique<store_line>(
        owner_.hub(),
        store_line::owner{*this, [this](cairn::epoch newer) { fence(newer); },
                          [this](errc why, bool for_good) { refused(why, for_good); }},
        store, topic_, epoch_, options_, ring_);
}

publication::~publication() {
    store_.reset();
    for (std::size_t i = 0; i != cursors_.size(); ++i) {
        subscription* s = cursors_[i].to;
        if (!s) continue;
        s->by_schedule[static_cast<std::size_t>(cursors_[i].schedule)] = nullptr;
        s->heads.remove(cursors_[i].schedule);
        s->digest_stale = true;
    }
    owner_.hub().loop().remove(*this);
}

// --- Sending ----------------------------------------------------------------------------------

void publication::run(time_point now) {
    bool made_room = false;
    do {
        while (take_some(now)) pump(now);
        const bool waited = ring_.any_pending();
        pump(now);
        // What was in the way was sent, and nothing else may ever tell.
        made_room = waited && !ring_.any_pending();
    } while (made_room && inlet_.waiting_bytes() != 0);
    if (closing_) owner_.hub().loop().changed();
}

bool publication::somebody_is_idle() const {
    return std::any_of(cursors_.begin(), cursors_.end(),
                       [](const cursor& c) { return c.to && c.to->idle(); });
}

// Several full batches go to the readers together: each reader's queue and its part of ZeroMQ are
// then touched once for all of them.
bool publication::take_some(time_point now) {
    const bool store_idle = !store_ || store_->idle(now);
    // Nothing more comes that what is open could wait for.
    const bool over = inlet_.stopped() != send_status::accepted;
    const bool open_too =
        over || (peers() == 0 ? store_idle : somebody_is_idle() || (store_ && store_idle));
    if (!take_one(open_too, now)) return false;
    for (int more = 1; more != batches_a_round && inlet_.any_sealed(); ++more)
        if (!take_one(false, now)) break;
    return true;
}

bool publication::take_one(bool open_too, time_point now) {
    const std::size_t bytes = inlet_.next_bytes(open_too);
    if (bytes == 0) {
        // What is open now, or comes, waits for a reader that has little on its way.
        if (!open_too) stall_all();
        return false;
    }
    const std::size_t memory = batch_handle::memory_of(bytes);
    store_line::admission admitted;
    if (store_) {
        admitted = store_->admit(memory, now);
        inlet_.refuse(admitted.refuse);
    } else {
        static_cast<protocol::admission&>(admitted) = ring_.admit(memory, now);
    }
    if (ring_.left_behind_total() != left_behind_told_) {
        left_behind_told_ = ring_.left_behind_total();
        owner_.hub().log(log_level::warning, "left behind",
                         "publisher " + options_.source + " on " + topic_ +
                             " goes on without a reader that takes nothing; it will be told what "
                             "it missed");
    }
    if (!admitted) {
        owner_.hub().loop().at(*this, admitted.wait_until);
        stall_all();
        return false;
    }
    auto batch = inlet_.take(open_too);
    if (!batch) return false;
    keep(std::move(*batch), now);
    if (store_ && !store_->shows_all()) return true;
    for (const cursor& c : cursors_)
        if (c.to) c.to->head_changed(c.schedule, now);
    return true;
}

void publication::keep(runtime::sealed_batch batch, time_point now) {
    auto made = std::make_shared<published_batch>(header_of(batch.first, batch.count, batch.time),
                                                  std::move(batch.body), batch.bytes, now);
    ++batches_;
    if (owner_.has_taps()) owner_.mirror(*this, made->body());
    const batch_handle kept(std::move(made));
    ring_.push(kept);
    if (store_) store_->pushed(kept);
}

wire::batch_header publication::header_of(sequence first, std::uint32_t count,
                                          wall_time time) const {
    return {.channel = 0,
            .topic = topic_,
            .source = options_.source,
            .epoch = epoch_,
            .first = first,
            .count = count,
            .time = time,
            .durable = durable().value,
            .checksum = 0};
}

void publication::pump(time_point now) {
    if (fenced_) return;
    // Readers first: whoever is handed a batch later waits for the system call that sends it to the
    // one before, and peers must not notice the store.
    if (!store_) return pump_readers(now);
    if (storing_ != store_->storing()) {
        storing_ = store_->storing();
        for (const cursor& c : cursors_)
            if (c.to) c.to->head_changed(c.schedule, now);
    }
    if (store_->shows_all()) {
        pump_readers(now);
        store_->pump(now);
        return;
    }
    store_->pump(now);
    if (shown_ != visible()) {
        shown_ = visible();
        for (const cursor& c : cursors_)
            if (c.to) c.to->head_changed(c.schedule, now);
    }
    pump_readers(now);
}

void publication::pump_readers(time_point now) {
    if (!ring_.any_pending()) return;
    ring_.for_each_pending([&](protocol::reader which) {
        const auto index = static_cast<std::size_t>(which);
        if (index < cursors_.size() && cursors_[index].to) pump_one(which, now);
    });
}

void publication::pump_one(protocol::reader which, time_point now) {
    cursor& c = at(which);
    subscription& s = *c.to;
    while (s.ready()) {
        const auto step = ring_.next(which);
        if (step.what == decltype(step)::kind::nothing) return;
        const bool gone = step.what == decltype(step)::kind::gone;
        // A confirm runs us again.
        if (store_ && !store_->may_show(gone ? step.gone.last : step.batch->last())) return;
        if (gone) {
            dropped_ += step.gone.size();
            s.link.send(wire::gone{s.channel, topic_, options_.source, epoch_, step.gone});
        } else {
            published_batch& batch = **step.batch;
            // All bodies together being small enough, each is.
            const bool sent = batch.body_bytes() <= s.link.peer_body_bytes_max()
                                  ? sent_to(s, batch.send(s.link, s.channel), batch.body_bytes())
                                  : send_in_cuts(c, batch);
            if (!sent) break;
        }
        ring_.passed(which, now);
    }
    stall(c);
}

bool publication::sent_to(subscription& to, runtime::link::sent outcome, std::size_t body_bytes) {
    if (outcome != runtime::link::sent::yes) {
        to.blocked = true;
        return false;
    }
    to.credit.spend(body_bytes + wire::batch_charge_bytes);
    return true;
}

// GONE names the messages with a body that the reader's node does not take; what lies between them
// goes as batches of their own. False when the link or the credit ends before the batch: `cut` is
// where to go on.
bool publication::send_in_cuts(cursor& to, published_batch& batch) {
    subscription& s = *to.to;
    for (sequence at = std::max(batch.first(), to.cut); at <= batch.last();) {
        const cut part = next_cut(batch.body(), batch.first(), at, s.link.peer_body_bytes_max());
        if (!part.taken) {
            dropped_ += part.range.size();
            s.link.send(wire::gone{s.channel, topic_, options_.source, epoch_, part.range,
                                   errc::too_large});
        } else {
            const auto header =
                header_of(at, static_cast<std::uint32_t>(part.range.size()), batch.time());
            if (!s.ready() ||
                !sent_to(
                    s, batch.send_part(s.link, s.channel, wire::kind::batch, header, part.records),
                    part.records.size()))
                return false;
        }
        to.cut = at = part.range.last + 1;
    }
    return true;
}

void publication::stall(cursor& which) {
    if (!std::exchange(which.stalled, true)) which.to->stalled.push_back(this);
}

void publication::stall_all() {
    for (cursor& c : cursors_)
        if (c.to) stall(c);
}

void publication::may_go_on(subscription& reader, bool progress, time_point now) {
    const auto [which, c] = find(reader);
    if (!c) return;
    c->stalled = false;
    if (progress) ring_.note_progress(which, now);
    owner_.hub().loop().flag(*this);
}

// --- Readers ----------------------------------------------------------------------------------

std::pair<protocol::reader, publication::cursor*> publication::find(const subscription& of) {
    for (std::size_t i = 0; i != cursors_.size(); ++i)
        if (cursors_[i].to == &of) return {static_cast<protocol::reader>(i), &cursors_[i]};
    return {protocol::reader{}, nullptr};
}

bool publication::cursor::knows() const noexcept {
    return to && to->link.pong_token() >= told_token;
}

std::size_t publication::readers() const noexcept {
    return static_cast<std::size_t>(
        std::count_if(cursors_.begin(), cursors_.end(), [](const cursor& c) { return c.knows(); }));
}

wire::head publication::attach(subscription& to, const wire::resume_point* resume, bool is_new,
                               time_point now) {
    // `live` includes what is published already but still in the inlet: it was not sent to anybody.
    sequence next = last_shown() + 1;
    if (is_new)
        next = sequence{1};
    else if (!resume && to.from == wire::start::earliest)
        next = ring_.first_held();
    else if (resume && resume->epoch == epoch_)
        next = resume->next;
    else if (resume && resume->epoch < epoch_)
        next = sequence{1};
    if (resume && resume->epoch > epoch_ && owner_.may_fence(to.link, topic_)) fence(resume->epoch);

    const protocol::reader which = ring_.add(next, now);
    const auto index = static_cast<std::size_t>(which);
    if (index >= cursors_.size()) cursors_.resize(index + 1);
    const protocol::scheduled_stream schedule = to.heads.add();
    cursors_[index] = {};
    cursors_[index].to = &to;
    cursors_[index].schedule = schedule;
    cursors_[index].told_token = to.link.ping_token() + 1;
    const auto slot = static_cast<std::size_t>(schedule);
    if (slot >= to.by_schedule.size()) to.by_schedule.resize(slot + 1);
    to.by_schedule[slot] = this;
    to.digest_stale = true;
    owner_.hub().loop().at(to, to.heads.next_time());
    owner_.hub().loop().flag(*this);
    return head_for(to);
}

void publication::detach(const subscription& from) {
    const auto [which, c] = find(from);
    if (!c) return;
    c->to->heads.remove(c->schedule);
    *c = {};
    ring_.remove(which);
    // Who waited for this reader need not any more.
    owner_.hub().loop().flag(*this);
}

void publication::rewind(subscription& reader, sequence next, time_point now) {
    const auto [which, c] = find(reader);
    if (!c) return;
    ++repairs_;
    c->cut = {};
    ring_.rewind(which, next, now);
    owner_.hub().loop().flag(*this);
}

wire::head publication::head_for(const subscription& reader) const {
    const auto [which, c] = const_cast<publication*>(this)->find(reader);
    const sequence last = visible();
    const sequence next = c ? ring_.wanted(which) : ring_.last() + 1;
    return {topic_,
            options_.source,
            epoch_,
            std::min(ring_.first_held(), last + 1),
            last,
            std::min(next, last + 1),
            store_ ? store_->storing() : cairn::epoch{}};
}

sequence publication::visible() const {
    return store_ && !store_->shows_all() ? store_->durable() : inlet_.last();
}

sequence publication::last_shown() const { return std::min(visible(), ring_.last()); }

std::size_t publication::peers() const noexcept {
    constexpr std::size_t of_the_store = 2;
    return ring_.readers() - (store_ ? of_the_store : 0);
}

void publication::fence(cairn::epoch newer) {
    if (std::exchange(fenced_, true)) return;
    inlet_.stop(send_status::fenced);
    owner_.hub().log(log_level::error, "fenced",
                     "publisher " + options_.source + " on " + topic_ +
                         " is fenced: a newer run of this source exists");
    if (options_.on_fenced) options_.on_fenced(newer);
    owner_.hub().loop().changed();
}

// The store takes nothing. For good: then nobody waits for it any more.
void publication::refused(errc why, bool for_good) {
    if (for_good && !store_->shows_all()) inlet_.stop(send_status::refused);
    if (options_.on_store_refused) options_.on_store_refused(why, for_good);
    owner_.hub().loop().changed();
}

// --- Closing and counting ---------------------------------------------------------------------

std::uint64_t publication::unsent() const {
    std::uint64_t most = 0;
    for (std::size_t i = 0; i != cursors_.size(); ++i)
        if (cursors_[i].to) most = std::max(most, ring_.lag(static_cast<protocol::reader>(i)));
    return most + inlet_.waiting_messages();
}

// Sent, and perhaps not received: the last messages, as far as the reader has not reported them as
// taken. Their number follows from their share of the credit that all messages cost so far.
std::uint64_t publication::unconfirmed(const cursor& of, std::uint64_t lag) const {
    const std::uint64_t accepted = inlet_.accepted_messages();
    if (accepted <= lag) return 0;
    const auto sent = static_cast<double>(accepted - lag);
    const auto charged =
        static_cast<double>(inlet_.accepted_bytes() + accepted * wire::record_word_bytes +
                            batches_ * wire::batch_charge_bytes);
    const double part = static_cast<double>(of.to->credit.outstanding()) / charged;
    const double messages = std::ceil(part * static_cast<double>(accepted));
    return static_cast<std::uint64_t>(std::clamp(messages, 1.0, sent));
}

std::uint64_t publication::close(time_point until) {
    runtime::loop& loop = owner_.hub().loop();
    if (handed_over_) return lost();
    inlet_.stop(send_status::closed);
    std::uint64_t left = 0;
    loop.wait_until(until, [&] {
        // Its links are gone, and with them whom the rest was for: it is what it was.
        left = left_;
        if (owner_.hub().closed()) return true;
        closing_ = false;  // no changed() for ourselves
        run(loop.now());
        closing_ = true;
        left = ask_for_confirmation();
        const std::uint64_t owed = not_durable(inlet_.last());
        const bool in_vain = fenced_ || (left == 0 && store_ && store_->over());
        left_ = left = std::max(left, owed);
        return left == 0 || in_vain || users_.ending();
    });
    if (left != 0 && store_ && store_->has_spill()) left = put_aside(left);
    if (left == 0) handed_over_ = true;
    return left + lost();
}

std::uint64_t publication::unstored() const noexcept {
    const bool told = handed_over_ || left_ != 0 || fenced_ || (store_ && store_->over());
    return told ? 0 : not_durable(inlet_.last());
}

std::uint64_t publication::not_durable(sequence up_to) const noexcept {
    const sequence stored = store_ ? store_->stored() : up_to;
    return stored < up_to ? up_to - stored : 0;
}

// What the store does not have goes to files: bounded by the disk, not by the store.
std::uint64_t publication::put_aside(std::uint64_t left) {
    constexpr std::chrono::seconds disk_time_max{10};
    runtime::loop& loop = owner_.hub().loop();
    std::uint64_t unsafe = left;
    loop.wait_until(loop.now() + disk_time_max, [&] {
        store_->put_all_aside();
        closing_ = false;
        run(loop.now());
        closing_ = true;
        const sequence safe = std::min(inlet_.last(), store_->safe());
        unsafe = std::max(ask_for_confirmation(), inlet_.last() - safe);
        return safe == inlet_.last() || !store_->is_spilling();
    });
    return std::min(left, unsafe);
}

std::uint64_t publication::flush(time_point until) {
    if (!store_) return 0;
    runtime::loop& loop = owner_.hub().loop();
    const sequence wanted = inlet_.last();
    loop.wait_until(until, [&] {
        return not_durable(wanted) == 0 || store_->over() || fenced_ || owner_.hub().closed();
    });
    const std::uint64_t left = not_durable(wanted);
    return left + lost();
}

std::uint64_t publication::lost() const noexcept { return store_ ? store_->lost() : 0; }

void publication::node_closing() {
    inlet_.stop(send_status::closed);
    tell_end();
    if (store_) store_->stop();
}

// Links deliver in order: who answers a PING has received all that was sent before. Returns how
// many messages the reader that is farthest behind has not confirmed.
std::uint64_t publication::ask_for_confirmation() {
    const std::uint64_t accepted = inlet_.accepted_messages();
    const std::uint64_t waiting = inlet_.waiting_messages();
    std::uint64_t left = 0;
    for (std::size_t i = 0; i != cursors_.size(); ++i) {
        cursor& c = cursors_[i];
        if (!c.to) continue;
        const auto which = static_cast<protocol::reader>(i);
        if (c.ping != 0 && c.to->link.pong_token() >= c.ping) {
            c.confirmed = c.asked;
            c.ping = 0;
        }
        const std::uint64_t lag = ring_.lag(which) + waiting;
        const std::uint64_t unread = accepted - c.confirmed.value;
        if (unread != 0) left = std::max(left, std::min(unread, lag + unconfirmed(c, lag)));
        if (fenced_ || c.ping != 0 || accepted - lag <= c.confirmed.value) continue;
        if (lag == 0) tell_end(c);
        c.asked = {accepted - lag};
        c.ping = c.to->link.ping();
    }
    return left;
}

void publication::tell_end() {
    for (cursor& c : cursors_)
        if (c.to) tell_end(c);
}

void publication::tell_end(cursor& of) {
    if (std::exchange(of.ended, true)) return;
    // What was accepted and is not in the ring was not sent, and will not be.
    of.to->link.send(wire::end{of.to->channel, topic_, options_.source, epoch_, visible()});
}

handle_stats publication::stats() const {
    handle_stats s;
    s.role = handle_stats::role::publisher;
    s.topic = topic_;
    s.messages = inlet_.accepted_messages();
    s.bytes = inlet_.accepted_bytes();
    s.batches = batches_;
    s.drops = dropped_;
    s.repairs = repairs_;
    s.refused = inlet_.refusals();
    s.queue_messages = unsent();
    s.queue_bytes = ring_.bytes() + inlet_.waiting_bytes();
    s.peers = peers();
    if (store_) store_->add_stats(s, inlet_.last(), owner_.hub().loop().now());
    for (std::size_t i = 0; i != cursors_.size(); ++i) {
        const cursor& c = cursors_[i];
        if (!c.to) continue;
        const auto which = static_cast<protocol::reader>(i);
        s.readers.push_back({c.to->link.peer_name(), c.to->pattern + (c.to->prefix ? "*" : ""),
                             ring_.lag(which), c.to->credit.outstanding(),
                             ring_.left_behind(which)});
    }
    return s;
}

}  // namespace cairn::patterns
