#include "pushing.hpp"

#include "sending_side.hpp"

#include <cairn/wire/attributes.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace cairn::patterns {

namespace {

// Below so much on its way a puller is sent whatever there is; above, only full batches.
constexpr std::uint64_t idle_bytes_max = 4 * runtime::link::transit_ping_bytes;

protocol::lease_options lease_options_of(const pusher_options& options) {
    protocol::lease_options o;
    // A lease ends at a time of the clock, which must not overflow.
    constexpr std::chrono::milliseconds ack_wait_max = std::chrono::hours(24 * 365);
    o.ack_wait = std::min(options.ack_wait, ack_wait_max);
    o.deliveries_max = options.deliveries_max;
    o.ordered_by_key = options.ordered_by_key;
    return o;
}

// Calls f for each part of `range` that is in none of `holes`, which are in order.
template <typename F>
void for_each_part(sequence_range range, const std::vector<sequence_range>& holes, F&& f) {
    for (const sequence_range& hole : holes) {
        if (hole.first > range.first) f(sequence_range{range.first, hole.first - 1});
        range.first = std::max(range.first, hole.last + 1);
    }
    if (!range.empty()) f(range);
}

}  // namespace

workload::workload(pushing& owner, std::string topic, pusher_options options, cairn::epoch run)
    : owner_(owner),
      users_(owner.hub().loop()),
      topic_(std::move(topic)),
      options_(std::move(options)),
      epoch_(run),
      inlet_({.batch_bytes = batch_bytes(options_.batch_bytes_max, options_.backlog_bytes_max),
              .batch_messages = wire::batch_messages_max,
              .waiting_bytes =
                  waiting_bytes(batch_bytes(options_.batch_bytes_max, options_.backlog_bytes_max),
                                options_.backlog_bytes_max),
              .body_bytes = owner.hub().options().body_bytes_max}),
      leases_(lease_options_of(options_)) {}

workload::~workload() { owner_.hub().loop().remove(*this); }

void workload::owner_flag() { owner_.hub().loop().flag(*this); }

// --- Lending ----------------------------------------------------------------------------------

void workload::run(time_point now) {
    leases_.expire(now);
    give_up();
    resume_paused();
    if (!fenced_) {
        do {
            while (lend_one(now)) {
            }
        } while (take_one());
    }
    owner_.hub().loop().at(*this, leases_.next_deadline().value_or(runtime::loop::never));
    if (waited_for_) owner_.hub().loop().changed();
}

bool workload::take_one() {
    // While messages are ready that nobody may have, further ones gather in the inlet's batch: a
    // run never spans two batches, so few large ones are better than many small ones.
    const bool wanted = leases_.ready() == 0 && somebody_has_credit();
    const std::size_t bytes = inlet_.next_bytes(wanted && somebody_is_idle());
    if (bytes == 0) return false;
    if (!batches_.empty() && !make_room(bytes)) return false;
    auto batch = inlet_.take(wanted && somebody_is_idle());
    if (!batch) return false;
    admit(std::move(*batch));
    return true;
}

// Slow and delayed messages hold their batches: a few of them could use up the backlog. A look at
// all batches costs their number, so there must be something to gain: batches that pullers are in
// the middle of are sparse for a moment, too.
bool workload::make_room(std::size_t bytes) {
    const std::size_t most = options_.backlog_bytes_max;
    if (stored_bytes_ + bytes <= most) return true;
    if (sparse_bytes_ <= most / 8) return false;
    for (stored& b : batches_)
        if (b.unfinished != 0 && b.sparse()) thin(b);
    return stored_bytes_ + bytes <= most;
}

