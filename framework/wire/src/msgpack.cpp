#include <cairn/wire/msgpack.hpp>

#include <array>
#include <bit>

namespace cairn::wire::msgpack {

namespace {

constexpr bool in(std::uint8_t value, std::uint8_t low, std::uint8_t high) {
    return value >= low && value <= high;
}

// uint8, uint16, uint32, uint64 (and likewise the other families of a power of two) follow each
// other, so the distance to the first says how many bytes the number takes.
constexpr std::size_t width_after(std::uint8_t format, std::uint8_t first) {
    return std::size_t{1} << (format - first);
}

std::uint64_t swapped(std::uint64_t value) {
    return std::endian::native == std::endian::little ? __builtin_bswap64(value) : value;
}

constexpr bool is_map(std::uint8_t first) {
    return in(first, format::fixmap, format::fixarray - 1) ||
           in(first, format::map16, format::map32);
}

constexpr bool is_array(std::uint8_t first) {
    return in(first, format::fixarray, format::fixstr - 1) ||
           in(first, format::array16, format::array32);
}

}  // namespace

void reader::fail(errc code) noexcept {
    if (failed()) return;
    error_ = code;
    // Later reads find nothing, so they need not ask whether an earlier one failed.
    end_ = at_;
}

std::uint64_t reader::big_endian(std::size_t bytes) noexcept {
    if (remaining() < bytes) {
        fail(errc::malformed);
        return 0;
    }
    std::uint64_t value = 0;
    if (remaining() >= sizeof(value)) {
        // One load of more than is wanted is faster than a loop over the bytes.
        std::memcpy(&value, at_, sizeof(value));
        value = swapped(value) >> (64 - 8 * bytes);
    } else {
        for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | byte_at(i);
    }
    at_ += bytes;
    return value;
}

std::uint64_t reader::uint_of_width(std::uint64_t max) noexcept {
    const std::uint8_t first = done() ? format::never_used : byte_at_next();
    std::uint64_t value = 0;
    if (first < format::fixmap) {
        value = first;
    } else if (in(first, format::uint8, format::uint64)) {
        value = big_endian(width_after(first, format::uint8));
    } else if (in(first, format::int8, format::int64)) {
        const std::size_t width = width_after(first, format::int8);
        value = big_endian(width);
        if (value >> (8 * width - 1) != 0) fail(errc::malformed);
    } else {
        fail(errc::malformed);
    }
    if (value > max) fail(errc::malformed);
    return failed() ? 0 : value;
}

std::int64_t reader::integer() noexcept {
    if (done()) return fail(errc::malformed), 0;
    const std::uint8_t first = byte_at(0);
    if (first >= format::negative_fixint) {
        ++at_;
        return static_cast<std::int8_t>(first);
    }
    if (!in(first, format::int8, format::int64))
        return static_cast<std::int64_t>(uint(std::numeric_limits<std::int64_t>::max()));
    ++at_;
    const std::size_t width = width_after(first, format::int8);
    const std::size_t unused_bits = 64 - 8 * width;
    return static_cast<std::int64_t>(big_endian(width) << unused_bits) >> unused_bits;
}

bool reader::boolean() noexcept {
    const std::uint8_t first = done() ? format::never_used : byte_at_next();
    if (!in(first, format::boolean_false, format::boolean_true)) fail(errc::malformed);
    return first == format::boolean_true;
}

std::span<const std::byte> reader::payload(std::uint64_t bytes, std::size_t bytes_max) noexcept {
    if (failed()) return {};
    if (bytes > bytes_max) return fail(errc::too_large), std::span<const std::byte>{};
    if (bytes > remaining()) return fail(errc::malformed), std::span<const std::byte>{};
    const std::span<const std::byte> view(at_, static_cast<std::size_t>(bytes));
    at_ += bytes;
    return view;
}

std::string_view reader::text(std::size_t bytes_max) noexcept {
    const std::uint8_t first = done() ? format::never_used : byte_at_next();
    std::uint64_t bytes = 0;
    if (in(first, format::fixstr, format::nil - 1)) {
        bytes = first - format::fixstr;
    } else if (in(first, format::str8, format::str32)) {
        bytes = big_endian(width_after(first, format::str8));
    } else {
        fail(errc::malformed);
    }
    const std::span<const std::byte> view = payload(bytes, bytes_max);
    return {reinterpret_cast<const char*>(view.data()), view.size()};
}

std::span<const std::byte> reader::bin(std::size_t bytes_max) noexcept {
    const std::uint8_t first = done() ? format::never_used : byte_at_next();
    if (!in(first, format::bin8, format::bin32))
        return fail(errc::malformed), std::span<const std::byte>{};
    return payload(big_endian(width_after(first, format::bin8)), bytes_max);
}

std::string_view reader::text_or_bin(std::size_t bytes_max) noexcept {
    if (done() || !in(byte_at(0), format::bin8, format::bin32)) return text(bytes_max);
    const std::span<const std::byte> view = bin(bytes_max);
    return {reinterpret_cast<const char*>(view.data()), view.size()};
}

std::size_t reader::items(std::uint64_t count, std::size_t count_max) noexcept {
    if (count > count_max) fail(errc::limit_exceeded);
    return failed() ? 0 : static_cast<std::size_t>(count);
}

std::size_t reader::array() noexcept {
    const std::uint8_t first = done() ? format::never_used : byte_at_next();
    if (in(first, format::fixarray, format::fixstr - 1)) return first - format::fixarray;
    if (!in(first, format::array16, format::array32)) return fail(errc::malformed), 0;
    return items(big_endian(first == format::array16 ? 2 : 4), array_items_max);
}

std::size_t reader::map() noexcept {
    const std::uint8_t first = done() ? format::never_used : byte_at_next();
    if (in(first, format::fixmap, format::fixarray - 1)) return first - format::fixmap;
    if (!in(first, format::map16, format::map32)) return fail(errc::malformed), 0;
    return items(big_endian(first == format::map16 ? 2 : 4), map_items_max);
}

bool reader::at_uint() const noexcept {
    return !done() &&
           (byte_at(0) < format::fixmap || in(byte_at(0), format::uint8, format::uint64));
}

bool reader::at_map() const noexcept { return !done() && is_map(byte_at(0)); }

// Passes over one item without what it contains, and returns how many items it contains.
std::uint64_t reader::skip_head() noexcept {
    if (done()) return fail(errc::malformed), 0;
    const std::uint8_t first = byte_at(0);
    if (is_map(first)) return 2 * map();
    if (is_array(first)) return array();

    ++at_;
    std::uint64_t bytes = 0;
    if (first < format::fixmap || first >= format::negative_fixint || first == format::nil ||
        in(first, format::boolean_false, format::boolean_true)) {
        return 0;
    } else if (first < format::nil) {
        bytes = first - format::fixstr;
    } else if (in(first, format::bin8, format::bin32)) {
        bytes = big_endian(width_after(first, format::bin8));
    } else if (in(first, format::ext8, format::ext32)) {
        bytes = big_endian(width_after(first, format::ext8)) + 1;
    } else if (in(first, format::float32, format::float64)) {
        bytes = first == format::float32 ? 4 : 8;
    } else if (in(first, format::uint8, format::uint64)) {
        bytes = width_after(first, format::uint8);
    } else if (in(first, format::int8, format::int64)) {
        bytes = width_after(first, format::int8);
    } else if (in(first, format::fixext1, format::fixext16)) {
        bytes = width_after(first, format::fixext1) + 1;
    } else if (in(first, format::str8, format::str32)) {
        bytes = big_endian(width_after(first, format::str8));
    } else {
        fail(errc::malformed);
    }
    if (bytes > remaining()) fail(errc::malformed);
    if (!failed()) at_ += bytes;
    return 0;
}

void reader::skip(std::size_t enclosing) noexcept {
    // Items still to pass over, of each container entered; no recursion, so no peer picks our
    // stack.
    std::array<std::uint64_t, depth_max> open{};
    std::size_t depth = 0;
    for (;;) {
        const bool full = depth + enclosing >= depth_max;
        const std::byte* const head = at_;
        const std::uint64_t inside = skip_head();
        if (failed()) return;
        const auto first = static_cast<std::uint8_t>(*head);
        if (full && (is_map(first) || is_array(first))) return fail(errc::limit_exceeded);
        if (inside != 0) open[depth++] = inside;
        if (inside != 0) continue;
        while (depth != 0 && --open[depth - 1] == 0) --depth;
        if (depth == 0) return;
    }
}

bool writer::fits(std::size_t bytes) noexcept {
    if (overflowed_ || static_cast<std::size_t>(end_ - at_) < bytes) overflowed_ = true;
    return !overflowed_;
}

void writer::put(std::uint8_t format, std::uint64_t value, std::size_t width) noexcept {
    if (!fits(1 + width)) return;
    *at_++ = std::byte{format};
    if (width == 0) return;
    const std::uint64_t bytes = swapped(value << (64 - 8 * width));
    if (static_cast<std::size_t>(end_ - at_) >= sizeof(bytes)) {
        // As in reading: what is written too much lies before the end and is written over later.
        std::memcpy(at_, &bytes, sizeof(bytes));
    } else {
        std::memcpy(at_, &bytes, width);
    }
    at_ += width;
}

void writer::put_bytes(const void* data, std::size_t bytes) noexcept {
    if (bytes == 0 || !fits(bytes)) return;
    std::memcpy(at_, data, bytes);
    at_ += bytes;
}

void writer::uint(std::uint64_t value) noexcept {
    if (value < format::fixmap) return put(static_cast<std::uint8_t>(value), 0, 0);
    if (value <= 0xff) return put(format::uint8, value, 1);
    if (value <= 0xffff) return put(format::uint16, value, 2);
    if (value <= 0xffff'ffff) return put(format::uint32, value, 4);
    put(format::uint64, value, 8);
}

void writer::uint32_fixed(std::uint32_t value) noexcept { put(format::uint32, value, 4); }

void writer::integer(std::int64_t value) noexcept {
    const auto bits = static_cast<std::uint64_t>(value);
    if (value >= 0) return uint(bits);
    if (value >= -32) return put(static_cast<std::uint8_t>(bits), 0, 0);
    if (value >= std::numeric_limits<std::int8_t>::min()) return put(format::int8, bits, 1);
    if (value >= std::numeric_limits<std::int16_t>::min()) return put(format::int16, bits, 2);
    if (value >= std::numeric_limits<std::int32_t>::min()) return put(format::int32, bits, 4);
    put(format::int64, bits, 8);
}

void writer::boolean(bool value) noexcept {
    put(value ? format::boolean_true : format::boolean_false, 0, 0);
}

void writer::text(std::string_view value) noexcept {
    const std::size_t n = value.size();
    if (n < 32)
        put(static_cast<std::uint8_t>(format::fixstr + n), 0, 0);
    else if (n <= 0xff)
        put(format::str8, n, 1);
    else if (n <= 0xffff)
        put(format::str16, n, 2);
    else
        put(format::str32, n, 4);
    put_bytes(value.data(), n);
}

void writer::bin(std::span<const std::byte> value) noexcept {
    const std::size_t n = value.size();
    if (n <= 0xff)
        put(format::bin8, n, 1);
    else if (n <= 0xffff)
        put(format::bin16, n, 2);
    else
        put(format::bin32, n, 4);
    put_bytes(value.data(), n);
}

void writer::array(std::size_t items) noexcept {
    if (items < 16) return put(static_cast<std::uint8_t>(format::fixarray + items), 0, 0);
    if (items <= 0xffff) return put(format::array16, items, 2);
    put(format::array32, items, 4);
}

void writer::map(std::size_t pairs) noexcept {
    if (pairs < 16) return put(static_cast<std::uint8_t>(format::fixmap + pairs), 0, 0);
    if (pairs <= 0xffff) return put(format::map16, pairs, 2);
    put(format::map32, pairs, 4);
}

}  // namespace cairn::wire::msgpack
