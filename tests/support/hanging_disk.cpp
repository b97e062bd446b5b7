// A disk that hangs or fails, for the process that links this: as long as the file exists that
// CAIRN_TEST_HANG names, fdatasync() does not return, and FILE.held exists while it is in there; as
// long as the file exists that CAIRN_TEST_EIO names, it fails.
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

extern "C" int fdatasync(int fd) {
    const char* const file = std::getenv("CAIRN_TEST_HANG");
    if (file != nullptr && ::access(file, F_OK) == 0) {
        const std::string held = std::string(file) + ".held";
        ::close(::open(held.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        while (::access(file, F_OK) == 0) ::poll(nullptr, 0, 1);
        ::unlink(held.c_str());
    }
    const char* const broken = std::getenv("CAIRN_TEST_EIO");
    if (broken != nullptr && ::access(broken, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
