#include <cairn/runtime/inlet.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <cstring>
#include <mutex>

namespace cairn::runtime {

namespace {

// A lone message behind another gets a block of its own size; a second one says that more will
// come.
constexpr std::size_t small_bytes = std::size_t{4} << 10;

constexpr std::size_t cache_line_bytes = 64;
// Ten messages of 100 bytes: longer than memory takes to answer.
constexpr std::size_t fetched_ahead_bytes = 1024;

// To write to a line that is not in this core's cache takes a hundred nanoseconds, and the next
// locked instruction waits for it.
void fetch_to_write(const std::byte* from, std::size_t ahead) noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(from) + ahead;
#if defined(__x86_64__)
    asm volatile("prefetchw (%0)" ::"r"(at));  // the builtin's is for reading, without -mprfchw
#else
    __builtin_prefetch(reinterpret_cast<const void*>(at), 1);
#endif
}

}  // namespace

send_result inlet::add(std::span<const std::byte> attributes, std::span<const std::byte> body,
                       bool& wake) {
    const std::size_t bytes = wire::record_bytes(attributes.size(), body.size());
    const std::lock_guard lock(lock_);
    if (stopped_ != send_status::accepted) return {stopped_, {}};
    if (body.size() > limits_.body_bytes || attributes.size() > wire::attributes_bytes_max)
        return {send_status::too_large, {}};
    if (open_bytes_ + bytes > open_.capacity() || open_count_ == limits_.batch_messages) {
        if (sealed_bytes_ + open_bytes_ > limits_.waiting_bytes) return {send_status::full, {}};
        make_room(bytes);
    }
    if (open_count_ == 0) open_time_ = std::chrono::system_clock::now();
    std::byte* const to = open_.data() + open_bytes_;
    // Not behind the block: what lies there is another's, who may be writing to it.
    if (open_.capacity() - open_bytes_ > fetched_ahead_bytes + 2 * cache_line_bytes) {
        fetch_to_write(to, fetched_ahead_bytes);
        if (bytes > cache_line_bytes) fetch_to_write(to, fetched_ahead_bytes + cache_line_bytes);
    }
    wire::write_record(to, attributes, body);
    open_bytes_ += bytes;
    accepted_bytes_ += bytes - wire::record_word_bytes;
    ++open_count_;
    const sequence given = next_;
    ++next_;
    // Nothing more fits a batch of one: close it now, so that it counts as full.
    if (open_bytes_ >= limits_.batch_bytes) seal();
    if (wake_on_any_ || (wake_on_seal_ && !sealed_empty())) {
        wake = true;
        wake_on_any_ = wake_on_seal_ = false;
    }
    return {send_status::accepted, given};
}

void inlet::make_room(std::size_t bytes) {
    const bool fits = open_bytes_ + bytes <= limits_.batch_bytes;
    if (open_count_ != 0 && (!fits || open_count_ == limits_.batch_messages)) seal();
    reserve(bytes);
}

void inlet::reserve(std::size_t bytes) {
    std::size_t wanted = open_bytes_ + bytes;
    if (open_count_ != 0)
        wanted = std::max({wanted, small_bytes, open_bytes_ * 4, grown_bytes_});
    else if (!last_was_lone_)
        wanted = std::max(wanted, grown_bytes_);
    // Never much above batch_bytes, whatever the growth rule says; one message always fits.
    wanted = std::min(wanted, std::max(limits_.batch_bytes, open_bytes_ + bytes));
    block_ref larger = block_ref::make(wanted);
    if (open_bytes_ != 0) std::memcpy(larger.data(), open_.data(), open_bytes_);
    open_ = std::move(larger);
}

void inlet::seal() {
    last_was_lone_ = open_count_ == 1;
    if (!last_was_lone_) grown_bytes_ = open_bytes_;
    sealed_bytes_ += open_bytes_;
    sealed_messages_ += open_count_;
    sealed_.push_back(
        {std::move(open_), open_bytes_, next_ - open_count_, open_count_, open_time_});
    open_ = block_ref();
    open_bytes_ = 0;
    open_count_ = 0;
}

sealed_batch inlet::pop_sealed() {
    sealed_batch first = std::move(sealed_[sealed_begin_++]);
    if (sealed_empty()) {
        sealed_.clear();
        sealed_begin_ = 0;
    } else if (sealed_begin_ * 2 > sealed_.size() && sealed_begin_ >= 64) {
        // Half of it is behind us: moving the rest costs less than what was taken.
        sealed_.erase(sealed_.begin(),
                      sealed_.begin() + static_cast<std::ptrdiff_t>(sealed_begin_));
        sealed_begin_ = 0;
    }
    return first;
}

std::optional<sealed_batch> inlet::take(bool open_too) {
    std::optional<sealed_batch> taken;
    {
        const std::lock_guard lock(lock_);
        if (sealed_empty() && open_too && open_count_ != 0) seal();
        if (sealed_empty()) {
            wake_on_any_ = open_too;
            wake_on_seal_ = true;
            return taken;
        }
        taken = pop_sealed();
        sealed_bytes_ -= taken->bytes;
        sealed_messages_ -= taken->count;
    }
    line_.let_in();
    return taken;
}

std::size_t inlet::next_bytes(bool open_too) {
    const std::lock_guard lock(lock_);
    if (!sealed_empty()) return sealed_[sealed_begin_].bytes;
    if (open_too && open_count_ != 0) return open_bytes_;
    wake_on_any_ = open_too;
    wake_on_seal_ = true;
    return 0;
}

bool inlet::any_sealed() const {
    const std::lock_guard lock(lock_);
    return !sealed_empty();
}

void inlet::stop(send_status status) {
    {
        const std::lock_guard lock(lock_);
        stopped_ = status;
    }
    line_.wake_all();
}

void inlet::refuse(bool yes) {
    if (refusing_.exchange(yes, std::memory_order_acq_rel) == yes || !yes) return;
    line_.wake_all();
}

send_status inlet::stopped() const {
    const std::lock_guard lock(lock_);
    return stopped_;
}

sequence inlet::last() const {
    const std::lock_guard lock(lock_);
    return next_ - 1;
}

std::size_t inlet::waiting_bytes() const {
    const std::lock_guard lock(lock_);
    return sealed_bytes_ + open_bytes_;
}

std::uint64_t inlet::waiting_messages() const {
    const std::lock_guard lock(lock_);
    return sealed_messages_ + open_count_;
}

std::uint64_t inlet::accepted_messages() const { return last().value; }

std::uint64_t inlet::accepted_bytes() const {
    const std::lock_guard lock(lock_);
    return accepted_bytes_;
}

}  // namespace cairn::runtime
