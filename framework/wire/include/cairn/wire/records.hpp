#pragma once

#include <cairn/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

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

inline std::uint32_t load_record_word(const std::byte* at) noexcept {
    // Compilers make one load of this, or one load and a swap.
    return static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8 |
           static_cast<std::uint32_t>(at[2]) << 16 | static_cast<std::uint32_t>(at[3]) << 24;
}

inline void store_record_word(std::byte* at, std::uint32_t word) noexcept {
    at[0] = static_cast<std::byte>(word);
    at[1] = static_cast<std::byte>(word >> 8);
    at[2] = static_cast<std::byte>(word >> 16);
    at[3] = static_cast<std::byte>(word >> 24);
}

/// Writes one record at `out` and returns its end. Inline: the hot path of publishing.
/// Requires: record_bytes(attributes.size(), body.size()) bytes at `out`.
inline std::byte* write_record(std::byte* out, std::span<const std::byte> attributes,
                               std::span<const std::byte> body) noexcept {
    const std::size_t size = attributes.size() + body.size();
    const std::uint32_t bit = attributes.empty() ? 0 : record_attributes_bit;
    store_record_word(out, static_cast<std::uint32_t>(size) | bit);
    out += record_word_bytes;
    if (!attributes.empty()) std::memcpy(out, attributes.data(), attributes.size());
    out += attributes.size();
    if (!body.empty()) std::memcpy(out, body.data(), body.size());
    return out + body.size();
}

/// Bytes of the attributes at the beginning of an approved record's content.
std::size_t attributes_extent(std::span<const std::byte> content) noexcept;

/// Walks the records of a body that check_records() has approved, without checking again.
/// The attributes' end is found by skipping one msgpack value.
class record_reader {
public:
    record_reader() = default;
    explicit record_reader(std::span<const std::byte> body) noexcept
        : at_(body.data()), end_(body.data() + body.size()) {}

    bool done() const noexcept { return at_ == end_; }

    /// Requires: !done().
    record next() noexcept {
        const std::uint32_t word = load_record_word(at_);
        const std::span<const std::byte> content(at_ + record_word_bytes,
                                                 word & ~record_attributes_bit);
        at_ = content.data() + content.size();
        if ((word & record_attributes_bit) == 0) [[likely]]
            return {.attributes = {}, .body = content};
        const std::size_t attributes = attributes_extent(content);
        return {.attributes = content.first(attributes), .body = content.subspan(attributes)};
    }

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
