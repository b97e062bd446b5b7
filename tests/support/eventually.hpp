#pragma once

#include <poll.h>

#include <chrono>
#include <thread>

namespace cairn::test {

/// Whether `condition` becomes true before `deadline` has passed. For what no handle can wait for
/// by itself; wait_for_subscribers() and the like are better where they exist.
///
/// Asks again and again, so that a test goes on the moment its condition holds, and a deadline may
/// be generous without costing time. After the first questions a millisecond lies between two: a
/// spinning test would take a processor from what it waits for.
template <typename Condition>
bool eventually(Condition&& condition,
                std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
    constexpr int eager = 200;
    const auto end = std::chrono::steady_clock::now() + deadline;
    for (int asked = 0; !condition(); ++asked) {
        if (std::chrono::steady_clock::now() >= end) return false;
        if (asked < eager)
            std::this_thread::yield();
        else
            ::poll(nullptr, 0, 1);
    }
    return true;
}

/// Whether `condition` stays true for all of `span`: for what must not happen.
template <typename Condition>
bool throughout(std::chrono::milliseconds span, Condition&& condition) {
    return !eventually([&] { return !condition(); }, span);
}

}  // namespace cairn::test
