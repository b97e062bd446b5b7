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
/// Threads: one at a time.
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
    /// The WORK_CREDIT to send now, if one is worth it: a quarter of the window of messages, or of
    /// that of bytes, was consumed since the last.
    std::optional<work_grant> due() noexcept;

    std::uint64_t window_messages() const noexcept { return pace_.window(); }
    /// Received and not consumed.
    work_grant waiting() const noexcept;

private:
    pace pace_;
    std::uint64_t bytes_window_;
    work_grant granted_;
    work_grant received_;
    work_grant consumed_;
    work_grant reported_;  // consumed_ at the last grant
};

}  // namespace cairn::protocol
