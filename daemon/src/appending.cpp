#include "appending.hpp"

#include "sabotage.hpp"

#include <cairn/protocol/topics.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace cairn::daemon {

namespace {

// A part of append_bytes_max is left to windows up to window_min, so that a few sources that were
// granted much and append nothing do not hold up all others.
constexpr std::uint64_t window_min = std::uint64_t{64} << 10;
constexpr std::uint64_t small_windows_part = 4;
// How long a publisher pauses that was refused for want of room, and how long room is kept beyond
// that for a source whose turn came: it may have nothing more to append.
constexpr std::chrono::milliseconds refused_pause{1'000};
constexpr std::chrono::milliseconds room_kept{500};

std::uint64_t left_of(std::uint64_t all, std::uint64_t taken) {
    return all > taken ? all - taken : 0;
}

}  // namespace

/// One run of a source that a publisher appends to over one link.
struct appending::source {
    enum class state : std::uint8_t { opening, open, fenced };

    runtime::link* link = nullptr;  // nullptr: closed
    std::uint64_t link_number = 0;
    wire::channel channel = 0;
    std::string topic;
    std::string name;
    cairn::epoch epoch;
    source::state standing = state::opening;
    store::topic_id topic_id;
    store::source_id source_id;

    // Credit, in bytes since SOURCE_OPENED.
    std::uint64_t granted = 0;
    std::uint64_t spent = 0;
    std::uint64_t returned = 0;
    std::uint64_t reserved = 0;  // of append_bytes_max
    std::uint64_t batch = 0;     // charge of its latest: about what the next will take
    line::iterator place;        // in the line
    bool in_line = false;
    promises::key_type promise;  // of the room that is kept for it
    time_point pauses_until;

    sequence up_to;  // flushed
    // Of a topic that confirms before the sync.
    sequence written;
    sequence written_told;
    // After a refusal: what begins behind `expected` is dropped, and replies of rounds before are
    // its consequences.
    std::uint32_t round = 0;
    bool dropping = false;
    sequence expected;

    std::uint32_t under_way = 0;
    topic_quota::client client;
    bool makes_topic = false;  // its OPEN_SOURCE; of the client's quota
    bool marked = false;
    bool answered = false;  // something was flushed, refused or dropped since the last confirm
    bool fence_told = false;
    cairn::epoch newer;

