#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::protocol {

struct run;

struct lease_options {
    /// A message that its member neither acks nor extends for so long comes back. More than zero.
    duration ack_wait = std::chrono::seconds(30);
    /// Deliveries of one message at most; then it is given up. 0: no limit.
    std::uint32_t deliveries_max = 10;
    /// While a message with a key is unfinished, later ones with that key wait; others overtake.
    bool ordered_by_key = false;
    /// Delay before the second, third … delivery after a failed one; the last goes for all further.
    /// Empty: at once. A member's nack with a delay overrides it.
    std::vector<duration> backoff;
    /// Extensions and delays that a member asks for are cut to this.
    duration wait_max = std::chrono::hours(24);
};

/// Names one stay of a member in one table; never used twice by it.
enum class member_id : std::uint64_t {};

/// What may be lent to a member in all, counted from its joining.
struct lease_credit {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;
};

/// What a caller's `fit` is asked: how many messages, from the first of `range` on?
struct fit_request {
    sequence_range range;
    std::uint64_t bytes = 0;           ///< they take together, but for a first that is larger
    std::uint64_t body_bytes_max = 0;  ///< the body of none may be larger
};

/// What it answers: `count` messages take `bytes`. A count of 0 says that the first message has a
/// body above `body_bytes_max`, of so many `bytes`.
struct fitted {
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
};

/// A run of messages that is now lent to a member.
struct assignment {
    member_id member{};
    sequence_range range;
    std::uint64_t bytes = 0;
    std::uint32_t attempt = 1;  ///< 1 for a first delivery; the same for the whole run
    time_point deadline;
};

/// Messages that will not be delivered again. Their bodies are still needed until forget().
struct given_up {
    sequence_range range;
    errc cause = errc::rejected;  ///< rejected, deliveries_exceeded or too_large
    std::uint32_t attempts = 0;   ///< deliveries of each that counted
    std::string reason;           ///< what the last worker said, or how the last delivery ended
};

/// How a member left.
enum class departure : std::uint8_t {
    orderly,  ///< detached: what it held and did not say it had begun does not count as delivered
    failed,   ///< dead, silent, killed: any of what it held may have been begun, all counts
};

/// Counted since the table was made, in messages.
struct lease_counters {
    std::uint64_t deliveries = 0;    ///< lent, redeliveries included
    std::uint64_t redeliveries = 0;  ///< lent with an attempt above 1
    std::uint64_t acked = 0;
    std::uint64_t nacked = 0;
    std::uint64_t released = 0;  ///< given back, not begun, by release() or an orderly departure
    std::uint64_t expired = 0;   ///< taken back because the ack wait ended
    std::uint64_t failed = 0;    ///< taken back, maybe begun, because the member left
    std::uint64_t stale = 0;     ///< named in a verb by a member that did not hold them
    std::uint64_t given_up = 0;
};

struct member_status {
    std::uint64_t messages_out = 0;
    std::size_t leases = 0;
    duration oldest_lease{};            ///< since it was lent; zero when nothing is out
    std::uint64_t credit_messages = 0;  ///< what may still be lent
    std::uint64_t credit_bytes = 0;
    bool paused = false;
};

/// Decides who works on which message of one sequence, and remembers what is finished.
///
/// A message is ready, out (lent to one member), delayed, waiting (for its key, or for a member
/// that may have it), given up, or done.
///
/// A message that kills its worker takes the worker's other messages along, and nobody can tell
/// which of them did it. So the last delivery of a message that came back is made to a member that
/// holds nothing else, and is lent nothing else meanwhile: what is given up then has done it alone.
/// While no member is without work, one is lent nothing new until it is.
///
/// Messages are kept as runs of neighbours in one state, so that a lease of thousands costs as much
/// as a lease of one. Verbs take any range: what of it the member holds is changed, the rest is
/// stale and handed back. A member is known by its lease alone: the ack of a message that was lent
/// to another since is stale, whoever finishes first.
///
/// Owns:    its state; knows numbers only, neither bodies nor connections.
/// Threads: one at a time. Time is passed in and may repeat; work that is overdue comes back only
///          in expire().
/// Fails:   never throws but std::bad_alloc; an unknown member holds nothing and gets nothing.
/// Limits:  about 140 bytes a run; runs at most one a lease, one more a hole acked in it (when
///          every second message is acked, that is one a message still out) or a part begun, and
///          one a message that waits for a member that takes its body. With ordered_by_key 16
///          bytes more a message and about 48 a key that is unfinished. O(members) to lend a
///          message that is not for everybody.
class lease_table {
public:
    /// What lies below `first` counts as done.
    /// Requires: first at least 1.
    explicit lease_table(lease_options options = {}, sequence first = {1});
    ~lease_table();
    lease_table(lease_table&&) noexcept;
    lease_table& operator=(lease_table&&) noexcept;

