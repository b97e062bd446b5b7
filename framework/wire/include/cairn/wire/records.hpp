#pragma once

#include <cairn/error.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

/// Records: the messages inside a batch body.
///
///     word        4 bytes, little-endian: bits 0 to 30 = bytes after the word, bit 31 = attributes
///     attributes  if bit 31: one msgpack map, see PROTOCOL.md "Attributes"
///     body        the rest
namespace cairn::wire {

inline constexpr std::size_t record_word_bytes = 4;
inline constexpr std::uint32_t record_attributes_bit = std::uint32_t{1} << 31;

/// One message as it lies in a batch body; views of that body.
struct record {
    std::span<const std::byte> attributes;  ///< the encoded map; empty when there is none
    std::span<const std::byte> body;
};

inline std::size_t record_bytes(std::size_t attributes, std::size_t body) noexcept {
    return record_word_bytes + attributes + body;
}

/// Writes one record at `out` and returns its end. Inline: the hot path of publishing.
/// Requires: record_bytes(attributes.size(), body.size()) bytes at `out`.
std::byte* write_record(std::byte* out, std::span<const std::byte> attributes,
                        std::span<const std::byte> body) noexcept;

/// Walks the records of a body that check_records() has approved, without checking again.
/// The attributes' end is found by skipping one msgpack value.
class record_reader {
public:
    record_reader() = default;
    explicit record_reader(std::span<const std::byte> body) noexcept
        : at_(body.data()), end_(body.data() + body.size()) {}

    bool done() const noexcept { return at_ == end_; }

    /// Requires: !done().
    record next() noexcept;

    /// Bytes not yet read.
    std::size_t remaining() const noexcept { return static_cast<std::size_t>(end_ - at_); }

private:
    const std::byte* at_ = nullptr;
    const std::byte* end_ = nullptr;
};

/// Whether `body` is exactly `count` well-formed records: sizes inside the body, bodies and
/// attributes inside their limits, attributes one well-formed map. errc::ok or what is wrong.
errc check_records(std::span<const std::byte> body, std::uint32_t count) noexcept;

/// Bytes that the first `count` records of an approved body take.
std::size_t prefix_bytes(std::span<const std::byte> body, std::uint32_t count) noexcept;

}  // namespace cairn::wire
