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
    /// gone: the publisher's ring no longer held them. too_large: their bodies are above this
    /// node's body_bytes_max.
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

/// What comes out of a subscriber in order, for those who want all of it.
using event = std::variant<message, gap, restart>;

/// A position to go on from; `next` is the first message wanted.
struct resume_from {
    std::string topic;
    cairn::position next;
};

/// Where a subscriber begins.
struct from {
    /// What is published after it attached.
    static from live() { return {}; }
    /// What each publisher's ring still holds, then live.
    static from earliest() { return {.held = true, .positions = {}}; }
    /// At these positions; on other topics and sources live.
    static from after(std::vector<resume_from> positions) {
        return {.held = false, .positions = std::move(positions)};
    }

    bool held = false;
    std::vector<resume_from> positions{};
};

struct subscriber_options {
    cairn::from from{};
    /// Bytes that a peer may send ahead of the application; memory for what waits, for each peer.
    std::size_t credit_bytes = std::size_t{8} << 20;
    /// Called in order, in receive()'s thread, for each gap. Without it gaps are counted and
    /// logged.
    std::function<void(const gap&)> on_gap{};
    /// Called in order, in receive()'s thread, when a source began a new run.
    std::function<void(const restart&)> on_restart{};
};

/// Receives the messages of a topic, or of all topics that begin alike ("quakes.*"), from all
/// publishers that its node is connected with, now and later.
///
/// Messages of one publisher on one topic come in order and once. What cannot come is told as a
/// gap.
///
/// Owns:    its queue. The node must outlive it.
/// Threads: one at a time; close(), stats(), attached() and wait_attached() are thread-safe.
/// Fails:   construction throws error (topic_invalid, closed); receiving never throws.
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
    /// destructor. Requires: called once, and no receiving function besides.
    void start(std::function<void(const message&)> handler);

    /// For other event loops: readable while something can be received. Poll it for input, then
    /// call try_receive() until it returns nothing. Belongs to the subscriber; do not read or close
    /// it.
    int file_descriptor();

    /// How many publishers on matching topics this subscriber is attached to: it will miss nothing
    /// that they publish after this was true.
    std::size_t attached() const;
    bool wait_attached(std::size_t publishers, std::chrono::milliseconds deadline);

    /// The next position of each stream, for from::after() in a later run.
    std::vector<resume_from> positions() const;

    bool closed() const noexcept;
    handle_stats stats() const;

    /// Ends the subscription and wakes every receive(). What waits is dropped and counted.
    void close();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn
