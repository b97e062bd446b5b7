#include "open_here.hpp"

#include "lmdb.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

namespace cairn::store::lmdb {

namespace {

struct known_directory {
    dev_t device = 0;
    ino_t inode = 0;
    bool reads = false;
    int fd = -1;
};

struct registry {
    registry() {
        ::pthread_atfork([] { all().mutex.lock(); }, [] { all().mutex.unlock(); },
                         [] {
                             all().directories.clear();
                             all().mutex.unlock();
                         });
    }

    // Never destroyed: a database may be closed by whatever runs last.
    static registry& all() {
        static auto* const one = new registry;
        return *one;
    }

    const known_directory* find(const struct stat& which) const {
        const auto at = std::ranges::find_if(directories, [&](const known_directory& d) {
            return d.device == which.st_dev && d.inode == which.st_ino;
        });
        return at == directories.end() ? nullptr : &*at;
    }

    std::mutex mutex;
    std::vector<known_directory> directories;
};

}  // namespace

open_here::open_here(const std::filesystem::path& directory, bool reads)
    : fd_(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    struct stat which {};
    if (fd_ < 0 || ::fstat(fd_, &which) != 0) {
        const int problem = errno;
        if (fd_ >= 0) ::close(fd_);
        throw failure("open", problem);
    }
    registry& here = registry::all();
    const std::lock_guard hold(here.mutex);
    if (const known_directory* const other = here.find(which)) {
        ::close(fd_);
        throw already_open(other->reads);
    }
    here.directories.push_back({which.st_dev, which.st_ino, reads, fd_});
}

open_here::~open_here() {
    {
        registry& here = registry::all();
        const std::lock_guard hold(here.mutex);
        std::erase_if(here.directories, [this](const auto& d) { return d.fd == fd_; });
    }
    ::close(fd_);
}

bool is_open_here(const std::filesystem::path& directory) noexcept {
    struct stat which {};
    if (::stat(directory.c_str(), &which) != 0) return false;
    registry& here = registry::all();
    const std::lock_guard hold(here.mutex);
    const known_directory* const found = here.find(which);
    return found != nullptr && !found->reads;
}

}  // namespace cairn::store::lmdb
