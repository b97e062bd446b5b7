#pragma once

#include <cairn/ids.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

/// Numbers on disk are big-endian, keys and values alike, and go through shifts.
namespace cairn::store {

using bytes = std::span<const std::byte>;

template <typename T>
void store_be(std::byte* at, T value) noexcept {
    for (std::size_t i = sizeof(T); i-- > 0;
         value = static_cast<T>(value >> (sizeof(T) > 1 ? 8 : 0)))
        at[i] = static_cast<std::byte>(value);
}

template <typename T>
T load_be(const std::byte* at) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
        value = value << 8 | std::to_integer<unsigned>(at[i]);
    return static_cast<T>(value);
}

inline bytes bytes_of(std::string_view text) noexcept {
    return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string_view text_of(bytes data) noexcept {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

/// Appends fields to a value.
class packer {
public:
    explicit packer(std::vector<std::byte>& out) : out_(out) {}

    template <typename T>
    requires std::is_integral_v<T> packer& number(T value) {
        std::byte at[sizeof(T)];
        store_be(at, value);
        return raw({at, sizeof(T)});
    }
    template <typename T>
    requires std::is_enum_v<T> packer& number(T value) {
        return number(static_cast<std::underlying_type_t<T>>(value));
    }
    packer& flag(bool value) { return number(static_cast<std::uint8_t>(value)); }
    packer& time(wall_time value) {
        return number(static_cast<std::uint64_t>(value.time_since_epoch().count()));
    }
    /// 16-bit size, then the text. Requires: at most 65,535 bytes.
    packer& text(std::string_view value) {
        number(static_cast<std::uint16_t>(value.size()));
        return raw(bytes_of(value));
    }
    packer& raw(bytes data) {
        const std::size_t end = out_.size();
        out_.resize(end + data.size());
        std::copy(data.begin(), data.end(), out_.begin() + static_cast<std::ptrdiff_t>(end));
        return *this;
    }

private:
    std::vector<std::byte>& out_;
};

/// Reads fields of a value, bounded: after the first that does not fit all are zero, and failed().
class unpacker {
public:
    explicit unpacker(bytes data) noexcept : rest_(data) {}

    template <typename T>
    T number() noexcept {
        const bytes field = raw(sizeof(T));
        return failed_ ? T{} : load_be<T>(field.data());
    }
    bool flag() noexcept { return number<std::uint8_t>() != 0; }
    wall_time time() noexcept {
        return wall_time(
            std::chrono::nanoseconds(static_cast<std::int64_t>(number<std::uint64_t>())));
    }
    std::string_view text() noexcept { return text_of(raw(number<std::uint16_t>())); }
    bytes raw(std::size_t size) noexcept {
        if (failed_ || size > rest_.size()) {
            failed_ = true;
            return {};
        }
        const bytes field = rest_.first(size);
        rest_ = rest_.subspan(size);
        return field;
    }
    bytes rest() const noexcept { return rest_; }
    bool failed() const noexcept { return failed_; }

private:
    bytes rest_;
    bool failed_ = false;
};

}  // namespace cairn::store
