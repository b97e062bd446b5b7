#pragma once

#include <cairn/ids.hpp>
#include <cairn/runtime/block.hpp>
#include <cairn/runtime/burst_lock.hpp>
#include <cairn/runtime/waiting_line.hpp>
#include <cairn/sending.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace cairn::runtime {

/// A closed batch on its way from the inlet to the loop.
struct sealed_batch {
    block_ref body;
    std::size_t bytes = 0;  ///< of `body` in use
    sequence first;
    std::uint32_t count = 0;
    wall_time time;
};

/// Where user threads and the loop meet on the sending side: gathers messages into the open batch
/// and numbers them.
///
/// The batch stays open as long as the loop has not taken it, so batches grow exactly as much as
/// the loop or the network is behind.
///
/// Threads: add(), line() and stop() thread-safe; take() loop.
/// Limits:  limits.waiting_bytes may wait, and one batch more.
class inlet {
public:
    struct limits {
        std::size_t batch_bytes;  ///< a batch is closed when the next message would exceed it
        std::size_t batch_messages;
        std::size_t waiting_bytes;  ///< closed batches that may wait for the loop
        std::size_t body_bytes;
    };

    explicit inlet(const limits& given) : limits_(given) {}

    /// Copies one message into the open batch. `wake` is set when the loop must be told: the loop
    /// had taken everything, or waits for a full batch and now there is one.
    /// Returns full when too much waits; a place in line() then waits until that may have changed.
    send_result add(std::span<const std::byte> attributes, std::span<const std::byte> body,
                    bool& wake);

    /// For callers that were told `full`.
    waiting_line& line() noexcept { return line_; }

    /// The next batch to send. A batch that is still open is taken only when `open_too`. Nothing:
    /// the next add() that changes that says `wake`.
    std::optional<sealed_batch> take(bool open_too);
    /// Bytes of the batch that take() would return; 0 when it would return nothing.
    std::size_t next_bytes(bool open_too);

    bool any_sealed() const;

    /// Full means: not before a store has taken something. Wakes who waits for room, so that it can
    /// be told so. Loop.
    void refuse(bool yes);
    bool refusing() const noexcept { return refusing_.load(std::memory_order_acquire); }

    /// From now on add() answers `status` (closed or fenced); wakes who waits for room.
    void stop(send_status status);

    /// What stop() said; accepted: nothing yet.
    send_status stopped() const;

    /// Highest sequence given out.
    sequence last() const;
    std::size_t waiting_bytes() const;
    std::uint64_t waiting_messages() const;
    std::uint64_t accepted_messages() const;
    std::uint64_t accepted_bytes() const;
    /// A call that found it full. Any thread.
    void count_refusal() noexcept { refusals_.fetch_add(1, std::memory_order_relaxed); }
    std::uint64_t refusals() const noexcept { return refusals_.load(std::memory_order_relaxed); }

private:
    void seal();
    bool sealed_empty() const noexcept { return sealed_begin_ == sealed_.size(); }
    sealed_batch pop_sealed();
    void reserve(std::size_t bytes);
    void make_room(std::size_t bytes);

    const limits limits_;
    mutable burst_lock lock_;

    // Guarded by lock_.
    send_status stopped_ = send_status::accepted;  // accepted: not stopped
    bool wake_on_any_ = true;
    bool wake_on_seal_ = true;
    block_ref open_;
    std::size_t open_bytes_ = 0;
    std::uint32_t open_count_ = 0;
    std::size_t grown_bytes_ = 0;  // of the last batch of several messages: what more will need
    bool last_was_lone_ = true;    // the last batch was one message
    wall_time open_time_;
    sequence next_{1};
    std::size_t sealed_bytes_ = 0;
    std::uint64_t sealed_messages_ = 0;
    std::uint64_t accepted_bytes_ = 0;
    // In order, from sealed_begin_ on. A vector, because it costs nothing while empty.
    std::vector<sealed_batch> sealed_;
    std::size_t sealed_begin_ = 0;

    waiting_line line_;
    std::atomic<std::uint64_t> refusals_{0};
    std::atomic<bool> refusing_{false};
};

}  // namespace cairn::runtime
