#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/message.hpp>
#include <cairn/node.hpp>
#include <cairn/receiving.hpp>
#include <cairn/stats.hpp>
#include <cairn/subscriber.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

/// Where a replay ends. What is published while it runs does not move its end.
struct until {
    enum class place : std::uint8_t { now, offset, time };

    /// Behind what the store holds when it is asked.
    static until now() { return {}; }
    /// Before that offset of the store.
    static until offset(std::uint64_t offset) { return {place::offset, offset}; }
    /// Before the first that was stored at or after `when`, by the store's clock.
    static until time(wall_time when) {
        const auto since = when.time_since_epoch().count();
        return {place::time, since < 0 ? 0 : static_cast<std::uint64_t>(since)};
    }

    place where = place::now;
    std::uint64_t value = 0;
};

struct replay_options {
    /// Any but from::live().
    cairn::from from = from::earliest();
    cairn::until until{};
    /// Endpoint of the store. Empty: node_options::store.
    std::string store{};
    /// Bytes that the store may send ahead of the application. The batch that reaches it may go
    /// beyond it: at first wholly, later by what is more than an eighth of it, or than the largest
    /// batch before.
    std::size_t credit_bytes = std::size_t{8} << 20;
    /// Called in order, in receive()'s thread, for messages that the store does not hold any more.
    std::function<void(const gap&)> on_gap{};
};

/// Reads a range of one topic from a store and stops: for batch jobs. Messages come in the store's
/// order. While the store is away it waits; once the store refuses for good it is over, and
/// failure() says why. A topic that does not exist is an empty one.
///
/// Owns:    its queue. The node must outlive it.
/// Threads: one at a time; close() is thread-safe.
/// Fails:   construction throws error (topic_invalid, invalid_argument, closed, and what
///          node::connect throws); receiving never throws.
/// Limits:  topic 255 bytes, no `*`; options.
class replay {
public:
    replay(node& owner, std::string_view topic, replay_options options = {});
    ~replay();
    replay(replay&&) noexcept;
    replay& operator=(replay&&) noexcept;

    /// Waits for the next message; nothing at the end, after a failure and after close().
    std::optional<message> receive();
    /// Waits at most `patience`; nothing on timeout as well. finished() tells which.
    std::optional<message> receive_for(std::chrono::milliseconds patience);
    /// As receive_for(), but gaps and restarts are returned too.
    std::optional<event> next_event(std::chrono::milliseconds patience);

    /// `for (const cairn::message& m : replay)`: until the end.
    receive_iterator<replay> begin() { return receive_iterator<replay>(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

    /// All was given.
    bool finished() const noexcept;
    /// Why the store gives no more, when receive() has returned nothing before the end:
    /// not_authorised, not_supported (no store listens there), store_damaged, topic_unknown (it was
    /// deleted meanwhile), gone (what was to be read is in the store no more: the topic was deleted
    /// and made anew, or the store was) … errc::ok otherwise.
    errc failure() const noexcept;
    handle_stats stats() const;
    void close();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn
