#pragma once

#include <cairn/attributes.hpp>
#include <cairn/delivery.hpp>
#include <cairn/error.hpp>
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
    /// Stable name of this publisher on its topic, without `@` in front. Empty: the node's name.
    std::string source{};
    /// Memory for recent batches, bytes. Late and reconnecting readers find them here.
    std::size_t ring_bytes_max = std::size_t{16} << 20;
    /// How long the publisher waits for a reader that takes nothing while the ring is full; then it
    /// leaves that reader behind. Zero: never wait. `forever`: always wait.
    std::chrono::milliseconds patience = std::chrono::milliseconds(100);
    /// Bytes at which a batch is closed although more messages follow at once; at least one message
    /// always fits, so 1 means a batch a message. Above 256 KiB counts as 256 KiB.
    std::size_t batch_bytes_max = std::size_t{256} << 10;
    /// Who sees a message, and when. Nothing: `parallel` when there is a store, otherwise `peers`.
    std::optional<cairn::delivery> delivery{};
    /// Endpoint of the store that keeps this topic. Empty: node_options::store.
    std::string store{};
    /// What happens when the ring is full of what the store does not have.
    full_ring when_full = full_ring::block;
    /// With full_ring::spill: bytes that may lie in the state directory; beyond, it waits as
    /// full_ring::block does.
    std::size_t spill_bytes_max = std::size_t{1} << 30;
    /// Called with durable() each time it rose. Runs on the node's thread, or on one of yours that
    /// is in a call to the node: return quickly, do not call the node. What it throws ends the
    /// process.
    std::function<void(sequence durable)> on_durable{};
    /// Called with each range that the store will never get, and why. too_large: bodies above its
    /// body_bytes_max. lost: neither ring nor spill holds them any more (full_ring::drop_history, a
    /// store that was replaced by an empty one), or what was put aside is damaged. fenced: they
    /// were put aside, and a newer run was stored before them. Another: they were put aside, and
    /// the store refuses them for good. `run` is epoch(), or the earlier one that put them aside. A
    /// range is told again when the connection broke before the store confirmed it, and what it
    /// refused for good by the next run, as fenced. As on_durable.
    std::function<void(epoch run, sequence_range lost, errc cause)> on_lost{};
    /// Called when the store refuses this publisher, once for each reason in a row. With
    /// `for_good` nothing that was published or will be is stored any more (the store holds
    /// another content under this run's positions, errc::conflict, or will not have it); peers are
    /// served on, with delivery::store_first publishing ends. Otherwise, when it does not open the
    /// source (errc::not_authorised, limit_exceeded, …) or has no room, it is asked again each
    /// second. As on_durable.
    std::function<void(errc why, bool for_good)> on_store_refused{};
    /// Called once when a newer run of this source appeared; this publisher then sends no more.
    /// As on_durable.
    std::function<void(epoch newer)> on_fenced{};

    static constexpr std::chrono::milliseconds forever = std::chrono::milliseconds::max();
};

/// Sends messages on one topic to every subscriber that its node is connected with.
///
/// publish() copies the message into the open batch and returns; the network is served meanwhile.
/// What waits is sent together, so batches grow with load, and a lone message leaves at once.
///
/// With a store (node_options::store, or options.store) what is published is kept there as well.
/// The store may be away, hang or come back empty at any time: peers do not notice, the ring keeps
/// what it owes the store, and when the ring is full of that, options.when_full decides.
///
/// Owns:    its open batch and its ring. The node must outlive it.
/// Threads: thread-safe.
/// Fails:   construction throws error (topic_invalid, source_in_use, invalid_argument, closed, and
///          for a store what node::connect throws); publish() throws error (closed, fenced,
///          too_large; full with full_ring::refuse; conflict with delivery::store_first when the
///          store refused it for good).
/// Limits:  topic 255 bytes, no `*`; body up to node_options::body_bytes_max; options.
class publisher {
public:
    publisher(node& owner, std::string_view topic, publisher_options options = {});
    /// Sends what was published but waits for nobody, and warns in the log of what is not received
    /// or not durable; close() waits.
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

    /// All up to here is durable in the store, or was told to it as lost: the sync that holds it
    /// returned, also in a topic whose confirms come before (topic_settings::confirm_written).
    /// Never goes back; 0 without a store.
    sequence durable() const noexcept;
    /// Waits until all that was published before the call is durable, or told to the store as lost.
    /// Returns how many messages of that are not, and with them how many of this publisher's were
    /// lost before they ever were (see on_lost); these stay in what later calls return. 0: all
    /// became durable. 0 at once without a store. Returns early when no store will ever take them:
    /// the publisher is fenced, closed, or the store refused it for good. Counts this run's
    /// messages: what becomes of those that an earlier run put aside is in on_lost, the log, and
    /// stats().lost_to_store.
    std::uint64_t flush(std::chrono::milliseconds deadline);

    /// Waits until `count` subscribers are attached: none of them will miss what is published
    /// after. False when the deadline passed first.
    bool wait_for_subscribers(std::size_t count, std::chrono::milliseconds deadline);
    std::size_t subscribers() const;

    const std::string& topic() const noexcept;
    const std::string& source() const noexcept;
    cairn::epoch epoch() const noexcept;
    handle_stats stats() const;

    /// Takes no more messages and waits until every attached subscriber's node has received what
    /// was published, or was told that it is gone, and until all of it is durable in the store (or,
    /// with full_ring::spill, in the state directory: writing there may take the disk's time
    /// beyond the deadline, 10 s at most; whether the store takes what is put aside the next run
    /// learns, see full_ring::spill). Returns how many messages are still on their way to one
    /// of them: those not sent are counted, and of those sent to a node that answers no more, the
    /// number is estimated by their bytes; and with them, as flush() does, what was lost
    /// before it was durable. A reader whose connection breaks meanwhile is not waited
    /// for, and what it misses is not in here; nor is what was dropped for a reader that was left
    /// behind, which is in stats().drops. Ends with its node, and then returns what was left
    /// before. Idempotent.
    std::uint64_t close(std::chrono::milliseconds deadline);

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn
