#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/message.hpp>
#include <cairn/node.hpp>
#include <cairn/receiving.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace cairn {

/// Messages that will not come, told in their place.
struct gap {
    std::string topic;
    std::string source;
    cairn::epoch epoch;
    sequence_range range;
    /// gone: neither the publisher's ring nor the store, if there is one, holds them any more.
    /// too_large: their bodies are above this node's body_bytes_max. lost: their publisher could
    /// not give them to the store. store_damaged: what the store holds of them is damaged.
    errc cause;
};

/// A source began a new run: its sequences start again at 1. Told before the new run's first
/// message.
struct restart {
    std::string topic;
    std::string source;
    cairn::epoch before;
    cairn::epoch now;
};

/// Messages that this subscriber was given by a publisher, and that the store never got: their run
/// is over, so nobody who reads from the store will ever see them. Told before the restart.
struct orphaned {
    std::string topic;
    std::string source;
    cairn::epoch epoch;
    sequence_range range;
};

/// What is told in the place of messages.
using notice = std::variant<gap, restart, orphaned>;

/// What comes out of a subscriber in order, for those who want all of it.
using event = std::variant<message, gap, restart, orphaned>;

/// A position to go on from; `next` is the first message wanted.
struct resume_from {
    std::string topic;
    cairn::position next;
};

/// Where a subscriber begins.
struct from {
    enum class place : std::uint8_t { live, earliest, positions, last, offset, time };

    /// What is published after it attached. With a store: what the store does not have by then.
    static from live() { return {}; }
    /// All that is held, then live: by the store, or without one by each publisher's ring.
    static from earliest() { return {.where = place::earliest}; }
    /// At these positions; on other topics and sources live.
    static from after(std::vector<resume_from> positions) {
        return {.where = place::positions, .positions = std::move(positions)};
    }
    /// The last `messages` that the store holds on the topic, then live. These three need a store,
    /// and a topic without `*`.
    static from last(std::uint64_t messages) { return {.where = place::last, .value = messages}; }
    /// From that offset of the store on.
    static from offset(std::uint64_t offset) { return {.where = place::offset, .value = offset}; }
    /// From the first that was stored at or after `when`, by the store's clock.
    static from time(wall_time when) {
        const auto since = when.time_since_epoch().count();
        return {.where = place::time, .value = since < 0 ? 0 : static_cast<std::uint64_t>(since)};
    }

    place where = place::live;
    std::uint64_t value = 0;  ///< of last, offset and time (nanoseconds since 1970)
    std::vector<resume_from> positions{};
};

/// How a subscriber is doing.
struct reading {
    enum class state : std::uint8_t {
        connecting,   ///< the store has not answered yet, so nothing is known
        standby,      ///< another member of the group is the active one
        catching_up,  ///< history is being read
        live,         ///< all comes from publishers, or nothing is left to come
    };

    reading::state state = state::connecting;
    std::uint64_t lag_messages = 0;  ///< known to exist, and not yet received by this node
    std::uint64_t acks_waiting = 0;  ///< messages acked, and not confirmed by the store
    std::uint64_t fallbacks = 0;     ///< times that history had to be read again
    /// False: it catches up, and its lag has not fallen for subscriber_options::converge_wait. It
    /// reads slower than is published.
    bool converging = true;
};

struct subscriber_options {
    cairn::from from{};
    /// Name of a durable group: the store remembers what it has done, and a later subscriber of
    /// that name goes on there, and gets again of what is acked only what lies beyond the first
    /// 65,536 separate acked stretches. `from` counts when the store has no such group yet. Of
    /// several subscribers in a group one at a time gets all; another takes over when it is gone.
    /// Needs a store, and a topic without `*`. Empty: none.
    std::string group{};
    /// When a message is done in the group.
    ack_mode acks = ack_mode::on_next;
    /// How long an ack may wait for others, and how many may.
    std::chrono::milliseconds ack_delay_max = std::chrono::milliseconds(100);
    std::uint64_t ack_messages_max = 1'000;
    /// Endpoint of the store that has the history. Empty: node_options::store.
    std::string store{};
    /// False: reads from publishers alone, also where the node has a store.
    bool use_store = true;
    /// How long to wait for history that no publisher holds, while the store does not send it; then
    /// it is a gap. Nothing: `forever` in a group, otherwise 10 s.
    std::optional<std::chrono::milliseconds> history_wait{};
    /// While it catches up: after so long without coming nearer to what is published it says so,
    /// in the log and in state().
    std::chrono::milliseconds converge_wait = std::chrono::seconds(30);
    /// Bytes that a peer may send ahead of the application; memory for what waits, for each peer.
    /// The batch that reaches it may go beyond it: over a new connection wholly, later by what is
    /// more than an eighth of it, or than the largest batch before.
    std::size_t credit_bytes = std::size_t{8} << 20;
    /// Called in order, in receive()'s thread, for each gap. Without it gaps are counted and
    /// logged.
    std::function<void(const gap&)> on_gap{};
    /// Called in order, in receive()'s thread, when a source began a new run.
    std::function<void(const restart&)> on_restart{};
    /// Called in order, in receive()'s thread, for what only this subscriber and its like ever saw.
    std::function<void(const orphaned&)> on_orphaned{};

    static constexpr std::chrono::milliseconds forever = std::chrono::milliseconds::max();
};

/// Receives the messages of a topic, or of all topics that begin alike ("quakes.*"), from all
/// publishers that its node is connected with, now and later.
///
/// Messages of one publisher on one topic come in order and once. What cannot come is told as a
/// gap.
///
/// With a store (node_options::store, or options.store) history and live are one stream: what the
/// publishers' rings do not hold is read from the store, and a reader that was left behind goes
/// back to it by itself.
///
/// Owns:    its queue. The node must outlive it.
/// Threads: one at a time; close(), stats(), state(), ack(), flush(), attached() and the wait
///          functions are thread-safe.
/// Fails:   construction throws error (topic_invalid, invalid_argument, closed, and for a store
///          what node::connect throws). Receiving throws nothing but invalid_argument after
///          start().
/// Limits:  pattern 255 bytes, `*` only at its end; options.
class subscriber {
public:
    subscriber(node& owner, std::string_view pattern, subscriber_options options = {});
    ~subscriber();
    subscriber(subscriber&&) noexcept;
    subscriber& operator=(subscriber&&) noexcept;

    /// Waits for the next message; returns nothing after close().
    std::optional<message> receive();
    /// Waits at most `patience`; nothing on timeout and after close(). closed() tells which.
    std::optional<message> receive_for(std::chrono::milliseconds patience);
    std::optional<message> try_receive();

    /// As receive_for(), but gaps and restarts are returned instead of called back.
    std::optional<event> next_event(std::chrono::milliseconds patience);

    /// `for (const cairn::message& m : subscriber)`: until close().
    receive_iterator<subscriber> begin() { return receive_iterator<subscriber>(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

    /// Calls `handler` for each message on a thread of this subscriber's own until close(). The
    /// handler may block and may call anything but this subscriber's receiving functions and
    /// destructor; an exception that leaves it ends the program. Throws error (invalid_argument)
    /// when it was called before. Requires: no thread is in a receiving function.
    void start(std::function<void(const message&)> handler);

    /// For other event loops: readable while something can be received. Poll it for input, then
    /// call try_receive() until it returns nothing. Belongs to the subscriber; do not read or close
    /// it.
    int file_descriptor();

    /// How many publishers on matching topics this subscriber is attached to: it will miss nothing
    /// that they publish after this was true.
    std::size_t attached() const;
    bool wait_attached(std::size_t publishers, std::chrono::milliseconds deadline);

    /// Done, in a durable group with ack_mode::on_request; in any order. Without a group it has no
    /// effect.
    void ack(const message& done);
    /// The same for all from `first` to `last` of one source, whether they were given here or not;
    /// what waits already is given all the same.
    void ack(const position& first, sequence last);
    void ack(const position& done) { ack(done, done.sequence); }
    /// The same for all up to `last` of one source.
    void ack_through(const position& last) { ack({last.source, last.epoch, {1}}, last.sequence); }
    /// Sends what was acked at once, and waits until the store has confirmed all of it. Returns how
    /// many messages it has not.
    std::uint64_t flush(std::chrono::milliseconds deadline);

    reading state() const;
    /// Waits until state() is live. False when the deadline passed first.
    bool wait_live(std::chrono::milliseconds deadline);

    /// The next position of each stream, for from::after() in a later run; of one that has given
    /// nothing yet, where it began. Of sources that nobody publishes any more it is forgotten when
    /// there are more than topics_per_peer_max.
    std::vector<resume_from> positions() const;

    bool closed() const noexcept;
    handle_stats stats() const;

    /// Ends the subscription and wakes every receive(). What waits is dropped and counted. Acks are
    /// sent, and not waited for: those of up to 1,024 ranges at once, others come again.
    void close();
    /// The same after flush(). Returns how many acked messages the store has not confirmed.
    std::uint64_t close(std::chrono::milliseconds deadline);

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn
