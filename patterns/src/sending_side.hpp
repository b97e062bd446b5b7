#pragma once

#include "topics.hpp"

#include <cairn/attributes.hpp>
#include <cairn/error.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/inlet.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/sending.hpp>
#include <cairn/wire/attributes.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What publishers and pushers have in common on the user's side.
namespace cairn::patterns {

using runtime::later;

/// The right to be a source on a topic in this node, and the epoch of its run.
///
/// Owns:    the claim. Threads: one at a time. Fails: throws error (topic_invalid, source_in_use,
/// too_large, closed, and what new_epoch throws).
struct claimed_source {
    claimed_source(runtime::hub& hub, std::string_view verb, std::string_view topic,
                   std::string_view wanted);
    ~claimed_source();
    claimed_source(const claimed_source&) = delete;
    claimed_source& operator=(const claimed_source&) = delete;

    runtime::hub& hub;
    const std::string topic;
    const std::string name;
    cairn::epoch epoch;
};

/// Bytes at which a batch is closed: as the user wants, but no more than every node takes in one
/// frame, and so that a few fit the memory for them: a reader must be able to be a batch behind.
inline std::size_t batch_bytes(std::size_t wanted, std::size_t memory_bytes_max) {
    return std::max<std::size_t>(
        1, std::min({wanted, wire::batch_bytes_default, memory_bytes_max / 4}));
}

/// Bytes that may wait for the loop in closed batches: one more batch of the usual size, so that
/// the user's thread fills one while the loop sends the other; with small batches as many of them.
inline std::size_t waiting_bytes(std::size_t batch_bytes, std::size_t memory_bytes_max) {
    constexpr std::size_t some = std::size_t{64} << 10;
    return std::max(batch_bytes, std::min(some, memory_bytes_max / 4));
}

/// Offers one message without waiting.
inline send_result offer(runtime::hub& hub, runtime::inlet& inlet, runtime::task& sender,
                         std::span<const std::byte> attributes, std::span<const std::byte> body) {
    if (hub.forked()) return {send_status::closed, {}};
    bool wake = false;
    const send_result result = inlet.add(attributes, body, wake);
    if (wake) {
        hub.loop().flag(sender);
        hub.loop().kick();
    }
    return result;
}

/// Offers one message; full only when what the loop has not got round to makes no room.
send_result try_send(runtime::hub& hub, runtime::inlet& inlet, runtime::task& sender,
                     std::span<const std::byte> attributes, std::span<const std::byte> body);

/// Offers one message until it is taken. Throws error (closed, fenced, too_large).
sequence send(runtime::hub& hub, runtime::inlet& inlet, runtime::task& sender,
              std::string_view verb, std::string_view topic, std::span<const std::byte> attributes,
              std::span<const std::byte> body);

/// The encoded attributes in a buffer of the calling thread, valid until the next call. Nothing
/// when they are above a limit.
std::optional<std::span<const std::byte>> try_encoded(const cairn::attributes& attributes);
/// The same; throws error (too_large).
std::span<const std::byte> encoded(const cairn::attributes& attributes, std::string_view verb,
                                   std::string_view topic);

}  // namespace cairn::patterns
