#pragma once

#include "support/rounds.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>

namespace cairn::test {

/// A small random generator (splitmix64): a schedule is nothing but its seed.
class dice {
public:
    explicit dice(std::uint64_t seed) : state_(seed) {}

    std::uint64_t roll() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    std::uint64_t below(std::uint64_t n) { return roll() % n; }
    std::uint64_t between(std::uint64_t low, std::uint64_t high) {
        return low + below(high - low + 1);
    }
    bool chance(std::uint64_t percent) { return below(100) < percent; }

private:
    std::uint64_t state_;
};

inline std::optional<std::uint64_t> number_in_environment(const char* name) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') return std::nullopt;
    return std::strtoull(text, nullptr, 10);
}

/// Runs `schedule(seed)`, which returns what went wrong, for rounds(`count`) fresh seeds, or
/// CAIRN_SCHEDULES many, or for CAIRN_SEED alone. Stops at the first that fails and prints its
/// seed.
template <typename Schedule>
void expect_no_failure(std::uint64_t count, Schedule&& schedule) {
    const auto only = number_in_environment("CAIRN_SEED");
    count = only ? 1 : number_in_environment("CAIRN_SCHEDULES").value_or(rounds(count));
    std::random_device device;
    const std::uint64_t base = only ? *only : std::uint64_t{device()} << 32;
    for (std::uint64_t seed = base; seed != base + count; ++seed) {
        const std::optional<std::string> failure = schedule(seed);
        if (!failure) continue;
        ADD_FAILURE() << *failure << "\nschedule " << seed - base + 1 << " of " << count
                      << "; again with CAIRN_SEED=" << seed;
        return;
    }
}

}  // namespace cairn::test
