#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>

#include <xxhash.h>

#include <array>

// The dispatcher picks AVX2 or AVX-512 at run time; Debian's library exports it on x86 only.
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#define XXH_DISPATCH_DISABLE_REPLACE
#include <xxh_x86dispatch.h>
#define CAIRN_XXH3 XXH3_64bits_dispatch
#else
#define CAIRN_XXH3 XXH3_64bits
#endif

namespace cairn::wire {

namespace {

std::byte* put_name(std::byte* out, std::string_view name) {
    for (const char c : name) *out++ = static_cast<std::byte>(c);
    *out++ = std::byte{0};
    return out;
}

std::byte* put_number(std::byte* out, std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) *out++ = static_cast<std::byte>(value >> shift);
    return out;
}

}  // namespace

std::uint64_t checksum(std::span<const std::byte> body) noexcept {
    return CAIRN_XXH3(body.data(), body.size());
}

std::uint64_t stream_digest(std::string_view topic, std::string_view source, cairn::epoch epoch,
                            sequence last) noexcept {
    std::array<std::byte, topic_bytes_max + 1 + source_bytes_max + 1 + 16> bytes;
    std::byte* out = put_name(bytes.data(), topic.substr(0, topic_bytes_max));
    out = put_name(out, source.substr(0, source_bytes_max));
    out = put_number(out, epoch.value);
    out = put_number(out, last.value);
    return checksum({bytes.data(), out});
}

}  // namespace cairn::wire
