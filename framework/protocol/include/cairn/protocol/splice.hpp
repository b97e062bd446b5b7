#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/protocol/tracker.hpp>

#include <chrono>
#include <cstdint>
#include <optional>

namespace cairn::protocol {

/// What a frame of a publisher or of the store means for a reader that has both. The parts are told
/// in the order tail, orphaned, restart, gap, messages.
struct [[nodiscard]] splice_verdict : verdict {
    /// Of the run before: given to us, and never stored. Told with the restart, and only when the
    /// store has said how far that run came: who did not wait for it does not know.
    std::optional<lost_range> orphaned;
    errc cause = errc::gone;  ///< of the gap; nobody has a tail
};

/// A reader's next position of one stream, that is one (topic, source), which its publisher's ring,
/// or the store, or both, serve: history and live are a change of server at a position.
///
/// Whoever sends the next message is heard; what came from the other before is a duplicate. Where
/// the publisher's ring begins behind the position, the store is read until the position lies in
/// the ring, and the publisher is asked to go on exactly there. A hole is told as a gap when both
/// have said that they do not have it, or when nothing that fills it came for `history_wait`.
///
/// A newer run of the publisher is entered when the store has given the rest of the older and
/// tells of the newer; or when the publisher brings nothing older into a store any more, and the
/// store, asked `question_wait` after it said so, has nothing either; or after `history_wait`.
///
/// Drive it so: after each frame, and at wake_at(), tell the verdict, then ask take_repair() and
/// take_store_repair(), and again at their times, as far as there is somebody to send to; at
/// question_at() subscribe to the store anew. While wants_store(), grant the store credit.
///
/// Owns:    nothing; constant size.
/// Threads: one at a time.
/// Fails:   never; frames that make no sense are `malformed` or have no effect.
class spliced_stream {
public:
    enum class state : std::uint8_t {
        unknown,      ///< nothing was heard of it
        live,         ///< its publisher sends the next message
        catching_up,  ///< history is missing
        history,      ///< no publisher lives; the store serves it, or has given all
    };

    static constexpr std::chrono::milliseconds repair_wait{1'000};
    /// How long a store may take for what was under way to it from a run that ended.
    static constexpr std::chrono::milliseconds question_wait{1'000};

    /// A stream that begins where its first head or batch says. `has_store`: history can be read.
    /// `history_wait`: max() for a durable group, which would rather wait than miss something.
    spliced_stream(bool has_store, duration history_wait);
    /// A stream that goes on at a known position.
    spliced_stream(bool has_store, duration history_wait, cairn::epoch epoch, sequence next);

    state standing() const noexcept;
    cairn::epoch epoch() const noexcept { return epoch_; }
    /// The next message to be given.
    sequence next() const noexcept { return next_; }
    /// Messages of the present run that exist, as far as is known, and were neither given nor told.
    std::uint64_t lag() const noexcept { return known_last_ < next_ ? 0 : known_last_ - next_ + 1; }
    /// Its publisher sends the next message, and nothing that it sent is missing.
    bool whole() const noexcept { return known_ && in_ring(next_) && publisher_.sent < next_; }
    /// Something is, or may be, to be had from the store alone.
    bool wants_store() const noexcept;

    // --- The publisher ------------------------------------------------------------------------
    // The answer `fenced`: drop the frame, and answer FENCED with epoch().

    splice_verdict live_head(const stream_head& head, time_point now);
    splice_verdict live_batch(cairn::epoch epoch, sequence first, std::uint32_t count,
                              time_point now);
    splice_verdict live_gone(cairn::epoch epoch, sequence_range range, errc cause, time_point now);
    splice_verdict live_end(cairn::epoch epoch, sequence last, time_point now);
    /// The link is lost, or the subscription is made anew.
    void live_lost() noexcept;

    // --- The store ----------------------------------------------------------------------------

    splice_verdict store_head(const stream_head& head, time_point now);
    splice_verdict store_batch(cairn::epoch epoch, sequence first, std::uint32_t count,
                               time_point now);
    splice_verdict store_gone(cairn::epoch epoch, sequence_range range, errc cause, time_point now);
    /// The link is lost.
    void store_lost() noexcept;
    /// The store is subscribed to, maybe anew.
    void store_asked(time_point now) noexcept;
    /// All that SUBSCRIBED says of it was told: what the store does not know, it did not have then.
    splice_verdict store_answered(time_point now);
    /// When the store has to be subscribed to anew, for its word on what nobody else brings, or
    /// since it does not know where we are; max(): not before another frame came.
    time_point question_at() const noexcept;

    /// What time alone brings about.
    splice_verdict wake(time_point now);
    time_point wake_at() const noexcept;

    /// The sequence for a REPAIR to the publisher, to be sent now: it passed the next message, and
    /// was not asked for it within repair_wait.
    std::optional<sequence> take_repair(time_point now) noexcept;
    /// When take_repair() can answer next; max(): not before another frame came.
    time_point repair_time() const noexcept;
    /// As take_repair() and repair_time(), to the store while wants_store().
    std::optional<sequence> take_store_repair(time_point now) noexcept;
    time_point store_repair_time() const noexcept;

private:
    struct side {
        bool there = false;
        cairn::epoch epoch{};
        sequence first_held{};
        sequence last{};
        sequence sent{};  // highest of `epoch` that was sent to us
        std::optional<cairn::epoch> storing;
        bool asked = false;
        time_point asked_at{};
    };

    void hear(side& from, cairn::epoch epoch, sequence last) noexcept;
    bool is_ahead(cairn::epoch told, time_point now) noexcept;
    void begin(cairn::epoch epoch, sequence next) noexcept;
    void advance(sequence last, time_point now) noexcept;
    void tell_through(sequence last, errc cause, time_point now, splice_verdict& out) noexcept;
    void enter(cairn::epoch epoch, bool store_said_all, splice_verdict& out) noexcept;
    void take(side& from, cairn::epoch epoch, sequence first, sequence last, time_point now,
              splice_verdict& out);
    void settle(time_point now, splice_verdict& out);
    bool in_ring(sequence s) const noexcept;
    bool blocked() const noexcept;
    bool store_owes() const noexcept;
    bool publisher_brings_nothing() const noexcept;
    bool nobody_has_it() const noexcept;
    static time_point time_to_ask(const side& whom) noexcept;
    sequence ask(side& whom, time_point now) noexcept;

    bool has_store_;
    duration history_wait_;
    bool known_ = false;
    cairn::epoch epoch_;
    sequence first_{1};  // of our run, that we were interested in
    sequence next_{1};
    sequence known_last_;
    side publisher_;
    side store_;
    time_point said_at_;     // when the publisher said something else of what it stores
    bool placed_ = false;    // the store was asked with our place, or is at our run
    bool asked_ = false;     // the store, question_wait after that
    bool answered_ = false;  // and it has
    std::optional<time_point> blocked_since_;
    std::optional<time_point> behind_since_;  // the store tells of other runs than ours alone
};

}  // namespace cairn::protocol
