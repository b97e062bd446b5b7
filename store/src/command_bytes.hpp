#pragma once

#include <cairn/store/commands.hpp>

#include <cstddef>

namespace cairn::store {

/// What a command brings to be stored; 0 for all but appends.
inline std::size_t body_bytes(const command& c) {
    const auto* const one = std::get_if<append>(&c);
    return one != nullptr ? one->body.bytes.size() : 0;
}

/// What a command holds beside itself: its body, ranges and texts.
inline std::size_t held_bytes(const command& c) {
    std::size_t sum = body_bytes(c);
    const auto add = [&](const auto& field) {
        if constexpr (requires { field.data(); }) sum += field.size() * sizeof *field.data();
    };
    std::visit(
        [&](const auto& w) {
            if constexpr (requires { w.topic; }) add(w.topic);
            if constexpr (requires { w.source; }) add(w.source);
            if constexpr (requires { w.owner; }) add(w.owner);
            if constexpr (requires { w.name; }) add(w.name);
            if constexpr (requires { w.settings; }) add(w.settings);
            if constexpr (requires { w.ranges; }) add(w.ranges);
            if constexpr (requires { w.reason; }) add(w.reason);
            if constexpr (requires { w.to; }) add(w.to);
        },
        c);
    return sum;
}

}  // namespace cairn::store
