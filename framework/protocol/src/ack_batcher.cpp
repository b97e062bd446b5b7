#include <cairn/protocol/ack_batcher.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <cassert>
#include <utility>

namespace cairn::protocol {

namespace {

// Puts a range among others that are ascending and apart; returns how many messages are new there.
std::uint64_t merge(std::vector<sequence_range>& ranges, sequence_range range) {
    // The first that touches it: in order of acking, the last one.
    auto at = ranges.end();
    while (at != ranges.begin() && std::prev(at)->last + 1 >= range.first) --at;
    std::uint64_t held = 0;
    auto end = at;
    for (; end != ranges.end() && end->first <= range.last + 1; ++end) {
        held += end->size();
        range = {std::min(range.first, end->first), std::max(range.last, end->last)};
    }
    if (at == end) {
        ranges.insert(at, range);
    } else {
        *at = range;
        ranges.erase(at + 1, end);
    }
    return range.size() - held;
}

}  // namespace

ack_batcher::stream ack_batcher::find_or_add(std::string_view source, epoch run, sequence floor) {
    std::size_t free = streams_.size();
    for (std::size_t i = 0; i != streams_.size(); ++i) {
        if (!streams_[i].used)
            free = i;
        else if (streams_[i].run == run && streams_[i].source == source)
            return static_cast<stream>(i);
    }
    if (free == streams_.size()) streams_.emplace_back();
    streams_[free] = {std::string(source), run, floor, {}, {}, {}, true};
    return static_cast<stream>(free);
}

void ack_batcher::forget(stream which) {
    entry& gone = streams_[static_cast<std::size_t>(which)];
    assert(gone.used && gone.flying.empty());
    for (const sequence_range& r : gone.ranges) waiting_ -= r.size();
    gone = {};
    gone.used = false;
}

void ack_batcher::ack(stream which, sequence_range range, time_point now) {
    entry& to = streams_[static_cast<std::size_t>(which)];
    assert(to.used);
    const std::uint64_t fresh = add(to, range);
    waiting_ += fresh;
    if (fresh != 0) oldest_ = std::min(oldest_, now);
}

void ack_batcher::ack_through(stream which, sequence last, time_point now) {
    ack(which, {sequence{1}, last}, now);
}

// Puts a range among those that wait; returns how many messages of it are new there.
std::uint64_t ack_batcher::add(entry& to, sequence_range range) {
    range.first = std::max(range.first, to.floor + 1);
    if (range.empty()) return 0;
    return merge(to.ranges, range);
}

void ack_batcher::repeat_all() {
    link_lost();
    for (entry& of : streams_) {
        if (!of.used) continue;
        const sequence done = std::exchange(of.floor, sequence{});
        waiting_ += add(of, {sequence{1}, done});
        for (const sequence_range& r : std::exchange(of.confirmed, {})) waiting_ += add(of, r);
    }
}

std::vector<sequence_range> ack_batcher::take_back(stream which) {
    entry& of = streams_[static_cast<std::size_t>(which)];
    assert(of.used && of.flying.empty());
    for (const sequence_range& r : of.ranges) waiting_ -= r.size();
    return std::exchange(of.ranges, {});
}

void ack_batcher::attached(time_point now) {
    link_lost();
    attached_ = true;
    frames_before_ = 0;
    if (waiting_ != 0) flush(now);
}

void ack_batcher::link_lost() {
    attached_ = false;
    for (; confirmed_ != flight_.size(); ++confirmed_) {
        const frame& f = flight_[confirmed_];
        entry& of = streams_[f.of];
        for (std::size_t i = f.begin; i != f.end; ++i) {
            waiting_ += add(of, of.flying[i]);
            flying_ -= of.flying[i].size();
        }
    }
    for (const frame& f : flight_) streams_[f.of].flying.clear();
    flight_.clear();
    confirmed_ = 0;
}

time_point ack_batcher::due_at() const noexcept {
    if (!attached_ || waiting_ == 0 || !flight_.empty()) return time_point::max();
    if (waiting_ >= options_.messages_max || oldest_ == time_point::min()) return time_point::min();
    return oldest_ > time_point::max() - options_.delay_max ? time_point::max()
                                                            : oldest_ + options_.delay_max;
}

void ack_batcher::flush(time_point) noexcept { oldest_ = time_point::min(); }

// What the store takes at once may be less than what waits: the streams have their turns.
void ack_batcher::start_flight() {
    std::size_t room = flight_ranges_max;
    for (std::size_t looked_at = 0; looked_at != streams_.size() && room != 0; ++looked_at) {
        if (turn_ >= streams_.size()) turn_ = 0;
        const std::size_t i = turn_++;
        entry& of = streams_[i];
        if (of.ranges.empty()) continue;
        const std::size_t taken = std::min(room, of.ranges.size());
        const auto end = of.ranges.begin() + static_cast<std::ptrdiff_t>(taken);
        of.flying.assign(of.ranges.begin(), end);
        of.ranges.erase(of.ranges.begin(), end);
        for (const sequence_range& r : of.flying) flying_ += r.size();
        flight_.push_back({i, 0, taken});
        room -= taken;
    }
    waiting_ -= flying_;
    oldest_ = waiting_ == 0 ? time_point::max() : time_point::min();
}

void ack_batcher::acked(std::uint64_t frames) {
    while (confirmed_ != flight_.size() && frames_before_ < frames) {
        confirm(flight_[confirmed_++]);
        ++frames_before_;
    }
    if (confirmed_ != flight_.size()) return;
    for (const frame& f : flight_) streams_[f.of].flying.clear();
    flight_.clear();
    confirmed_ = 0;
}

void ack_batcher::confirm(const frame& f) {
    entry& of = streams_[f.of];
    for (std::size_t i = f.begin; i != f.end; ++i) {
        const sequence_range& done = of.flying[i];
        flying_ -= done.size();
        if (done.first > of.floor + 1)
            merge(of.confirmed, done);
        else
            of.floor = std::max(of.floor, done.last);
    }
    while (!of.confirmed.empty() && of.confirmed.front().first <= of.floor + 1) {
        of.floor = std::max(of.floor, of.confirmed.front().last);
        of.confirmed.erase(of.confirmed.begin());
    }
}

bool ack_batcher::settled(stream which) const {
    const entry& of = streams_[static_cast<std::size_t>(which)];
    return of.ranges.empty() && of.flying.empty();
}

}  // namespace cairn::protocol
