#include <cairn/runtime/waiting_line.hpp>

#include <mutex>

namespace cairn::runtime {

void waiting_line::join(place& p) noexcept {
    const std::lock_guard lock(lock_);
    p.round_ = places_[round_ & 1] == 0 ? round_ : round_ + 1;
    p.seen_ = words_[p.round_ & 1].load(std::memory_order_relaxed);
    p.joined_ = true;
    ++places_[p.round_ & 1];
    waiting_.fetch_add(1, std::memory_order_relaxed);
}

void waiting_line::await_turn(place& p) const noexcept {
    const std::atomic<std::uint32_t>& word = words_[p.round_ & 1];
    word.wait(p.seen_, std::memory_order_acquire);
    p.seen_ = word.load(std::memory_order_acquire);
}

void waiting_line::leave(const place& p) noexcept {
    std::atomic<std::uint32_t>* next = nullptr;
    {
        const std::lock_guard lock(lock_);
        waiting_.fetch_sub(1, std::memory_order_relaxed);
        // The last of its round: perhaps it left room for the next.
        if (--places_[p.round_ & 1] == 0 && p.round_ == round_ && places_[(round_ + 1) & 1] != 0) {
            next = &words_[++round_ & 1];
            next->fetch_add(1, std::memory_order_release);
        }
    }
    if (next != nullptr) next->notify_all();
}

void waiting_line::wake_next() noexcept {
    std::atomic<std::uint32_t>* word = nullptr;
    {
        const std::lock_guard lock(lock_);
        if (places_[round_ & 1] == 0) ++round_;
        word = &words_[round_ & 1];
        word->fetch_add(1, std::memory_order_release);
    }
    word->notify_all();
}

void waiting_line::wake_all() noexcept {
    for (std::atomic<std::uint32_t>& word : words_) {
        word.fetch_add(1, std::memory_order_release);
        word.notify_all();
    }
}

}  // namespace cairn::runtime
