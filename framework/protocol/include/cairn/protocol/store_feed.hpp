#pragma once

#include <cairn/delivery.hpp>
#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/protocol/credit.hpp>
#include <cairn/protocol/ring.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace cairn::protocol {

using cairn::delivery;
using cairn::full_ring;

/// A batch that knows when it was published.
template <typename T>
concept feed_batch = ring_batch<T> && requires(const T& batch) {
    { batch.published() } -> std::convertible_to<time_point>;
};

/// What a publisher owes its store.
struct store_debt {
    std::size_t bytes = 0;       ///< of whole batches in the ring
    std::uint64_t messages = 0;  ///< not durable, wherever they are
    duration age{};              ///< of the oldest batch in the ring that is not durable
};

/// A publisher's side of its store: a cursor in its ring for what was sent and one for what is
/// kept, that is durable or spilled, and a rule for a ring that is full of what is not.
///
/// A store is served from the ring, then from the spill; what neither has is told as lost. Nothing
/// that a store says takes a position back: a store that has less than before, or another
/// generation, is sent again what is still here.
///
/// Drive it so: admit() before each push() to the ring, pushed() after; on a new link OPEN_SOURCE,
/// then opened(); then, while it shows something, next(), send, sent() or told_lost(). CONFIRM:
/// confirmed(),
/// or written() when the sync has yet to follow.
/// APPEND_REFUSED: refused().
///
/// Owns:    two readers of the ring, which outlives it, and nothing else but constants.
/// Threads: one at a time.
/// Fails:   std::bad_alloc (construction). What a store says that cannot be true stops the feed
///          (`conflict`) or has no effect.
/// Limits:  bytes_max of what is not kept, or one batch that is larger; the ring's own limit must
///          be the same. O(1), but opened() and a refused() that takes back what was durable walk
///          the ring's batches once. While a spill holds a range that does not join what the ring
///          owes, which only a wiped store can bring about, `spill` waits as `block` does.
template <feed_batch Batch>
class store_feed {
public:
    enum class state : std::uint8_t {
        away,    ///< no link, or OPEN_SOURCE is not answered
        open,    ///< appends flow
        fenced,  ///< for ever: a newer run exists
        /// For ever: the store holds another content, or refuses for good: why(). The ring is the
        /// peers' alone then.
        conflict,
    };

    /// What to send.
    struct step {
        enum class kind : std::uint8_t { nothing, batch, spilled, lost };

        step::kind what = kind::nothing;
        const Batch* batch = nullptr;  ///< valid until the ring changes
        /// batch: behind what the store has. spilled: in the spill, to be sent from its first
        /// on. lost: for LOST.
        sequence_range range;
    };

    enum class room : std::uint8_t {
        yes,
        wait,   ///< until confirmed() or spilled() made room, or a peer moved (see until)
        full,   ///< the policy says: refuse
        spill,  ///< spill oldest(), call spilled(), and ask again
    };
    struct [[nodiscard]] answer {
        room what = room::yes;
        time_point until;  ///< wait: nothing changes before by itself; max: not at all
    };

