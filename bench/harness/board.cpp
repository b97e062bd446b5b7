#include "harness/board.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <system_error>

namespace cairn::bench {

// Both sides of the shared memory are this program, and fresh memory of the kernel is all zero,
// which is the initial state of everything on the board.
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<phase>::is_always_lock_free);

std::size_t histogram::bucket_of(std::uint64_t ns) noexcept {
    ns = std::min(ns, (std::uint64_t{1} << value_bits) - 1);
    if (ns < (1U << sub_bits)) return ns;
    const auto shift = static_cast<unsigned>(std::bit_width(ns)) - sub_bits - 1;
    return (std::size_t{shift + 1} << sub_bits) + ((ns >> shift) & ((1U << sub_bits) - 1));
}

double histogram::middle_of(std::size_t bucket) noexcept {
    const auto group = bucket >> sub_bits;
    if (group == 0) return static_cast<double>(bucket);
    const auto shift = group - 1;
    const auto mantissa = (std::uint64_t{1} << sub_bits) + (bucket & ((1U << sub_bits) - 1));
    const auto width = static_cast<double>(std::uint64_t{1} << shift);
    return static_cast<double>(mantissa) * width + (width - 1) / 2;
}

void histogram::add_all_of(const histogram& other) noexcept {
    for (std::size_t i = 0; i < bucket_count; ++i)
        counts_[i].fetch_add(other.counts_[i].load(std::memory_order_relaxed),
                             std::memory_order_relaxed);
}

std::uint64_t histogram::count() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& count : counts_) sum += count.load(std::memory_order_relaxed);
    return sum;
}

double histogram::percentile(double share) const noexcept {
    const auto total = count();
    const auto rank = std::max(1.0, std::ceil(share * static_cast<double>(total)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < bucket_count; ++i) {
        seen += counts_[i].load(std::memory_order_relaxed);
        if (seen > 0 && static_cast<double>(seen) >= rank) return middle_of(i);
    }
    return 0;
}

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
