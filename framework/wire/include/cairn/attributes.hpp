#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn {

/// What a message may carry beside its body.
///
/// Limits: key and content type 255 bytes, 64 headers, 64 KiB encoded in all.
struct attributes {
    std::string key{};           ///< what it is about (ordered_by_key of pushers); empty: none
    std::string content_type{};  ///< a media type, for example "application/msgpack"; empty: none
    std::array<std::byte, 16> trace_id{};                        ///< W3C trace id; all zero: none
    std::vector<std::pair<std::string, std::string>> headers{};  ///< the user's own, order kept

    bool empty() const {
        return key.empty() && content_type.empty() && trace_id == std::array<std::byte, 16>{} &&
               headers.empty();
    }
    bool operator==(const attributes&) const = default;
};

}  // namespace cairn
