#pragma once

#include <cairn/ids.hpp>

#include <cstdint>
#include <optional>

namespace cairn::protocol {

/// How many messages are about `prefetch` of the application's work, by its measured pace.
///
/// Only time in which something waited counts, so an idle puller keeps its pace. The window follows
/// a slower pace at once, and a faster one by doubling at each grant; it starts with one message.
///
/// Threads: one at a time.
/// Limits:  1 to `max` messages.
class pace {
public:
    /// `prefetch` zero: always `max`.
    pace(std::uint64_t max, duration prefetch) noexcept;

    /// Something began to wait while nothing did before.
    void woke(time_point now) noexcept { mark_ = now; }
    /// The application finished so many; something waited since woke() or the last worked().
    void worked(std::uint64_t messages, time_point now) noexcept;
    /// Takes in what was measured; called for each grant.
    void adapt() noexcept;
    /// The application took the whole window and asks for more: doubles it, until adapt() knows
    /// better.
    void widen() noexcept;
    std::uint64_t window() const noexcept { return window_; }

private:
    void fold() noexcept;

    std::uint64_t max_;
    double prefetch_;  // seconds; also the half-life of what was measured
    std::uint64_t window_;
    time_point mark_;
    // Messages and seconds since the last fold, and before it with fading weight.
    double messages_ = 0;
    double seconds_ = 0;
    double faded_messages_ = 0;
    double faded_seconds_ = 0;
};

/// Messages and bytes: granted in all, or left.
struct work_grant {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;

    bool operator==(const work_grant&) const = default;
};

/// The pusher's side of an attachment's credit.
///
/// Threads: one at a time.
/// Fails:   never; whatever a puller grants, totals only rise.
/// Limits:  messages are never overrun; the last run may overrun the bytes.
class work_credit_sender {
public:
    explicit work_credit_sender(work_grant granted = {}) noexcept : granted_(granted) {}

    /// How many messages and bytes may still be sent; both zero when either is used up. A run may
    /// be sent that has no more messages, and all but its last message within the bytes.
    work_grant left() const noexcept;
    bool may_send() const noexcept { return left().messages != 0; }
    void spend(std::uint64_t messages, std::uint64_t bytes) noexcept;
    /// WORK_CREDIT came. True when it raised something.
    bool raise(work_grant to) noexcept;

private:
    work_grant granted_;
    work_grant spent_;
};

/// The puller's side: messages by pace, bytes by a fixed window.
///
/// What is granted beyond what was consumed (finished, that is) follows the pace. An application
/// that takes several messages before it finishes one outgrows that: it is granted more whenever it
/// asks and nothing waits, in steps that double, up to `messages_max` in all that it has in hand.
///
/// Threads: one at a time.
/// Limits:  messages_max and bytes_window are never exceeded by what is granted and not consumed.
class work_credit_reader {
public:
    work_credit_reader(std::uint64_t messages_max, std::uint64_t bytes_window,
                       duration prefetch) noexcept;

    /// What ATTACH grants.
    work_grant initial() const noexcept { return granted_; }

    /// A run arrived. False when it was beyond what was granted (credit_exceeded); it counts as
    /// received all the same.
    [[nodiscard]] bool received(std::uint64_t messages, std::uint64_t bytes,
                                time_point now) noexcept;
    /// The application is done with them. More than was received is ignored.
    void consumed(std::uint64_t messages, std::uint64_t bytes, time_point now) noexcept;
    /// They wait no more, though nobody worked on them: they say nothing of the pace.
    void dropped(std::uint64_t messages, std::uint64_t bytes) noexcept;
    /// The WORK_CREDIT to send now, if one is worth it: a quarter of the window of messages, or of
    /// that of bytes, was consumed since the last.
    std::optional<work_grant> due() noexcept;
    /// The application asks for a message, and has taken all that came. The WORK_CREDIT to send
    /// now, if what was granted is used up: nothing would come before something is finished. At
    /// the limit there is none, and from then on due() has one for each message that is finished,
    /// until something is received.
    std::optional<work_grant> asked() noexcept;

    std::uint64_t window_messages() const noexcept { return pace_.window(); }
    /// Received and not consumed.
    work_grant waiting() const noexcept;

private:
    std::optional<work_grant> raise_to(std::uint64_t messages) noexcept;

    pace pace_;
    std::uint64_t messages_max_;
    std::uint64_t bytes_window_;
    work_grant granted_;
    work_grant received_;
    work_grant consumed_;
    work_grant reported_;  // consumed_ at the last grant
    bool asking_ = false;  // asked() for more, and nothing came since
};

}  // namespace cairn::protocol
