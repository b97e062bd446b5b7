#pragma once

#include <cairn/ids.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::protocol {

struct ack_options {
    std::chrono::milliseconds delay_max{100};  ///< how long an ack may wait for others
    std::uint64_t messages_max = 1'000;        ///< how many may
};

/// Gathers the acks of one attachment to a durable group into few ACK frames, and keeps each until
/// the store has confirmed it.
///
/// One flight of frames is under way at a time; what is acked meanwhile gathers for the next. While
/// the store is away all gathers, and what was under way is sent again.
///
/// Owns:    the ranges that are acked, neighbours merged: a store that was replaced is told all.
/// Threads: one at a time.
/// Fails:   std::bad_alloc.
/// Limits:  16 bytes a range: as many as there are holes between what was acked, so no more than
///          messages that are delivered and not acked, and one. An ack in order is O(1), any other
///          O(ranges).
class ack_batcher {
public:
    /// Ranges in one flight, of all streams: no more than a store lets wait (PROTOCOL.md 8.7).
    static constexpr std::size_t flight_ranges_max = wire::array_items_max;

    /// One (source, epoch), until forget().
    enum class stream : std::uint32_t {};

    explicit ack_batcher(ack_options options = {}) : options_(options) {}

    /// The stream of that name; a new one is done up to `floor`.
    stream find_or_add(std::string_view source, epoch epoch, sequence floor);
    /// Drops what is acked of it too: for a run that ended, once it is settled().
    void forget(stream which);

    /// Done. What was acked before does nothing.
    void ack(stream which, sequence_range range, time_point now);
    /// Done, and all before it.
    void ack_through(stream which, sequence last, time_point now);

    /// The store has forgotten what it was told, since it was replaced by another one: all that was
    /// acked of the streams waits again. Call before attached().
    void repeat_all();
    /// What waits of a stream, and does so no more. Requires: nothing of it is under way.
    std::vector<sequence_range> take_back(stream which);

    /// GROUP_ATTACHED came: what waits is sent at once.
    void attached(time_point now);
    void link_lost();

    /// When send() has something; time_point::max(): not before an ack, ACKED or attached().
    time_point due_at() const noexcept;
    /// Makes all that waits due, for a reader that closes.
    void flush(time_point now) noexcept;
    /// If it is due, calls `send(source, epoch, ranges)` for each ACK frame to be sent, which is at
    /// most array_items_max ranges. Returns how many.
    template <std::invocable<std::string_view, epoch, std::span<const sequence_range>> Send>
    std::size_t send(time_point now, Send&& send) {
        if (now < due_at()) return 0;
        start_flight();
        for (const frame& f : flight_) {
            const entry& of = streams_[f.of];
            send(std::string_view(of.source), of.run,
                 std::span(of.flying).subspan(f.begin, f.end - f.begin));
        }
        return flight_.size();
    }
    /// What waits beside the flight, as far as a store lets it: for a reader that closes and does
    /// not wait for the confirms. Calls `send` as send() does; how many ranges more it might.
    template <std::invocable<std::string_view, epoch, std::span<const sequence_range>> Send>
    std::size_t send_last(Send&& send) const {
        std::size_t room = attached_ ? flight_ranges_max : 0;
        for (std::size_t i = confirmed_; i != flight_.size(); ++i)
            room -= std::min(room, flight_[i].end - flight_[i].begin);
        for (const entry& of : streams_) {
            const std::size_t taken = std::min(room, of.ranges.size());
            if (taken == 0) continue;
            send(std::string_view(of.source), of.run, std::span(of.ranges).first(taken));
            room -= taken;
        }
        return room;
    }
    /// ACKED. More than was sent is ignored.
    void acked(std::uint64_t frames);

    /// Messages acked and not confirmed.
    std::uint64_t waiting() const noexcept { return waiting_ + flying_; }
    bool settled(stream which) const;

private:
    struct entry {
        std::string source;
        epoch run;
        sequence floor;                      // all up to here is confirmed, or was done before
        std::vector<sequence_range> ranges;  // ascending, apart
        std::vector<sequence_range> flying;
        std::vector<sequence_range> confirmed;  // ascending, apart, above the floor
        bool used = true;
    };
    struct frame {
        std::size_t of;
        std::size_t begin;
        std::size_t end;
    };

    std::uint64_t add(entry& to, sequence_range range);
    void start_flight();
    void confirm(const frame& f);

    ack_options options_;
    std::deque<entry> streams_;
    std::vector<frame> flight_;
    std::size_t turn_ = 0;       // the stream that the next flight begins with
    std::size_t confirmed_ = 0;  // of flight_
    std::uint64_t frames_before_ = 0;
    std::uint64_t waiting_ = 0;
    std::uint64_t flying_ = 0;
    time_point oldest_ = time_point::max();  // of those that wait
    bool attached_ = false;
};

}  // namespace cairn::protocol