    /// What is under way, and what may still come.
    std::uint64_t holds() const {
        const bool goes_on = link && standing == state::open;
        return (goes_on ? std::max(granted, spent) : spent) - returned;
    }
    std::uint64_t next_batch() const { return batch != 0 ? batch : wire::batch_bytes_default; }
};

std::string appending::what_is_refused(const source& of, std::string_view why) {
    return of.link->description() + " cannot store on " + of.topic + " as source " + of.name +
           ": " + std::string(why);
}

appending::appending(service_parts& parts) : parts_(parts) { parts_.commits.add(*this); }

appending::~appending() { parts_.hub.loop().remove(*this); }

void appending::reserve(source& of) {
    reserved_ -= of.reserved;
    of.reserved = of.holds();
    reserved_ += of.reserved;
}

std::uint64_t appending::share() const {
    const std::uint64_t all = parts_.options.append_bytes_max;
    const std::uint64_t large = all - all / small_windows_part;
    return std::min<std::uint64_t>(parts_.options.append_window_bytes,
                                   large / std::max<std::size_t>(1, sources_.size()));
}

// Totals never fall, so what is granted too much today is missing until it was appended.
void appending::grant(source& to) {
    const std::uint64_t holds = to.holds();
    // Who waits in the line goes first.
    if (to.in_line || (holds != 0 && !line_.empty())) return;
    const std::uint64_t all = parts_.options.append_bytes_max;
    const std::uint64_t large = all - all / small_windows_part;
    // The batch that goes beyond is within the window, when there is no room for many of these.
    const std::uint64_t taken = holds + (reserved_ > all / 2 ? left_of(to.batch, 1) : 0);
    const std::uint64_t more =
        std::max(std::min(left_of(share(), taken), left_of(large, reserved_)),
                 std::min(left_of(window_min, taken), left_of(all, reserved_)));
    if (holds == 0 && (!line_.empty() || (more == 0 && !has_room(to.next_batch()))))
        return stand_in_line(to);
    // One byte is one batch, so that each source goes on although others hold all and use nothing.
    to.granted =
        std::max(to.granted, to.spent) + (holds == 0 ? std::max<std::uint64_t>(more, 1) : more);
    reserve(to);
}

// --- The line -----------------------------------------------------------------------------------

// A batch that is larger than all room is let in alone.
bool appending::has_room(std::uint64_t bytes) const {
    const std::uint64_t taken = under_way_ + promised_;
    return taken == 0 || taken + bytes <= parts_.options.append_bytes_max;
}

// By links in turn, by bytes: who opens many sources gets no more than who opens one.
void appending::stand_in_line(source& of) {
    std::uint64_t& link_turn = sources_of_[of.link_number].turn;
    const std::uint64_t turn = std::max(turn_, link_turn);
    link_turn = turn + of.next_batch();
    of.place = line_.emplace(std::pair(turn, ++stood_in_line_), &of).first;
    of.in_line = true;
}

void appending::leave_line(source& of) {
    if (std::exchange(of.in_line, false)) line_.erase(of.place);
}

void appending::serve_line() {
    runtime::loop& loop = parts_.hub.loop();
    const time_point now = loop.now();
    while (!promises_.empty() && promises_.begin()->first.first <= now) {
        promised_ -= promises_.begin()->second;
        promises_.erase(promises_.begin());
    }
    while (!line_.empty()) {
        source& next = *line_.begin()->second;
        const std::uint64_t room = std::max(next.next_batch(), share());
        if (!has_room(room)) break;
        turn_ = line_.begin()->first.first;
        leave_line(next);
        next.promise = {std::max(now, next.pauses_until) + room_kept, ++promises_made_};
        promises_.emplace(next.promise, room);
        promised_ += room;
        // The batch that goes beyond is within the room.
        next.granted = std::max(next.granted, next.spent) +
                       std::max<std::uint64_t>(1, left_of(room, next.next_batch()));
        reserve(next);
        confirm(next, next.up_to, wire::durability::flushed);
    }
    if (!promises_.empty()) loop.at(*this, promises_.begin()->first.first);
}

// It came, or never will.
void appending::keep_no_room(source& of) {
    const auto kept = promises_.find(std::exchange(of.promise, {}));
    if (kept == promises_.end()) return;
    promised_ -= kept->second;
    promises_.erase(kept);
    parts_.hub.loop().flag(*this);
}

void appending::run(time_point /*now*/) { settled(); }

appending::source* appending::find(const runtime::link& from, wire::channel channel) {
    const auto found = sources_.find({from.number(), channel});
    return found == sources_.end() ? nullptr : found->second.get();
}

errc appending::open(runtime::link& from, const wire::open_source& request) {
    if (!protocol::valid_topic(request.topic)) return errc::topic_invalid;
    if (!parts_.hub.gate().allows(from, request.topic, &rights::publish))
        return errc::not_authorised;
    if (request.epoch.value == 0 || request.epoch.value + 1 == 0) return errc::malformed;
    const channel_key at{from.number(), request.channel};
    if (sources_.contains(at)) return errc::invalid_argument;
    // Who opens and closes without end costs a command each time: what was closed counts until the
    // store has answered.
    std::size_t& of_link = sources_of_[from.number()].count;
    if (of_link >= parts_.hub.options().topics_per_peer_max) return errc::limit_exceeded;
    ++of_link;
    auto& made = sources_[at];
    made = std::make_unique<source>();
    made->link = &from;
    made->link_number = from.number();
    made->channel = request.channel;
    made->topic = request.topic;
    made->name = request.source;
    made->epoch = request.epoch;
    made->client = topic_quota::of(from);
    submit_open(*made);
    return errc::ok;
}

void appending::submit_open(source& to) {
    submit(to,
           store::open_source{.topic = to.topic,
                              .source = to.name,
                              .epoch = to.epoch,
                              .owner = to.client.first,
                              .create_topic = to.makes_topic,
                              .config = parts_.options.topic_defaults},
           0, {});
}

void appending::submit(source& to, store::command wanted, std::uint64_t charge, sequence first) {
    ++to.under_way;
    under_way_ += charge;
    parts_.commits.submit(std::move(wanted), *this,
                          flights_.put({&to, charge, to.round, first, {}}));
}

// Whether an APPEND or LOST is to be judged by the store. Its credit is taken in any case.
bool appending::admit(source& to, runtime::link& from, std::uint64_t charge, sequence first) {
    if (to.standing == source::state::fenced) {
        fence(to, to.newer);
        return false;
    }
    if (to.spent >= to.granted) {
        parts_.hub.refuse(from, to.channel, errc::credit_exceeded,
                          "more was appended than the store granted");
        return false;
    }
    to.spent += charge;
    reserve(to);
    keep_no_room(to);
    if (to.dropping && first > to.expected) {
        drop(to, charge);
        return false;
    }
    to.dropping = false;
    to.batch = charge;
    if (under_way_ >= parts_.options.append_bytes_max) {
        ++refused_;
        parts_.hub.log_repeated(log_level::warning, "append",
                                what_is_refused(to, "append_bytes_max is under way to the disk"));
        drop(to, charge);
        to.pauses_until = parts_.hub.loop().now() + refused_pause;
        go_back(to, errc::limit_exceeded, std::max(first, to.up_to + 1));
        return false;
    }
    return true;
}

// Its credit comes back, when there is room.
void appending::drop(source& of, std::uint64_t charge) {
    of.returned += charge;
    reserve(of);
    of.answered = true;
    mark(of);
    parts_.hub.loop().flag(*this);
}

void appending::append(runtime::link& from, std::unique_ptr<runtime::received_batch> batch) {
    const wire::batch_header& header = batch->header;
    source* const to = find(from, header.channel);
    if (to == nullptr)
        return parts_.hub.refuse(from, header.channel, errc::unknown_subscription,
                                 "APPEND on a channel without an open source");
    if (header.topic != to->topic || header.source != to->name || header.epoch != to->epoch)
        return parts_.hub.refuse(from, header.channel, errc::malformed,
                                 "APPEND names another run than its channel");
    ++appends_;
    bytes_ += batch->body.size();
    const std::uint64_t charge = batch->body.size() + wire::batch_charge_bytes;
    if (!admit(*to, from, charge, header.first)) return;
    if (sabotaged("lose-append") && appends_ % 64 == 0) {
        to->returned += charge;
        return confirm(*to, header.last(), wire::durability::flushed);
    }
    store::append wanted{.topic = to->topic_id,
                         .source = to->source_id,
                         .epoch = to->epoch,
                         .first = header.first,
                         .count = header.count,
                         .time = header.time,
                         .checksum = header.checksum,
                         .body = {batch->body, nullptr}};
    if (sabotaged("confirm-at-once")) confirm(*to, header.last(), wire::durability::flushed);
    const sequence first = header.first;
    wanted.body.owner = std::shared_ptr<const runtime::received_batch>(std::move(batch));
    tamper(wanted, appends_);
    if (sabotaged("repeat-append") && appends_ % 64 == 0) {
        ++to->spent;
        submit(*to, wanted, 1, first);
    }
    submit(*to, std::move(wanted), charge, first);
}

errc appending::lost(runtime::link& from, const wire::lost& request) {
    source* const to = find(from, request.channel);
    if (to == nullptr) return errc::unknown_subscription;
    if (!admit(*to, from, wire::batch_charge_bytes, request.range.first)) return errc::ok;
    submit(*to,
           store::declare_lost{.topic = to->topic_id,
                               .source = to->source_id,
                               .epoch = to->epoch,
                               .range = request.range,
                               .cause = errc::lost},
           wire::batch_charge_bytes, request.range.first);
    return errc::ok;
}

void appending::close(runtime::link& from, const wire::close_source& request) {
    const auto found = sources_.find({from.number(), request.channel});
    if (found != sources_.end()) end(found);
}

void appending::link_down(const runtime::link& gone) {
    for (auto it = sources_.lower_bound({gone.number(), 0});
         it != sources_.end() && it->first.first == gone.number();)
        end(it++);
}

void appending::end(std::map<channel_key, std::unique_ptr<source>>::iterator which) {
    source& s = *which->second;
    s.link = nullptr;
    reserve(s);
    leave_line(s);
    keep_no_room(s);
    if (s.marked) std::erase(marked_, &s);
    s.marked = false;
    if (s.under_way != 0)
        leaving_.emplace(&s, std::move(which->second));
    else
        count_out(s);
    sources_.erase(which);
}

void appending::count_out(const source& gone) {
    const auto of_link = sources_of_.find(gone.link_number);
    if (--of_link->second.count == 0) sources_of_.erase(of_link);
}

void appending::mark(source& of) {
    if (of.link && !std::exchange(of.marked, true)) marked_.push_back(&of);
}

// --- What became of it ------------------------------------------------------------------------

void appending::replied(std::uint32_t token, const store::reply& answer, bool flushed) {
    if (!flushed) {
        // Its credit and its place in the store's heads wait for the sync.
        flight& early = flights_.at(token);
        early.written = std::get<store::appended>(answer.value).up_to;
        early.of->written = std::max(early.of->written, early.written);
        return mark(*early.of);
    }
    const flight which = flights_.take(token);
    if (which.charge == 0)
        opened(*which.of, answer);
    else if (answer.ok())
        note_flushed(*which.of, std::get<store::appended>(answer.value).up_to);
    else
        refuse(*which.of, which, answer);
    landed(which);
}

void appending::kept(std::uint32_t token) {
    const flight which = flights_.take(token);
    note_flushed(*which.of, which.written);
    landed(which);
}

void appending::taken_back(std::uint32_t token, errc why) {
    const flight which = flights_.take(token);
    source& of = *which.of;
    ++refused_;
    of.written = of.written_told = of.up_to;
    // Those behind it are its consequences.
    if (which.round == of.round) go_back(of, why, std::max(which.first, of.up_to + 1));
    landed(which);
}

void appending::landed(const flight& which) {
    source& of = *which.of;
    --of.under_way;
    under_way_ -= which.charge;
    if (which.charge != 0) {
        of.returned += which.charge;
        reserve(of);
        of.answered = true;
        mark(of);
    }
    if (of.link || of.under_way != 0) return;
    count_out(of);
    leaving_.erase(&of);
}

void appending::note_flushed(source& of, sequence up_to) {
    if (known_topic* topic = parts_.topics.find(of.topic_id))
        parts_.topics.note(*topic, of.source_id, of.name, of.epoch, up_to);
    of.up_to = std::max(of.up_to, up_to);
}

void appending::opened(source& of, const store::reply& answer) {
    if (answer.ok()) {
        const auto& opened = std::get<store::source_opened>(answer.value);
        of.topic_id = opened.topic;
        of.source_id = opened.source;
        of.up_to = of.written = of.written_told = opened.last;
        // Another made it first.
        if (of.makes_topic && !opened.made_topic) parts_.quota.give_back(of.client);
        known_topic& topic = parts_.topics.find_or_add(opened.topic, of.topic);
        parts_.topics.note(topic, opened.source, of.name, of.epoch, opened.last);
    }
    if (!answer.ok() && of.makes_topic) parts_.quota.give_back(of.client);
    if (!of.link) return;
    const bool wants_topic = answer.code == errc::topic_unknown && !of.makes_topic;
    if (wants_topic && parts_.quota.take(of.client)) {
        of.makes_topic = true;
        return submit_open(of);
    }
    if (answer.ok()) {
        of.standing = source::state::open;
        grant(of);
        of.link->send(wire::source_opened{of.channel, parts_.generation, of.up_to, of.granted});
        return;
    }
    if (const auto* by = std::get_if<store::fenced_by>(&answer.value)) {
        of.link->send(wire::fenced{of.topic, of.name, by->newer});
    } else {
        const errc code = wants_topic ? errc::limit_exceeded : answer.code;
        const std::string why = wants_topic ? "it made topics_made_per_client_max topics already"
                                : code == errc::invalid_argument && of.name.starts_with('@')
                                    ? "names that begin with @ are the store's own; give it another"
                                : code == errc::limit_exceeded
                                    ? "topics_max or sources_per_topic_max of the store is "
                                      "reached"
                                    : std::string(describe(code));
        parts_.hub.log(log_level::warning, "source", what_is_refused(of, why));
        answer_error(*of.link, of.channel, code);
    }
    const auto found = sources_.find({of.link->number(), of.channel});
    leaving_.emplace(&of, std::move(found->second));  // the caller still looks at it
    sources_.erase(found);
    of.link = nullptr;
}

void appending::refuse(source& of, const flight& which, const store::reply& answer) {
    ++refused_;
    if (const auto* by = std::get_if<store::fenced_by>(&answer.value)) return fence(of, by->newer);
    // The link ends at once, and the batch comes again: it is refused by nobody.
    if (answer.code == errc::closed) return;
    if (which.round != of.round) return;
    // Of the disk there is a line already, for all of them.
    if (of.link && answer.code != errc::hole && answer.code != errc::disk_full &&
        answer.code != errc::store_failed)
        parts_.hub.log_repeated(log_level::warning, "append",
                                what_is_refused(of, describe(answer.code)));
    const auto* hole = std::get_if<store::expected>(&answer.value);
    go_back(of, answer.code, hole ? hole->next : of.up_to + 1);
}

void appending::go_back(source& of, errc why, sequence to) {
    if (!of.link || of.standing != source::state::open) return;
    ++of.round;
    of.dropping = true;
    of.expected = to;
    of.link->send(wire::append_refused{of.channel, why, to});
}

void appending::fence(source& of, cairn::epoch newer) {
    of.standing = source::state::fenced;
    reserve(of);
    leave_line(of);
    keep_no_room(of);
    of.newer = newer;
    if (of.link && !std::exchange(of.fence_told, true))
        of.link->send(wire::fenced{of.topic, of.name, newer});
}

void appending::settled() {
    for (source* s : marked_) {
        s->marked = false;
        if (s->standing != source::state::open) continue;
        if (s->written > s->written_told) confirm(*s, s->written, wire::durability::written);
        s->written_told = s->written;
        if (!std::exchange(s->answered, false)) continue;
        grant(*s);
        confirm(*s, s->up_to, wire::durability::flushed);
    }
    marked_.clear();
    serve_line();
}

void appending::confirm(source& to, sequence up_to, wire::durability level) {
    if (sabotaged("confirm-late") && up_to.value != 0) up_to = up_to - 1;
    to.link->send(wire::confirm{to.channel, up_to, level, to.granted});
    ++confirms_;
}

void appending::add_stats(store_server_stats& to) const {
    to.sources = sources_.size();
    to.appends = appends_;
    to.append_bytes = bytes_;
    to.appends_refused = refused_;
    to.confirms = confirms_;
}

}  // namespace cairn::daemon
