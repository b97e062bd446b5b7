#pragma once

#include <cairn/attributes.hpp>
#include <cairn/error.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace cairn::wire {

/// Appends the msgpack map of PROTOCOL.md "Attributes"; nothing for empty attributes.
/// Returns ok, or too_large / limit_exceeded with `out` unchanged.
[[nodiscard]] errc encode(const cairn::attributes& attributes, std::vector<std::byte>& out);

/// Decodes one map; keys without a meaning in this version are skipped.
result<cairn::attributes> decode_attributes(std::span<const std::byte> map);

/// The key alone, without allocation: a view of `map`; empty when there is none.
std::string_view key_of(std::span<const std::byte> map) noexcept;

}  // namespace cairn::wire
