#pragma once

// The code of ring.hpp, which includes this file.

namespace cairn::protocol {

template <ring_batch Batch>
const std::size_t ring<Batch>::overhead_bytes = sizeof(slot);

template <ring_batch Batch>
ring<Batch>::ring(std::size_t bytes_max, std::chrono::milliseconds patience)
    : bytes_max_(bytes_max),
      patience_(patience < std::chrono::floor<std::chrono::milliseconds>(duration::max())
                    ? duration(patience)
                    : duration::max()) {}

template <ring_batch Batch>
sequence ring<Batch>::first_held() const noexcept {
    return begin_ == end_ ? last_ + 1 : at(begin_).batch.first();
}

template <ring_batch Batch>
typename ring<Batch>::reader_state& ring<Batch>::state(reader which) {
    assert(static_cast<std::uint32_t>(which) < states_.size());
    assert(states_[static_cast<std::uint32_t>(which)].used);
    return states_[static_cast<std::uint32_t>(which)];
}

template <ring_batch Batch>
const typename ring<Batch>::reader_state& ring<Batch>::state(reader which) const {
    return const_cast<ring*>(this)->state(which);
}

// --- Batches ----------------------------------------------------------------------------------

template <ring_batch Batch>
bool ring<Batch>::fits(std::size_t bytes) const noexcept {
    return bytes <= bytes_max_ && bytes_ <= bytes_max_ - bytes;
}

template <ring_batch Batch>
admission ring<Batch>::admit(std::size_t bytes, time_point now) {
    while (begin_ != end_ && !fits(bytes)) {
        if (at(begin_).readers != 0) {
            start_waiting(now);
            const time_point until = held_until(now);
            if (until > now) return {.admitted = false, .wait_until = until};
            leave_holders_behind();
        }
        evict_oldest();
    }
    stop_waiting(now);
    return {.admitted = true, .wait_until = now};
}

template <ring_batch Batch>
void ring<Batch>::push(Batch batch) {
    assert(batch.first() == last_ + 1);
    assert(batch.last() >= batch.first());
    if (end_ - begin_ == capacity_) grow();
    last_ = batch.last();
    bytes_ += batch.bytes();

    slot& added = at(end_++);
    added.batch = std::move(batch);
    added.waited_at_push = waited_;
    added.readers = idle_count_;
    if (idle_count_ == 0) return;
    if (pending_.tail == none) {
        pending_.head = idle_.head;
    } else {
        states_[pending_.tail].after = idle_.head;
        states_[idle_.head].before = pending_.tail;
    }
    pending_.tail = idle_.tail;
    idle_ = {};
    idle_count_ = 0;
}

template <ring_batch Batch>
void ring<Batch>::grow() {
    const std::uint32_t capacity = capacity_ == 0 ? 4 : capacity_ * 2;
    auto slots = std::make_unique<slot[]>(capacity);
    for (std::uint64_t n = begin_; n != end_; ++n) slots[n & (capacity - 1)] = std::move(at(n));
    slots_ = std::move(slots);
    capacity_ = capacity;
}

template <ring_batch Batch>
void ring<Batch>::evict_oldest() {
    slot& oldest = at(begin_);
    assert(oldest.readers == 0);
    bytes_ -= oldest.batch.bytes();
    oldest.batch = Batch();
    ++begin_;
}

template <ring_batch Batch>
std::uint64_t ring<Batch>::find(sequence wanted) const {
    std::uint64_t low = begin_;
    std::uint64_t high = end_;
    while (low != high) {
        const std::uint64_t middle = low + (high - low) / 2;
        if (at(middle).batch.last() < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

// --- Waiting ----------------------------------------------------------------------------------
// One clock runs while the publisher is kept waiting, whoever keeps it. A reader is out of patience
// when that clock ran for `patience` while the reader had something pending and took nothing. So
// readers that stall at the same time cost the publisher one wait, not one each.

template <ring_batch Batch>
duration ring<Batch>::waited(time_point now) const {
    return waiting_ ? waited_ + std::max(now - waiting_since_, duration::zero()) : waited_;
}

template <ring_batch Batch>
void ring<Batch>::start_waiting(time_point now) {
    if (std::exchange(waiting_, true)) return;
    waiting_since_ = now;
}

template <ring_batch Batch>
void ring<Batch>::stop_waiting(time_point now) {
    waited_ = waited(now);
    waiting_ = false;
}

/// When the last reader that holds the oldest batch is out of patience: leaving another behind
/// before would gain nothing.
template <ring_batch Batch>
time_point ring<Batch>::held_until(time_point now) const {
    const slot& oldest = at(begin_);
    duration left = duration::min();
    for (std::uint32_t i = pending_.head; i != none; i = states_[i].after) {
        if (states_[i].cursor != begin_) continue;
        const duration since = std::max(states_[i].waited_at_move, oldest.waited_at_push);
        left = std::max(left, patience_ - (waited(now) - since));
    }
    if (patience_ == duration::max() || left > time_point::max() - now) return time_point::max();
    return now + left;
}

template <ring_batch Batch>
void ring<Batch>::leave_holders_behind() {
    for (std::uint32_t i = pending_.head; i != none; i = states_[i].after) {
        if (states_[i].cursor != begin_) continue;
        states_[i].cursor = behind;
        states_[i].left_behind = true;
        ++left_behind_total_;
    }
    at(begin_).readers = 0;
}

// --- Readers ----------------------------------------------------------------------------------

template <ring_batch Batch>
reader ring<Batch>::add(sequence next, time_point now) {
    std::uint32_t index = free_;
    if (index == none) {
        index = static_cast<std::uint32_t>(states_.size());
        states_.push_back({});
    } else {
        free_ = states_[index].after;
    }
    reader_state& r = states_[index] = {};
    r.used = true;
    r.next = std::clamp(next, sequence{1}, last_ + 1);
    r.waited_at_move = waited(now);
    place(index);
    ++reader_count_;
    return static_cast<reader>(index);
}

template <ring_batch Batch>
void ring<Batch>::remove(reader which) {
    state(which).used = false;
    const auto index = static_cast<std::uint32_t>(which);
    take_out(index);
    states_[index].after = std::exchange(free_, index);
    --reader_count_;
}

template <ring_batch Batch>
void ring<Batch>::rewind(reader which, sequence next, time_point now) {
    reader_state& r = state(which);
    take_out(static_cast<std::uint32_t>(which));
    r.next = std::clamp(next, sequence{1}, last_ + 1);
    r.shown = {};
    r.waited_at_move = waited(now);
    place(static_cast<std::uint32_t>(which));
}

template <ring_batch Batch>
typename ring<Batch>::step ring<Batch>::next(reader which) {
    using kind = typename step::kind;
    reader_state& r = state(which);
    if (r.cursor == behind) {
        r.shown = first_held() - 1;
        return {.what = kind::gone, .batch = nullptr, .gone = {r.next, r.shown}};
    }
    if (r.next > last_) return {};
    const Batch& batch = at(r.cursor).batch;
    r.shown = batch.last();
    return {.what = kind::batch, .batch = &batch, .gone = {}};
}

template <ring_batch Batch>
void ring<Batch>::passed(reader which, time_point now) {
    reader_state& r = state(which);
    assert(r.shown >= r.next);
    const sequence next = std::exchange(r.shown, sequence{}) + 1;
    r.waited_at_move = waited(now);
    const bool stays_pending = r.cursor != behind && r.cursor + 1 != end_;
    if (stays_pending) {
        r.next = next;
        --at(r.cursor++).readers;
        ++at(r.cursor).readers;
        return;
    }
    const auto index = static_cast<std::uint32_t>(which);
    take_out(index);
    r.next = next;
    place(index);
}

template <ring_batch Batch>
void ring<Batch>::note_progress(reader which, time_point now) {
    state(which).waited_at_move = waited(now);
}

template <ring_batch Batch>
template <std::invocable<reader> F>
void ring<Batch>::for_each_pending(F&& f) {
    // Whoever becomes pending through `f` stands at the end and would be met for ever.
    const std::uint32_t stop = pending_.tail;
    for (std::uint32_t i = pending_.head; i != none;) {
        const std::uint32_t after = i == stop ? none : states_[i].after;
        f(static_cast<reader>(i));
        i = after;
    }
}

template <ring_batch Batch>
void ring<Batch>::place(std::uint32_t index) {
    reader_state& r = states_[index];
    r.left_behind = false;
    if (r.next > last_) {
        r.cursor = end_;
        ++idle_count_;
        link(idle_, index);
        return;
    }
    r.cursor = r.next < first_held() ? behind : find(r.next);
    if (r.cursor != behind) ++at(r.cursor).readers;
    link(pending_, index);
}

template <ring_batch Batch>
void ring<Batch>::take_out(std::uint32_t index) {
    reader_state& r = states_[index];
    if (r.next > last_) {
        --idle_count_;
        unlink(idle_, index);
        return;
    }
    if (r.cursor != behind) --at(r.cursor).readers;
    unlink(pending_, index);
}

template <ring_batch Batch>
void ring<Batch>::link(list& to, std::uint32_t index) {
    states_[index].before = to.tail;
    states_[index].after = none;
    (to.tail == none ? to.head : states_[to.tail].after) = index;
    to.tail = index;
}

template <ring_batch Batch>
void ring<Batch>::unlink(list& from, std::uint32_t index) {
    const auto [before, after] = std::pair(states_[index].before, states_[index].after);
    (before == none ? from.head : states_[before].after) = after;
    (after == none ? from.tail : states_[after].before) = before;
}

}  // namespace cairn::protocol
