#include "work_reader.hpp"

#include "receiving_side.hpp"

#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace cairn::patterns {

namespace {

wire::control_frame frame_of(const job_verb& verb, wire::job_ranges what) {
    const auto ms = [](duration d) {
        return static_cast<std::uint64_t>(
            std::max<std::int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(d).count()));
    };
    switch (verb.what) {
        case job_verb::kind::ack:
            return wire::ack{std::move(what)};
        case job_verb::kind::nack:
            return wire::nack{std::move(what), ms(verb.time)};
        case job_verb::kind::reject:
            return wire::reject{std::move(what), verb.reason};
        case job_verb::kind::extend:
            return wire::extend{std::move(what), ms(verb.time)};
        case job_verb::kind::release:
            return wire::release{std::move(what)};
        case job_verb::kind::begun:
            return wire::begun{std::move(what)};
    }
    return wire::heartbeat{};
}

/// When a message is given back if it waits for so long: half way through its lease. Rounded up, so
/// that one look at what waits finds much.
time_point wait_end(const wire::jobs_header& header, time_point now) {
    constexpr std::uint64_t year_ms = std::uint64_t{365} * 86'400'000;
    const duration lease = std::chrono::milliseconds(std::min(header.ack_wait_ms, year_ms));
    const duration step = std::max<duration>(lease / 16, std::chrono::milliseconds(10));
    const duration end = now.time_since_epoch() + lease / 2;
    return time_point(end - end % step + step);
}

}  // namespace

work_reader::work_reader(runtime::hub& owner, std::string topic, const puller_options& options)
    : hub_(owner),
      topic_(std::move(topic)),
      options_(options),
      channel_(owner.open_channel(*this)),
      streams_(owner.options().topics_per_peer_max,
               {options.credit_messages, options.credit_bytes, options.prefetch}),
      epochs_(owner.options().topics_per_peer_max),
      fences_(owner.options().topics_per_peer_max) {
    hub_.add(*this);
}

work_reader::~work_reader() {
    close();
    hub_.loop().remove(*this);
}

void work_reader::close() {
    if (std::exchange(closed_, true)) return;
    inbox_.close();
    leave();
    hub_.close_channel(channel_);
    hub_.remove(*this);
    const std::lock_guard lock(mutex_);
    for (const auto& [number, stream] : streams_.all()) ledger_.forget(number);
    hub_.loop().changed();
}

void work_reader::node_closing() {
    inbox_.close();
    leave();
}

// What was done and not told yet, and what was begun, which alone counts as delivered.
void work_reader::leave() {
    if (peers_.empty()) return;  // nobody to tell
    {
        const std::lock_guard lock(mutex_);
        const sequence last = hand_.look().value_or(sequence{});
        last_taken_.emplace(open_delivery_, last);
        if (options_.acks == ack_mode::on_next && last > open_first_)
            ledger_.apply({job_verb::kind::ack,
                           open_stream_,
                           {open_first_, last - 1},
                           {},
                           {},
                           open_delivery_});
        ledger_.note_begun(open_delivery_, last);
    }
    run(hub_.loop().now());
    for (const auto& [link, peer] : peers_) link->send(wire::detach{channel_});
    peers_.clear();
}

// --- Peers ------------------------------------------------------------------------------------

void work_reader::link_up(runtime::link& peer) {
    if (!hub_.gate().allows(peer, topic_, &rights::publish))
        return hub_.log(log_level::info, "rights",
                        "not pulling from " + topic_ + " at " + peer.description() +
                            ", which may not publish there");
    peers_[&peer] = {};
    const protocol::work_credit_reader fresh(options_.credit_messages, options_.credit_bytes,
                                             options_.prefetch);
    const std::string& member = options_.member.empty() ? hub_.name() : options_.member;
    peer.send(
        wire::attach{channel_, topic_, member, fresh.initial().messages, fresh.initial().bytes});
}

void work_reader::link_down(runtime::link& peer) {
    peers_.erase(&peer);
    fences_.forget(peer);
    refused_.erase(refused_.lower_bound({peer.number(), errc::ok}),
                   refused_.lower_bound({peer.number() + 1, errc::ok}));
    forget(streams_.end(peer));
    hub_.loop().changed();
}

void work_reader::forget(const std::vector<job_streams::number>& ended) {
    const std::lock_guard lock(mutex_);
    for (const job_streams::number n : ended) ledger_.forget(n);
}

errc work_reader::frame(runtime::link& from, const wire::control_frame& frame) {
    const auto known = peers_.find(&from);
    if (known == peers_.end()) return errc::ok;
    if (const auto* told = std::get_if<wire::attached>(&frame)) {
        known->second = {told->pushers, errc::ok};
        // Whoever pushed here is gone: links deliver in order, so nothing more comes of them.
        if (told->pushers == 0) forget(streams_.end(from));
        hub_.loop().changed();
    } else if (const auto* over = std::get_if<wire::end>(&frame)) {
        if (streams_.find(from, over->source, over->epoch))
            forget({*streams_.end(from, over->source)});
    } else if (const auto* refused = std::get_if<wire::job_refused>(&frame)) {
        // The pusher had taken them back; it counts there too.
        for (const sequence_range& r : refused->ranges) refused_acks_ += r.size();
        hub_.log_repeated(log_level::warning, "late",
                          "jobs on " + topic_ + " are acked too late for " + from.description() +
                              ", which gave them to others when their leases ended, or the link: "
                              "call extend() while a job takes longer than ack_wait");
    } else if (const auto* error = std::get_if<wire::error_reply>(&frame)) {
        hub_.log(log_level::error, "attach",
                 "pulling from " + topic_ + " at " + from.description() + ": " +
                     std::string(error->text));
        known->second.refusal = error->code;
    }
    return errc::ok;
}

// Jobs of two processes with one source and, by bad luck, one epoch have the same positions: who
// notes those that are done would take the one for the other.
bool work_reader::may_push(runtime::link& from, const wire::jobs_header& h) {
    using protocol::epoch_standing;
    const epoch_standing standing = epochs_.judge(h.topic, h.source, h.epoch, from.peer());
    if (standing != epoch_standing::older && standing != epoch_standing::twin) return true;
    const bool twin = standing == epoch_standing::twin;
    const epoch newer =
        twin ? epoch{h.epoch.value + 1} : epochs_.highest(h.topic, h.source).value_or(h.epoch);
    if (!fences_.due(from, h.topic, h.source, h.epoch, newer)) return false;
    if (twin) log_twin(hub_, from, h.topic, h.source);
    from.send(wire::fenced{h.topic, h.source, newer});
    return false;
}

std::optional<job_streams::number> work_reader::open_stream(runtime::link& from,
                                                            const wire::jobs_header& header) {
    // A node has one pusher of a name on a topic: with a newer run the one before is over.
    if (const auto before = streams_.end(from, header.source)) forget({*before});
    return streams_.open(from, header.source, header.epoch);
}

void work_reader::refuse(runtime::link& from, errc why, std::string_view text) {
    if (refused_.emplace(from.number(), why).second)
        hub_.refuse(from, 0, why, text);
    else
        hub_.count_refused(why);
}

// What came from pushers that are gone waits as well, and who comes under ever new names has a
// credit each time. A run may be one message above its credit.
bool work_reader::has_room() const noexcept {
    constexpr std::size_t gone_streams_max = 16;
    constexpr std::uint64_t endless = std::uint64_t{1} << 40;
    const std::uint64_t each =
        std::min<std::uint64_t>(options_.credit_bytes, endless) + hub_.options().body_bytes_max;
    const std::uint64_t most = (streams_.all().size() + gone_streams_max) * each;
    return bytes_put_ - bytes_passed.load(std::memory_order_relaxed) < most;
}

void work_reader::batch(runtime::link& from, std::unique_ptr<runtime::received_batch> batch) {
    const wire::jobs_header& h = batch->header;
    if (h.topic != topic_) return hub_.refuse(from, 0, errc::malformed, "work of another topic");
    if (!hub_.gate().allows(from, topic_, &rights::publish))
        return refuse(from, errc::not_authorised, "it may not publish on " + topic_);
    if (!may_push(from, h)) return;
    auto number = streams_.find(from, h.source, h.epoch);
    if (!number) number = open_stream(from, h);
    if (!number) return refuse(from, errc::limit_exceeded, "more sources than topics_per_peer_max");
    batch->stream = *number;
    job_stream& s = *streams_.at(*number);
    const bool granted = s.credit.received(h.count, batch->body.size(), hub_.loop().now());
    if (!granted || !has_room()) {
        // Not kept. What is released may go to another puller, and comes here again with the credit
        // that run() grants once there is room; otherwise the lease ends.
        s.credit.consumed(h.count, batch->body.size(), hub_.loop().now());
        if (!granted) return hub_.refuse(from, 0, errc::credit_exceeded, "more than was granted");
        turned_away_ = true;
        from.send(wire::release{{channel_, h.source, h.epoch, {{h.first, h.last()}}}});
        return;
    }
    batch->delivery = ++batches_;
    const time_point until = wait_end(h, hub_.loop().turn_time());
    {
        const std::lock_guard lock(mutex_);
        ledger_.hold(batch->stream, {h.first, h.last()}, batch->body.size(), batch->delivery,
                     until);
    }
    if (until < look_at_) hub_.loop().at(*this, look_at_ = until);
    bytes_put_ += charge_of(*batch);
    inbox_.put(std::move(batch));
}

// --- Verbs ------------------------------------------------------------------------------------

std::uint64_t work_reader::apply(const job_verb& verb) {
    bool first = false;
    std::uint64_t messages_held = 0;
    {
        const std::lock_guard lock(mutex_);
        first = !ledger_.pending();
        messages_held = ledger_.apply(verb);
        first = first && ledger_.pending();
    }
    if (first) {
        hub_.loop().flag(*this);
        hub_.loop().kick();
    }
    return messages_held;
}

bool work_reader::is_void(const runtime::received_batch& batch, sequence which) const {
    const std::lock_guard lock(mutex_);
    return ledger_.is_void(batch.stream, which, batch.delivery);
}

bool work_reader::take_slowly(const runtime::received_batch& batch, sequence which) const {
    const std::lock_guard lock(mutex_);  // the loop is through
    if (last_taken_) return std::pair(batch.delivery, which) <= *last_taken_;
    return !ledger_.is_void(batch.stream, which, batch.delivery);
}

void work_reader::release_waiting(time_point now) {
    if (now < look_at_) return;
    const std::lock_guard lock(mutex_);
    const std::optional<sequence> last = hand_.look();
    look_at_ = last ? ledger_.release_waiting(open_delivery_, *last, now) : runtime::loop::never;
    hand_.let_go();
    hub_.loop().at(*this, look_at_);
}

void work_reader::open(const runtime::received_batch& batch) {
    const std::lock_guard lock(mutex_);
    open_stream_ = batch.stream;
    open_delivery_ = batch.delivery;
    open_first_ = batch.header.first;
    hand_.open();
}

void work_reader::pass(const runtime::received_batch& batch) {
    bytes_passed.fetch_add(charge_of(batch), std::memory_order_relaxed);
    if (batch.delivery > ledger_.void_up_to()) return;
    {
        const std::lock_guard lock(mutex_);
        if (!ledger_.pass(batch.delivery)) return;
    }
    hub_.loop().flag(*this);
    hub_.loop().kick();
}

void work_reader::asked() {
    if (!turned_away_.load(std::memory_order_relaxed)) {
        const std::lock_guard lock(mutex_);
        // Nothing in hand: then the credit is not what is missing.
        if (ledger_.held_messages() == 0) return;
    }
    if (asked_.exchange(true)) return;
    hub_.loop().flag(*this);
    hub_.loop().kick();
}

void work_reader::grant(const job_stream& to, const std::optional<protocol::work_grant>& total) {
    if (total)
        to.link->send(
            wire::work_credit{channel_, to.source, to.epoch, total->messages, total->bytes});
}

void work_reader::run(time_point now) {
    release_waiting(now);
    std::vector<job_verb> verbs;
    std::vector<finished_work> finished;
    {
        const std::lock_guard lock(mutex_);
        verbs = ledger_.take_verbs();
        finished = ledger_.take_finished();
    }
    tell(verbs);
    for (const finished_work& f : finished) {
        job_stream* s = streams_.at(f.stream);
        if (!s) continue;
        if (f.worked)
            s->credit.consumed(f.messages, f.bytes, now);
        else
            s->credit.dropped(f.messages, f.bytes);
        grant(*s, s->credit.due());
    }
    // Who was turned away may have used its credit up in vain.
    if (turned_away_.load(std::memory_order_relaxed) && has_room()) {
        turned_away_ = false;
        for (auto& [number, stream] : streams_.all()) grant(stream, stream.credit.due());
    }
    // What came meanwhile answers the question.
    if (asked_.exchange(false) && inbox_.empty())
        for (auto& [number, stream] : streams_.all()) grant(stream, stream.credit.asked());
}

void work_reader::tell(const std::vector<job_verb>& verbs) {
    for (auto v = verbs.begin(); v != verbs.end();) {
        const job_stream* s = streams_.at(v->stream);
        const auto first = v;
        wire::job_ranges what;
        what.channel = channel_;
        // One frame for all that share verb, stream and its details.
        for (; v != verbs.end() && v->what == first->what && v->stream == first->stream &&
               v->time == first->time && v->reason == first->reason &&
               what.ranges.size() != wire::array_items_max;
             ++v)
            what.ranges.push_back(v->range);
        if (!s) continue;
        what.source = s->source;
        what.epoch = s->epoch;
        s->link->send(frame_of(*first, std::move(what)));
    }
}

// --- Counters ---------------------------------------------------------------------------------

std::size_t work_reader::attached() const noexcept {
    std::size_t count = 0;
    for (const auto& [link, peer] : peers_) count += peer.pushers;
    return count;
}

handle_stats work_reader::stats() const {
    handle_stats s;
    s.role = handle_stats::role::puller;
    s.topic = topic_;
    s.messages = messages.load(std::memory_order_relaxed);
    s.bytes = bytes.load(std::memory_order_relaxed);
    s.batches = batches_;
    s.refused = refused_acks_ + too_late.load(std::memory_order_relaxed);
    {
        const std::lock_guard lock(mutex_);
        s.queue_messages = ledger_.held_messages();
    }
    for (const auto& [number, stream] : streams_.all())
        s.queue_bytes += stream.credit.waiting().bytes;
    s.peers = attached();
    for (const auto& [link, peer] : peers_)
        if (peer.refusal != errc::ok) s.peer_refusal = peer.refusal;
    return s;
}

void work_reader::add_stats(std::vector<handle_stats>& out) const { out.push_back(stats()); }

}  // namespace cairn::patterns
