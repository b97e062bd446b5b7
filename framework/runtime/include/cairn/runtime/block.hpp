#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace cairn::runtime {

/// Bytes with a reference count in front: a batch body, shared by the ring, by every link that
/// sends it, and by ZeroMQ until it is written to the network.
///
/// Large blocks (16 KiB and more, in a few sizes) are kept for reuse when they are freed, up to 64
/// MiB in the process: fresh memory would be faulted in page by page at each batch.
///
/// Threads: counting is thread-safe; writing the bytes is the owner's before it shares them.
class block_ref {
public:
    block_ref() = default;
    /// A block of at least `capacity` bytes. Throws std::bad_alloc.
    static block_ref make(std::size_t capacity);

    block_ref(const block_ref& other) noexcept : block_(other.block_) {
        if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
    }
    block_ref(block_ref&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    block_ref& operator=(block_ref other) noexcept {
        std::swap(block_, other.block_);
        return *this;
    }
    ~block_ref() {
        if (block_) drop(block_);
    }

    explicit operator bool() const noexcept { return block_ != nullptr; }
    std::byte* data() const noexcept { return reinterpret_cast<std::byte*>(block_ + 1); }
    std::size_t capacity() const noexcept { return block_ ? block_->capacity : 0; }

    /// Hands one reference to C code; give_back() ends it. For zmq_msg_init_data.
    void* lend() const noexcept {
        block_->references.fetch_add(1, std::memory_order_relaxed);
        return block_;
    }
    static void give_back(void* lent) noexcept { drop(static_cast<header*>(lent)); }

private:
    struct alignas(16) header {
        std::atomic<std::uint32_t> references;
        std::uint32_t size_class;
        std::size_t capacity;
    };

    static void drop(header* block) noexcept {
        if (block->references.fetch_sub(1, std::memory_order_acq_rel) == 1) release(block);
    }
    static void release(header* block) noexcept;

    header* block_ = nullptr;
};

}  // namespace cairn::runtime
