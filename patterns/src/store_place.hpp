#pragma once

#include <cairn/subscriber.hpp>
#include <cairn/wire/store_frames.hpp>

namespace cairn::patterns {

/// A start as a store is asked for it.
inline wire::place place_of(from::place where) {
    switch (where) {
        case from::place::live:
        case from::place::positions:
            return wire::place::end;
        case from::place::earliest:
            return wire::place::first;
        case from::place::last:
            return wire::place::last;
        case from::place::offset:
            return wire::place::offset;
        case from::place::time:
            return wire::place::time;
    }
    return wire::place::end;
}

}  // namespace cairn::patterns
