#include <cairn/error.hpp>
#include <cairn/runtime/ipc_lock.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <utility>

namespace cairn::runtime {

namespace {

[[noreturn]] void fail(const std::string& operation, const std::filesystem::path& file, int fault) {
    throw error(errc_of(fault), operation + ": cannot lock " + file.string() + ": " +
                                    std::strerror(fault) +
                                    (fault == ENOENT ? "; make its directory first" : ""));
}

// The holder writes its process id for the other's error text only; nothing decides by it.
std::string holder_of(int descriptor) {
    char text[16] = {};
    const ssize_t size = pread(descriptor, text, sizeof text - 1, 0);
    std::string digits(text, size > 0 ? static_cast<std::size_t>(size) : 0);
    digits.resize(std::min(digits.find_first_not_of("0123456789"), digits.size()));
    return digits.empty() ? "another node" : "process " + digits;
}

void write_holder(int descriptor) {
    const std::string text = std::to_string(getpid()) + "\n";
    if (ftruncate(descriptor, 0) == 0)
        static_cast<void>(pwrite(descriptor, text.data(), text.size(), 0) >= 0);
}

// False when the file was unlinked by its last holder after we opened it: the lock that we have is
// then on a file that nobody else will open.
bool still_there(int descriptor, const std::filesystem::path& file) {
    struct stat ours {};
    struct stat named {};
    return fstat(descriptor, &ours) == 0 && lstat(file.c_str(), &named) == 0 &&
           ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

}  // namespace

ipc_lock::ipc_lock(const std::filesystem::path& path, const std::string& operation)
    : file_(path.string() + ".lock") {
    for (;;) {
        descriptor_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (descriptor_ < 0) fail(operation, file_, errno);
        if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
            const int fault = errno;
            if (fault == EINTR) {
                ::close(descriptor_);
                continue;
            }
            const std::string holder = holder_of(descriptor_);
            ::close(descriptor_);
            if (fault != EWOULDBLOCK) fail(operation, file_, fault);
            throw error(errc::address_in_use, operation + ": in use by " + holder + " (it holds " +
                                                  file_.string() + "); choose another path");
        }
        if (still_there(descriptor_, file_)) break;
        ::close(descriptor_);
    }
    write_holder(descriptor_);
}

ipc_lock::~ipc_lock() {
    if (descriptor_ < 0) return;
    // Unlinked while we hold it; still_there() makes a waiter that opened it before start again.
    unlink(file_.c_str());
    ::close(descriptor_);
}

ipc_lock::ipc_lock(ipc_lock&& other) noexcept
    : file_(std::move(other.file_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

}  // namespace cairn::runtime