// What is finished becomes empty, so that each message stays where its number says. The body before
// may still be read by ZeroMQ.
void workload::thin(stored& in) {
    std::size_t bytes = 0;
    wire::record_reader all(in.body());
    for (const bool done : in.done) {
        const wire::record r = all.next();
        bytes +=
            done ? wire::record_word_bytes : wire::record_bytes(r.attributes.size(), r.body.size());
    }
    runtime::block_ref body = runtime::block_ref::make(bytes);
    std::byte* at = body.data();
    all = wire::record_reader(in.body());
    for (const bool done : in.done) {
        const wire::record r = all.next();
        at = done ? wire::write_record(at, {}, {}) : wire::write_record(at, r.attributes, r.body);
    }
    sparse_bytes_ -= in.batch.bytes;
    stored_bytes_ -= in.batch.bytes - bytes;
    in.batch.body = std::move(body);
    in.batch.bytes = bytes;
    in.kept = in.unfinished;
    in.known_sequence = in.batch.first;
    in.known_offset = 0;
}

void workload::admit(runtime::sealed_batch batch) {
    const sequence_range range{batch.first, batch.first + (batch.count - 1)};
    stored_bytes_ += batch.bytes;
    if (options_.ordered_by_key) {
        std::vector<std::uint64_t> keys;
        keys.reserve(batch.count);
        wire::record_reader records({batch.body.data(), batch.bytes});
        while (!records.done()) {
            const wire::record r = records.next();
            const std::string_view key =
                r.attributes.empty() ? std::string_view() : wire::key_of(r.attributes);
            keys.push_back(key.empty() ? 0 : wire::checksum(std::as_bytes(std::span(key))) | 1);
        }
        leases_.add(range.first, keys);
    } else {
        leases_.add(range);
    }
    const std::uint32_t count = batch.count;
    const sequence first = batch.first;
    batches_.push_back({std::move(batch), count, count, {}, first, 0});
}

bool workload::lend_one(time_point now) {
    const auto run =
        leases_.next(now, [this](const protocol::fit_request& asked) { return fit(asked); });
    if (!run) return false;
    member* m = member_of(run->member);
    if (send(*run, *m->puller) == runtime::link::sent::yes) {
        m->lent.messages += run->range.size();
        m->lent.bytes += run->bytes;
        return true;
    }
    // Not sent, so not begun, and its credit not used: the table has spent it, so it gets it again.
    // link_writable(), or link_down(), is next for this member.
    std::vector<sequence_range> stale;
    leases_.release(run->member, run->range, stale);
    leases_.pause(run->member);
    m->paused = true;
    m->refunded.messages += run->range.size();
    m->refunded.bytes += run->bytes;
    grant(*m);
    return true;
}

void workload::grant(const member& to) {
    leases_.grant(
        to.id, {to.granted.messages + to.refunded.messages, to.granted.bytes + to.refunded.bytes});
}

void workload::resume_paused() {
    for (member& m : members_)
        if (std::exchange(m.paused, false)) leases_.resume(m.id);
}

bool workload::somebody_has_credit() const {
    return std::any_of(members_.begin(), members_.end(),
                       [](const member& m) { return !m.paused && m.has_credit(); });
}

bool workload::somebody_is_idle() const {
    return std::any_of(members_.begin(), members_.end(), [](const member& m) {
        return !m.paused && m.has_credit() && m.puller->link.in_transit() < idle_bytes_max;
    });
}

protocol::fitted workload::fit(const protocol::fit_request& asked) {
    stored& in = batch_of(asked.range.first);
    const sequence first = asked.range.first;
    const std::size_t from = offset_of(in, first);
    const std::size_t rest = in.batch.bytes - from;
    // All bodies together being small enough, each is.
    if (asked.range.last >= in.last() && rest <= asked.bytes && rest <= asked.body_bytes_max)
        return {in.last() - first + 1, rest};
    const std::uint64_t wanted = std::min(asked.range.last, in.last()) - first + 1;
    wire::record_reader records(in.body().subspan(from));
    protocol::fitted fits;
    while (fits.count != wanted) {
        const std::size_t body = records.next().body.size();
        if (body > asked.body_bytes_max) return fits.count != 0 ? fits : protocol::fitted{0, body};
        const std::uint64_t end = rest - records.remaining();
        if (end > asked.bytes && fits.count != 0) break;
        ++fits.count;
        fits.bytes = end;
    }
    return fits;
}

