#pragma once

#include <cairn/ids.hpp>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

namespace cairn::protocol {

/// A run of consecutive messages: a handle that is cheap to copy, empty when default-constructed.
/// bytes() is the memory that it stands for.
template <typename T>
concept ring_batch = std::semiregular<T> && requires(const T& batch) {
    { batch.first() } -> std::same_as<sequence>;
    { batch.last() } -> std::same_as<sequence>;
    { batch.bytes() } -> std::convertible_to<std::size_t>;
};

/// Names one reader of one ring until it is removed; the numbers are small and used again.
enum class reader : std::uint32_t {};

/// May a batch be added? If not, nothing changes before `wait_until` unless a reader moves or is
/// removed; time_point::max(): unless one does.
struct [[nodiscard]] admission {
    bool admitted = false;
    time_point wait_until;

    explicit operator bool() const noexcept { return admitted; }
};

/// The recent batches of one (topic, source, epoch), with a cursor for each reader.
///
/// A batch stays until room is needed and every reader has passed it. A reader that takes nothing
/// while the publisher waits for it is left behind: the wait for such readers lasts `patience` in
/// all, however many they are, and none is waited for again before it has moved.
///
/// Owns:    copies of the batch handles. No heap before the first batch and the first reader.
/// Threads: one at a time.
/// Fails:   std::bad_alloc (push, add).
/// Limits:  bytes_max bytes, or one batch that is larger; every step is O(1), but add() and
///          rewind() search (log of the batches), and an admit() that has to wait asks all readers
///          with something pending.
template <ring_batch Batch>
class ring {
public:
    /// What a reader is due. `batch` is valid until the ring changes.
    struct step {
        enum class kind : std::uint8_t { nothing, batch, gone };

        step::kind what = kind::nothing;
        const Batch* batch = nullptr;  ///< may begin before the message that the reader wants
        sequence_range gone;
    };

    /// Bytes that the ring itself needs for a batch; part of Batch::bytes() when memory counts.
    static const std::size_t overhead_bytes;

    /// `patience` zero: never wait; milliseconds::max(): always.
    explicit ring(std::size_t bytes_max = 0, std::chrono::milliseconds patience = {});
    ring(ring&&) noexcept = default;
    ring& operator=(ring&&) noexcept = default;

    /// The lowest sequence that can still be sent; last() + 1 when nothing is held.
    sequence first_held() const noexcept;
    sequence last() const noexcept { return last_; }
    std::size_t bytes() const noexcept { return bytes_; }
    std::size_t batches() const noexcept { return end_ - begin_; }

    /// Makes room for a batch of that size: evicts from the oldest on as far as needed.
    admission admit(std::size_t bytes, time_point now);
    /// Requires: batch.first() == last() + 1. Call admit() before; push() evicts nothing.
    void push(Batch batch);

    /// A reader whose next message is `next`: 0 means 1, and above last() + 1 means last() + 1.
    /// Below first_held() it is due a gone range first, and holds nothing back until then.
    reader add(sequence next, time_point now);
    void remove(reader which);
    /// Goes to `next`, backwards or forwards, as add() would. Counts as progress.
    void rewind(reader which, sequence next, time_point now);

    /// Shows what the reader is due. Ask only when it can be sent: a reader that was left behind
    /// holds the ring back again once it is past its gone range.
    step next(reader which);
    /// What next() showed last was sent to the reader; also when batches were evicted since.
    /// Requires: that step was not `nothing`.
    void passed(reader which, time_point now);
    /// The reader shows life without being sent anything: it granted credit.
    void note_progress(reader which, time_point now);

    /// The sequence that the reader wants next.
    sequence wanted(reader which) const { return state(which).next; }
    /// Messages that were published and not yet sent (nor told to be gone) to the reader.
    std::uint64_t lag(reader which) const { return last_ + 1 - state(which).next; }
    /// Its patience ended, and it has not moved since.
    bool left_behind(reader which) const { return state(which).left_behind; }
    /// How often a reader was left behind.
    std::uint64_t left_behind_total() const noexcept { return left_behind_total_; }
    std::size_t readers() const noexcept { return reader_count_; }

    /// Something is due to it.
    bool pending(reader which) const { return state(which).next <= last_; }
    /// Something is due to some reader.
    bool any_pending() const noexcept { return pending_.head != none; }
    /// Calls `f(reader)` for each that is due something. `f` may do anything with that reader, and
    /// may remove it, but must not remove others nor push.
    template <std::invocable<reader> F>
    void for_each_pending(F&& f);

private:
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    static constexpr std::uint64_t behind = std::numeric_limits<std::uint64_t>::max();

    struct slot {
        Batch batch;
        duration waited_at_push{};  ///< waited() when it came
        std::uint32_t readers = 0;  ///< cursors here
    };

    struct reader_state {
        sequence next;
        sequence shown;           ///< last sequence of what next() showed
        std::uint64_t cursor;     ///< number of the batch with `next`; end_; or behind
        duration waited_at_move;  ///< waited() when it made progress last
        std::uint32_t before;     ///< neighbours in the list of pending or of idle readers
        std::uint32_t after;
        bool left_behind;
        bool used;
    };

    struct list {
        std::uint32_t head = none;
        std::uint32_t tail = none;
    };

    slot& at(std::uint64_t number) { return slots_[number & (capacity_ - 1)]; }
    const slot& at(std::uint64_t number) const { return slots_[number & (capacity_ - 1)]; }
    reader_state& state(reader which);
    const reader_state& state(reader which) const;

    bool fits(std::size_t bytes) const noexcept;
    void grow();
    void evict_oldest();
    std::uint64_t find(sequence wanted) const;

    duration waited(time_point now) const;
    void start_waiting(time_point now);
    void stop_waiting(time_point now);
    time_point held_until(time_point now) const;
    void leave_holders_behind();

    void place(std::uint32_t index);
    void take_out(std::uint32_t index);
    void link(list& to, std::uint32_t index);
    void unlink(list& from, std::uint32_t index);

    std::unique_ptr<slot[]> slots_;  // numbers begin_ to end_ - 1, each at number & (capacity_ - 1)
    std::uint64_t begin_ = 0;
    std::uint64_t end_ = 0;
    sequence last_;
    std::size_t bytes_ = 0;
    std::size_t bytes_max_;
    std::uint32_t capacity_ = 0;
    std::uint32_t reader_count_ = 0;

    duration patience_;
    duration waited_{};  // how long admit() said no, in all, without the wait that goes on
    time_point waiting_since_;
    bool waiting_ = false;

    std::vector<reader_state> states_;
    std::uint32_t free_ = none;  // unused states, by `after`
    std::uint32_t idle_count_ = 0;
    list pending_;
    list idle_;  // past the last batch; becomes pending as a whole with the next push
    std::uint64_t left_behind_total_ = 0;
};

}  // namespace cairn::protocol

#include <cairn/protocol/ring_impl.hpp>
