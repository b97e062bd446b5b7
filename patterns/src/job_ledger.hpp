#pragma once

#include <cairn/ids.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace cairn::patterns {

/// What a puller did with messages: one verb about one stretch of one stream.
struct job_verb {
    enum class kind : std::uint8_t { ack, nack, reject, extend, release, begun };

    job_verb::kind what = kind::ack;
    std::uint32_t stream = 0;
    sequence_range range;
    duration time{};     ///< nack: delay; extend: from now
    std::string reason;  ///< reject
    /// Only what this delivery brought: the same message may have been given back meanwhile, and be
    /// held again. 0: whichever brought it.
    std::uint64_t delivery = 0;
};

/// What the messages of one stream that were finished since the last report cost of its credit.
struct finished_work {
    std::uint32_t stream = 0;
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;
    bool worked = true;  ///< false: a later delivery took their place, or they were given back
};

/// Which messages a puller holds, and what it has to tell their pushers.
///
/// A message is held from its arrival until a verb ends it; ack, nack, reject and release do,
/// extend and begun do not. Kept as runs: the verbs of a whole batch cost as much as that of one
/// message.
///
/// Threads: one at a time; the puller guards it with its mutex.
/// Limits:  a run a batch held, and one more a hole in it.
class job_ledger {
public:
    /// A batch came. `delivery` is its number, above zero. It should not wait longer than `until`.
    void hold(std::uint32_t stream, sequence_range range, std::uint64_t bytes,
              std::uint64_t delivery, time_point until);
    /// The stream's pusher is gone: nothing of it is held any more, and nothing is told.
    void forget(std::uint32_t stream);

    /// Does `verb` to what is held of its range. Returns for how many messages.
    std::uint64_t apply(const job_verb& verb);
    /// Says of all that is held of deliveries before this one, and of it up to `last`, that it was
    /// begun: what comes first is worked on first.
    void note_begun(std::uint64_t delivery, sequence last);
    /// Releases what waits behind that and should not any more. Returns when there is more. It
    /// costs credit until pass(): who gets nowhere is not sent it again and again.
    time_point release_waiting(std::uint64_t delivery, sequence last, time_point now);
    /// The application is through with that delivery. Returns whether any of it was released.
    bool pass(std::uint64_t delivery);
    /// Of this delivery and those before some may be void. Any thread.
    std::uint64_t void_up_to() const noexcept {
        return void_up_to_.load(std::memory_order_relaxed);
    }
    /// Whether a message that still waits is not this delivery's any more: it was released, and
    /// comes, or came, by another. What is left of a pusher that is gone is worked on.
    bool is_void(std::uint32_t stream, sequence which, std::uint64_t delivery) const;

    /// Something is to be told.
    bool pending() const noexcept { return !verbs_.empty(); }
    std::vector<job_verb> take_verbs();
    std::vector<finished_work> take_finished();

    std::uint64_t held_messages() const noexcept { return held_messages_; }

private:
    struct run {
        sequence last;
        std::uint64_t bytes;  // its share of the batch's
        std::uint64_t delivery;
        time_point until;
    };
    using key = std::pair<std::uint32_t, sequence>;  // stream, first

    /// Calls ends(part) for each part of `range` that is held, by any delivery or by the one given;
    /// true: it is held no longer. Returns what those cost.
    template <typename Ends>
    finished_work end_held(std::uint32_t stream, sequence_range range, std::uint64_t delivery,
                           Ends&& ends);
    void note(const job_verb& verb, sequence_range part);
    void finish(const finished_work& what);

    std::atomic<std::uint64_t> void_up_to_{0};
    std::set<std::uint32_t> streams_;
    std::map<key, run> held_;
    std::uint64_t held_messages_ = 0;
    std::vector<job_verb> verbs_;
    std::vector<finished_work> finished_;
    std::map<std::uint64_t, finished_work> released_;  // by delivery, until pass()
};

}  // namespace cairn::patterns
