#include "subscription_reader.hpp"

#include "receiving_side.hpp"
#include "topics.hpp"

#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <utility>

namespace cairn::patterns {

namespace {

// With the longest names still below control_bytes_max.
constexpr std::size_t resume_points_a_frame = 100;
// A peer whose digest does not fit is asked anew so often at most.
constexpr std::chrono::milliseconds digest_pause{100};

duration as_duration(std::chrono::milliseconds wanted) {
    return wanted < std::chrono::floor<std::chrono::milliseconds>(duration::max())
               ? duration(wanted)
               : duration::max();
}

duration wait_for_history(const subscriber_options& options) {
    constexpr std::chrono::milliseconds usual{10'000};
    return as_duration(
        options.history_wait.value_or(options.group.empty() ? usual : subscriber_options::forever));
}

}  // namespace

subscription_reader::subscription_reader(runtime::hub& owner, std::string pattern,
                                         const subscriber_options& options, std::string store,
                                         std::optional<replay_end> end)
    : hub_(owner),
      pattern_(std::move(pattern)),
      from_(options.from),
      window_(options.credit_bytes),
      store_endpoint_(std::move(store)),
      group_(options.group),
      history_wait_(wait_for_history(options)),
      ack_delay_(options.ack_delay_max),
      end_(end),
      channel_(owner.open_channel(*this)),
      fences_(owner.options().topics_per_peer_max),
      convergence_(as_duration(options.converge_wait)),
      batcher_({.delay_max = options.ack_delay_max, .messages_max = options.ack_messages_max}) {
    for (const resume_from& r : from_.positions)
        begin_at(add_stream(r.topic, r.next.source), r.next.epoch, r.next.sequence);
    const bool asks_first = from_.where == from::place::last ||
                            from_.where == from::place::offset || from_.where == from::place::time;
    started_ = !in_group() && !asks_first && !end_;
    hub_.add(*this);
}

subscription_reader::~subscription_reader() {
    close();
    hub_.loop().remove(*this);
}

void subscription_reader::close() {
    if (std::exchange(closed_, true)) return;
    send_last_acks();
    for (const auto& p : peers_) {
        if (!p->link) continue;
        unsubscribe(*p);
        if (p->store && group_channel_ != 0) p->link->send(wire::detach{group_channel_});
    }
    for (const wire::channel c : {channel_, group_channel_, locate_channel_})
        if (c != 0) hub_.close_channel(c);
    hub_.remove(*this);
    forget_links();  // nobody tells of their end any more
    inbox_.close();
    hub_.loop().changed();
}

void subscription_reader::forget_links() {
    step_ = step::away;
    store_ = nullptr;
    for (const auto& p : peers_) p->link = nullptr;
}

void subscription_reader::node_closing() {
    if (!closed_) send_last_acks();
    forget_links();
    inbox_.close();
}

// What is given still would be acked while the acks are waited for.
void subscription_reader::node_ending() {
    if (in_group()) inbox_.close();
}

// --- Peers ------------------------------------------------------------------------------------

void subscription_reader::link_up(runtime::link& peer) {
    const bool is_store = !store_endpoint_.empty() && peer.is_store(store_endpoint_);
    if (end_ && !is_store) return;
    // Another store, or one that is not to be used: what it tells of is others', and taken for its
    // own it would be fenced for its source's twin, or the publisher itself would.
    if (!is_store && peer.peer_is_store())
        return hub_.log(log_level::info, "store",
                        "not subscribing to " + pattern_ + " at " + peer.description() +
                            ", which is a store that this subscriber does not use");
    if (!is_store && !hub_.gate().allows_some(peer, pattern_, &rights::publish))
        return hub_.log(log_level::info, "rights",
                        "not subscribing to " + pattern_ + " at " + peer.description() +
                            ", which may publish nothing of it");
    peer_state& p = peer_for(peer);
    p.store = is_store;
    if (is_store)
        store_up(p);
    else if (started_)
        subscribe(p);
}

subscription_reader::peer_state& subscription_reader::peer_for(runtime::link& link) {
    auto found = std::find_if(peers_.begin(), peers_.end(),
                              [&](const auto& p) { return !p->link && p->id == link.peer(); });
    if (found == peers_.end()) {
        // A peer that is gone, and of which nothing waits any more, makes room for another. So does
        // one of many: under ever new names nobody gets a window each time.
        found = least_of_the_gone();
        if (found == peers_.end())
            found = peers_.insert(peers_.end(), std::make_unique<peer_state>());
        (*found)->id = link.peer();
    }
    (*found)->link = &link;
    (*found)->last = nullptr;  // its rights may be others now
    return **found;
}

std::vector<std::unique_ptr<subscription_reader::peer_state>>::iterator
subscription_reader::least_of_the_gone() {
    auto least = peers_.end();
    std::size_t gone = 0;
    for (auto p = peers_.begin(); p != peers_.end(); ++p) {
        if ((*p)->link) continue;
        ++gone;
        account(**p);
        if (least == peers_.end() || (*p)->credit.waiting() < (*least)->credit.waiting()) least = p;
    }
    const bool none_waits = least != peers_.end() && (*least)->credit.waiting() == 0;
    return none_waits || gone >= gone_peers_max ? least : peers_.end();
}

void subscription_reader::link_down(runtime::link& peer) {
    fences_.forget(peer);
    peer_state* p = peer_of(peer);
    if (!p) return;
    account(*p);
    p->link = nullptr;
    p->subscribed = false;
    p->unanswered = 0;
    p->introduced = 0;
    if (p->store) {
        store_refusal_ = errc::ok;
        store_down(*p);
    }
    for (auto& [key, s] : streams_) {
        if (s.introduced_by == p) s.introduced_by = nullptr;
        if (s.by == p) leave(s);
    }
    settle_store();
    hub_.loop().changed();
}

void subscription_reader::subscribe(peer_state& at) {
    account(at);
    at.subscribed = true;
    at.refused = false;
    ++at.unanswered;
    if (at.store) {
        ask_anew_ = false;
        store_asked_at_ = hub_.loop().now();
        for (auto& [source, bound] : ends_) bound.stored = false;
    }
    const std::uint64_t window = at.store && !store_reads_ ? 0 : window_;
    at.credit = protocol::credit_reader(window, at.credit.waiting());
    // Who knows a position of each source, or wants all, must not miss those that it never met.
    const bool all = from_.where != from::place::live && from_.where != from::place::positions;
    wire::subscribe request{.channel = channel_,
                            .pattern = pattern_,
                            .from = all || in_group() ? wire::start::earliest : wire::start::live,
                            .credit = at.credit.initial(),
                            .more = true,
                            .resume = {}};
    for (auto& [key, s] : streams_) {
        if (at.store)
            s.splice.store_asked(hub_.loop().now());
        else if (s.by == &at)
            leave(s);
        const bool known = s.splice.standing() != protocol::spliced_stream::state::unknown;
        if (!known || (at.store && fresh(s))) continue;
        // Streams that come from another peer stay there; their position is told all the same,
        // since this peer may be where their source will appear next.
        request.resume.push_back({s.topic, s.source, s.splice.epoch(), s.splice.next()});
        if (request.resume.size() == resume_points_a_frame) {
            at.link->send(request);
            request.resume.clear();
        }
    }
    request.more = false;
    at.link->send(request);
}

void subscription_reader::unsubscribe(peer_state& at) {
    if (at.link && std::exchange(at.subscribed, false)) at.link->send(wire::unsubscribe{channel_});
    at.unanswered = 0;
}

void subscription_reader::subscribe_all() {
    for (const auto& p : peers_)
        if (p->link && !p->store) subscribe(*p);
}

subscription_reader::peer_state* subscription_reader::peer_of(const runtime::link& link) {
    for (const auto& p : peers_)
        if (p->link == &link) return p.get();
    return nullptr;
}

// --- Frames -----------------------------------------------------------------------------------

errc subscription_reader::frame(runtime::link& from, const wire::control_frame& frame) {
    peer_state* p = peer_of(from);
    if (!p) return errc::ok;
    if (p->store && store_frame(*p, frame)) return errc::ok;
    if (in_group() && !started_) return errc::ok;  // of what it asked for when it was active
    if (const auto* answer = std::get_if<wire::subscribed>(&frame)) {
        // Of two requests only the second one's answer counts.
        if (p->unanswered <= 1 && may_notify(*p, 2)) heads(*p, answer->heads);
        if (!answer->more && p->unanswered != 0) --p->unanswered;
        p->refusal = errc::ok;
        if (p->store && p->answered()) {
            store_refusal_ = errc::ok;
            store_answered();
        }
        settle_store();
        hub_.loop().changed();
    } else if (const auto* told = std::get_if<wire::heads>(&frame)) {
        if (p->answered() && may_notify(*p, 2)) heads(*p, told->items);
        settle_store();
        hub_.loop().changed();
    } else if (const auto* sum = std::get_if<wire::digest>(&frame)) {
        if (!p->store && p->answered()) check_digest(*p, *sum);
    } else if (const auto* lost = std::get_if<wire::gone>(&frame)) {
        if (may_notify(*p, 1)) gone(*p, *lost);
    } else if (const auto* ended = std::get_if<wire::end>(&frame)) {
        if (p->store || !may_notify(*p, 2)) return errc::ok;
        stream* const s = stream_of(ended->topic, ended->source, *p);
        if (s && !is_twin(*s, *p, ended->epoch)) {
            const time_point now = hub_.loop().now();
            const protocol::splice_verdict v = s->splice.live_end(ended->epoch, ended->last, now);
            if (!heard(*s, *p, ended->epoch, v)) return errc::ok;
            tell(*s, v);
            leave(*s);
            settle_store();
            hub_.loop().changed();
        }
    } else if (const auto* refused = std::get_if<wire::error_reply>(&frame)) {
        refuse_answer(*p, *refused);
    }
    return errc::ok;
}

void subscription_reader::refuse_answer(peer_state& from, const wire::error_reply& refused) {
    const errc code = refused.code;
    if (from.unanswered != 0 && code != errc::unknown_subscription && code != errc::malformed) {
        --from.unanswered;
        if (!from.store) from.refusal = code;
    }
    hub_.log(log_level::error, "subscribe",
             "subscribing to " + pattern_ + " at " + from.link->description() + ": " +
                 std::string(refused.text));
}

void subscription_reader::gone(peer_state& from, const wire::gone& told) {
    if (from.store && !from.answered()) return;
    stream* s = stream_of(told.topic, told.source, from);
    if (!s || is_twin(*s, from, told.epoch)) return;
    const time_point now = hub_.loop().now();
    const errc of_live = told.cause == errc::too_large ? errc::too_large : errc::gone;
    const protocol::splice_verdict v =
        from.store ? s->splice.store_gone(told.epoch, told.range, told.cause, now)
                   : s->splice.live_gone(told.epoch, told.range, of_live, now);
    if (!heard(*s, from, told.epoch, v)) return;
    tell(*s, v);
    moved(*s, now);
    settle_store();
}

// A pattern may be wider than what a peer may publish: what lies beyond is dropped, and told once.
bool subscription_reader::may_publish(peer_state& who, std::string_view topic) {
    if (who.store || hub_.gate().allows(*who.link, topic, &rights::publish)) return true;
    if (std::exchange(who.refused, true))
        hub_.count_refused();
    else
        hub_.refuse(*who.link, 0, errc::not_authorised,
                    "it may not publish on " + std::string(topic));
    return false;
}

subscription_reader::stream* subscription_reader::stream_of(std::string_view topic,
                                                            std::string_view source,
                                                            peer_state& by) {
    if (by.last && by.last->topic == topic && by.last->source == source) return by.last;
    if (!may_publish(by, topic)) return nullptr;
    const std::size_t most = hub_.options().topics_per_peer_max;
    const auto found = streams_.find(stream_key(topic, source));
    const bool known = found != streams_.end();
    if (known && found->second.introduced_by) return by.last = &found->second;
    if (!known && (!valid_topic(topic) || !matches(pattern_, topic))) {
        hub_.refuse(*by.link, 0, errc::malformed, "a topic that was not subscribed to");
        return nullptr;
    }
    // One that had ended counts again once it is heard.
    if (by.introduced >= most) {
        hub_.refuse(*by.link, 0, errc::limit_exceeded, "more streams than topics_per_peer_max");
        return nullptr;
    }
    if (known) return by.last = &found->second;
    if (streams_.size() >= std::max(most, forget_at_)) forget_left_streams();
    stream& made = add_stream(topic, source);
    count_in(made, by);
    return by.last = &made;
}

// Those that are gone count no more: who has many one after the other has few at a time.
void subscription_reader::count_in(stream& s, peer_state& by) {
    if (s.introduced_by) return;
    s.introduced_by = &by;
    ++by.introduced;
}

void subscription_reader::count_out(stream& s) {
    if (peer_state* const by = std::exchange(s.introduced_by, nullptr)) --by->introduced;
}

// Publishers that come and go under names of their own must not fill the memory. Who comes back
// after that is met like one that was never seen.
void subscription_reader::forget_left_streams() {
    std::vector<stream*> left;
    for (auto& [key, s] : streams_)
        if (!in_group() && !s.by && !s.watched && !s.wants_store && !s.live) left.push_back(&s);
    for (const auto& p : peers_) p->last = nullptr;
    for (stream* s : left) {
        lag_ -= s->lag;
        if (s->given) inbox_.put({.forgotten = true, .stream = s->number});
        count_out(*s);
        streams_.erase(stream_key(s->topic, s->source));
    }
    forget_at_ = 2 * streams_.size();  // a look costs as much as there are
    if (left.empty()) return;
    hub_.log(log_level::info, "streams",
             "subscriber to " + pattern_ + " forgot " + std::to_string(left.size()) +
                 " sources that nobody publishes any more");
}

subscription_reader::stream& subscription_reader::add_stream(std::string_view topic,
                                                             std::string_view source) {
    const bool has_store = !store_endpoint_.empty();
    const auto [at, is_new] = streams_.try_emplace(
        stream_key(topic, source), protocol::spliced_stream(has_store, history_wait_));
    stream& s = at->second;
    if (!is_new) return s;
    s.topic = topic;
    s.source = source;
    s.number = next_number_++;
    // Whose beginning is wanted, and the store may have more of it than its publisher.
    const bool all = from_.where != from::place::live && from_.where != from::place::positions;
    if (has_store && (all || in_group())) begin_at(s, epoch{}, sequence{1});
    return s;
}

void subscription_reader::begin_at(stream& s, epoch run, sequence next) {
    s.splice = protocol::spliced_stream(!store_endpoint_.empty(), history_wait_, run, next);
}

std::uint32_t subscription_reader::number_of(const resume_from& start) const {
    return streams_.at(stream_key(start.topic, start.next.source)).number;
}

std::map<std::uint32_t, resume_from> subscription_reader::beginnings() const {
    std::map<std::uint32_t, resume_from> all;
    for (const auto& [key, s] : streams_)
        if (s.first_run != epoch{})
            all[s.number] = {s.topic, {s.source, s.first_run, s.first_next}};
    return all;
}

void subscription_reader::fence(runtime::link& who, const stream& s, epoch older) {
    if (fences_.due(who, s.topic, s.source, older, s.splice.epoch()))
        who.send(wire::fenced{s.topic, s.source, s.splice.epoch()});
}

/// Whether another node has the run that this one says is its own: two processes have one source
/// and, by bad luck, one epoch. What the later sends would pass for repeats of the first one's
/// messages. It is stopped, as by a run above it.
bool subscription_reader::is_twin(const stream& s, peer_state& from, epoch of) {
    if (from.store || of != s.run || s.run_of == from.id || s.run_of == node_id{}) return false;
    const epoch above{of.value + 1};
    if (!fences_.due(*from.link, s.topic, s.source, of, above)) return true;
    log_twin(hub_, *from.link, s.topic, s.source);
    from.link->send(wire::fenced{s.topic, s.source, above});
    return true;
}

/// What becomes of a frame of the run `of` that came to `v`: false, it is not heard. A publisher
/// that is heard serves the stream from then on, or its word would be believed when it is gone.
bool subscription_reader::heard(stream& s, peer_state& from, epoch of,
                                const protocol::splice_verdict& v) {
    if (v.what == protocol::verdict::kind::fenced) fence(*from.link, s, of);
    if (v.what == protocol::verdict::kind::malformed)
        hub_.refuse(*from.link, 0, errc::malformed, "impossible sequences");
    if (!v.heard()) return false;
    if (from.store) return true;
    if (!s.by) ++attached_;
    count_in(s, from);
    s.by = &from;
    s.run_of = from.id;
    s.run = of;
    return true;
}

void subscription_reader::leave(stream& s) {
    s.splice.live_lost();
    if (std::exchange(s.by, nullptr)) {
        --attached_;
        count_out(s);
    }
    moved(s, hub_.loop().now());
}

void subscription_reader::heads(peer_state& from, const std::vector<wire::head>& heads) {
    const time_point now = hub_.loop().now();
    for (const wire::head& h : heads) {
        if (!may_publish(from, h.topic)) continue;
        if (from.store && end_) note_bound(h);
        stream* s = stream_of(h.topic, h.source, from);
        if (!s) return;
        if (is_twin(*s, from, h.epoch)) continue;
        const protocol::stream_head head{h.epoch, h.first_held, h.last, h.next, h.storing};
        const protocol::splice_verdict v =
            from.store ? s->splice.store_head(head, now) : s->splice.live_head(head, now);
        if (!heard(*s, from, h.epoch, v)) continue;
        tell(*s, v);
        if (from.store) note_stored(*s, h.epoch, h.last, now);
        moved(*s, now);
    }
}

void subscription_reader::check_digest(peer_state& from, const wire::digest& told) {
    if (from.refused) return;  // it counts what we drop
    std::uint32_t count = 0;
    std::uint64_t sum = 0;
    for (const auto& [key, s] : streams_) {
        if (s.by != &from) continue;
        // A repair is on its way, or history is: what comes of it says more than the sum.
        if (!s.splice.whole()) return;
        ++count;
        sum += wire::stream_digest(s.topic, s.source, s.splice.epoch(), s.splice.next() - 1);
    }
    if (count == told.streams && sum == told.sum) return;
    // To ask anew costs as much as there are streams, and its sums may never fit.
    const time_point now = hub_.loop().now();
    if (now < from.digest_failed_at + digest_pause) return;
    from.digest_failed_at = now;
    ++repairs_;
    subscribe(from);
}

void subscription_reader::batch(runtime::link& from,
                                std::unique_ptr<runtime::received_batch> batch) {
    peer_state* p = peer_of(from);
    if (!p) return;
    const std::uint64_t charge = charge_of(*batch);
    const bool answered = p->answered();
    // What was under way when we subscribed anew counts in neither account (PROTOCOL.md 8.2, 10).
    batch->taken = answered ? &p->taken : &uncounted_;
    if (!answered) {
        uncounted_received_ += charge;
        // It was within an earlier window; a peer that goes on and never answers is not kept. Of a
        // store it may be of another run than the one that is due.
        if (p->store || !started_ ||
            uncounted_received_ - uncounted_.load(std::memory_order_relaxed) > 2 * window_ + charge)
            return taken(*batch);
    } else if (!p->credit.received(charge)) {
        hub_.refuse(from, 0, errc::credit_exceeded, "more than was granted");
        return taken(*batch);
    }
    const wire::batch_header& h = batch->header;
    stream* s = stream_of(h.topic, h.source, *p);
    if (!s || is_twin(*s, *p, h.epoch)) return taken(*batch);
    const time_point now = hub_.loop().turn_time();
    const protocol::splice_verdict v = p->store
                                           ? s->splice.store_batch(h.epoch, h.first, h.count, now)
                                           : s->splice.live_batch(h.epoch, h.first, h.count, now);
    if (!heard(*s, *p, h.epoch, v)) return taken(*batch);
    tell(*s, v);
    if (p->store) note_stored(*s, h.epoch, h.last(), now);
    if (v.what == protocol::verdict::kind::deliver) {
        deliver(*s, std::move(batch), v.skip);
    } else {
        if (v.what == protocol::verdict::kind::duplicate) duplicates_ += h.count;
        taken(*batch);
    }
    moved(*s, now);
    settle_store();
}

void subscription_reader::deliver(stream& s, std::unique_ptr<runtime::received_batch> batch,
                                  std::uint32_t skip) {
    ++batches_;
    duplicates_ += skip;
    batch->skip = skip;
    batch->stream = s.number;
    s.given = true;
    s.note_beginning(batch->header.epoch, batch->header.first + skip);
    subscriber_item item{.batch = std::move(batch), .stream = s.number, .turn = turn()};
    if ((!s.done.empty() || end_) && !leave_out(s, item)) return taken(*item.batch);
    given_messages_ += item.batch->header.count - skip;
    if (item.left_out)
        for (const sequence_range& r : *item.left_out) given_messages_ -= r.size();
    in_hand.fetch_add(1, std::memory_order_relaxed);
    inbox_.put(std::move(item));
    // What the user does with it is looked for, also when nothing else happens here: who takes the
    // next batch does not tell the loop of the one before.
    if (in_group()) wake_by(runtime::later(hub_.loop().turn_time(), ack_delay_));
}

void subscription_reader::tell(stream& s, const protocol::splice_verdict& v) {
    if (v.tail) lose(s, *v.tail, errc::gone);
    if (v.orphaned) notify(s, orphaned{s.topic, s.source, v.orphaned->epoch, v.orphaned->range});
    const auto is_due = [&](epoch run) { return before_end(s, run, {sequence{1}, sequence{1}}); };
    if (v.restart && v.restart->before != epoch{} && is_due(v.restart->now))
        notify(s, restart{s.topic, s.source, v.restart->before, v.restart->now});
    if (v.gap) lose(s, *v.gap, v.cause);
}

void subscription_reader::lose(stream& s, const protocol::verdict::lost_range& lost, errc cause) {
    const auto range = before_end(s, lost.epoch, lost.range);
    if (!range) return;
    ++gaps_;
    lost_messages_ += range->size();
    s.note_beginning(lost.epoch, range->first);
    notify(s, gap{s.topic, s.source, lost.epoch, *range, cause});
}

void subscription_reader::notify(stream& s, cairn::notice told) {
    ++notices_;
    s.given = true;
    inbox_.put({.notice = std::make_unique<cairn::notice>(std::move(told)),
                .stream = s.number,
                .turn = turn()});
}

// No credit pays for notices. As many may wait as there may be streams, twice; what would bring
// more is passed over, as if it were lost on the way, and asked for or told again later. Heads and
// ends, which may not be told again, have `times` as much room, and one a stream is what they need.
bool subscription_reader::may_notify(const peer_state& from, std::size_t times) const noexcept {
    constexpr std::size_t least = 1'024;
    const std::size_t most = times * std::max(least, 2 * hub_.options().topics_per_peer_max);
    return from.store || notices_ - notices_taken.load(std::memory_order_relaxed) < most;
}

// --- Credit -----------------------------------------------------------------------------------

void subscription_reader::taken(const runtime::received_batch& batch) noexcept {
    const std::uint64_t charge = charge_of(batch);
    const std::uint64_t before = batch.taken->fetch_add(charge, std::memory_order_relaxed);
    // Looked at twice a step, so that what is not reported stays below one and a half of them: the
    // publisher counts on less than two (subscription::idle_bytes_max).
    const std::uint64_t apart =
        std::clamp<std::uint64_t>(window_ / 8, 1, protocol::report_bytes / 2);
    if (before / apart == (before + charge) / apart) return;
    hub_.loop().flag(*this);
    hub_.loop().kick();
}

void subscription_reader::account(peer_state& p) {
    const std::uint64_t total = p.taken.load(std::memory_order_relaxed);
    p.credit.consumed(total - std::exchange(p.accounted, total));
}

void subscription_reader::run(time_point now) {
    wake_at_ = runtime::loop::never;
    if (now >= ask_again_at_) {
        ask_again_at_ = runtime::loop::never;
        if (store_) step_ == step::refused ? read_store() : ask_store();
    } else if (ask_again_at_ != runtime::loop::never) {
        wake_by(ask_again_at_);
    }
    for (const auto& p : peers_) {
        account(*p);
        if (!p->link || !p->subscribed || (p->store && !store_reads_)) continue;
        if (const auto grant = p->credit.due())
            p->link->send(wire::credit{channel_, grant->granted, grant->consumed});
    }
    look_at_watched(now);
    take_acks(now);
    settle_store();
    look_at_lag(now);
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
    const std::uint64_t over = s.messages + dropped.load(std::memory_order_relaxed);
    s.queue_messages = given_messages_ - std::min(given_messages_, over);
    for (const auto& p : peers_) {
        s.queue_bytes +=
            p->credit.waiting() - std::min(p->credit.waiting(), p->taken.load() - p->accounted);
        if (p->link && p->refusal != errc::ok) s.peer_refusal = p->refusal;
    }
    s.peers = attached_;
    s.store_refusal = store_refusal_;
    return s;
}

void subscription_reader::add_stats(std::vector<handle_stats>& out) const {
    out.push_back(stats());
}

}  // namespace cairn::patterns
