#pragma once

#include <cairn/attributes.hpp>
#include <cairn/ids.hpp>
#include <cairn/node.hpp>
#include <cairn/sending.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cairn {

struct publisher_options {
    /// Stable name of this publisher on its topic. Empty: the node's name.
    std::string source{};
    /// Memory for recent batches, bytes. Late and reconnecting readers find them here.
    std::size_t ring_bytes_max = std::size_t{16} << 20;
    /// How long the publisher waits for a reader that takes nothing while the ring is full; then it
    /// leaves that reader behind. Zero: never wait. `forever`: always wait.
    std::chrono::milliseconds patience = std::chrono::milliseconds(100);
    /// Bytes at which a batch is closed although more messages follow at once; at least one message
    /// always fits, so 1 means a batch a message. Above 256 KiB counts as 256 KiB.
    std::size_t batch_bytes_max = std::size_t{256} << 10;
    /// Called once when a newer run of this source appeared; this publisher then sends no more.
    /// Runs on the node's thread: return quickly, do not call the node.
    std::function<void(epoch newer)> on_fenced{};

    static constexpr std::chrono::milliseconds forever = std::chrono::milliseconds::max();
};

/// Sends messages on one topic to every subscriber that its node is connected with.
///
/// publish() copies the message into the open batch and returns; the network is served meanwhile.
/// What waits is sent together, so batches grow with load, and a lone message leaves at once.
///
/// Owns:    its open batch and its ring. The node must outlive it.
/// Threads: thread-safe.
/// Fails:   construction throws error (topic_invalid, source_in_use, closed); publish() throws
///          error (closed, fenced, too_large).
/// Limits:  topic 255 bytes, no `*`; body up to node_options::body_bytes_max; options.
class publisher {
public:
    publisher(node& owner, std::string_view topic, publisher_options options = {});
    /// Sends what was published but waits for nobody; close() does.
    ~publisher();
    publisher(publisher&&) noexcept;
    publisher& operator=(publisher&&) noexcept;

    /// Publishes, waiting while the ring is full of what readers that still move have not taken (at
    /// most `patience` for one that does not). Returns the message's sequence.
    sequence publish(std::span<const std::byte> body);
    sequence publish(std::string_view body);
    sequence publish(std::span<const std::byte> body, const attributes& attributes);
    sequence publish(std::string_view body, const attributes& attributes);

    /// As publish(), but never waits and never throws for an everyday reason.
    send_result try_publish(std::span<const std::byte> body);
    send_result try_publish(std::string_view body);
    send_result try_publish(std::span<const std::byte> body, const attributes& attributes);
    send_result try_publish(std::string_view body, const attributes& attributes);

    /// Waits until `count` subscribers are attached: none of them will miss what is published
    /// after. False when the deadline passed first.
    bool wait_for_subscribers(std::size_t count, std::chrono::milliseconds deadline);
    std::size_t subscribers() const;

    const std::string& topic() const noexcept;
    const std::string& source() const noexcept;
    cairn::epoch epoch() const noexcept;
    handle_stats stats() const;

    /// Takes no more messages and waits until every attached subscriber's node has received what
    /// was published, or was told that it is gone. Returns how many messages are still on their
    /// way to one of them; what was dropped for a reader that was left behind is in stats().drops,
    /// and not in here. Idempotent.
    std::uint64_t close(std::chrono::milliseconds deadline);

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn
