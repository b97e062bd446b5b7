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
    }
    return wire::heartbeat{};
}

}  // namespace

work_reader::work_reader(runtime::hub& owner, std::string topic, const puller_options& options)
    : hub_(owner),
      topic_(std::move(topic)),
      options_(options),
      channel_(owner.open_channel(*this)),
      epochs_(owner.options().topics_per_peer_max) {
    hub_.add(*this);
}

work_reader::~work_reader() {
    close();
    hub_.loop().remove(*this);
}

void work_reader::close() {
    if (std::exchange(closed_, true)) return;
    run(hub_.loop().now());  // verbs that are not told yet
    for (const auto& [link, count] : pushers_) link->send(wire::detach{channel_});
    hub_.close_channel(channel_);
    hub_.remove(*this);
    inbox_.close();
    const std::lock_guard lock(mutex_);
    for (std::uint32_t i = 0; i != streams_.size(); ++i) ledger_.forget(i);
    hub_.loop().changed();
}

void work_reader::node_closing() {
    inbox_.close();
    pushers_.clear();
}

// --- Peers ------------------------------------------------------------------------------------

void work_reader::link_up(runtime::link& peer) {
    pushers_[&peer] = 0;
    const protocol::work_credit_reader fresh(options_.credit_messages, options_.credit_bytes,
                                             options_.prefetch);
    const std::string& member = options_.member.empty() ? hub_.name() : options_.member;
    peer.send(
        wire::attach{channel_, topic_, member, fresh.initial().messages, fresh.initial().bytes});
}

void work_reader::link_down(runtime::link& peer) {
    pushers_.erase(&peer);
    forget_streams_of(peer);
    hub_.loop().changed();
}

void work_reader::forget_streams_of(const runtime::link& peer) {
    const std::lock_guard lock(mutex_);
    for (std::uint32_t i = 0; i != streams_.size(); ++i) {
        if (streams_[i].link != &peer) continue;
        streams_[i].alive = false;
        streams_[i].link = nullptr;
        ledger_.forget(i);
    }
}

errc work_reader::frame(runtime::link& from, const wire::control_frame& frame) {
    const auto known = pushers_.find(&from);
    if (known == pushers_.end()) return errc::ok;
    if (const auto* told = std::get_if<wire::attached>(&frame)) {
        known->second = told->pushers;
        hub_.loop().changed();
    } else if (const auto* refused = std::get_if<wire::job_refused>(&frame)) {
        // The pusher had taken them back; it counts there too.
        for (const sequence_range& r : refused->ranges) refused_acks_ += r.size();
    } else if (const auto* error = std::get_if<wire::error_reply>(&frame)) {
        hub_.log(log_level::error, "attach",
                 "pulling from " + topic_ + " at " + from.description() + ": " +
                     std::string(error->text));
    }
    return errc::ok;
}

std::optional<std::uint32_t> work_reader::stream_of(runtime::link& from,
                                                    const wire::jobs_header& header) {
    std::size_t of_link = 0;
    for (std::uint32_t i = 0; i != streams_.size(); ++i) {
        const stream& s = streams_[i];
        if (s.alive && s.link == &from && s.source == header.source && s.epoch == header.epoch)
            return i;
        if (s.link == &from) ++of_link;
    }
    if (of_link >= hub_.options().topics_per_peer_max) return std::nullopt;
    // Numbers are not used again while something of theirs may wait in the inbox: job ids name
    // them.
    streams_.push_back({&from, std::string(header.source), header.epoch,
                        protocol::work_credit_reader(options_.credit_messages,
                                                     options_.credit_bytes, options_.prefetch)});
    return static_cast<std::uint32_t>(streams_.size() - 1);
}

void work_reader::batch(runtime::link& from, std::unique_ptr<runtime::received_batch> batch) {
    const wire::jobs_header& h = batch->header;
    if (h.topic != topic_)
        return hub_.refuse(from, 0, errc::malformed, "work of another topic");
    if (epochs_.judge(h.topic, h.source, h.epoch) == protocol::epoch_standing::older) {
        const auto newer = epochs_.highest(h.topic, h.source);
        from.send(wire::fenced{h.topic, h.source, newer.value_or(h.epoch)});
        return;
    }
    const auto number = stream_of(from, h);
    if (!number)
        return hub_.refuse(from, 0, errc::limit_exceeded,
                           "more sources than topics_per_peer_max");
    batch->stream = *number;
    stream& s = streams_[*number];
    // Not kept: its lease ends, and it comes again when there is room.
    if (!s.credit.received(h.count, batch->body.size(), hub_.loop().now())) {
        s.credit.consumed(h.count, batch->body.size(), hub_.loop().now());
        return hub_.refuse(from, 0, errc::credit_exceeded, "more than was granted");
    }
    batch->delivery = ++batches_;
    {
        const std::lock_guard lock(mutex_);
        ledger_.hold(batch->stream, {h.first, h.last()}, batch->body.size(), batch->delivery);
    }
    inbox_.put(std::move(batch));
}

// --- Verbs ------------------------------------------------------------------------------------

bool work_reader::apply(const job_verb& verb) {
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
    return messages_held != 0;
}

void work_reader::run(time_point now) {
    std::vector<job_verb> verbs;
    std::vector<finished_work> finished;
    {
        const std::lock_guard lock(mutex_);
        verbs = ledger_.take_verbs();
        finished = ledger_.take_finished();
    }
    tell(verbs);
    for (const finished_work& f : finished) {
        stream& s = streams_[f.stream];
        if (!s.alive) continue;
        s.credit.consumed(f.messages, f.bytes, now);
        if (const auto grant = s.credit.due())
            s.link->send(
                wire::work_credit{channel_, s.source, s.epoch, grant->messages, grant->bytes});
    }
}

void work_reader::tell(const std::vector<job_verb>& verbs) {
    for (auto v = verbs.begin(); v != verbs.end();) {
        const stream& s = streams_[v->stream];
        wire::job_ranges what;
        what.channel = channel_;
        what.source = s.source;
        what.epoch = s.epoch;
        const auto first = v;
        // One frame for all that share verb, stream and its details.
        for (; v != verbs.end() && v->what == first->what && v->stream == first->stream &&
               v->time == first->time && v->reason == first->reason &&
               what.ranges.size() != wire::array_items_max;
             ++v)
            what.ranges.push_back(v->range);
        if (s.alive) s.link->send(frame_of(*first, std::move(what)));
    }
}

// --- Counters ---------------------------------------------------------------------------------

std::size_t work_reader::attached() const noexcept {
    std::size_t count = 0;
    for (const auto& [link, pushers] : pushers_) count += pushers;
    return count;
}

handle_stats work_reader::stats() const {
    handle_stats s;
    s.role = handle_stats::role::puller;
    s.topic = topic_;
    s.messages = messages.load(std::memory_order_relaxed);
    s.bytes = bytes.load(std::memory_order_relaxed);
    s.batches = batches_;
    s.refused = refused_acks_;
    {
        const std::lock_guard lock(mutex_);
        s.queue_messages = ledger_.held_messages();
    }
    for (const stream& one : streams_)
        if (one.alive) s.queue_bytes += one.credit.waiting().bytes;
    s.peers = attached();
    return s;
}

void work_reader::add_stats(std::vector<handle_stats>& out) const { out.push_back(stats()); }

}  // namespace cairn::patterns
