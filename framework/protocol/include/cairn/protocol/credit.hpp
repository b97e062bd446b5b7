#pragma once

#include <cairn/ids.hpp>
#include <cairn/wire/limits.hpp>

#include <cstdint>
#include <optional>

namespace cairn::protocol {

/// Totals of one subscription on one link, in bytes that batches cost; only ever raised.
struct grant {
    std::uint64_t granted = 0;
    std::uint64_t consumed = 0;  ///< what the application took

    bool operator==(const grant&) const = default;
};

/// The sender's side of a subscription's credit: it may send a batch while a byte is left.
///
/// Threads: one at a time.
/// Fails:   never; whatever a reader grants, totals only rise.
/// Limits:  the last batch may overrun what was granted.
class credit_sender {
public:
    explicit credit_sender(std::uint64_t granted = 0) : granted_(granted), window_(granted) {}

    bool may_send() const noexcept { return spent_ < granted_; }
    /// Bytes that may still be sent.
    std::uint64_t left() const noexcept { return may_send() ? granted_ - spent_ : 0; }
    void spend(std::uint64_t bytes) noexcept;
    /// CREDIT came. True when it said something new.
    bool raise(grant to) noexcept;
    /// What came since this was true last is more than a gesture: a batch may be sent, or as much
    /// was taken as readers take before they say so. A reader that only claims to move does not
    /// hold its publisher up for longer.
    bool moved() noexcept;
    /// The most that was ever granted beyond what was consumed: about the reader's window.
    /// SUBSCRIBE grants less of it, or nothing, while messages of an earlier link wait.
    std::uint64_t window() const noexcept { return window_; }
    /// Sent, and not yet taken by the reader's application, as far as it said.
    std::uint64_t outstanding() const noexcept { return spent_ - consumed_; }

private:
    std::uint64_t granted_;
    std::uint64_t window_;
    std::uint64_t spent_ = 0;
    std::uint64_t consumed_ = 0;
    std::uint64_t noted_ = 0;  // of consumed_, when it last moved
};

/// A reader with a large window reports sooner than after a quarter of it: the sender takes what is
/// outstanding for a sign of how busy the reader is.
inline constexpr std::uint64_t report_bytes = wire::credit_report_bytes;

/// The reader's side: keeps about `window` bytes on their way and waiting. The batch that reaches
/// what is granted may go beyond it; so as much as the largest seen took, up to an eighth of the
/// window, is left out of what CREDIT grants. There is one batch more, or what is left of it, when
/// batches are larger than that, or grow, or the reader has taken nothing yet.
///
/// Threads: one at a time.
class credit_reader {
public:
    /// `waiting`: bytes that came over an earlier link and still wait for the application; they are
    /// part of the window, and reported to consumed() like the others.
    explicit credit_reader(std::uint64_t window, std::uint64_t waiting = 0) noexcept;

    /// What SUBSCRIBE grants.
    std::uint64_t initial() const noexcept { return granted_; }

    /// A batch arrived. False when it began beyond what was granted (credit_exceeded); it counts
    /// as received all the same.
    [[nodiscard]] bool received(std::uint64_t bytes) noexcept;
    /// The application took them, or they were dropped. More than was received is ignored.
    void consumed(std::uint64_t bytes) noexcept;
    /// The CREDIT to send now, if one is worth it: a quarter of the window, or report_bytes if that
    /// is less, was consumed since the last. Not when the queue runs empty: one CREDIT a message
    /// would double the frames of a quiet topic.
    std::optional<grant> due() noexcept;
    /// Bytes after which due() answers.
    std::uint64_t step() const noexcept;

    std::uint64_t waiting() const noexcept { return waiting_; }

private:
    std::uint64_t window_;
    std::uint64_t earlier_;  // of `waiting`: came over an earlier link, still waiting
    std::uint64_t waiting_;
    std::uint64_t received_ = 0;
    std::uint64_t granted_;
    std::uint64_t fresh_ = 0;    // consumed since the last grant
    std::uint64_t largest_ = 0;  // batch, up to an eighth of the window
};

}  // namespace cairn::protocol
