#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/runtime/monitor.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace cairn::runtime {

/// Which side of a connection a socket is.
enum class side : std::uint8_t { binding, connecting };

/// What a failed handshake means and what mends it. Design note 0002 has the table behind it,
/// found by experiment.
struct handshake_advice {
    errc code = errc::ok;
    std::string_view text;  ///< one sentence with the remedy; static

    bool operator==(const handshake_advice&) const = default;
};

/// The advice for one event alone; nothing when it is no handshake failure. Some failures only show
/// in the order of events: use the watches below.
std::optional<handshake_advice> advise(const monitor_event& event, side ours, bool has_keys);

/// Follows the events of one connecting socket.
///
/// Threads: one at a time.
class connect_watch {
public:
    /// How long after `disconnected` libzmq's `retried` may be under way.
    static constexpr duration retry_grace = std::chrono::milliseconds(100);

    explicit connect_watch(bool has_keys) : has_keys_(has_keys) {}

    /// Takes the next event. Returns the advice when it is, or completes, a handshake failure.
    std::optional<handshake_advice> on(const monitor_event& event, time_point now);

    /// The handshake is done and the connection was not lost since: frames can flow.
    bool up() const noexcept { return state_ == state::up; }

    /// libzmq has given this socket up and will not try again, whatever the peer does: after a
    /// refusal, a mechanism mismatch, a peer that is no ZeroMQ node or a malformed frame. Close it
    /// and make a new one, with a back-off.
    bool abandoned(time_point now) const noexcept {
        return state_ == state::lost && now - lost_at_ >= retry_grace;
    }
    /// When abandoned() may turn true without a further event; time_point::max() when it will not.
    time_point decides_at() const noexcept {
        return state_ == state::lost ? lost_at_ + retry_grace : time_point::max();
    }

private:
    enum class state : std::uint8_t { trying, greeting, failed, up, lost };

    bool has_keys_;
    state state_ = state::trying;
    time_point lost_at_{};
};

/// Follows the events of one binding socket: how many connections it has, and why some fail.
///
/// Threads: one at a time.
class accept_watch {
public:
    explicit accept_watch(bool has_keys) : has_keys_(has_keys) {}

    /// Takes the next event. Returns the advice when it is, or completes, a handshake failure.
    std::optional<handshake_advice> on(const monitor_event& event);

    /// Connections that exist, greeted or not.
    std::size_t connections() const noexcept { return open_.size(); }
    /// Whether one of them has this descriptor.
    bool has(int descriptor) const { return open_.contains(descriptor); }

private:
    bool has_keys_;
    bool just_failed_ = false;                   // the next `disconnected` belongs to that failure
    std::unordered_map<int, std::size_t> open_;  // descriptors, hash of the listener's endpoint
    std::unordered_set<int> greeting_;           // those of them whose handshake surely is not done
};

}  // namespace cairn::runtime