runtime::link::sent workload::send(const protocol::assignment& run, const attachment& to) {
    stored& in = batch_of(run.range.first);
    const std::size_t from = offset_of(in, run.range.first);
    const auto body = in.body().subspan(from, run.bytes);
    wire::jobs_header header;
    header.topic = topic_;
    header.source = options_.source;
    header.epoch = epoch_;
    header.first = run.range.first;
    header.count = static_cast<std::uint32_t>(run.range.size());
    header.time = in.batch.time;
    header.checksum = wire::checksum(body);
    header.attempt = run.attempt;
    header.ack_wait_ms = static_cast<std::uint64_t>(options_.ack_wait.count());
    header_.clear();
    wire::encode(header, header_);
    const auto outcome = to.link.send_batch(header_, to.channel, in.batch.body, body);
    if (outcome == runtime::link::sent::yes) {
        ++sent_batches_;
        in.known_sequence = run.range.last + 1;
        in.known_offset = from + run.bytes;
    }
    return outcome;
}

workload::stored& workload::batch_of(sequence which) {
    const auto after =
        std::upper_bound(batches_.begin(), batches_.end(), which,
                         [](sequence s, const stored& b) { return s < b.batch.first; });
    return *std::prev(after);
}

std::size_t workload::offset_of(stored& in, sequence which) {
    if (which == in.known_sequence) return in.known_offset;
    const bool onward = which > in.known_sequence;
    const std::size_t start = onward ? in.known_offset : 0;
    const sequence from = onward ? in.known_sequence : in.batch.first;
    return start +
           wire::prefix_bytes(in.body().subspan(start), static_cast<std::uint32_t>(which - from));
}

// --- Finishing --------------------------------------------------------------------------------

void workload::finished(sequence_range range) {
    while (!range.empty()) {
        stored& in = batch_of(range.first);
        const sequence last = std::min(range.last, in.last());
        const auto count = static_cast<std::uint32_t>(last - range.first + 1);
        if (in.sparse()) sparse_bytes_ -= in.batch.bytes;
        in.unfinished -= count;
        if (in.unfinished == 0) {
            stored_bytes_ -= in.batch.bytes;
            in.batch.body = {};
            in.done = {};
        } else {
            in.done.resize(in.batch.count);
            const auto from = static_cast<std::ptrdiff_t>(range.first - in.batch.first);
            std::fill_n(in.done.begin() + from, count, true);
            if (in.sparse()) sparse_bytes_ += in.batch.bytes;
        }
        range.first = last + 1;
    }
    while (!batches_.empty() && batches_.front().unfinished == 0) batches_.pop_front();
}

void workload::follow(const attachment& puller, const wire::control_frame& verb,
                      const wire::job_ranges& what, time_point now,
                      std::vector<sequence_range>& stale) {
    member* m = member_of(puller);
    if (!m) {
        stale = what.ranges;
        return;
    }
    for (const sequence_range& range : what.ranges) {
        if (range.empty()) continue;
        std::vector<sequence_range> not_held;
        if (std::holds_alternative<wire::ack>(verb)) {
            leases_.ack(m->id, range, not_held);
            for_each_part(range, not_held, [this](sequence_range part) { finished(part); });
        } else if (const auto* n = std::get_if<wire::nack>(&verb)) {
            leases_.nack(
                m->id, range,
                std::chrono::milliseconds(std::min<std::uint64_t>(n->delay_ms, 86'400'000)), now,
                not_held);
        } else if (const auto* r = std::get_if<wire::reject>(&verb)) {
            leases_.reject(m->id, range, r->reason, not_held);
        } else if (const auto* e = std::get_if<wire::extend>(&verb)) {
            leases_.extend(
                m->id, range,
                std::chrono::milliseconds(std::min<std::uint64_t>(e->ack_wait_ms, 86'400'000)), now,
                not_held);
        } else if (std::holds_alternative<wire::release>(verb)) {
            leases_.release(m->id, range, not_held);
        } else if (std::holds_alternative<wire::begun>(verb)) {
            leases_.note_begun(m->id, range, not_held);
        }
        stale.insert(stale.end(), not_held.begin(), not_held.end());
    }
    owner_flag();
}

