#pragma once

#include <cairn/attributes.hpp>
#include <cairn/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

namespace runtime {
struct received_batch;
}

/// A message that owns its bytes and may be kept; what message::copy() returns.
struct owned_message {
    std::string topic;
    cairn::position position;
    wall_time time;
    cairn::attributes attributes;
    std::vector<std::byte> body;
    std::uint32_t attempt = 1;

    std::string_view text() const {
        return {reinterpret_cast<const char*>(body.data()), body.size()};
    }
};

/// A received message: a view of the batch that it came in.
///
/// Owns:    nothing. Valid until the next call of a receiving function of the handle that
///          returned it; copy() makes one that lasts.
/// Threads: one at a time.
/// Fails:   never.
/// Limits:  those of its sender: body up to node_options::body_bytes_max, attributes up to 64 KiB.
class message {
public:
    std::string_view topic() const noexcept;
    std::string_view source() const noexcept;
    cairn::epoch epoch() const noexcept;
    cairn::sequence sequence() const noexcept { return sequence_; }
    cairn::position position() const;

    /// When the batch's first message was published, by the publisher's clock.
    wall_time time() const noexcept;

    std::span<const std::byte> body() const noexcept { return body_; }
    /// The body's bytes as characters.
    std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(body_.data()), body_.size()};
    }

    /// The key, empty when there is none; a view like the body.
    std::string_view key() const noexcept;
    bool has_attributes() const noexcept { return !attributes_.empty(); }
    /// Decodes the attributes; all empty when there are none.
    cairn::attributes attributes() const;

    owned_message copy() const;

    /// Not for users: the handles make messages.
    message(const runtime::received_batch& batch, cairn::sequence sequence,
            std::span<const std::byte> attributes, std::span<const std::byte> body) noexcept
        : batch_(&batch), sequence_(sequence), attributes_(attributes), body_(body) {}

protected:
    const runtime::received_batch* batch_;
    cairn::sequence sequence_;
    std::span<const std::byte> attributes_;
    std::span<const std::byte> body_;
};

}  // namespace cairn
