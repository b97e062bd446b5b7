#include <cairn/protocol/tracker.hpp>

#include "plausible.hpp"

#include <algorithm>

namespace cairn::protocol {

namespace {

verdict malformed() {
    verdict out;
    out.what = verdict::kind::malformed;
    return out;
}

}  // namespace

stream_tracker::stream_tracker(cairn::epoch epoch, sequence next)
    : epoch_(epoch), next_(std::clamp(next, sequence{1}, sequence_max + 1)), known_(true) {
    sent_ = last_ = next_ - 1;
}

std::optional<sequence_range> stream_tracker::missing() const noexcept {
    if (sent_ < next_) return std::nullopt;
    return sequence_range{next_, sent_};
}

void stream_tracker::resubscribed() noexcept {
    sent_ = next_ - 1;
    repair_from_ = {};
}

bool stream_tracker::enter(cairn::epoch epoch, verdict& out) {
    if (epoch < epoch_) {
        out.what = verdict::kind::fenced;
        return false;
    }
    if (epoch == epoch_) return true;
    if (behind() != 0) out.tail = {epoch_, {next_, last_}};
    out.restart = {epoch_, epoch};
    *this = stream_tracker(epoch, sequence{1});
    return true;
}

// The publisher sends on from wherever it filled or told a hole, in order. What it had sent further
// on before is therefore no sign of another hole: only what arrives from now on is.
void stream_tracker::advance_past(sequence last) noexcept {
    next_ = last + 1;
    sent_ = last;
    last_ = std::max(last_, last);
}

void stream_tracker::tell_through(sequence last, verdict& out) {
    out.gap = {epoch_, {next_, last}};
    advance_past(last);
}

verdict stream_tracker::on_head(const stream_head& head) {
    if (!plausible(head)) return malformed();
    verdict out;
    if (!known_) *this = stream_tracker(head.epoch, head.next);
    if (!enter(head.epoch, out)) return out;
    last_ = std::max(last_, head.last);
    if (head.next <= next_) return out;
    if (head.first_held > next_) tell_through(std::min(head.first_held, head.next) - 1, out);
    sent_ = std::max(sent_, head.next - 1);
    return out;
}

verdict stream_tracker::on_batch(cairn::epoch epoch, sequence first, std::uint32_t count) {
    if (!plausible(first, count)) return malformed();
    verdict out;
    if (!known_) *this = stream_tracker(epoch, first);
    if (!enter(epoch, out)) return out;
    const sequence last = first + (count - 1);
    last_ = std::max(last_, last);
    if (last < next_) {
        out.what = verdict::kind::duplicate;
    } else if (first > next_) {
        out.what = verdict::kind::hole;
        sent_ = std::max(sent_, last);
    } else {
        out.what = verdict::kind::deliver;
        out.skip = static_cast<std::uint32_t>(next_ - first);
        advance_past(last);
    }
    return out;
}

verdict stream_tracker::on_gone(cairn::epoch epoch, sequence_range range) {
    if (!plausible(range)) return malformed();
    verdict out;
    if (!known_ || !enter(epoch, out)) return out;
    last_ = std::max(last_, range.last);
    if (range.last < next_) return out;
    if (range.first > next_) {
        sent_ = std::max(sent_, range.last);
    } else {
        tell_through(range.last, out);
    }
    return out;
}

verdict stream_tracker::on_end(cairn::epoch epoch, sequence last) {
    if (last > sequence_max) return malformed();
    verdict out;
    if (!known_ || !enter(epoch, out)) return out;
    if (last >= next_) tell_through(last, out);
    return out;
}

std::optional<sequence> stream_tracker::take_repair(time_point now) noexcept {
    if (now < repair_time() || !missing()) return std::nullopt;
    repair_from_ = next_;
    repair_at_ = now;
    return next_;
}

time_point stream_tracker::repair_time() const noexcept {
    if (!missing()) return time_point::max();
    return repair_from_ == next_ ? repair_at_ + repair_wait : time_point::min();
}

}  // namespace cairn::protocol
