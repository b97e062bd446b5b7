#include "acks.hpp"

#include <algorithm>
#include <bit>

namespace cairn::store {

namespace {

enum class form : std::uint8_t { bitmap = 0, gaps_between_open = 1, gaps_between_acked = 2 };

constexpr std::uint64_t all = ~std::uint64_t{0};

// Bits [low, high] of a word.
constexpr std::uint64_t mask(std::uint64_t low, std::uint64_t high) {
    return all << low & all >> (63 - high);
}

// Calls f(word index, mask) for the words that [first, last] touches.
template <typename F>
void for_words(std::uint64_t first, std::uint64_t last, F&& f) {
    for (std::uint64_t w = first / 64; w <= last / 64; ++w)
        f(w, mask(w == first / 64 ? first % 64 : 0, w == last / 64 ? last % 64 : 63));
}

void pack_gap(std::vector<std::byte>& out, std::uint64_t gap) {
    for (; gap >= 0x80; gap >>= 7) out.push_back(static_cast<std::byte>(gap | 0x80));
    out.push_back(static_cast<std::byte>(gap));
}

std::optional<std::uint64_t> unpack_gap(unpacker& in) {
    std::uint64_t gap = 0;
    for (unsigned shift = 0; shift < 14; shift += 7) {  // two bytes hold up to 16,383
        const auto byte = in.number<std::uint8_t>();
        gap |= std::uint64_t{byte & 0x7fU} << shift;
        if (in.failed()) return std::nullopt;
        if (byte < 0x80) return gap;
    }
    return std::nullopt;
}

}  // namespace

std::uint64_t ack_chunk::set(std::uint64_t first, std::uint64_t last) noexcept {
    std::uint64_t added = 0;
    for_words(first, last, [&](std::uint64_t w, std::uint64_t bits) {
        added += static_cast<std::uint64_t>(std::popcount(bits & ~words_[w]));
        words_[w] |= bits;
    });
    return added;
}

std::uint64_t ack_chunk::count(std::uint64_t first, std::uint64_t last) const noexcept {
    std::uint64_t sum = 0;
    for_words(first, last, [&](std::uint64_t w, std::uint64_t bits) {
        sum += static_cast<std::uint64_t>(std::popcount(bits & words_[w]));
    });
    return sum;
}

std::uint64_t ack_chunk::find(std::uint64_t from, bool set) const noexcept {
    for (std::uint64_t w = from / 64; w < word_count; ++w) {
        std::uint64_t bits = set ? words_[w] : ~words_[w];
        if (w == from / 64) bits &= all << from % 64;
        if (bits != 0) return w * 64 + static_cast<std::uint64_t>(std::countr_zero(bits));
    }
    return chunk_offsets;
}

void ack_chunk::encode(std::vector<std::byte>& out) const {
    const std::uint64_t acked = count(0, chunk_offsets - 1);
    const bool listed_acked = acked < chunk_offsets / 2;
    const std::size_t begin = out.size();
    packer(out).number(listed_acked ? form::gaps_between_acked : form::gaps_between_open);
    std::uint64_t behind = 0;
    for (auto at = find(0, listed_acked); at < chunk_offsets; at = find(at + 1, listed_acked)) {
        pack_gap(out, at - behind);
        behind = at + 1;
        if (behind == chunk_offsets || out.size() - begin > sizeof(words_)) break;
    }
    if (out.size() - begin <= sizeof(words_)) return;
    out.resize(begin);
    packer to(out);
    to.number(form::bitmap);
    for (const std::uint64_t word : words_) to.number(word);
}

std::optional<ack_chunk> ack_chunk::decode(bytes value) {
    unpacker in(value);
    const auto how = in.number<std::uint8_t>();
    ack_chunk chunk;
    if (how == static_cast<std::uint8_t>(form::bitmap)) {
        for (std::uint64_t& word : chunk.words_) word = in.number<std::uint64_t>();
        if (in.failed() || !in.rest().empty()) return std::nullopt;
        return chunk;
    }
    if (in.failed() || how > static_cast<std::uint8_t>(form::gaps_between_acked))
        return std::nullopt;
    std::uint64_t next = 0;
    while (!in.rest().empty()) {
        const auto gap = unpack_gap(in);
        if (!gap || next + *gap >= chunk_offsets) return std::nullopt;
        chunk.set(next + *gap, next + *gap);
        next += *gap + 1;
    }
    if (how == static_cast<std::uint8_t>(form::gaps_between_open))
        for (std::uint64_t& word : chunk.words_) word = ~word;
    return chunk;
}

}  // namespace cairn::store
