#pragma once

#include <cairn/ids.hpp>

#include <cstdint>

namespace cairn {

/// What became of one message that was offered without waiting.
enum class send_status : std::uint8_t {
    accepted,
    full,       ///< a limit is reached; nothing was taken
    closed,     ///< the handle or its node was closed; nothing was taken
    fenced,     ///< a newer run of this source exists; nothing was taken
    too_large,  ///< body or attributes are above their limit; nothing was taken
    /// The store refused this publisher for good, and its peers see nothing else
    /// (delivery::store_first); nothing was taken.
    refused,
};

/// Status and, when accepted, the sequence that the message got.
struct [[nodiscard]] send_result {
    send_status status = send_status::closed;
    cairn::sequence sequence;

    explicit operator bool() const noexcept { return status == send_status::accepted; }
};

}  // namespace cairn
