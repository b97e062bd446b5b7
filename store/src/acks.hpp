#pragma once

#include "bytes.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace cairn::store {

/// Offsets of one chunk: chunk n holds n * 8,192 to n * 8,192 + 8,191.
inline constexpr std::uint64_t chunk_offsets = 8'192;

inline std::uint64_t chunk_of(std::uint64_t offset) noexcept { return offset / chunk_offsets; }

/// Which of 8,192 neighbouring offsets a group has acked.
///
/// On disk it takes the smallest of three forms (FORMAT.md): a bitmap of 1,024 bytes, or the gaps
/// between the offsets that are not acked, or between those that are, as LEB128 numbers.
class ack_chunk {
public:
    bool test(std::uint64_t at) const noexcept { return (words_[at / 64] >> at % 64 & 1) != 0; }

    /// Sets all in [first, last]; returns how many were not set. Requires: last < 8,192.
    std::uint64_t set(std::uint64_t first, std::uint64_t last) noexcept;
    /// How many are set in [first, last].
    std::uint64_t count(std::uint64_t first, std::uint64_t last) const noexcept;
    /// First at or behind `from` that is set, or not set; chunk_offsets when there is none.
    std::uint64_t find(std::uint64_t from, bool set) const noexcept;

    void encode(std::vector<std::byte>& out) const;
    static std::optional<ack_chunk> decode(bytes value);

private:
    static constexpr std::size_t word_count = chunk_offsets / 64;
    std::array<std::uint64_t, word_count> words_{};
};

}  // namespace cairn::store