    /// New messages, ready at once. O(1). What lies between them and those before counts as done.
    /// Requires: not ordered_by_key; range not empty, beyond all that was added.
    void add(sequence_range range);
    /// The same with one key hash a message, from `first` on; 0: no key. Keys with one hash are
    /// ordered as one. O(1) a message. Without ordered_by_key the keys are ignored.
    void add(sequence first, std::span<const std::uint64_t> keys);

    /// The member takes bodies of up to `body_bytes_max`.
    member_id join(lease_credit credit, std::uint64_t body_bytes_max = UINT64_MAX);
    /// Raises what may be lent to a member in all; never lowers it.
    void grant(member_id member, lease_credit total);
    /// Lends the member nothing new until resume(). What it holds stays its own.
    void pause(member_id member);
    void resume(member_id member);
    /// Takes back all that the member holds, for others. `reason` is kept for what is given up.
    /// Back-off delays are lengthened by `jitter` (a fraction, 0.1 for a tenth).
    void leave(member_id member, departure how, time_point now, std::string_view reason = {},
               double jitter = 0);

    /// Lends the next run, or nothing when no message is ready or nobody has credit.
    ///
    /// To whom: a member with nothing out first, then who has most messages of credit, then most
    /// bytes, then whom it is longest since. What: messages that came back before new ones, the
    /// lowest first; neighbours of one attempt, as many as its credit allows, but no more than an
    /// equal share of what is ready among those with credit, or than it holds already, whichever is
    /// more: few messages are spread, a busy member gets long runs.
    ///
    /// `fit(fit_request)` returns a `fitted`: how many messages fit and lie in one batch; at least
    /// one, even when that one alone is larger than the bytes, but none for a body that the member
    /// does not take. Such a message waits, without holding up others, for a member that takes it,
    /// and is given up (too_large) when for a whole ack wait there was none.
    template <typename Fit>
    std::optional<assignment> next(time_point now, Fit&& fit) {
        for (;;) {
            const std::optional<offer> chosen = choose();
            if (!chosen) return std::nullopt;
            const fitted taken = fit(chosen->what);
            if (taken.count != 0) return lend(*chosen, taken, now);
            set_aside(*chosen, taken.bytes, now);
        }
    }

    // The verbs of a member. Each returns for how many messages it held, and appends what it did
    // not hold to `stale`: at most one range more than the leases it holds within `range`, which
    // also bounds the cost, whatever the range.

    /// Done.
    std::uint64_t ack(member_id member, sequence_range range, std::vector<sequence_range>& stale);
    /// Failed: to be delivered again, not before `delay` (zero: as the back-off says).
    std::uint64_t nack(member_id member, sequence_range range, duration delay, time_point now,
                       std::vector<sequence_range>& stale, double jitter = 0);
    /// Given up.
    std::uint64_t reject(member_id member, sequence_range range, std::string_view reason,
                         std::vector<sequence_range>& stale);
    /// The lease ends `ack_wait` from now.
    std::uint64_t extend(member_id member, sequence_range range, duration ack_wait, time_point now,
                         std::vector<sequence_range>& stale);
    /// Not begun: to be delivered again at once, as the same attempt.
    std::uint64_t release(member_id member, sequence_range range,
                          std::vector<sequence_range>& stale);

    /// Begun: whichever way the lease ends but by release(), this delivery counts.
    std::uint64_t note_begun(member_id member, sequence_range range,
                             std::vector<sequence_range>& stale);

    /// Takes back leases whose ack wait has ended and makes delayed messages ready when their time
    /// has come. Returns how many messages became ready, delayed, or were given up.
    std::uint64_t expire(time_point now, double jitter = 0);
    /// When expire() has something to do; nothing when never.
    std::optional<time_point> next_deadline() const;

    /// What was given up since the last call, in the order in which it happened.
    std::vector<given_up> take_given_up();
    /// The bodies of what was given up in `range` are needed no more.
    void forget(sequence_range range);

    /// All up to this one are done, or given up and forgotten.
    sequence floor() const;
    /// The last that was added.
    sequence last() const;
    /// Messages neither done nor given up.
    std::uint64_t unfinished() const;
    std::uint64_t ready() const;  ///< could be lent now to anybody
    std::uint64_t out() const;    ///< lent to members
    std::size_t members() const;
    /// Runs in memory (see Limits).
    std::size_t runs() const;
    const lease_counters& counters() const;
    /// Nothing for a member that left. O(leases of the member).
    std::optional<member_status> status(member_id member, time_point now) const;

private:
    struct impl;
    struct offer {
        member_id member;
        fit_request what;
        run* from = nullptr;  // begins with the range
    };

    std::optional<offer> choose();
    assignment lend(const offer& chosen, fitted taken, time_point now);
    void set_aside(const offer& chosen, std::uint64_t body_bytes, time_point now);

    std::unique_ptr<impl> impl_;
};

}  // namespace cairn::protocol
