#pragma once

#include <cairn/runtime/zmq_calls.hpp>
#include <cairn/wire/frames.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace cairn::runtime {

/// A batch that came from the network, checked and with its bytes: what message views point into.
/// Does not move, since the header's strings are views of its own frames.
struct received_batch {
    wire::jobs_header header;  ///< of BATCH or JOBS; attempt is 1 for BATCH
    std::span<const std::byte> body;
    std::uint32_t skip = 0;  ///< leading messages that the reader had before
    /// Where its reader counts what the application took of this peer's batches.
    std::atomic<std::uint64_t>* taken = nullptr;
    std::uint32_t stream = 0;    ///< the reader's number for the (topic,) source that it came from
    std::uint64_t delivery = 0;  ///< the puller's number for this run; 1, 2, 3 …

    zmq::message_t frame1;
    zmq::message_t frame2;

    received_batch() = default;
    received_batch(const received_batch&) = delete;
    received_batch& operator=(const received_batch&) = delete;
};

}  // namespace cairn::runtime
