#include <cairn/protocol/work_credit.hpp>

#include "saturate.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace cairn::protocol {

namespace {

double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

std::uint64_t left_of(std::uint64_t granted, std::uint64_t spent) {
    return granted > spent ? granted - spent : 0;
}

}  // namespace

// --- pace -------------------------------------------------------------------------------------

pace::pace(std::uint64_t max, duration prefetch) noexcept
    : max_(std::max<std::uint64_t>(max, 1)),
      prefetch_(seconds(prefetch)),
      window_(prefetch > duration::zero() ? 1 : max_) {}

void pace::worked(std::uint64_t messages, time_point now) noexcept {
    if (now > mark_) seconds_ += seconds(now - mark_);
    mark_ = std::max(mark_, now);
    messages_ += static_cast<double>(messages);
    // Callers may report each message; the exponential is taken only now and then.
    if (seconds_ > prefetch_ / 8) fold();
}

void pace::fold() noexcept {
    if (prefetch_ <= 0) return;
    const double weight = std::exp2(-seconds_ / prefetch_);
    faded_messages_ = faded_messages_ * weight + messages_;
    faded_seconds_ = faded_seconds_ * weight + seconds_;
    messages_ = 0;
    seconds_ = 0;
}

void pace::adapt() noexcept {
    if (prefetch_ <= 0) return;
    fold();
    const double wanted = faded_messages_ * prefetch_;  // is rate times prefetch times seconds
    if (wanted <= 0) return;
    const auto max = static_cast<double>(max_);
    const std::uint64_t target =
        wanted >= max * faded_seconds_
            ? max_
            : std::max<std::uint64_t>(1, static_cast<std::uint64_t>(wanted / faded_seconds_));
    window_ = target <= window_ ? target : std::min(target, add_saturated(window_, window_));
}

void pace::widen() noexcept { window_ = std::min(max_, add_saturated(window_, window_)); }

// --- Sender -----------------------------------------------------------------------------------

work_grant work_credit_sender::left() const noexcept {
    const work_grant left{.messages = left_of(granted_.messages, spent_.messages),
                          .bytes = left_of(granted_.bytes, spent_.bytes)};
    return left.messages == 0 || left.bytes == 0 ? work_grant{} : left;
}

void work_credit_sender::spend(std::uint64_t messages, std::uint64_t bytes) noexcept {
    spent_.messages = add_saturated(spent_.messages, messages);
    spent_.bytes = add_saturated(spent_.bytes, bytes);
}

bool work_credit_sender::raise(work_grant to) noexcept {
    const work_grant before = granted_;
    granted_.messages = std::max(granted_.messages, to.messages);
    granted_.bytes = std::max(granted_.bytes, to.bytes);
    return before != granted_;
}

// --- Reader -----------------------------------------------------------------------------------

work_credit_reader::work_credit_reader(std::uint64_t messages_max, std::uint64_t bytes_window,
                                       duration prefetch) noexcept
    : pace_(messages_max, prefetch),
      messages_max_(std::max<std::uint64_t>(messages_max, 1)),
      bytes_window_(bytes_window),
      granted_{.messages = pace_.window(), .bytes = bytes_window} {}

bool work_credit_reader::received(std::uint64_t messages, std::uint64_t bytes,
                                  time_point now) noexcept {
    if (waiting().messages == 0) pace_.woke(now);
    asking_ = false;
    const bool bytes_left = received_.bytes < granted_.bytes;
    received_.messages = add_saturated(received_.messages, messages);
    received_.bytes = add_saturated(received_.bytes, bytes);
    return bytes_left && received_.messages <= granted_.messages;
}

void work_credit_reader::consumed(std::uint64_t messages, std::uint64_t bytes,
                                  time_point now) noexcept {
    messages = std::min(messages, waiting().messages);
    if (messages != 0) pace_.worked(messages, now);
    dropped(messages, bytes);
}

void work_credit_reader::dropped(std::uint64_t messages, std::uint64_t bytes) noexcept {
    consumed_.messages += std::min(messages, waiting().messages);
    consumed_.bytes += std::min(bytes, waiting().bytes);
}

std::optional<work_grant> work_credit_reader::due() noexcept {
    if (asking_) {
        pace_.adapt();
        return raise_to(add_saturated(received_.messages, pace_.window()));
    }
    const std::uint64_t messages = consumed_.messages - reported_.messages;
    const std::uint64_t bytes = consumed_.bytes - reported_.bytes;
    const bool much = messages >= std::max<std::uint64_t>(1, pace_.window() / 4) ||
                      bytes >= std::max<std::uint64_t>(1, bytes_window_ / 4);
    if (!much) return std::nullopt;

    pace_.adapt();
    return raise_to(add_saturated(consumed_.messages, pace_.window()));
}

std::optional<work_grant> work_credit_reader::asked() noexcept {
    const bool messages_used_up = received_.messages >= granted_.messages;
    const bool bytes_used_up = received_.bytes >= granted_.bytes;
    if (waiting().messages == 0 || (!messages_used_up && !bytes_used_up)) return std::nullopt;
    asking_ = true;
    const bool at_limit = waiting().messages >= messages_max_;
    if (bytes_used_up || at_limit) return raise_to(granted_.messages);
    pace_.widen();
    return raise_to(add_saturated(received_.messages, pace_.window()));
}

std::optional<work_grant> work_credit_reader::raise_to(std::uint64_t messages) noexcept {
    reported_ = consumed_;
    const work_grant before = granted_;
    messages = std::min(messages, add_saturated(consumed_.messages, messages_max_));
    granted_.messages = std::max(granted_.messages, messages);
    granted_.bytes = std::max(granted_.bytes, add_saturated(consumed_.bytes, bytes_window_));
    if (granted_ == before) return std::nullopt;
    return granted_;
}

work_grant work_credit_reader::waiting() const noexcept {
    return {.messages = received_.messages - consumed_.messages,
            .bytes = received_.bytes - consumed_.bytes};
}

}  // namespace cairn::protocol
