#include "reading_side.hpp"

#include "sending_side.hpp"

#include <cairn/error.hpp>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace cairn::patterns {

namespace {

bool needs_store(const subscriber_options& options, const std::optional<replay_end>& end) {
    return end || !options.group.empty() || options.from.where == from::place::last ||
           options.from.where == from::place::offset || options.from.where == from::place::time;
}

/// With the store's endpoint in it, empty when there is none.
subscriber_options checked(runtime::hub& hub, const std::string& verb, std::string_view pattern,
                           subscriber_options options, const std::optional<replay_end>& end) {
    hub.check_open(verb);
    const std::string where = verb + " " + shown(pattern) + ": ";
    if (!valid_pattern(pattern))
        throw error(errc::topic_invalid,
                    where +
                        "a pattern is a topic of 1 to 255 bytes without control characters, or "
                        "the beginning of topics followed by one `*`");
    if (options.credit_bytes == 0)
        throw error(errc::invalid_argument, where + "credit_bytes must be at least 1");
    for (const resume_from& r : options.from.positions)
        if (!valid_topic(r.topic) || r.next.source.empty() ||
            r.next.source.size() > wire::source_bytes_max)
            throw error(errc::invalid_argument,
                        where +
                            "a position to go on from has no valid topic, or its source has "
                            "not 1 to 255 bytes; take positions() of an earlier run");
    if (!options.use_store)
        options.store.clear();
    else if (options.store.empty())
        options.store = hub.options().store;
    if (!needs_store(options, end)) return options;
    if (options.store.empty())
        throw error(errc::invalid_argument,
                    where + "this needs a store; set node_options::store or options.store");
    if (pattern.ends_with('*'))
        throw error(errc::topic_invalid,
                    where + "groups, offsets and times are of one topic; leave out the `*`");
    if (options.group.size() > wire::group_bytes_max)
        throw error(errc::too_large, where + "the group's name is longer than 255 bytes");
    if (options.ack_delay_max < std::chrono::milliseconds::zero() || options.ack_messages_max == 0)
        throw error(errc::invalid_argument,
                    where + "ack_delay_max must not be below zero, ack_messages_max at least 1");
    if (!options.group.empty() && options.from.where == from::place::positions)
        throw error(errc::invalid_argument,
                    where + "a group has its own position; from::after() does not go with it");
    return options;
}

}  // namespace

reading_side::reading_side(runtime::hub& owner, std::string_view verb, std::string_view pattern,
                           subscriber_options given, std::optional<replay_end> end)
    : hub_(owner),
      options_(checked(owner, std::string(verb), pattern, std::move(given), end)),
      acks_itself_(!options_.group.empty() && options_.acks == ack_mode::on_next) {
    std::string store;
    if (!options_.store.empty()) store = hub_.connect_store(options_.store);
    const runtime::loop::guard holding(hub_.loop());
    hub_.check_open(verb);  // it may have been closed meanwhile
    reader_ = std::make_unique<subscription_reader>(hub_, std::string(pattern), options_,
                                                    std::move(store), end);
    for (const resume_from& r : options_.from.positions)
        note(reader_->number_of(r), r.topic, r.next.source, r.next.epoch, r.next.sequence);
}

reading_side::~reading_side() {
    if (hub_.forked()) {
        // Left as it is: it belongs to the parent.
        static_cast<void>(reader_.release());
        return;
    }
    const runtime::loop::guard holding(hub_.loop());
    reader_.reset();
}

void reading_side::close() {
    if (hub_.forked()) return;
    const runtime::loop::guard holding(hub_.loop());
    reader_->close();
    hub_.loop().changed();
}

// What will not come is done, or the group would wait for it for ever; but not before the user, who
// was told of it, comes back: the next member is told otherwise.
void reading_side::finish_gap() {
    const auto gap = std::exchange(told_gap_, std::nullopt);
    {
        const runtime::loop::guard holding(hub_.loop());
        if (reader_->moved_since(told_gap_turn_)) return;
    }
    if (reader_->acks().put(gap->source, gap->epoch, gap->range)) reader_->acks_came();
}

