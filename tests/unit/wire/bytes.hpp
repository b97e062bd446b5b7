#pragma once

#include <cairn/wire/frames.hpp>

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::test {

using bytes = std::vector<std::byte>;

inline bytes bytes_of(std::initializer_list<int> values) {
    bytes made;
    for (const int v : values) made.push_back(static_cast<std::byte>(v));
    return made;
}

inline bytes bytes_of(std::string_view text) {
    const auto view = std::as_bytes(std::span(text));
    return {view.begin(), view.end()};
}

inline bytes operator+(bytes left, const bytes& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

inline bytes encoded(const auto& frame) {
    bytes out;
    wire::encode(frame, out);
    return out;
}

}  // namespace cairn::test
