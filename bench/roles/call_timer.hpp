#pragma once

#include "harness/role.hpp"
#include "harness/traffic.hpp"

#include <chrono>
#include <cstdint>
#include <ctime>
#include <stdexcept>
#include <string>
#include <thread>

namespace cairn::bench {

/// Calls that are timed together: few enough that they fit the first batch and no limit is met,
/// enough that reading the clock does not count.
inline constexpr std::uint64_t calls_in_burst = 1'000;

/// A burst that takes longer to arrive is lost or held back, and then the figure means nothing.
inline constexpr std::chrono::milliseconds drain_deadline = std::chrono::seconds(5);

/// Processor time of this thread: what a call costs its caller, not how long it waits for one of
/// two processors while the threads that it woke have them.
inline std::uint64_t thread_cpu_ns() noexcept {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(time.tv_nsec);
}

/// Times what one call of `send` costs its caller while nobody is in its way: a burst, then a pause
/// until the receiver on lane 0 has it all. The lane's latencies are those of whole bursts.
template <typename Send>
void time_calls(role_context& context, Send send) {
    using namespace std::chrono_literals;
    tally counted(context.shared, context.lane_index);
    const std::string body(context.traffic.size, '\0');
    auto& reader = context.shared.at(0).messages;
    std::uint64_t expected = reader.load();
    for (;;) {
        const auto begin = thread_cpu_ns();
        for (std::uint64_t i = 0; i < calls_in_burst; ++i) send(body);
        counted.took(thread_cpu_ns() - begin);
        for (std::uint64_t i = 0; i < calls_in_burst; ++i) counted.sent();
        expected += calls_in_burst;
        const auto deadline = std::chrono::steady_clock::now() + drain_deadline;
        while (reader.load() < expected) {
            if (std::chrono::steady_clock::now() > deadline)
                throw std::runtime_error("publish-cost: a burst did not reach its receiver");
            std::this_thread::sleep_for(200us);
        }
    }
}

}  // namespace cairn::bench
