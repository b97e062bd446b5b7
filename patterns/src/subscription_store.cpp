// A subscriber and its store: history and live, groups and acks. The rest is in
// subscription_reader.cpp.

#include "receiving_side.hpp"
#include "store_place.hpp"
#include "subscription_reader.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace cairn::patterns {

namespace {

// How soon what the store refused is asked for again.
constexpr std::chrono::milliseconds ask_again_pause{1'000};

/// Of a refusal: it may be otherwise soon, without anybody's doing.
bool passes_by_itself(errc code) noexcept {
    return code == errc::limit_exceeded || code == errc::full || code == errc::timed_out ||
           code == errc::closed;
}

}  // namespace

void subscription_reader::log_store(log_level level, std::string_view text) {
    hub_.log(level, "store",
             "store " + store_endpoint_ + ", subscriber to " + pattern_ +
                 (in_group() ? " in group " + group_ : "") + ": " + std::string(text));
}

// --- Streams ----------------------------------------------------------------------------------

void subscription_reader::moved(stream& s, time_point now) {
    const auto repair = [&](runtime::link& whom, sequence next) {
        ++repairs_;
        whom.send(wire::repair{channel_, {s.topic, s.source, s.splice.epoch(), next}});
    };
    time_point at = s.splice.wake_at();
    if (s.by && s.by->link) {
        if (const auto next = s.splice.take_repair(now)) repair(*s.by->link, *next);
        at = std::min(at, s.splice.repair_time());
    }
    if (step_ == step::reading && store_reads_ && store_->answered()) {
        if (const auto next = s.splice.take_store_repair(now)) repair(*store_->link, *next);
        at = std::min(at, s.splice.store_repair_time());
    }
    if (step_ == step::reading && store_->answered()) {
        ask_anew_ = ask_anew_ || s.splice.question_at() <= now;
        at = std::min(at, s.splice.question_at());
    }
    s.note_beginning(s.splice.epoch(), s.splice.next());
    const bool live = s.splice.standing() == protocol::spliced_stream::state::live;
    const bool wants = s.splice.wants_store();
    if (wants && s.live && !s.wants_store) ++fallbacks_;
    if (wants && wanting_ == 0) wake_by(now);
    wanting_ = wanting_ - s.wants_store + wants;
    live_ = live_ - s.live + live;
    lag_ = lag_ - s.lag + s.splice.lag();
    s.wants_store = wants;
    s.live = live;
    s.lag = s.splice.lag();
    if (end_) check_end(s);
    if (at != time_point::max()) watch(s, at);
}

void subscription_reader::watch(stream& s, time_point at) {
    if (!std::exchange(s.watched, true)) watched_.push_back(&s);
    wake_by(at);
}

void subscription_reader::wake_by(time_point at) {
    if (at >= wake_at_) return;
    wake_at_ = at;
    hub_.loop().at(*this, at);
}

void subscription_reader::look_at_watched(time_point now) {
    for (stream* s : std::exchange(watched_, {})) {
        s->watched = false;
        tell(*s, s->splice.wake(now));
        moved(*s, now);
    }
}

// A store that is away is told otherwise: only what it could give and nobody takes counts.
void subscription_reader::look_at_lag(time_point now) {
    const bool asked = step_ == step::reading && !store_->answered();  // anew: it answers soon
    const bool reads = wanting_ != 0 && step_ == step::reading;
    if (!asked && convergence_.look(reads, lag_, now))
        log_store(log_level::warning,
                  "it reads slower than is published: " + std::to_string(lag_) +
                      " messages behind, and no nearer than some time ago (converge_wait)");
    if (const auto next = convergence_.next(now)) wake_by(*next);
}

/// Reads the store while something is to be had from it alone, or nobody else serves us; otherwise
/// is only told how far it is.
void subscription_reader::settle_store() {
    if (step_ != step::reading || !store_->answered()) return;
    const bool wanted = end_ || wanting_ != 0 || live_ == 0;
    // One question for all that are due: each costs as much as there are streams.
    const time_point next = store_asked_at_ + protocol::spliced_stream::question_wait;
    const bool anew = ask_anew_ && hub_.loop().now() >= next;
    if (ask_anew_ && !anew) wake_by(next);
    if (wanted == store_reads_ && !anew) return;
    store_reads_ = wanted;
    subscribe(*store_);
}

// All that it knows was told.
void subscription_reader::store_answered() {
    if (end_is_gone()) return unsubscribe(*store_);
    const time_point now = hub_.loop().now();
    for (auto& [key, s] : streams_) {
        tell(s, s.splice.store_answered(now));
        moved(s, now);
    }
}

// --- The store's link -------------------------------------------------------------------------

void subscription_reader::store_up(peer_state& p) {
    store_ = &p;
    if (!end_told_) ask_store();
}

void subscription_reader::store_down(peer_state& p) {
    if (store_ != &p) return;
    store_ = nullptr;
    step_ = step::away;
    store_reads_ = false;
    ask_again_at_ = runtime::loop::never;
    batcher_.link_lost();
    forget_store_heads();
}

void subscription_reader::forget_store_heads() {
    const time_point now = hub_.loop().now();
    for (auto& [key, s] : streams_) {
        s.splice.store_lost();
        moved(s, now);
    }
}

void subscription_reader::ask_store() {
    step_ = step::asked;
    if (in_group()) {
        if (group_channel_ == 0) group_channel_ = hub_.open_channel(*this);
        group_answering_ = false;
        store_->link->send(wire::attach_group{group_channel_, pattern_, group_, hub_.name(),
                                              wire::group_kind::each, place_of(from_.where),
                                              from_.value});
        return;
    }
    const bool by_place = from_.where == from::place::last || from_.where == from::place::offset ||
                          from_.where == from::place::time;
    if (by_place && !located_) return locate(place_of(from_.where), from_.value);
    if (end_ && !end_known_) return locate(end_->where, end_->value);
    read_store();
}

void subscription_reader::read_store() {
    started_ = true;
    step_ = step::reading;
    store_reads_ = end_ || wanting_ != 0 || live_ == 0;
    subscribe(*store_);
    for (auto& [key, s] : streams_)
        if (end_) check_end(s, false);
    if (end_) tell_end();
    hub_.loop().changed();
}

void subscription_reader::locate(wire::place where, std::uint64_t value) {
    if (locate_channel_ != 0) hub_.close_channel(locate_channel_);
    locate_channel_ = hub_.open_channel(*this);
    store_->link->send(wire::locate{locate_channel_, pattern_, where, value});
}

bool subscription_reader::store_frame(peer_state& from, const wire::control_frame& frame) {
    if (store_ != &from) return false;
    if (const auto* points = std::get_if<wire::located>(&frame)) {
        if (points->channel == locate_channel_ && step_ == step::asked) located(*points);
        return true;
    }
    if (const auto* group = std::get_if<wire::group_attached>(&frame)) {
        if (in_group() && group->channel == group_channel_) group_attached(*group);
        return true;
    }
    if (const auto* done = std::get_if<wire::acked>(&frame)) {
        batcher_.acked(done->frames);
        take_acks(hub_.loop().now());
        hub_.loop().changed();
        return true;
    }
    const auto* refused = std::get_if<wire::error_reply>(&frame);
    if (!refused) return false;
    if (refused->channel == channel_) {
        // Of a request that a newer one replaced it says nothing of that one.
        if (refused->code == errc::unknown_subscription) return false;
        reading_refused(*refused);
        return true;
    }
    if (in_group() && refused->channel == group_channel_) {
        group_refused(*refused);
        return true;
    }
    if (step_ != step::asked) return false;
    // A topic that does not exist yet has no history.
    if (refused->code == errc::topic_unknown && !in_group()) {
        located({refused->channel, {}, false, {}});
        return true;
    }
    log_refusal(*refused);
    if (!end_with(refused->code)) ask_again_later();
    return true;
}

// Live goes on, and acks do: only history is missing.
void subscription_reader::reading_refused(const wire::error_reply& refused) {
    log_refusal(refused);
    unsubscribe(*store_);
    if (step_ != step::reading || end_with(refused.code)) return;
    step_ = step::refused;
    store_reads_ = false;
    forget_store_heads();
    ask_again_later();
}

/// Ends a replay for good. False: there is no end, or it may go on soon.
bool subscription_reader::end_with(errc code) {
    if (!end_ || passes_by_itself(code)) return false;
    if (std::exchange(end_told_, true)) return true;
    refusal_ = code;
    inbox_.put({});
    return true;
}

void subscription_reader::log_refusal(const wire::error_reply& refused) {
    store_refusal_ = refused.code;
    log_store(log_level::error, refused.code == errc::not_supported
                                    ? std::string("the peer there is no store; check the endpoint")
                                    : "it refuses: " + std::string(refused.text));
}

void subscription_reader::ask_again_later() {
    ask_again_at_ = hub_.loop().now() + ask_again_pause;
    wake_by(ask_again_at_);
}

// The attachment is over, if it ever was one.
void subscription_reader::group_refused(const wire::error_reply& refused) {
    hub_.close_channel(std::exchange(group_channel_, 0));
    batcher_.link_lost();
    if (refused.code == errc::sought) {
        log_store(log_level::info, "the group was moved to another position");
        forget_group();
        return ask_store();
    }
    log_refusal(refused);
    if (refused.code == errc::group_unknown || refused.code == errc::topic_unknown) forget_group();
    step_ = step::asked;
    ask_again_later();
}

// What was read and acked so far counts no more: the group's points say where it begins.
void subscription_reader::forget_group() {
    stand_by();
    moved_in_ = turn();
    acks_.forget();
    met_.reset();
    const time_point now = hub_.loop().now();
    for (auto& [key, s] : streams_) {
        for (const auto& [run, acking] : std::exchange(s.acking, {})) batcher_.forget(acking);
        for (const auto& [run, range] : std::exchange(s.early, {})) early_messages_ -= range.size();
        s.stored_run = {};
        s.stored_last = {};
        s.point_run = s.had_run = {};
        s.point_next = s.had_last = {};
        begin_at(s, epoch{}, sequence{1});
        moved(s, now);
    }
}

// --- Where to begin ---------------------------------------------------------------------------

void subscription_reader::begin(const wire::source_point& point) {
    stream& s = add_stream(pattern_, point.source);
    if (in_group() && point.next.value != 0) note_floor(s, point.epoch, point.next - 1);
    s.point_run = point.epoch;
    s.point_next = point.next;
    if (std::pair(point.epoch, point.next) <= std::pair(s.splice.epoch(), s.splice.next())) return;
    leave(s);
    begin_at(s, point.epoch, point.next);
    moved(s, hub_.loop().now());
    jumped_ = true;
}

void subscription_reader::located(const wire::located& told) {
    const bool of_end =
        located_ || (from_.where != from::place::last && from_.where != from::place::offset &&
                     from_.where != from::place::time);
    for (const wire::source_point& p : told.points) {
        if (of_end)
            ends_.insert_or_assign(std::string(p.source), replay_bound{p.epoch, p.next, false});
        else
            begin(p);
    }
    if (told.more) return;
    if (of_end)
        end_known_ = true;
    else
        located_ = true;
    ask_store();
    if (started_ && !end_) subscribe_all();
}

void subscription_reader::group_attached(const wire::group_attached& told) {
    if (!std::exchange(group_answering_, true)) {
        jumped_ = false;
        store_refusal_ = errc::ok;
        const bool replaced = generation_ && *generation_ != told.generation;
        if (replaced) {
            log_store(log_level::warning,
                      "it was replaced by another one; what was acked is acked again");
            batcher_.repeat_all();
        }
        generation_ = told.generation;
        if (replaced) met_.reset();
        if (told.active) {
            if (met_ && *met_ != told.of) {
                log_store(log_level::info,
                          "the group was moved, or made anew, while it was not attached");
                forget_group();
            }
            met_ = told.of;
        }
        for (auto& [key, s] : streams_) {
            s.done.clear();
            if (std::pair(s.had_run, s.had_last) < std::pair(s.stored_run, s.stored_last)) {
                s.had_run = s.stored_run;
                s.had_last = s.stored_last;
            }
            s.stored_run = {};
            s.stored_last = {};
            if (!replaced) continue;
            s.point_run = s.had_run = {};
            s.point_next = s.had_last = {};
            // The new one may never have it.
            for (const auto& [run, acked] : s.acking)
                for (const sequence_range& r : batcher_.take_back(acked))
                    pass_ack(s, run, r, hub_.loop().now());
        }
    }
    if (told.active) {
        for (const wire::source_point& p : told.points) begin(p);
        for (const wire::done_range& d : told.done)
            add_stream(pattern_, d.source).done.add(d.epoch, d.range);
    }
    if (told.more) return;
    group_answering_ = false;
    if (!told.active) return stand_by();
    batcher_.attached(hub_.loop().now());
    resume();
    const bool anew = !started_ || jumped_;
    read_store();
    if (anew) subscribe_all();
    take_acks(hub_.loop().now());
}

// What waits for the user since before may have been done by another member meanwhile.
void subscription_reader::resume() {
    const bool none_waits = in_hand.load(std::memory_order_relaxed) == 0 &&
                            notices_ == notices_taken.load(std::memory_order_relaxed);
    for (auto& [key, s] : streams_) s.done_then = none_waits ? done_ahead() : s.done;
    paused_ = false;
    begin_turn();
    inbox_.put({.resumed = true, .turn = turn()});
}

std::vector<sequence_range> group_done::take(cairn::epoch of_run, sequence_range range) {
    const sequence had = of_run < stored_run    ? range.last
                         : of_run == stored_run ? std::min(range.last, stored_last)
                                                : sequence{};
    if (of_run < run) return {{range.first, had}};
    std::vector<sequence_range> all;
    if (of_run == run && range.first < next)
        all.push_back({range.first, std::min(range.last, next - 1)});
    for (const sequence_range& r : more.take(of_run, range)) all.push_back(r);
    return all;
}

void subscription_reader::begin_turn() { turn_.store(turn() + 1, std::memory_order_release); }

std::unordered_map<std::uint32_t, group_done> subscription_reader::take_done() {
    std::unordered_map<std::uint32_t, group_done> all;
    for (auto& [key, s] : streams_)
        all[s.number] = {s.point_run, s.point_next, std::exchange(s.done_then, {}), s.had_run,
                         s.had_last};
    return all;
}

void subscription_reader::not_given(std::uint64_t count) {
    given_messages_ -= std::min(given_messages_, count);
}

// It keeps its positions: what it gave is its user's, who acks it, or will. What waits for the user
// stays there until it is this member's turn again.
void subscription_reader::stand_by() {
    paused_ = true;
    begin_turn();
    batcher_.link_lost();
    step_ = step::standby;
    started_ = false;
    store_reads_ = false;
    for (const auto& p : peers_) unsubscribe(*p);
    for (auto& [key, s] : streams_) {
        leave(s);
        s.done.clear();
    }
    forget_store_heads();
    hub_.loop().changed();
}

/// Of the batch what is done already, or lies behind a replay's end.
bool subscription_reader::leave_out(stream& s, subscriber_item& item) {
    const wire::batch_header& h = item.batch->header;
    const sequence_range all{h.first + item.batch->skip, h.last()};
    std::vector<sequence_range> out = s.done.take(h.epoch, all);
    const auto given = before_end(s, h.epoch, all);
    if (!given)
        out.push_back(all);
    else if (given->last < all.last)
        out.push_back({given->last + 1, all.last});
    if (out.empty()) return true;
    std::sort(out.begin(), out.end());
    std::uint64_t left = all.size();
    for (const sequence_range& r : out) left -= std::min(left, r.size());
    if (left == 0) return false;
    item.left_out = std::make_unique<std::vector<sequence_range>>(std::move(out));
    return true;
}

/// The part of it that a replay gives or tells; all of it without an end.
std::optional<sequence_range> subscription_reader::before_end(const stream& s, epoch run,
                                                              sequence_range of) const {
    if (!end_) return of;
    const auto bound = ends_.find(s.source);
    if (bound == ends_.end() || bound->second.run < run) return {};
    if (bound->second.run > run || bound->second.next > of.last) return of;
    if (bound->second.next <= of.first) return {};
    return sequence_range{of.first, bound->second.next - 1};
}

void subscription_reader::note_bound(const wire::head& told) {
    const auto found = ends_.find(std::string(told.source));
    if (found == ends_.end()) return;
    replay_bound& bound = found->second;
    bound.stored =
        told.storing > bound.run ||
        (told.storing == bound.run && (told.epoch < bound.run || told.last + 1 >= bound.next));
}

/// What was stored when the replay's end was looked up is not: the topic was deleted, or the store
/// is another one. Nobody will bring it.
bool subscription_reader::end_is_gone() {
    return std::any_of(ends_.begin(), ends_.end(),
                       [](const auto& e) { return !e.second.reached && !e.second.stored; }) &&
           end_with(errc::gone);
}

/// `moved`: by what the store said; otherwise it begins there.
void subscription_reader::check_end(stream& s, bool moved) {
    if (!end_known_) return;
    const auto found = ends_.find(s.source);
    if (found != ends_.end() && !found->second.reached) {
        replay_bound& bound = found->second;
        const epoch run = s.splice.epoch();
        bound.met = bound.met || run == bound.run;
        bound.reached = std::pair(bound.run, bound.next) <= std::pair(run, s.splice.next());
        // The store went past a run that it had when it was asked for the end.
        const bool passed = moved && bound.reached && !bound.met && bound.next > sequence{1};
        if (passed && end_with(errc::gone)) {
            if (store_) unsubscribe(*store_);
            return;
        }
    }
    tell_end();
}

void subscription_reader::tell_end() {
    const bool over = end_known_ && std::all_of(ends_.begin(), ends_.end(),
                                                [](const auto& e) { return e.second.reached; });
    if (!over || std::exchange(end_told_, true)) return;
    if (store_) unsubscribe(*store_);
    inbox_.put({});
}

// --- Acks -------------------------------------------------------------------------------------

void subscription_reader::note_floor(stream& s, epoch run, sequence floor) {
    const auto known = std::find_if(s.acking.begin(), s.acking.end(),
                                    [&](const auto& a) { return a.first == run; });
    if (known == s.acking.end())
        s.acking.emplace_back(run, batcher_.find_or_add(s.source, run, floor));
}

// The store confirms ACK frames in order. One of what it may never get, since only we were given it
// and its publisher is gone, would hold up all others: it waits here until the store has it.
void subscription_reader::pass_ack(stream& s, epoch run, sequence_range range, time_point now) {
    const sequence all{std::numeric_limits<std::uint64_t>::max()};
    const sequence known =
        run < s.stored_run ? all : (run == s.stored_run ? s.stored_last : sequence{});
    if (range.first <= known) {
        note_floor(s, run, sequence{});
        for (const auto& [of, acked] : s.acking)
            if (of == run) batcher_.ack(acked, {range.first, std::min(range.last, known)}, now);
    }
    if (range.last <= known) return;
    const sequence_range rest{std::max(range.first, known + 1), range.last};
    early_messages_ += rest.size();
    if (!s.early.empty() && s.early.back().first == run &&
        s.early.back().second.last + 1 == rest.first)
        s.early.back().second.last = rest.last;
    else
        s.early.emplace_back(run, rest);
}

void subscription_reader::note_stored(stream& s, epoch run, sequence last, time_point now) {
    if (!in_group() || std::pair(run, last) <= std::pair(s.stored_run, s.stored_last)) return;
    s.stored_run = run;
    s.stored_last = last;
    if (s.early.empty()) return;
    for (const auto& [of, range] : std::exchange(s.early, {})) {
        early_messages_ -= range.size();
        pass_ack(s, of, range, now);
    }
    wake_by(std::max(now, batcher_.due_at()));
}

void subscription_reader::acks_came() {
    hub_.loop().flag(*this);
    hub_.loop().kick();
}

void subscription_reader::take_acks(time_point now) {
    if (!in_group()) return;
    const bool gives = !paused_ && in_hand.load(std::memory_order_relaxed) != 0;
    const bool more = acks_.take(taken_acks_) || gives || !taken_acks_.empty();
    if (acks_.look_again(more)) wake_by(runtime::later(now, ack_delay_));
    for (const ack_box::done& d : taken_acks_) {
        stream& s = add_stream(pattern_, d.source);  // it may be acked before it is met
        pass_ack(s, d.epoch, d.range, now);
        // Runs that are over and settled.
        if (s.acking.size() == 1) continue;
        std::erase_if(s.acking, [&](const auto& a) {
            if (a.first >= s.splice.epoch() || !batcher_.settled(a.second)) return false;
            batcher_.forget(a.second);
            return true;
        });
    }
    if ((step_ != step::reading && step_ != step::refused) || !store_->link) return;
    batcher_.send(now, [&](auto... parts) { send_ack(parts...); });
    wake_by(batcher_.due_at());
}

void subscription_reader::send_ack(std::string_view source, epoch run,
                                   std::span<const sequence_range> ranges) {
    wire::ack frame;
    frame.channel = group_channel_;
    frame.source = source;
    frame.epoch = run;
    frame.ranges.assign(ranges.begin(), ranges.end());
    store_->link->send(frame);
}

// The store confirms it to nobody, and does it. Nothing comes behind what it may not have: it is
// sent, too.
void subscription_reader::send_last_acks() {
    flush_acks();
    if (!store_ || !store_->link) return;
    std::size_t room = batcher_.send_last([&](auto... parts) { send_ack(parts...); });
    for (const auto& [key, s] : streams_)
        for (auto it = s.early.begin(); it != s.early.end() && room != 0; ++it, --room)
            send_ack(s.source, it->first, {&it->second, 1});
}

std::uint64_t subscription_reader::flush_acks() {
    if (!in_group()) return 0;
    const time_point now = hub_.loop().now();
    take_acks(now);
    batcher_.flush(now);
    take_acks(now);
    return batcher_.waiting() + early_messages_;
}

reading subscription_reader::state() const {
    reading r;
    r.lag_messages = step_ == step::standby ? 0 : lag_;  // what another is given
    r.acks_waiting = batcher_.waiting() + early_messages_;
    r.fallbacks = fallbacks_;
    r.converging = convergence_.converging();
    using state = enum reading::state;
    const bool store_silent = !store_endpoint_.empty() && (!store_ || !store_->answered());
    if (step_ == step::standby)
        r.state = state::standby;
    else if (!started_ || (store_silent && live_ == 0))
        r.state = state::connecting;
    else
        r.state = wanting_ != 0 ? state::catching_up : state::live;
    return r;
}

}  // namespace cairn::patterns
