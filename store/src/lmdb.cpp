#include "lmdb.hpp"

#include "sabotage.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace cairn::store::lmdb {

namespace {

constexpr std::size_t map_bytes_least = std::size_t{256} << 20;

// A database file needs its directory to be writable by us alone.
constexpr mdb_mode_t file_mode = 0600;

// LMDB maps the file of its reader table and leaves it sparse: on a full disk the first reader
// would die of SIGBUS. Its size: mdb.c, MDB_txninfo and MDB_reader, padded to cache lines.
int reserve_lock_file(const std::filesystem::path& directory, unsigned readers_max) {
    constexpr off_t head_bytes = 128;
    constexpr off_t reader_bytes = 64;
    const int fd =
        ::open((directory / "lock.mdb").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, file_mode);
    if (fd < 0) return errno;
    const int code = ::posix_fallocate(fd, 0, head_bytes + reader_bytes * off_t{readers_max});
    ::close(fd);
    return code;
}

int open_with(MDB_env*& env, const std::filesystem::path& directory, const settings& chosen,
              std::size_t map_bytes) {
    expect_success("mdb_env_create", mdb_env_create(&env));
    int code = mdb_env_set_mapsize(env, map_bytes);
    if (code == 0) code = mdb_env_set_maxreaders(env, chosen.readers_max);
    if (code == 0) code = mdb_env_set_maxdbs(env, 8);
    const unsigned flags = chosen.flags | (sabotaged("no-sync") ? MDB_NOSYNC : 0U) |
                           (sabotaged("no-meta-sync") ? MDB_NOMETASYNC : 0U);
    if (code == 0) code = mdb_env_open(env, directory.c_str(), flags | MDB_NOTLS, file_mode);
    if (code == 0) return 0;
    mdb_env_close(env);
    env = nullptr;
    return code;
}

// Not fstat(): once somebody has asked for a file's times, Linux 6.13 notes a new one with the next
// write (multigrain timestamps), and the sync takes longer: a fifth of a small commit.
int state_of(MDB_env* env, file_state& found) noexcept {
    mdb_filehandle_t fd = -1;
    if (const int code = mdb_env_get_fd(env, &fd); code != 0) return code;
    struct statx info {};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_NLINK, &info) != 0) return errno;
    found = {info.stx_size, (info.stx_mask & STATX_NLINK) == 0 || info.stx_nlink != 0};
    return 0;
}

}  // namespace

environment::environment(const std::filesystem::path& directory, const settings& chosen)
    : here_(directory, (chosen.flags & MDB_RDONLY) != 0) {
    // Address space may be limited (ulimit -v, containers, sanitizers): take what there is.
    std::size_t map_bytes = chosen.map_bytes;
    expect_success("allocate lock.mdb", reserve_lock_file(directory, chosen.readers_max));
    int code = open_with(env_, directory, chosen, map_bytes);
    while (code == ENOMEM && map_bytes / 2 >= map_bytes_least) {
        map_bytes /= 2;
        code = open_with(env_, directory, chosen, map_bytes);
    }
    expect_success("mdb_env_open", code);
    find_map(directory / "data.mdb");
    find_meta_descriptor();
}

// LMDB does not tell it. Only it is opened so that each write is synced.
void environment::find_meta_descriptor() {
    mdb_filehandle_t data = -1;
    expect_success("mdb_env_get_fd", mdb_env_get_fd(env_, &data));
    const auto look = [](int fd, struct statx& info) {
        return ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &info) == 0;
    };
    struct statx own {};
    if (!look(data, own)) return;
    std::error_code problem;
    std::filesystem::directory_iterator all("/proc/self/fd", problem);
    for (; !problem && all != std::filesystem::directory_iterator(); all.increment(problem)) {
        const int fd = std::atoi(all->path().filename().c_str());
        struct statx info {};
        if ((::fcntl(fd, F_GETFL) & O_DSYNC) != 0 && look(fd, info) &&
            info.stx_ino == own.stx_ino && info.stx_dev_major == own.stx_dev_major &&
            info.stx_dev_minor == own.stx_dev_minor)
            meta_ = fd;
    }
}

int environment::told_of_failed_writes() const noexcept {
    mdb_filehandle_t data = -1;
    if (const int code = mdb_env_get_fd(env_, &data); code != 0) return code;
    for (const int fd : {data, meta_})
        if (fd >= 0 && ::fdatasync(fd) != 0 && !is_lack_of_room(errno)) return errno;
    return 0;
}

// LMDB tells the address only of a map that was asked to be at one.
void environment::find_map(const std::filesystem::path& data) {
    std::error_code problem;
    const std::string path = std::filesystem::canonical(data, problem).string();
    if (problem) return;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::istringstream fields(line);
        std::string range, rights, offset, device, inode, name;
        fields >> range >> rights >> offset >> device >> inode >> std::ws;
        std::getline(fields, name);
        const std::size_t dash = range.find('-');
        if (name != path || dash == std::string::npos) continue;
        const auto begin = std::stoull(range.substr(0, dash), nullptr, 16);
        map_ = reinterpret_cast<void*>(begin);
        map_bytes_ = std::stoull(range.substr(dash + 1), nullptr, 16) - begin;
        return;
    }
}

void environment::release_pages() const noexcept {
    file_state file;
    if (map_ == nullptr || state_of(env_, file) != 0) return;
    const std::size_t bytes = std::min(static_cast<std::size_t>(file.bytes), map_bytes_);
    // A shared map of a file, so nothing is lost. Should it fail, memory stays where it was.
    static_cast<void>(::madvise(map_, bytes, MADV_DONTNEED));
}

std::size_t environment::map_bytes() const {
    MDB_envinfo info{};
    expect_success("mdb_env_info", mdb_env_info(env_, &info));
    return info.me_mapsize;
}

std::uint64_t environment::pages() const {
    MDB_envinfo info{};
    expect_success("mdb_env_info", mdb_env_info(env_, &info));
    return info.me_last_pgno + 1;
}

file_state environment::file() const {
    file_state found;
    expect_success("statx", state_of(env_, found));
    return found;
}

std::uint32_t environment::page_bytes() const {
    MDB_stat stat{};
    expect_success("mdb_env_stat", mdb_env_stat(env_, &stat));
    return stat.ms_psize;
}

std::uint64_t environment::clear_stale_readers() {
    int dead = 0;
    expect_success("mdb_reader_check", mdb_reader_check(env_, &dead));
    return static_cast<std::uint64_t>(dead);
}

}  // namespace cairn::store::lmdb
