#pragma once

#include "indexed_heap.hpp"

#include <cairn/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory_resource>
#include <set>
#include <utility>

namespace cairn::protocol {

struct lease_member;

enum class run_state : std::uint8_t {
    fresh,     // ready, never lent
    due,       // ready, came back or was held back by its key
    alone,     // ready for its last delivery, to a member that holds nothing else
    large,     // ready for a member that takes a body of its size; given up at its time
    waiting,   // for an earlier message of its key
    out,       // lent to its owner until its time
    delayed,   // ready at its time
    given_up,  // its body is still needed
};
inline constexpr std::size_t run_states = 8;

/// Neighbouring messages in one state and of one attempt; of those out, of one lease.
struct run {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    run* before = nullptr;  // in sequence order, over all states
    run* after = nullptr;
    lease_member* owner = nullptr;
    time_point time;               // out, delayed and large: when it ends
    time_point since;              // out: when it was lent
    std::uint64_t body_bytes = 0;  // large: of its one message
    std::uint32_t attempt = 1;
    std::uint32_t timer = UINT32_MAX;
    run_state state = run_state::fresh;
    bool begun = false;  // out: its member said so

    std::uint64_t size() const { return last - first + 1; }
};

/// Runs of one state (and owner) in sequence order. Runs are disjoint, so a run may be cut or grown
/// where it stands. Ordered by the last sequence: then lower_bound(s) is the run that holds s or
/// the first behind it.
struct by_last {
    using is_transparent = void;
    bool operator()(const run* a, const run* b) const { return a->last < b->last; }
    bool operator()(const run* a, std::uint64_t b) const { return a->last < b; }
};
using run_index = std::pmr::set<run*, by_last>;

/// Messages that only some members take: the smallest first, which most can take.
struct by_size {
    bool operator()(const run* a, const run* b) const {
        return std::pair(a->body_bytes, a->first) < std::pair(b->body_bytes, b->first);
    }
};
using size_index = std::pmr::set<run*, by_size>;

struct ends_sooner {
    bool operator()(const run& a, const run& b) const { return a.time < b.time; }
};
using run_timers = indexed_heap<run, &run::timer, ends_sooner>;

/// Memory of runs, linked in sequence order, whatever their state: the first is where the floor
/// ends. Memory is reused, and freed with the list.
class run_list {
public:
    run* front() const { return front_; }
    run* back() const { return back_; }
    std::size_t size() const { return size_; }

    /// A copy of `like` behind `place` (before all when null).
    run& insert_after(run* place, const run& like) {
        run& added = allocate();
        added = like;
        added.timer = run_timers::nowhere;
        added.before = place;
        added.after = place ? place->after : front_;
        (added.before ? added.before->after : front_) = &added;
        (added.after ? added.after->before : back_) = &added;
        return added;
    }

    void erase(run& gone) {
        (gone.before ? gone.before->after : front_) = gone.after;
        (gone.after ? gone.after->before : back_) = gone.before;
        gone.after = free_;
        free_ = &gone;
        --size_;
    }

private:
    run& allocate() {
        ++size_;
        if (free_ == nullptr) return memory_.emplace_back();
        run& reused = *free_;
        free_ = reused.after;
        return reused;
    }

    std::deque<run> memory_;
    run* free_ = nullptr;
    std::size_t size_ = 0;
    run* front_ = nullptr;
    run* back_ = nullptr;
};

}  // namespace cairn::protocol