std::optional<event> reading_side::next(std::optional<time_point> deadline) {
    if (told_gap_) finish_gap();
    for (;;) {
        if (reader_->inbox().closed()) return drop_waiting();
        const bool gives = reader_->turn() == turn_ || settle_turn();
        if (gives && !current_.done()) return message_here();
        if (gives) finish_batch();
        if (gives && at_ != items_.size()) {
            subscriber_item& item = items_[at_++];
            if (item.notice) {
                reader_->notices_taken.fetch_add(1, std::memory_order_relaxed);
                return announce(item.stream, *item.notice);
            }
            if (item.forgotten) {
                positions_.erase(item.stream);
                continue;
            }
            if (item.batch) {
                open_batch_of(item);
                continue;
            }
            if (item.resumed) continue;
            over_ = true;
        }
        if (over_) return std::nullopt;
        if (hub_.forked()) return std::nullopt;
        if (gives) {
            items_.clear();
            at_ = 0;
            if (reader_->inbox().take(items_)) continue;
        }
        if (deadline && hub_.loop().now() >= *deadline) return std::nullopt;
        hub_.loop().wait(reader_->inbox(), deadline, reader_->inbox().filled());
    }
}

std::optional<message> reading_side::next_message_slowly(std::optional<time_point> deadline) {
    while (auto e = next(deadline)) {
        if (auto* m = std::get_if<message>(&*e)) return *m;
        call_back(*e);
    }
    return std::nullopt;
}

void reading_side::call_back(const event& told) {
    if (const auto* g = std::get_if<gap>(&told)) {
        if (options_.on_gap) return options_.on_gap(*g);
        hub_.log(log_level::warning, "gap",
                 "gap on " + g->topic + " from " + g->source + ": sequences " +
                     std::to_string(g->range.first.value) + " to " +
                     std::to_string(g->range.last.value) +
                     " will not come: " + std::string(describe(g->cause)));
    } else if (const auto* r = std::get_if<restart>(&told)) {
        if (options_.on_restart) options_.on_restart(*r);
    } else if (const auto* o = std::get_if<orphaned>(&told)) {
        if (options_.on_orphaned) return options_.on_orphaned(*o);
        hub_.log(log_level::warning, "orphaned",
                 "on " + o->topic + " from " + o->source + ": sequences " +
                     std::to_string(o->range.first.value) + " to " +
                     std::to_string(o->range.last.value) + " were received here, but never stored");
    }
}

void reading_side::open_batch_of(subscriber_item& item) {
    in_hand_turn_ = item.turn;
    current_.open(std::move(item.batch), std::move(item.left_out));
    if (!acks_itself_) return;
    const wire::batch_header& h = current_.get()->header;
    reader_->acks().open(h.source, h.epoch, h.first + current_.get()->skip);
}

void reading_side::finish_batch() {
    const auto batch = close_batch();
    if (!batch) return;
    if (acks_itself_) reader_->acks().close(batch->header.last());
    give_back(*batch);
}

// What waits is another member's as long as that is active, and what the group has done by then is
// not given. What was given last is done all the same: its user came back.
bool reading_side::settle_turn() {
    if (hub_.forked()) return true;
    const runtime::loop::guard holding(hub_.loop());
    std::vector<subscriber_item> fresh;
    if (reader_->inbox().take(fresh)) std::ranges::move(fresh, std::back_inserter(items_));
    const bool in_hand = current_.get() != nullptr;
    const bool in_hand_is_void = in_hand && reader_->moved_since(in_hand_turn_);
    if (in_hand && acks_itself_) {
        if (in_hand_is_void)
            reader_->acks().forget();
        else
            reader_->acks().close(current_.next() - 1);
    }
    if (in_hand_is_void) {
        reader_->not_given(current_.rest());
        give_back(*close_batch());
    }
    forget_void_items();
    if (reader_->paused()) return false;
    leave_out_done();
    turn_ = reader_->turn();
    return true;
}

void reading_side::forget_void_items() {
    const auto is_void = [&](const subscriber_item& item) {
        if (!reader_->moved_since(item.turn) || !(item.batch || item.notice)) return false;
        if (item.notice) {
            reader_->notices_taken.fetch_add(1, std::memory_order_relaxed);
        } else {
            reader_->not_given(given_of(*item.batch, item.left_out.get()));
            give_back(*item.batch);
        }
        return true;
    };
    items_.erase(items_.begin(),
                 items_.begin() + static_cast<std::ptrdiff_t>(std::exchange(at_, 0)));
    std::erase_if(items_, is_void);
}

