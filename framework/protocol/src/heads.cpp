#include <cairn/protocol/heads.hpp>

#include <algorithm>
#include <cassert>
#include <utility>

namespace cairn::protocol {

scheduled_stream head_schedule::add() {
    std::uint32_t index = free_;
    if (index == none) {
        index = static_cast<std::uint32_t>(entries_.size());
        entries_.emplace_back();
    } else {
        free_ = entries_[index].after;
        entries_[index] = {};
    }
    entries_[index].used = true;
    ++count_;
    return static_cast<scheduled_stream>(index);
}

void head_schedule::remove(scheduled_stream which) {
    const auto index = static_cast<std::uint32_t>(which);
    assert(index < entries_.size() && entries_[index].used);
    leave(index);
    entries_[index].used = false;
    entries_[index].after = std::exchange(free_, index);
    --count_;
}

void head_schedule::changed(scheduled_stream which, time_point now) {
    const auto index = static_cast<std::uint32_t>(which);
    assert(index < entries_.size() && entries_[index].used);
    if (entries_[index].level == 0) return;
    leave(index);
    enter(index, 0, now);
}

std::optional<scheduled_stream> head_schedule::take_due(time_point now) {
    for (const queue& q : queues_) {
        const std::uint32_t index = q.head;
        if (index == none || entries_[index].at > now) continue;
        const auto level = static_cast<std::uint8_t>(entries_[index].level + 1);
        leave(index);
        if (level != quiet) enter(index, level, now);
        return static_cast<scheduled_stream>(index);
    }
    return std::nullopt;
}

bool head_schedule::take_digest(time_point now) {
    if (count_ == 0 || now < digest_at_) return false;
    digest_at_ = now + digest_interval;
    return true;
}

time_point head_schedule::next_time() const noexcept {
    if (count_ == 0) return time_point::max();
    time_point next = digest_at_;
    for (const queue& q : queues_) {
        if (q.head != none) next = std::min(next, entries_[q.head].at);
    }
    return next;
}

void head_schedule::enter(std::uint32_t index, std::uint8_t level, time_point now) {
    queue& q = queues_[level];
    entry& e = entries_[index];
    e = {.at = now + delays[level], .before = q.tail, .after = none, .level = level, .used = true};
    (q.tail == none ? q.head : entries_[q.tail].after) = index;
    q.tail = index;
}

void head_schedule::leave(std::uint32_t index) {
    entry& e = entries_[index];
    if (e.level == quiet) return;
    queue& q = queues_[e.level];
    (e.before == none ? q.head : entries_[e.before].after) = e.after;
    (e.after == none ? q.tail : entries_[e.after].before) = e.before;
    e.level = quiet;
}

}  // namespace cairn::protocol
