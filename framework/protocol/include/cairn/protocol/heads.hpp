#pragma once

#include <cairn/ids.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace cairn::protocol {

/// Names one stream of one head_schedule until it is removed; small, used again.
enum class scheduled_stream : std::uint32_t {};

/// When a publisher's node tells a subscription its heads: 100 ms after a change, and as long as
/// nothing changes again 200, 400, 800 and 1,000 ms after the time before. Then the stream is
/// quiet, and only the digest, each second, speaks for it.
///
/// A digest says that the reader has everything: send it only when nothing is pending for it.
///
/// Owns:    24 bytes a stream.
/// Threads: one at a time.
/// Fails:   std::bad_alloc (add).
/// Limits:  every call is O(1); quiet streams cost nothing.
class head_schedule {
public:
    static constexpr std::array<std::chrono::milliseconds, 5> delays{
        std::chrono::milliseconds(100), std::chrono::milliseconds(200),
        std::chrono::milliseconds(400), std::chrono::milliseconds(800),
        std::chrono::milliseconds(1'000)};
    static constexpr std::chrono::milliseconds digest_interval{1'000};

    /// The first digest is due digest_interval after `now`.
    explicit head_schedule(time_point now) : digest_at_(now + digest_interval) {}

    /// A stream whose head was just told (in SUBSCRIBED or HEADS): quiet.
    scheduled_stream add();
    void remove(scheduled_stream which);
    /// Its head changed. Never puts off what is already due within 100 ms.
    void changed(scheduled_stream which, time_point now);

    /// A stream whose head is to be told now; call until it returns nothing.
    std::optional<scheduled_stream> take_due(time_point now);
    /// True, and the next one is due digest_interval later, when it is time for a digest.
    bool take_digest(time_point now);
    /// When to ask again; time_point::max() without streams.
    time_point next_time() const noexcept;
    std::size_t streams() const noexcept { return count_; }

private:
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    static constexpr std::uint8_t quiet = delays.size();

    struct entry {
        time_point at;
        std::uint32_t before = none;
        std::uint32_t after = none;
        std::uint8_t level = quiet;  // index of the delay that runs
        bool used = false;
    };

    // One queue a delay: whoever enters later is due later, so each queue is sorted by itself.
    struct queue {
        std::uint32_t head = none;
        std::uint32_t tail = none;
    };

    void enter(std::uint32_t index, std::uint8_t level, time_point now);
    void leave(std::uint32_t index);

    std::vector<entry> entries_;
    std::array<queue, delays.size()> queues_;
    std::uint32_t free_ = none;
    std::uint32_t count_ = 0;
    time_point digest_at_;
};

}  // namespace cairn::protocol
