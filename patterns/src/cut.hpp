#pragma once

#include <cairn/ids.hpp>
#include <cairn/wire/records.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace cairn::patterns {

/// Messages of a batch, next to each other, all of which a peer takes, or none.
struct cut {
    sequence_range range;
    std::span<const std::byte> records;  ///< theirs, a piece of the batch's body
    bool taken = false;                  ///< no body is above what the peer takes
};

/// The longest cut of the batch `body`, whose first message is `first`, that begins at `from`. The
/// peer takes bodies of up to `body_bytes_max`.
/// Requires: `from` is in the batch, and `body` well formed.
inline cut next_cut(std::span<const std::byte> body, sequence first, sequence from,
                    std::uint64_t body_bytes_max) {
    wire::record_reader records(body);
    for (sequence at = first; at < from; ++at) static_cast<void>(records.next());
    const std::size_t begin = body.size() - records.remaining();
    cut out;
    out.range.first = from;
    out.taken = records.next().body.size() <= body_bytes_max;
    sequence next = from + 1;
    for (; !records.done(); ++next) {
        wire::record_reader ahead = records;
        if ((ahead.next().body.size() <= body_bytes_max) != out.taken) break;
        records = ahead;
    }
    out.range.last = next - 1;
    out.records = body.subspan(begin, body.size() - records.remaining() - begin);
    return out;
}

}  // namespace cairn::patterns