void workload::give_up() {
    for (const protocol::given_up& g : leases_.take_given_up()) {
        sequence at = g.range.first;
        for (; at <= g.range.last; ++at) {
            stored& in = batch_of(at);
            wire::record_reader records(in.body().subspan(offset_of(in, at)));
            const wire::record r = records.next();
            owner_.hub().log(log_level::warning, "given up",
                             "message " + std::to_string(at.value) + " on " + topic_ +
                                 " is given up after " + std::to_string(g.attempts) +
                                 (g.attempts == 1 ? " delivery: " : " deliveries: ") + g.reason);
            if (!options_.on_rejected) continue;
            cairn::attributes attributes;
            if (auto decoded = wire::decode_attributes(r.attributes); decoded)
                attributes = std::move(*decoded);
            const owned_message message{topic_,
                                        {options_.source, epoch_, at},
                                        in.batch.time,
                                        std::move(attributes),
                                        {r.body.begin(), r.body.end()},
                                        g.attempts};
            options_.on_rejected({message, g.cause, g.reason});
        }
        leases_.forget(g.range);
        finished(g.range);
    }
}

bool workload::flush(time_point until) {
    runtime::loop& loop = owner_.hub().loop();
    const sequence wanted = inlet_.last();
    bool finished = false;
    loop.wait_until(until, [&] {
        waited_for_ = false;  // no changed() for ourselves
        run(loop.now());
        finished = unacked() == 0 || leases_.floor() >= wanted;
        const bool over = finished || fenced_ || users_.ending() || owner_.hub().closed();
        waited_for_ = !over;
        if (over) loop.changed();  // somebody else may wait for the same
        return over;
    });
    return finished;
}

// --- Pullers ----------------------------------------------------------------------------------

void workload::attach(const attachment& puller) {
    members_.push_back({&puller,
                        leases_.join(puller.granted, puller.link.peer_body_bytes_max()),
                        puller.granted,
                        {},
                        {},
                        false});
    owner_flag();
}

void workload::detach(const attachment& puller, protocol::departure how, time_point now) {
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [&](const member& m) { return m.puller == &puller; });
    if (found == members_.end()) return;
    leases_.leave(found->id, how, now, "the worker is gone");
    members_.erase(found);
    owner_flag();
}

void workload::granted(const attachment& puller, protocol::lease_credit total) {
    member* m = member_of(puller);
    if (!m) return;
    m->granted.messages = std::max(m->granted.messages, total.messages);
    m->granted.bytes = std::max(m->granted.bytes, total.bytes);
    grant(*m);
    owner_flag();
}

workload::member* workload::member_of(const attachment& puller) {
    for (member& m : members_)
        if (m.puller == &puller) return &m;
    return nullptr;
}

workload::member* workload::member_of(protocol::member_id id) {
    for (member& m : members_)
        if (m.id == id) return &m;
    return nullptr;
}

void workload::fence(cairn::epoch newer) {
    if (std::exchange(fenced_, true)) return;
    inlet_.stop(send_status::fenced);
    owner_.hub().log(log_level::error, "fenced",
                     "pusher " + options_.source + " on " + topic_ +
                         " is fenced: a newer run of this source exists");
    if (options_.on_fenced) options_.on_fenced(newer);
    owner_.hub().loop().changed();
}

handle_stats workload::stats() const {
    handle_stats s;
    const protocol::lease_counters& c = leases_.counters();
    s.role = handle_stats::role::pusher;
    s.topic = topic_;
    s.messages = inlet_.accepted_messages();
    s.bytes = inlet_.accepted_bytes();
    s.batches = sent_batches_;
    s.redeliveries = c.redeliveries;
    s.rejected = c.given_up;
    s.refused = inlet_.refusals();
    s.queue_messages = unacked();
    s.queue_bytes = stored_bytes_ + inlet_.waiting_bytes();
    s.peers = members_.size();
    return s;
}

}  // namespace cairn::patterns
