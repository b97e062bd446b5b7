#pragma once

#include <cairn/attributes.hpp>
#include <cairn/ids.hpp>
#include <cairn/message.hpp>
#include <cairn/node.hpp>
#include <cairn/sending.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace cairn {

/// A message that was given up: delivered too often, refused by a worker, or too large for all.
struct rejected_message {
    const owned_message& message;
    errc cause;               ///< deliveries_exceeded, rejected or too_large
    std::string_view reason;  ///< what the last worker said, or how its delivery ended
};

struct pusher_options {
    /// Stable name of this pusher on its topic, without `@` in front. Empty: the node's name.
    std::string source{};
    /// Memory for messages that are not yet acked, bytes, and one batch more; push() waits when it
    /// is used up. A batch counts whole until seven eighths of its messages are acked or given up.
    std::size_t backlog_bytes_max = std::size_t{64} << 20;
    std::size_t batch_bytes_max = std::size_t{256} << 10;  ///< 256 KiB at most
    /// A message that a puller neither acks nor extends for so long goes to another. Likewise a
    /// message whose body is above the body_bytes_max of every attached puller's node waits so long
    /// for one that takes it; then on_rejected.
    std::chrono::milliseconds ack_wait = std::chrono::seconds(30);
    /// Deliveries of one message at most; then on_rejected. 0: no limit. A puller that dies makes a
    /// delivery count for all that it held, whichever of them killed it. So the last delivery is
    /// made alone (unless it is the first, too): that puller holds nothing else until the message
    /// is finished, and only a message that kills its puller even then is given up.
    std::uint32_t deliveries_max = 10;
    /// While a message with a key is out, later ones with that key wait; others overtake them.
    bool ordered_by_key = false;
    /// Called for each message that is given up. They are logged, and counted as
    /// handle_stats::rejected, with it and without. As publisher_options::on_durable.
    std::function<void(const rejected_message&)> on_rejected{};
    std::function<void(epoch newer)> on_fenced{};  ///< as publisher_options::on_fenced
};

/// Hands each message on a topic to one of the pullers that its node is connected with, and to
/// another if the first does not finish it. Messages wait here until then.
///
/// Owns:    its backlog. The node must outlive it.
/// Threads: thread-safe.
/// Fails:   construction throws error (topic_invalid, source_in_use, invalid_argument, closed);
///          push() throws error (closed, fenced, too_large).
/// Limits:  topic 255 bytes, no `*`; body up to node_options::body_bytes_max; options.
class pusher {
public:
    pusher(node& owner, std::string_view topic, pusher_options options = {});
    /// Drops what is not acked; close() waits for it.
    ~pusher();
    pusher(pusher&&) noexcept;
    pusher& operator=(pusher&&) noexcept;

    /// Pushes, waiting while the backlog is full. Returns the message's sequence.
    sequence push(std::span<const std::byte> body);
    sequence push(std::string_view body);
    sequence push(std::span<const std::byte> body, const attributes& attributes);
    sequence push(std::string_view body, const attributes& attributes);

    send_result try_push(std::span<const std::byte> body);
    send_result try_push(std::string_view body);
    send_result try_push(std::span<const std::byte> body, const attributes& attributes);
    send_result try_push(std::string_view body, const attributes& attributes);

    bool wait_for_pullers(std::size_t count, std::chrono::milliseconds deadline);
    std::size_t pullers() const;

    /// Waits until every message pushed so far is acked or given up. False when the deadline passed
    /// first.
    bool flush(std::chrono::milliseconds deadline);
    /// Messages neither acked nor given up.
    std::uint64_t unacked() const;

    const std::string& topic() const noexcept;
    const std::string& source() const noexcept;
    cairn::epoch epoch() const noexcept;
    handle_stats stats() const;

    /// Takes no more messages and waits until all are acked or given up. Returns how many are not.
    /// Idempotent.
    std::uint64_t close(std::chrono::milliseconds deadline);

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn
