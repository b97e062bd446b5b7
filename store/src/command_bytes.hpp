#pragma once

#include <cairn/store/commands.hpp>

#include <cstddef>

namespace cairn::store {

/// What a command brings to be stored; 0 for all but appends.
inline std::size_t body_bytes(const command& c) {
    const auto* const one = std::get_if<append>(&c);
    return one != nullptr ? one->body.bytes.size() : 0;
}

}  // namespace cairn::store
