#include <cairn/protocol/backoff.hpp>

#include <algorithm>

namespace cairn::protocol {

duration backoff::next(std::uint32_t random) noexcept {
    const duration half = step_ / 2;
    const double part = static_cast<double>(random) / 4'294'967'296.0;
    const auto above = static_cast<double>((step_ - half).count()) * part;
    step_ = std::min(step_ * 2, max_);
    return half + duration(static_cast<duration::rep>(above));
}

}  // namespace cairn::protocol
