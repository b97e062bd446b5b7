#pragma once

#include <cairn/ids.hpp>

#include <algorithm>
#include <chrono>
#include <optional>

namespace cairn::store {

/// The wall clock as far as a store believes it. A clock that is ahead by mistake, if only for one
/// commit, would make all that has an age limit too old, and that is deleted. So one that jumped
/// ahead of the time that passed is followed only when it has been ahead for a while; until then
/// time goes on from where it was. A clock that goes back, or is a little ahead, is followed at
/// once, and so is the first that is seen.
class believed_clock {
public:
    /// A wall clock that is further ahead has jumped.
    static constexpr std::chrono::minutes jump_min{1};
    /// So long a jump has to last.
    static constexpr std::chrono::minutes jump_held{10};

    /// `since_boot` never goes back, and counts the time that the machine slept.
    wall_time at(wall_time wall, std::chrono::nanoseconds since_boot) {
        if (!seen_) {
            seen_ = true;
            believed_ = wall;
        } else {
            const wall_time expected = believed_ + (since_boot - since_boot_);
            if (wall - expected <= jump_min)
                jumped_.reset();
            else if (!jumped_)
                jumped_ = since_boot;
            const bool held = jumped_ && since_boot - *jumped_ >= jump_held;
            if (held) jumped_.reset();
            believed_ = jumped_ ? expected : wall;
        }
        since_boot_ = since_boot;
        ahead_ = wall - believed_;
        return believed_;
    }
    /// How far the wall clock was ahead of what at() returned last; 0: it is followed.
    std::chrono::nanoseconds ahead() const noexcept { return ahead_; }

private:
    bool seen_ = false;
    wall_time believed_;
    std::chrono::nanoseconds since_boot_{};
    std::chrono::nanoseconds ahead_{};
    std::optional<std::chrono::nanoseconds> jumped_;  // when it was first seen ahead
};

}  // namespace cairn::store
