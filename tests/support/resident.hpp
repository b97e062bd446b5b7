#pragma once

#include <unistd.h>

#include <cstddef>
#include <fstream>

namespace cairn::test {

/// Memory of this process that is in use now, in bytes. Of little worth under a sanitizer, which
/// keeps what was freed.
inline std::size_t resident_bytes() {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace cairn::test
