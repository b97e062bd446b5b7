#pragma once

#include <cairn/ids.hpp>
#include <cairn/runtime/block.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/runtime/spill.hpp>
#include <cairn/wire/frames.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace cairn::patterns {

/// A batch in a publisher's ring, encoded once for all its readers.
///
/// A small one is one frame, which all readers that chose the same channel share as it is: a
/// hundred readers cost a hundred references, no copy. A large one keeps its body in a block, which
/// ZeroMQ reads in place behind each reader's own header.
///
/// Threads: loop.
class published_batch {
public:
    /// `header` needs neither channel nor checksum.
    published_batch(wire::batch_header header, runtime::block_ref body, std::size_t body_bytes,
                    time_point now);

    sequence first() const noexcept { return first_; }
    sequence last() const noexcept { return last_; }
    wall_time time() const noexcept { return time_; }
    time_point published() const noexcept { return published_; }
    std::span<const std::byte> body() const noexcept;
    std::size_t body_bytes() const noexcept { return body_bytes_; }

    runtime::link::sent send(runtime::link& to, wire::channel channel);
    /// The same batch as APPEND, to a store.
    runtime::link::sent append(runtime::link& to, wire::channel channel);
    /// A copy of what it is, for a spill: the large body is shared.
    runtime::spill::batch put_aside() const;
    /// Some of its messages as a batch of their own, BATCH or APPEND: `part` is a piece of body(),
    /// `header` is as in the constructor.
    runtime::link::sent send_part(runtime::link& to, wire::channel channel, wire::kind as,
                                  wire::batch_header header, std::span<const std::byte> part);
    /// The same of a batch that is not in a ring: its body is in `block`.
    static runtime::link::sent send_records(runtime::link& to, wire::channel channel, wire::kind as,
                                            wire::batch_header header,
                                            const runtime::block_ref& block,
                                            std::span<const std::byte> records);

private:
    sequence first_;
    sequence last_;
    wall_time time_;
    time_point published_;
    std::size_t body_bytes_;
    wire::channel channel_ = 0;      // in frame_; 0: it was not sent yet
    zmq::message_t frame_;           // small: header and body
    std::vector<std::byte> header_;  // large: with any channel in it
    runtime::block_ref block_;       // large: the body
};

/// The ring's handle for one.
class batch_handle {
public:
    batch_handle() = default;
    explicit batch_handle(std::shared_ptr<published_batch> batch) : batch_(std::move(batch)) {}

    sequence first() const noexcept { return batch_->first(); }
    sequence last() const noexcept { return batch_->last(); }
    time_point published() const noexcept { return batch_->published(); }
    std::size_t bytes() const noexcept { return memory_of(batch_->body_bytes()); }
    published_batch& operator*() const noexcept { return *batch_; }
    published_batch* operator->() const noexcept { return batch_.get(); }

    /// What a batch with such a body takes in memory, headers and all.
    static std::size_t memory_of(std::size_t body_bytes) noexcept { return body_bytes + 320; }

private:
    std::shared_ptr<published_batch> batch_;
};

}  // namespace cairn::patterns
