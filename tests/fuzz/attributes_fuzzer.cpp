#include <cairn/wire/attributes.hpp>
#include <cairn/wire/limits.hpp>

#include "fuzz_target.hpp"

using namespace cairn;
using test::require;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto map = test::input(data, size);
    const std::string_view key = wire::key_of(map);
    const result<attributes> decoded = wire::decode_attributes(map);
    if (!decoded) return 0;
    require(decoded->key == key, "both ways to the key find the same");
    require(decoded->headers.size() <= wire::header_count_max, "headers keep their limit");

    std::vector<std::byte> again;
    require(wire::encode(*decoded, again) == errc::ok, "what decodes can be encoded");
    // Ours writes a key as bin, which may take one byte more than a peer's str.
    require(again.size() <= map.size() + 1, "we write the smallest form");
    const result<attributes> twice = wire::decode_attributes(again);
    require(twice && *twice == *decoded, "attributes survive encoding");
    return 0;
}
