#pragma once

#include <cairn/ids.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

namespace cairn::protocol {

/// The highest sequence that a message can have: the one after it must exist too.
inline constexpr sequence sequence_max{std::numeric_limits<std::uint64_t>::max() - 1};

/// What a frame about a stream means for its reader. The parts are told in the order in which they
/// stand here; each may be missing.
struct [[nodiscard]] verdict {
    enum class kind : std::uint8_t {
        nothing,    ///< no message to give (always so for other frames than batches)
        deliver,    ///< give the batch, without its first `skip` messages
        duplicate,  ///< drop the batch: all of it was given or told before
        hole,       ///< drop the batch: something before it is missing; see take_repair()
        fenced,     ///< drop the frame: it is of an older run; answer FENCED with epoch()
        malformed,  ///< drop the frame: no publisher may send that
    };

    struct lost_range {
        cairn::epoch epoch;
        sequence_range range;
    };
    struct restarted {
        cairn::epoch before;
        cairn::epoch now;
    };

    std::optional<lost_range> tail;    ///< of the run before: known to exist, and will not come
    std::optional<restarted> restart;  ///< a newer run began
    std::optional<lost_range> gap;     ///< of the present run: will not come
    verdict::kind what = kind::nothing;
    std::uint32_t skip = 0;

    /// The frame was taken in, whatever became of what it carried.
    bool heard() const noexcept { return what != kind::fenced && what != kind::malformed; }
};

/// What a publisher says of one stream in SUBSCRIBED and HEADS (wire::head without its names).
struct stream_head {
    cairn::epoch epoch;
    sequence first_held;
    sequence last;
    sequence next;           ///< the next that this reader will be sent
    cairn::epoch storing{};  ///< the run that is brought into a store at present; 0: none
};

/// A reader's knowledge of one stream, that is one (topic, source): which message comes next.
///
/// Whatever arrives, in whatever order and however often: messages of a run are given once and in
/// order, epochs only rise, and each hole is either filled or told, once. Nothing is kept: what
/// lies behind a hole is dropped, and the publisher, asked by REPAIR, sends on from the hole.
/// Messages that are dropped count as received and consumed for credit.
///
/// Owns:    nothing; constant size.
/// Threads: one at a time.
/// Fails:   never; frames that make no sense are `malformed` or have no effect.
class stream_tracker {
public:
    /// How long an answer to REPAIR may take before take_repair() says it again.
    static constexpr std::chrono::milliseconds repair_wait{1'000};

    /// A stream of which nothing is known: it begins where its first head, or first batch, says.
    stream_tracker() = default;
    /// A stream that goes on at a known position. A newer run of it begins at its message 1.
    stream_tracker(cairn::epoch epoch, sequence next);

    bool known() const noexcept { return known_; }
    cairn::epoch epoch() const noexcept { return epoch_; }
    /// The next message to be given; all before were given, or told, or not wanted.
    sequence next() const noexcept { return next_; }
    /// Messages that were sent, as far as is known, and did not arrive.
    std::optional<sequence_range> missing() const noexcept;
    /// Published, as far as is known, and not yet here: missing or on its way.
    std::uint64_t behind() const noexcept { return last_ < next_ ? 0 : last_ - next_ + 1; }

    /// The subscription was made anew (another link, or SUBSCRIBE again), from next() on: what was
    /// on its way is not any more. Call before its first head.
    void resubscribed() noexcept;

    /// SUBSCRIBED or HEADS. Tells what is missing when the publisher has sent more than came: all
    /// that it sent before on this link is processed.
    verdict on_head(const stream_head& head);
    verdict on_batch(cairn::epoch epoch, sequence first, std::uint32_t count);
    verdict on_gone(cairn::epoch epoch, sequence_range range);
    /// END: nothing more comes of this run, so what is missing is told.
    verdict on_end(cairn::epoch epoch, sequence last);

    /// The sequence for a REPAIR that is to be sent now: there is a hole, and none was asked for it
    /// within repair_wait. Ask after each frame, and from time to time while missing().
    std::optional<sequence> take_repair(time_point now) noexcept;
    /// When take_repair() can answer next; time_point::max(): not before another frame came.
    time_point repair_time() const noexcept;

private:
    /// False when the frame is of an older run.
    bool enter(cairn::epoch epoch, verdict& out);
    void advance_past(sequence last) noexcept;
    void tell_through(sequence last, verdict& out);

    cairn::epoch epoch_;
    sequence next_{1};
    sequence sent_;         // highest that was sent to us, as far as we know
    sequence last_;         // highest that was published, as far as we know
    sequence repair_from_;  // next_ when REPAIR was sent; another value: none is on its way
    time_point repair_at_;
    bool known_ = false;
};

}  // namespace cairn::protocol
