#include "store/slow_disk.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <thread>

namespace cairn::bench {

namespace {

std::atomic<std::int64_t> more_ns{0};

template <typename Result>
Result slowed(Result done) {
    const int problem = errno;
    const std::chrono::nanoseconds more(more_ns.load(std::memory_order_relaxed));
    if (more.count() > 0) std::this_thread::sleep_for(more);
    errno = problem;
    return done;
}

}  // namespace

void slow_flushes_by(std::chrono::nanoseconds more) { more_ns = more.count(); }

}  // namespace cairn::bench

// In the place of the C library's, for LMDB too, which is linked to this program.

extern "C" int fdatasync(int fd) {
    return cairn::bench::slowed(static_cast<int>(::syscall(SYS_fdatasync, fd)));
}

extern "C" int fsync(int fd) {
    return cairn::bench::slowed(static_cast<int>(::syscall(SYS_fsync, fd)));
}

extern "C" int msync(void* at, size_t size, int flags) {
    const auto done = static_cast<int>(::syscall(SYS_msync, at, size, flags));
    return (flags & MS_SYNC) != 0 ? cairn::bench::slowed(done) : done;
}

extern "C" ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
    const auto done = static_cast<ssize_t>(::syscall(SYS_pwrite64, fd, data, size, offset));
    if (cairn::bench::more_ns.load(std::memory_order_relaxed) == 0) return done;
    return (::fcntl(fd, F_GETFL) & O_DSYNC) != 0 ? cairn::bench::slowed(done) : done;
}
