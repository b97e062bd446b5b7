#include <cairn/protocol/credit.hpp>

#include "saturate.hpp"

#include <algorithm>

namespace cairn::protocol {

void credit_sender::spend(std::uint64_t bytes) noexcept { spent_ = add_saturated(spent_, bytes); }

bool credit_sender::raise(grant to) noexcept {
    const grant before{granted_, consumed_};
    granted_ = std::max(granted_, to.granted);
    consumed_ = std::max(consumed_, std::min(to.consumed, spent_));
    if (granted_ > consumed_) window_ = std::max(window_, granted_ - consumed_);
    return before != grant{granted_, consumed_};
}

bool credit_sender::moved() noexcept {
    const std::uint64_t step = std::clamp<std::uint64_t>(window_ / 8, 1, report_bytes / 2);
    if (!may_send() && consumed_ - noted_ < step) return false;
    noted_ = consumed_;
    return true;
}

credit_reader::credit_reader(std::uint64_t window, std::uint64_t waiting) noexcept
    : window_(window),
      earlier_(waiting),
      waiting_(waiting),
      granted_(window > waiting ? window - waiting : 0) {}

bool credit_reader::received(std::uint64_t bytes) noexcept {
    const bool granted = received_ < granted_;
    received_ = add_saturated(received_, bytes);
    waiting_ = add_saturated(waiting_, bytes);
    largest_ = std::max(largest_, std::min(bytes, window_ / 8));
    return granted;
}

void credit_reader::consumed(std::uint64_t bytes) noexcept {
    bytes = std::min(bytes, waiting_);
    waiting_ -= bytes;
    earlier_ -= std::min(earlier_, bytes);  // what came first is taken first
    fresh_ += bytes;
}

std::uint64_t credit_reader::step() const noexcept {
    return std::clamp<std::uint64_t>(window_ / 4, 1, report_bytes);
}

std::optional<grant> credit_reader::due() noexcept {
    if (fresh_ < step()) return std::nullopt;
    fresh_ = 0;
    const std::uint64_t kept = window_ - largest_;
    if (waiting_ < kept) granted_ = std::max(granted_, add_saturated(received_, kept - waiting_));
    return grant{.granted = granted_, .consumed = received_ - (waiting_ - earlier_)};
}

}  // namespace cairn::protocol