void reading_side::leave_out_done() {
    auto done = reader_->take_done();
    const auto take = [&](std::uint32_t stream, cairn::epoch run, sequence_range range) {
        const auto found = done.find(stream);
        return found == done.end() ? std::vector<sequence_range>() : found->second.take(run, range);
    };
    if (const auto* batch = current_.get()) {
        const wire::batch_header& h = batch->header;
        const sequence_range rest{current_.next(), h.last()};
        reader_->not_given(current_.leave_out_too(take(batch->stream, h.epoch, rest)));
        if (acks_itself_) reader_->acks().open(h.source, h.epoch, current_.next());
    }
    // Whether it goes, in the order in which they wait.
    const auto is_done = [&](subscriber_item& item) {
        if (item.turn == reader_->turn()) return false;
        if (item.batch) {
            const wire::batch_header& h = item.batch->header;
            const std::uint64_t before = given_of(*item.batch, item.left_out.get());
            join(item.left_out, take(item.stream, h.epoch, {h.first + item.batch->skip, h.last()}));
            reader_->not_given(before - given_of(*item.batch, item.left_out.get()));
            return false;
        }
        const gap* const g = item.notice ? std::get_if<gap>(item.notice.get()) : nullptr;
        if (!g) return false;
        const std::vector<sequence_range> told = take(item.stream, g->epoch, g->range);
        if (count_given(g->range, &told) != 0) return false;
        reader_->notices_taken.fetch_add(1, std::memory_order_relaxed);
        return true;
    };
    std::vector<subscriber_item> left;
    left.reserve(items_.size());
    for (subscriber_item& item : items_)
        if (!is_done(item)) left.push_back(std::move(item));
    items_ = std::move(left);
}

void reading_side::give_back(const runtime::received_batch& batch) {
    reader_->in_hand.fetch_sub(1, std::memory_order_relaxed);
    reader_->taken(batch);
}

// Its position is that of the next message, should it not be at its end.
std::unique_ptr<runtime::received_batch> reading_side::close_batch() {
    if (!current_.get()) return nullptr;
    const wire::batch_header& h = current_.get()->header;
    note(current_.get()->stream, h.topic, h.source, h.epoch, current_.next());
    reader_->messages.fetch_add(std::exchange(batch_messages_, 0), std::memory_order_relaxed);
    reader_->bytes.fetch_add(std::exchange(batch_bytes_, 0), std::memory_order_relaxed);
    return current_.close();
}

/// After close().
std::nullopt_t reading_side::drop_waiting() {
    std::uint64_t dropped = 0;
    dropped += current_.rest();
    static_cast<void>(close_batch());
    do {
        for (; at_ != items_.size(); ++at_)
            if (const auto& batch = items_[at_].batch)
                dropped += given_of(*batch, items_[at_].left_out.get());
        items_.clear();
        at_ = 0;
    } while (reader_->inbox().take(items_));
    reader_->dropped.fetch_add(dropped, std::memory_order_relaxed);
    return std::nullopt;
}

event reading_side::announce(std::uint32_t stream, const notice& told) {
    if (const auto* g = std::get_if<gap>(&told)) {
        note(stream, g->topic, g->source, g->epoch, g->range.last + 1);
        if (reader_->in_group()) {
            told_gap_ = *g;
            told_gap_turn_ = turn_;
        }
        return *g;
    }
    if (const auto* o = std::get_if<orphaned>(&told)) return *o;
    const auto& r = std::get<restart>(told);
    note(stream, r.topic, r.source, r.now, sequence{1});
    return r;
}

void reading_side::note(std::uint32_t stream, std::string_view topic, std::string_view source,
                        cairn::epoch epoch, sequence next) {
    resume_from& r = positions_[stream];
    if (r.topic.empty()) {
        r.topic = topic;
        r.next.source = source;
    }
    r.next.epoch = epoch;
    r.next.sequence = next;
}

std::vector<resume_from> reading_side::positions() {
    // The batch in hand is noted when it is finished; of it the messages given out so far count.
    if (const auto* batch = current_.get()) {
        const wire::batch_header& h = batch->header;
        note(batch->stream, h.topic, h.source, h.epoch, current_.next());
    }
    std::map<std::uint32_t, resume_from> all(positions_.begin(), positions_.end());
    if (!hub_.forked()) {
        const runtime::loop::guard holding(hub_.loop());
        // One that was forgotten and came back has a number of before as well.
        std::set<std::string> known;
        for (const auto& [stream, p] : all) known.insert(stream_key(p.topic, p.next.source));
        for (auto& [stream, begun] : reader_->beginnings())
            if (!known.contains(stream_key(begun.topic, begun.next.source)))
                all.emplace(stream, std::move(begun));
    }
    std::vector<resume_from> in_order;
    in_order.reserve(all.size());
    for (auto& [stream, p] : all) in_order.push_back(std::move(p));
    return in_order;
}

}  // namespace cairn::patterns
