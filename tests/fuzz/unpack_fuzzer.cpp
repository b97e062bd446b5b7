#include <cairn/msgpack.hpp>

#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "fuzz_target.hpp"

using cairn::errc;
using cairn::test::require;

namespace {

struct quake {
    std::string place;
    double magnitude = 0;
    std::vector<std::int32_t> depths;
    std::map<std::string, std::string> tags;
    MSGPACK_DEFINE_MAP(place, magnitude, depths, tags)
};

/// Both kinds of containers inside themselves, as deep as the document is.
struct tree {
    std::vector<tree> branches;
    std::map<std::uint64_t, tree> named;
    MSGPACK_DEFINE(branches, named)
};

template <typename T>
std::optional<T> taken(const cairn::owned_message& from) {
    try {
        return cairn::unpack<T>(from);
    } catch (const cairn::error& refused) {
        require(refused.code() == errc::malformed, "what cannot be unpacked is malformed");
        return {};
    }
}

template <typename T>
std::vector<std::byte> packed(const T& value) {
    return cairn::detail::packed(value, [](std::span<const std::byte> bytes) {
        return std::vector<std::byte>(bytes.begin(), bytes.end());
    });
}

template <typename T>
void check(cairn::owned_message& received) {
    const std::optional<T> value = taken<T>(received);
    if (!value) return;
    cairn::owned_message again = received;
    again.body = packed(*value);
    const std::optional<T> twice = taken<T>(again);
    require(twice.has_value(), "what we pack can be unpacked");
    require(packed(*twice) == again.body, "a value survives packing");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    cairn::owned_message received;
    const auto body = cairn::test::input(data, size);
    received.body.assign(body.begin(), body.end());
    check<std::int32_t>(received);
    check<std::string>(received);
    check<std::vector<double>>(received);
    check<std::tuple<bool, std::optional<std::uint8_t>, std::pair<std::string, float>>>(received);
    check<quake>(received);
    check<tree>(received);
    return 0;
}