    /// How long after a refusal that will pass the batch is offered again.
    static constexpr std::chrono::milliseconds refused_pause{1'000};

    /// `spilled`: what a spill holds of this run from before, contiguous; empty: nothing.
    store_feed(ring<Batch>& source, delivery mode, full_ring when_full, std::size_t bytes_max,
               time_point now, std::optional<sequence_range> spilled = {})
        : ring_(source),
          mode_(mode),
          when_full_(when_full),
          bytes_max_(bytes_max),
          spilled_(spilled),
          spilled_last_(spilled ? spilled->last : sequence{}),
          send_(source.add(source.first_held(), now)),
          keep_(source.add(source.first_held(), now)) {
        settle(sequence{0}, now);
    }
    store_feed(const store_feed&) = delete;
    store_feed& operator=(const store_feed&) = delete;
    ~store_feed() {
        ring_.remove(send_);
        ring_.remove(keep_);
    }

    // --- Publishing -----------------------------------------------------------------------------

    /// May the ring take a batch of that size? Makes room as the policy says.
    answer admit(std::size_t bytes, time_point now) {
        if (state_ == state::conflict) {
            ring_.rewind(keep_, ring_.last() + 1, now);
            ring_.rewind(send_, ring_.last() + 1, now);
        }
        while (owed_bytes_ != 0 && (bytes > bytes_max_ || owed_bytes_ > bytes_max_ - bytes)) {
            if (when_full_ == full_ring::block) return {room::wait, time_point::max()};
            if (when_full_ == full_ring::refuse) return {room::full, now};
            if (when_full_ == full_ring::spill)
                return can_spill() ? answer{room::spill, now}
                                   : answer{room::wait, time_point::max()};
            keep_through(oldest()->last(), now);
        }
        // Peers alone hold what the store does not need any more.
        if (ring_.wanted(send_) < ring_.wanted(keep_))
            ring_.rewind(send_, ring_.wanted(keep_), now);
        const admission room_for_peers = ring_.admit(bytes, now);
        if (room_for_peers) return {};
        return {room::wait, room_for_peers.wait_until};
    }
    /// A batch was pushed to the ring.
    void pushed(const Batch& batch) {
        if (state_ != state::conflict) owed_bytes_ += batch.bytes();
    }

    /// The oldest batch that is owed, and neither durable nor spilled; null: there is none.
    const Batch* oldest() { return state_ == state::conflict ? nullptr : ring_.next(keep_).batch; }
    /// The spill is one range: after a store was wiped it may begin behind what the ring owes.
    bool can_spill() { return !spilled_ || spilled_->last + 1 >= oldest()->first(); }
    /// oldest() is in the spill, flushed; it may leave the ring.
    /// Requires: can_spill().
    void spilled(time_point now) {
        const Batch* batch = oldest();
        assert(batch != nullptr && can_spill());
        if (!spilled_) spilled_ = {batch->first(), batch->last()};
        spilled_->last = std::max(spilled_->last, batch->last());
        keep_through(spilled_->last, now);
    }
    /// What the spill has to keep; below it may be deleted. Nothing: all.
    std::optional<sequence_range> in_spill() const noexcept { return spilled_; }

    /// May peers see this message?
    bool may_show(sequence last) const noexcept {
        return mode_ != delivery::store_first || last <= durable_most_;
    }
    /// All up to here was durable once. Never goes back.
    sequence durable() const noexcept { return durable_most_; }
    /// All up to here is durable in the store as it is now, or was when it was last there: goes
    /// back when it is replaced by one that has less.
    sequence stored() const noexcept { return durable_; }
    /// Of what durable() names, what never was: the store was told that it will not get it. What
    /// was durable in one that was replaced does not count. Never goes back.
    std::uint64_t lost() const noexcept { return lost_; }
    store_debt debt(time_point now) {
        const Batch* batch = oldest();
        return {owed_bytes_, last() - durable_,
                batch == nullptr ? duration{} : std::max(duration{}, now - batch->published())};
    }

    // --- The link to the store ------------------------------------------------------------------

    state standing() const noexcept { return state_; }
    /// Why the state is `conflict`.
    errc why() const noexcept { return why_; }
    /// Another generation than that of the last link answered.
    bool generation_changed() const noexcept { return generation_changed_; }

    /// SOURCE_OPENED: sends on behind `stored`, wherever that is.
    void opened(const generation& which, sequence stored, std::uint64_t granted, time_point now) {
        if (over()) return;
        generation_changed_ = generation_ && *generation_ != which;
        generation_ = which;
        if (stored > last()) return stop(state::conflict, errc::conflict);
        state_ = state::open;
        credit_ = credit_sender(granted);
        settle(stored, now);
        next_ = stored + 1;
        sent_ = stored;
        paused_until_ = time_point::min();
    }
    void link_lost() noexcept {
        if (!over()) state_ = state::away;
    }
    void fenced() noexcept { stop(state::fenced, errc::fenced); }

    /// What to send now. When nothing only because of a pause: paused_until().
    step next(time_point now) {
        if (state_ != state::open || !credit_.may_send() || now < paused_until_) return {};
        shown_ = {};
        if (next_ > last()) return {};
        if (spilled_ && spilled_->first <= next_ && next_ <= spilled_->last)
            return show({step::kind::spilled, nullptr, {next_, spilled_->last}});
        if (ring_.first_held() <= next_ && next_ <= ring_.last()) {
            if (ring_.wanted(send_) != next_) ring_.rewind(send_, next_, now);
            const Batch* batch = ring_.next(send_).batch;
            return show({step::kind::batch, batch, {next_, batch->last()}});
        }
        sequence end = last();
        if (next_ < ring_.first_held() && ring_.batches() != 0) end = ring_.first_held() - 1;
        if (spilled_ && next_ < spilled_->first) end = std::min(end, spilled_->first - 1);
        return show({step::kind::lost, nullptr, {next_, end}});
    }
    /// What next() just showed, or some of it, was sent as LOST up to `through`.
    void told_lost(sequence through, time_point now) {
        told_lost_.push_back({shown_.first, through});
        sent(0, now, through);
    }
    /// What next() just showed was sent, as a batch with a body of `body_bytes`: up to `through`,
    /// otherwise all.
    void sent(std::uint64_t body_bytes, time_point now, std::optional<sequence> through = {}) {
        assert(!shown_.empty());
        const sequence end = through ? *through : shown_.last;
        assert(shown_.first <= end && end <= shown_.last);
        next_ = end + 1;
        sent_ = std::max(sent_, end);
        shown_ = {};
        credit_.spend(body_bytes + wire::batch_charge_bytes);
        if (end == ring_.last() || ring_.first_held() <= next_) ring_.rewind(send_, next_, now);
    }

    /// CONFIRM of what is flushed. False when it said nothing new, or what cannot be.
    bool confirmed(sequence up_to, std::uint64_t granted, time_point now) {
        if (state_ != state::open || up_to > sent_) return false;
        const bool more = credit_.raise({granted, 0});
        if (up_to <= durable_) return more;
        note_durable(up_to);
        keep_through(kept(), now);
        return true;
    }

    /// CONFIRM before the sync: its credit alone counts. False when that is nothing new.
    bool written(std::uint64_t granted) noexcept {
        return state_ == state::open && credit_.raise({granted, 0});
    }

    /// APPEND_REFUSED: goes back to `expected`, at once or after a pause, or stops.
    void refused(errc code, sequence expected, time_point now) {
        if (state_ != state::open) return;
        if (code == errc::fenced) return fenced();
        const bool again = code == errc::hole;
        // What fails its checksum a second time was not damaged on its way.
        const bool passes = code == errc::checksum_mismatch || code == errc::store_full ||
                            code == errc::disk_full || code == errc::store_failed ||
                            code == errc::limit_exceeded || code == errc::closed;
        if (!again && !passes) return stop(state::conflict, code);
        if (expected.value == 0 || expected > sent_ + 1)
            return stop(state::conflict, errc::conflict);
        next_ = expected;
        if (expected <= durable_) settle(expected - 1, now);
        // It was not taken, and is told again.
        while (!told_lost_.empty() && told_lost_.back().last >= expected) told_lost_.pop_back();
        if (passes) paused_until_ = now + refused_pause;
    }
    time_point paused_until() const noexcept { return paused_until_; }

private:
    sequence last() const { return std::max(ring_.last(), spilled_last_); }
    bool over() const noexcept { return state_ == state::fenced || state_ == state::conflict; }
    void stop(state how, errc why) noexcept {
        if (over()) return;
        state_ = how;
        why_ = why;
        if (how == state::conflict) owed_bytes_ = 0;
    }
    step show(const step& what) {
        shown_ = what.range;
        return what;
    }

    /// All up to here may leave the ring.
    sequence kept() const {
        const bool reaches =
            spilled_ && spilled_->first <= std::max(durable_ + 1, ring_.first_held());
        return reaches ? std::max(durable_, spilled_->last) : durable_;
    }
    void note_durable(sequence up_to) {
        durable_ = up_to;
        for (; !told_lost_.empty() && told_lost_.front().last <= up_to; told_lost_.pop_front()) {
            const sequence_range told = told_lost_.front();
            lost_ += sequence_range{std::max(told.first, durable_most_ + 1), told.last}.size();
        }
        durable_most_ = std::max(durable_most_, up_to);
        if (!spilled_ || spilled_->first > up_to) return;
        spilled_->first = up_to + 1;
        if (spilled_->empty()) spilled_.reset();
    }

    /// Takes what the store has for what is durable now, also if it was more before.
    void settle(sequence stored, time_point now) {
        ring_.rewind(keep_, ring_.first_held(), now);
        ring_.rewind(send_, ring_.last() + 1, now);
        owed_bytes_ = ring_.bytes();
        note_durable(stored);
        told_lost_.clear();
        keep_through(kept(), now);
    }
    /// Batches that end at `last` or before are owed no more.
    void keep_through(sequence last, time_point now) {
        for (const Batch* batch = oldest(); batch != nullptr && batch->last() <= last;
             batch = oldest()) {
            owed_bytes_ -= batch->bytes();
            ring_.passed(keep_, now);
        }
    }

    ring<Batch>& ring_;
    delivery mode_;
    full_ring when_full_;
    std::size_t bytes_max_;
    std::size_t owed_bytes_ = 0;  // of batches from keep_ on
    std::optional<sequence_range> spilled_;
    sequence spilled_last_;  // of the run before a restart, which no ring knows
    reader send_;
    reader keep_;

    state state_ = state::away;
    errc why_ = errc::ok;
    std::optional<generation> generation_;
    bool generation_changed_ = false;
    credit_sender credit_;
    sequence durable_;       // in the present generation
    sequence durable_most_;  // in any
    sequence next_{1};       // to be sent
    sequence sent_;          // highest that the store can know
    sequence_range shown_{{1}, {0}};
    std::deque<sequence_range> told_lost_;  // not confirmed; credit bounds it
    std::uint64_t lost_ = 0;                // confirmed
    time_point paused_until_ = time_point::min();
};

}  // namespace cairn::protocol
