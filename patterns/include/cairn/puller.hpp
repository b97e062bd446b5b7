#pragma once

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

namespace cairn {

struct puller_options {
    ack_mode acks = ack_mode::on_next;
    /// Messages and bytes that a pusher may have at this puller unfinished: those that wait, and
    /// those that were taken and not acked. At the limit receive() waits for one to be finished.
    std::size_t credit_messages = 65'536;
    std::size_t credit_bytes = std::size_t{8} << 20;
    /// The application's time for what it has waiting: the credit is lowered, down to one message,
    /// until what waits is about so much work. So slow jobs are not hoarded. Who takes several
    /// before it finishes one is sent more as it asks: one, two, four … up to the limits above.
    /// Zero: credit as above, always.
    std::chrono::milliseconds prefetch = std::chrono::milliseconds(100);
    std::string member{};  ///< name for logs and counters; empty: the node's name
};

/// Names one delivery of one message; small, copyable, may cross threads.
struct job_id {
    std::uint32_t attachment = 0;
    std::uint32_t stream = 0;
    cairn::sequence sequence;
    std::uint64_t delivery = 0;
};

/// A message to work on; a view like message.
class job : public message {
public:
    /// 1 for a first delivery. More: it was delivered before, and may have been worked on.
    std::uint32_t attempt() const noexcept;
    job_id id() const noexcept { return id_; }

    /// Not for users.
    job(const message& m, job_id id) noexcept : message(m), id_(id) {}

private:
    job_id id_;
};

/// Receives messages of one topic from the pushers that its node is connected with; other pullers
/// of the topic get others.
///
/// Owns:    its queue. The node must outlive it.
/// Threads: receiving one at a time; ack(), nack(), reject(), extend(), release(), close(),
///          stats(), attached() and wait_attached() are thread-safe.
/// Fails:   construction throws error (topic_invalid, invalid_argument, closed). Receiving throws
///          nothing but invalid_argument after start(); acking never throws.
/// Limits:  topic 255 bytes, no `*`; options.
class puller {
public:
    puller(node& owner, std::string_view topic, puller_options options = {});
    /// As close().
    ~puller();
    puller(puller&&) noexcept;
    puller& operator=(puller&&) noexcept;

    /// Waits for the next message; returns nothing after close().
    std::optional<job> receive();
    std::optional<job> receive_for(std::chrono::milliseconds patience);
    std::optional<job> try_receive();

    receive_iterator<puller> begin() { return receive_iterator<puller>(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

    /// As subscriber::start(); with ack_mode::on_next a message is acked when the handler returns,
    /// and rejected, with the exception's text as reason, when it throws.
    void start(std::function<void(const job&)> handler);

    /// As subscriber::file_descriptor().
    int file_descriptor();

    /// Done: the message comes to nobody again. All five: false when the delivery is not this
    /// puller's any more (acked, given back, its pusher gone), as far as this side knows.
    bool ack(job_id id);
    /// Not done: deliver it again, to anybody, not before `delay`, 24 h at most. Counts as a
    /// delivery.
    bool nack(job_id id, std::chrono::milliseconds delay = {});
    /// Never deliver it again: the pusher gives it up, with this reason (at most 1,024 bytes).
    bool reject(job_id id, std::string_view reason);
    /// Still working: the lease ends `ack_wait` from now, 1 ms to 24 h. Throws error
    /// (invalid_argument) below that: release() gives a job back.
    bool extend(job_id id, std::chrono::milliseconds ack_wait);
    /// Not begun: deliver it to another; not counted as a delivery.
    bool release(job_id id);

    /// Pushers on the topic that this puller is attached to.
    std::size_t attached() const;
    bool wait_attached(std::size_t pushers, std::chrono::milliseconds deadline);

    bool closed() const noexcept;
    handle_stats stats() const;

    /// Takes no more, gives back what was not acked, and wakes every receive(). What was received
    /// (the message in hand included) counts as a delivery, as when its process dies; what waited
    /// does not. So does node::close().
    void close();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn
