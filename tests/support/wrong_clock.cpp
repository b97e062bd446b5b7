// A wall clock that is wrong, for the process that links this: by CAIRN_TEST_CLOCK seconds. It
// takes the place of the standard library's, for all that asks.
#include <time.h>

#include <chrono>
#include <cstdlib>

std::chrono::system_clock::time_point std::chrono::system_clock::now() noexcept {
    static const char* const wrong = std::getenv("CAIRN_TEST_CLOCK");
    timespec real{};
    ::clock_gettime(CLOCK_REALTIME, &real);
    const std::chrono::seconds by(wrong != nullptr ? std::atoll(wrong) : 0);
    return time_point(std::chrono::seconds(real.tv_sec) + by +
                      std::chrono::nanoseconds(real.tv_nsec));
}
