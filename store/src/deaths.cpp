#include "deaths.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace cairn::store {

namespace {

constexpr off_t place = 1;  // behind the mark
constexpr unsigned most = 254;

}  // namespace

unsigned deaths_before(const unique_fd& lock) noexcept {
    std::uint8_t count = 0;
    return ::pread(lock.get(), &count, 1, place) == 1 ? std::min<unsigned>(count, most) : 0;
}

void note_deaths(const unique_fd& lock, unsigned deaths) noexcept {
    // Should it fail, a walk comes later than it could.
    const auto count = static_cast<std::uint8_t>(std::min(deaths, most));
    (void)!::pwrite(lock.get(), &count, 1, place);
}

}  // namespace cairn::store
