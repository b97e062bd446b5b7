#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>

#include "fuzz_target.hpp"

using namespace cairn;
using test::require;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = test::input(data, size);
    const result<wire::kind> kind = wire::peek_kind(bytes);
    const result<wire::control_frame> frame = wire::decode(bytes);
    if (!frame) return 0;
    require(kind.has_value(), "what decodes has a kind");

    std::vector<std::byte> again;
    wire::encode(*frame, again);
    require(again.size() <= bytes.size(), "we write the smallest form");
    const result<wire::control_frame> twice = wire::decode(again);
    require(twice.has_value(), "what we encode decodes");
    require(*twice == *frame, "a frame survives encoding");
    require(*wire::peek_kind(again) == *kind, "a frame keeps its kind");
    return 0;
}
