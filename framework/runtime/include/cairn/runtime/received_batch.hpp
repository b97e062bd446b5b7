#pragma once

#include <cairn/runtime/zmq_calls.hpp>
#include <cairn/wire/frames.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
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

    zmq::message_t frame2;

    /// With the bytes of `frame1`, which is left empty or as it is: small ones are copied behind
    /// the batch itself, since they are views of a buffer that libzmq shares among many, and each
    /// kept as it is would hold 8 KiB.
    static std::unique_ptr<received_batch> make(zmq::message_t& frame1);
    static void operator delete(void* batch) noexcept { ::operator delete(batch); }

    std::span<const std::byte> frame1() const noexcept { return frame1_; }

    received_batch(const received_batch&) = delete;
    received_batch& operator=(const received_batch&) = delete;

private:
    received_batch() = default;
    static void* operator new(std::size_t bytes, std::size_t behind) {
        return ::operator new(bytes + behind);
    }
    static void operator delete(void* batch, std::size_t) noexcept { ::operator delete(batch); }

    zmq::message_t large_;
    std::span<const std::byte> frame1_;
};

}  // namespace cairn::runtime
