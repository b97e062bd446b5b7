#include "subscription_reader.hpp"

#include "receiving_side.hpp"

#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <utility>

namespace cairn::patterns {

namespace {

// With the longest names still below control_bytes_max.
constexpr std::size_t resume_points_a_frame = 100;

}  // namespace

subscription_reader::subscription_reader(runtime::hub& owner, std::string pattern,
                                         const subscriber_options& options)
    : hub_(owner),
      pattern_(std::move(pattern)),
      from_(options.from),
      window_(options.credit_bytes),
      channel_(owner.open_channel(*this)),
      fences_(owner.options().topics_per_peer_max) {
    for (const resume_from& r : from_.positions) {
        stream& s = add_stream(r.topic, r.next.source);
        s.tracker = protocol::stream_tracker(r.next.epoch, r.next.sequence);
    }
    hub_.add(*this);
}

subscription_reader::~subscription_reader() {
    close();
    hub_.loop().remove(*this);
}

void subscription_reader::close() {
    if (std::exchange(closed_, true)) return;
    for (const auto& p : peers_)
        if (p->link) p->link->send(wire::unsubscribe{channel_});
    hub_.close_channel(channel_);
    hub_.remove(*this);
    inbox_.close();
    hub_.loop().changed();
}

void subscription_reader::node_closing() {
    inbox_.close();
    for (const auto& p : peers_) p->link = nullptr;
}

// --- Peers ------------------------------------------------------------------------------------

void subscription_reader::link_up(runtime::link& peer) {
    auto found = std::find_if(peers_.begin(), peers_.end(),
                              [&](const auto& p) { return !p->link && p->id == peer.peer(); });
    if (found == peers_.end()) {
        // A peer that is gone, and of which nothing waits any more, makes room for another.
        found = std::find_if(peers_.begin(), peers_.end(),
                             [](const auto& p) { return !p->link && p->credit.waiting() == 0; });
        if (found == peers_.end())
            found = peers_.insert(peers_.end(), std::make_unique<peer_state>());
        (*found)->id = peer.peer();
    }
    peer_state& p = **found;
    p.link = &peer;
    subscribe(p);
}

void subscription_reader::link_down(runtime::link& peer) {
    fences_.forget(peer);
    peer_state* p = peer_of(peer);
    if (!p) return;
    account(*p);
    p->link = nullptr;
    p->answered = false;
    for (auto& [key, s] : streams_) {
        if (s.by != p) continue;
        s.by = nullptr;
        --attached_;
    }
    hub_.loop().changed();
}

void subscription_reader::subscribe(peer_state& at) {
    account(at);
    at.answered = false;
    at.credit = protocol::credit_reader(window_, at.credit.waiting());
    wire::subscribe request{.channel = channel_,
                            .pattern = pattern_,
                            .from = from_.held ? wire::start::earliest : wire::start::live,
                            .credit = at.credit.initial(),
                            .more = true,
                            .resume = {}};
    for (auto& [key, s] : streams_) {
        if (s.by == &at) {
            s.by = nullptr;
            --attached_;
        }
        if (!s.tracker.known()) continue;
        // Streams that come from another peer stay there; their position is told all the same,
        // since this peer may be where their source will appear next.
        if (!s.by) s.tracker.resubscribed();
        request.resume.push_back({s.topic, s.source, s.tracker.epoch(), s.tracker.next()});
        if (request.resume.size() == resume_points_a_frame) {
            at.link->send(request);
            request.resume.clear();
        }
    }
    request.more = false;
    at.link->send(request);
}

subscription_reader::peer_state* subscription_reader::peer_of(const runtime::link& link) {
    for (const auto& p : peers_)
        if (p->link == &link) return p.get();
    return nullptr;
}

// --- Frames -----------------------------------------------------------------------------------

errc subscription_reader::frame(runtime::link& from, const wire::control_frame& frame) {
    peer_state* p = peer_of(from);
    if (!p) return errc::unknown_subscription;
    if (const auto* answer = std::get_if<wire::subscribed>(&frame)) {
        heads(*p, answer->heads);
        if (!answer->more) p->answered = true;
        hub_.loop().changed();
    } else if (const auto* told = std::get_if<wire::heads>(&frame)) {
        heads(*p, told->items);
        hub_.loop().changed();
    } else if (const auto* sum = std::get_if<wire::digest>(&frame)) {
        check_digest(*p, *sum);
    } else if (const auto* lost = std::get_if<wire::gone>(&frame)) {
        if (stream* s = stream_of(lost->topic, lost->source, *p)) {
            const bool large = lost->cause == errc::too_large;
            tell(*s, s->tracker.on_gone(lost->epoch, lost->range),
                 large ? errc::too_large : errc::gone);
            repair(*s, hub_.loop().now());
        }
    } else if (const auto* ended = std::get_if<wire::end>(&frame)) {
        if (stream* s = stream_of(ended->topic, ended->source, *p)) {
            tell(*s, s->tracker.on_end(ended->epoch, ended->last));
            if (std::exchange(s->by, nullptr)) --attached_;
            hub_.loop().changed();
        }
    } else if (const auto* refused = std::get_if<wire::error_reply>(&frame)) {
        hub_.log(log_level::error, "subscribe",
                 "subscribing to " + pattern_ + " at " + from.description() + ": " +
                     std::string(refused->text));
    }
    return errc::ok;
}

subscription_reader::stream* subscription_reader::stream_of(std::string_view topic,
                                                            std::string_view source,
                                                            peer_state& by) {
    if (by.last && by.last->topic == topic && by.last->source == source) return by.last;
    const auto found = streams_.find(stream_key(topic, source));
    if (found != streams_.end()) return by.last = &found->second;
    if (streams_.size() >= hub_.options().topics_per_peer_max) {
        hub_.refuse(*by.link, 0, errc::limit_exceeded, "more streams than topics_per_peer_max");
        return nullptr;
    }
    return by.last = &add_stream(topic, source);
}

subscription_reader::stream& subscription_reader::add_stream(std::string_view topic,
                                                             std::string_view source) {
    const auto number = static_cast<std::uint32_t>(streams_.size());
    const auto [at, is_new] = streams_.try_emplace(stream_key(topic, source));
    stream& s = at->second;
    if (is_new) {
        s.topic = topic;
        s.source = source;
        s.number = number;
    }
    return s;
}

std::uint32_t subscription_reader::number_of(const resume_from& start) const {
    return streams_.at(stream_key(start.topic, start.next.source)).number;
}

void subscription_reader::fence(runtime::link& who, const stream& s, epoch older) {
    if (fences_.due(who, s.topic, s.source, older, s.tracker.epoch()))
        who.send(wire::fenced{s.topic, s.source, s.tracker.epoch()});
}

void subscription_reader::attach(stream& s, peer_state& by) {
    if (!s.by) ++attached_;
    s.by = &by;
}

void subscription_reader::heads(peer_state& from, const std::vector<wire::head>& heads) {
    for (const wire::head& h : heads) {
        stream* s = stream_of(h.topic, h.source, from);
        if (!s) return;
        const protocol::verdict v = s->tracker.on_head({h.epoch, h.first_held, h.last, h.next});
        if (v.what == protocol::verdict::kind::fenced) {
            fence(*from.link, *s, h.epoch);
            continue;
        }
        attach(*s, from);
        tell(*s, v);
        repair(*s, hub_.loop().now());
    }
}

void subscription_reader::check_digest(peer_state& from, const wire::digest& told) {
    std::uint32_t count = 0;
    std::uint64_t sum = 0;
    for (const auto& [key, s] : streams_) {
        if (s.by != &from) continue;
        // A repair is on its way: its answer says more than the sum.
        if (s.tracker.missing()) return;
        ++count;
        sum += wire::stream_digest(s.topic, s.source, s.tracker.epoch(), s.tracker.next() - 1);
    }
    if (count == told.streams && sum == told.sum) return;
    ++repairs_;
    subscribe(from);
}

void subscription_reader::batch(runtime::link& from,
                                std::unique_ptr<runtime::received_batch> batch) {
    peer_state* p = peer_of(from);
    if (!p) return;
    const std::uint64_t charge = charge_of(*batch);
    // What was under way when we subscribed anew counts in neither account (PROTOCOL.md 8.2, 10).
    batch->taken = p->answered ? &p->taken : &uncounted_;
    if (!p->answered) {
        uncounted_received_ += charge;
        // It was within an earlier window; a peer that goes on and never answers is not kept.
        if (uncounted_received_ - uncounted_.load(std::memory_order_relaxed) > 2 * window_ + charge)
            return taken(*batch);
    } else if (!p->credit.received(charge)) {
        hub_.refuse(from, 0, errc::credit_exceeded, "more than was granted");
        return taken(*batch);
    }
    const wire::batch_header& h = batch->header;
    stream* s = stream_of(h.topic, h.source, *p);
    if (!s) return taken(*batch);
    const protocol::verdict v = s->tracker.on_batch(h.epoch, h.first, h.count);
    tell(*s, v);
    switch (v.what) {
        case protocol::verdict::kind::deliver:
            attach(*s, *p);
            ++batches_;
            duplicates_ += v.skip;
            batch->skip = v.skip;
            batch->stream = s->number;
            inbox_.put({std::move(batch), nullptr});
            return;
        case protocol::verdict::kind::duplicate:
            duplicates_ += h.count;
            break;
        case protocol::verdict::kind::fenced:
            fence(from, *s, h.epoch);
            break;
        case protocol::verdict::kind::malformed:
            hub_.refuse(from, 0, errc::malformed, "batch with impossible sequences");
            break;
        case protocol::verdict::kind::hole:
        case protocol::verdict::kind::nothing:
            break;
    }
    taken(*batch);
    repair(*s, hub_.loop().now());
}

void subscription_reader::tell(const stream& s, const protocol::verdict& v, errc gap_cause) {
    if (v.tail) lose(s, *v.tail, errc::gone);
    if (v.restart) notify(s, restart{s.topic, s.source, v.restart->before, v.restart->now});
    if (v.gap) lose(s, *v.gap, gap_cause);
}

void subscription_reader::lose(const stream& s, const protocol::verdict::lost_range& lost,
                               errc cause) {
    ++gaps_;
    lost_messages_ += lost.range.size();
    notify(s, gap{s.topic, s.source, lost.epoch, lost.range, cause});
}

void subscription_reader::notify(const stream& s, std::variant<gap, restart> notice) {
    inbox_.put(
        {nullptr, std::make_unique<std::variant<gap, restart>>(std::move(notice)), s.number});
}

void subscription_reader::repair(stream& s, time_point now) {
    if (!s.by || !s.by->link) return;
    if (const auto next = s.tracker.take_repair(now)) {
        ++repairs_;
        s.by->link->send(wire::repair{channel_, {s.topic, s.source, s.tracker.epoch(), *next}});
    }
    if (s.tracker.repair_time() == time_point::max()) return;
    if (std::find(holes_.begin(), holes_.end(), &s) == holes_.end()) holes_.push_back(&s);
    hub_.loop().at(*this, s.tracker.repair_time());
}

// --- Credit -----------------------------------------------------------------------------------

void subscription_reader::taken(const runtime::received_batch& batch) noexcept {
    const std::uint64_t charge = charge_of(batch);
    const std::uint64_t before = batch.taken->fetch_add(charge, std::memory_order_relaxed);
    // Looked at twice a step, so that what is not reported stays below one and a half of them: the
    // publisher counts on less than two (subscription::idle_bytes_max).
    const std::uint64_t step =
        std::clamp<std::uint64_t>(window_ / 8, 1, protocol::report_bytes / 2);
    if (before / step == (before + charge) / step) return;
    hub_.loop().flag(*this);
    hub_.loop().kick();
}

void subscription_reader::account(peer_state& p) {
    const std::uint64_t total = p.taken.load(std::memory_order_relaxed);
    p.credit.consumed(total - std::exchange(p.accounted, total));
}

void subscription_reader::run(time_point now) {
    for (const auto& p : peers_) {
        account(*p);
        if (!p->link) continue;
        if (const auto grant = p->credit.due())
            p->link->send(wire::credit{channel_, grant->granted, grant->consumed});
    }
    for (stream* s : std::exchange(holes_, {})) repair(*s, now);
}

// --- Counters ---------------------------------------------------------------------------------

handle_stats subscription_reader::stats() const {
    handle_stats s;
    s.role = handle_stats::role::subscriber;
    s.topic = pattern_;
    s.messages = messages.load(std::memory_order_relaxed);
    s.bytes = bytes.load(std::memory_order_relaxed);
    s.batches = batches_;
    s.drops = lost_messages_ + dropped.load(std::memory_order_relaxed);
    s.gaps = gaps_;
    s.repairs = repairs_;
    s.duplicates = duplicates_;
    for (const auto& p : peers_)
        s.queue_bytes +=
            p->credit.waiting() - std::min(p->credit.waiting(), p->taken.load() - p->accounted);
    s.peers = attached_;
    return s;
}

void subscription_reader::add_stats(std::vector<handle_stats>& out) const {
    out.push_back(stats());
}

}  // namespace cairn::patterns
