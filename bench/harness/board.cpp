#include "harness/board.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace cairn::bench {

// Both sides of the shared memory are this program, and fresh memory of the kernel is all zero,
// which is the initial state of everything on the board.
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<phase>::is_always_lock_free);

board::board(std::size_t lanes)
    : descriptor_(::memfd_create("cairn-bench", MFD_CLOEXEC)), lanes_(lanes) {
    if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
    if (::ftruncate(descriptor_, static_cast<off_t>(bytes())) != 0) {
        const int cause = errno;
        ::close(descriptor_);
        throw std::system_error(cause, std::generic_category(), "ftruncate");
    }
    map();
}

board::board(int descriptor, std::size_t lanes) : descriptor_(descriptor), lanes_(lanes) { map(); }

board::~board() {
    ::munmap(phase_, bytes());
    ::close(descriptor_);
}

void board::map() {
    void* memory =
        ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, /*offset*/ 0);
    if (memory == MAP_FAILED) {
        const int cause = errno;
        ::close(descriptor_);
        throw std::system_error(cause, std::generic_category(), "mmap");
    }
    phase_ = static_cast<std::atomic<bench::phase>*>(memory);
}

// The phase has the first lane's place to itself: every role reads it, so no role may write there.
std::size_t board::bytes() const noexcept { return sizeof(lane) * (lanes_ + 1); }

lane* board::mapped_lanes() const noexcept {
    return reinterpret_cast<lane*>(reinterpret_cast<std::byte*>(phase_) + sizeof(lane));
}

}  // namespace cairn::bench
