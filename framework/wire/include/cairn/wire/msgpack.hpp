#pragma once

#include <cairn/error.hpp>
#include <cairn/wire/limits.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>

/// The one place in the tree that decodes msgpack (https://msgpack.org) from a peer.
namespace cairn::wire::msgpack {

/// Format bytes, named as the specification names them.
namespace format {
inline constexpr std::uint8_t fixmap = 0x80;
inline constexpr std::uint8_t fixarray = 0x90;
inline constexpr std::uint8_t fixstr = 0xa0;
inline constexpr std::uint8_t nil = 0xc0;
inline constexpr std::uint8_t never_used = 0xc1;
inline constexpr std::uint8_t boolean_false = 0xc2;
inline constexpr std::uint8_t boolean_true = 0xc3;
inline constexpr std::uint8_t bin8 = 0xc4;
inline constexpr std::uint8_t bin16 = 0xc5;
inline constexpr std::uint8_t bin32 = 0xc6;
inline constexpr std::uint8_t ext8 = 0xc7;
inline constexpr std::uint8_t ext32 = 0xc9;
inline constexpr std::uint8_t float32 = 0xca;
inline constexpr std::uint8_t float64 = 0xcb;
inline constexpr std::uint8_t uint8 = 0xcc;
inline constexpr std::uint8_t uint16 = 0xcd;
inline constexpr std::uint8_t uint32 = 0xce;
inline constexpr std::uint8_t uint64 = 0xcf;
inline constexpr std::uint8_t int8 = 0xd0;
inline constexpr std::uint8_t int16 = 0xd1;
inline constexpr std::uint8_t int32 = 0xd2;
inline constexpr std::uint8_t int64 = 0xd3;
inline constexpr std::uint8_t fixext1 = 0xd4;
inline constexpr std::uint8_t fixext16 = 0xd8;
inline constexpr std::uint8_t str8 = 0xd9;
inline constexpr std::uint8_t str16 = 0xda;
inline constexpr std::uint8_t str32 = 0xdb;
inline constexpr std::uint8_t array16 = 0xdc;
inline constexpr std::uint8_t array32 = 0xdd;
inline constexpr std::uint8_t map16 = 0xde;
inline constexpr std::uint8_t map32 = 0xdf;
inline constexpr std::uint8_t negative_fixint = 0xe0;
}  // namespace format

/// Most bytes that one item takes beside its payload.
inline constexpr std::size_t item_overhead_max = 9;

/// Reads msgpack items one after another, as the caller expects them.
///
/// The first failure sticks: every later call returns zero, false or empty and keeps the error, so
/// a caller may read a whole frame and look at error() once. Integers of every width are taken.
///
/// Owns:    nothing; what it returns are views of the bytes given.
/// Threads: one at a time.
/// Fails:   error(): malformed (truncated, another type, out of range), too_large (a text or bin
///          above the caller's maximum), limit_exceeded (items or depth). Never throws.
/// Limits:  array_items_max, map_items_max, depth_max. Time linear in the bytes given.
class reader {
public:
    explicit reader(std::span<const std::byte> bytes) noexcept
        : begin_(bytes.data()), at_(begin_), end_(begin_ + bytes.size()) {}

    /// An integer in [0, max].
    std::uint64_t uint(std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) noexcept {
        if (at_ != end_ && byte_at(0) < format::fixmap && byte_at(0) <= max) return byte_at_next();
        return uint_of_width(max);
    }
    /// An integer in the range of int64.
    std::int64_t integer() noexcept;
    bool boolean() noexcept;
    /// A str.
    std::string_view text(std::size_t bytes_max) noexcept;
    /// A bin.
    std::span<const std::byte> bin(std::size_t bytes_max) noexcept;
    /// A str or a bin.
    std::string_view text_or_bin(std::size_t bytes_max) noexcept;
    /// Enters an array and returns its number of items.
    std::size_t array() noexcept;
    /// Enters a map and returns its number of pairs.
    std::size_t map() noexcept;
    /// Passes over one item of any type with all that it contains. `enclosing` containers are
    /// already entered and count against depth_max.
    void skip(std::size_t enclosing = 0) noexcept;

    /// What the next item is: an unsigned integer, a map.
    bool at_uint() const noexcept;
    bool at_map() const noexcept;

    bool done() const noexcept { return at_ == end_; }
    std::size_t consumed() const noexcept { return static_cast<std::size_t>(at_ - begin_); }
    std::size_t remaining() const noexcept { return static_cast<std::size_t>(end_ - at_); }

    errc error() const noexcept { return error_; }
    bool failed() const noexcept { return error_ != errc::ok; }
    /// Keeps the first failure; nothing more is read after it.
    void fail(errc code) noexcept;

private:
    std::uint8_t byte_at(std::size_t offset) const noexcept {
        return static_cast<std::uint8_t>(at_[offset]);
    }
    std::uint8_t byte_at_next() noexcept { return static_cast<std::uint8_t>(*at_++); }

    std::uint64_t uint_of_width(std::uint64_t max) noexcept;
    std::uint64_t big_endian(std::size_t bytes) noexcept;
    std::span<const std::byte> payload(std::uint64_t bytes, std::size_t bytes_max) noexcept;
    std::size_t items(std::uint64_t count, std::size_t count_max) noexcept;
    std::uint64_t skip_head() noexcept;

    const std::byte* begin_;
    const std::byte* at_;
    const std::byte* end_;
    errc error_ = errc::ok;
};

/// Writes msgpack items into memory of the caller's, each in its smallest form.
///
/// Owns:    nothing.
/// Threads: one at a time.
/// Fails:   overflowed(): an item did not fit; from then on nothing is written.
class writer {
public:
    explicit writer(std::span<std::byte> out) noexcept
        : begin_(out.data()), at_(begin_), end_(begin_ + out.size()) {}

    void uint(std::uint64_t value) noexcept;
    /// Always five bytes, whatever the value: for a number that is written over later.
    void uint32_fixed(std::uint32_t value) noexcept;
    void integer(std::int64_t value) noexcept;
    void boolean(bool value) noexcept;
    void text(std::string_view value) noexcept;
    void bin(std::span<const std::byte> value) noexcept;
    void array(std::size_t items) noexcept;
    void map(std::size_t pairs) noexcept;

    std::size_t written() const noexcept { return static_cast<std::size_t>(at_ - begin_); }
    bool overflowed() const noexcept { return overflowed_; }

private:
    bool fits(std::size_t bytes) noexcept;
    void put(std::uint8_t format, std::uint64_t value, std::size_t width) noexcept;
    void put_bytes(const void* data, std::size_t bytes) noexcept;

    std::byte* begin_;
    std::byte* at_;
    std::byte* end_;
    bool overflowed_ = false;
};

}  // namespace cairn::wire::msgpack
