#include "disk.hpp"

#include "unit/protocol/random.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

namespace cairn::test::disk {

namespace {

// A page of the cache that counts as written and is not on the disk, which has `bytes` there.
struct unwritten {
    off_t offset = 0;
    std::vector<std::byte> bytes;
};

int look(int fd, struct stat& info) { return static_cast<int>(::syscall(SYS_fstat, fd, &info)); }

struct watch {
    bool recording = false;
    bool faulty = false;
    dev_t device = 0;
    ino_t inode = 0;
    std::vector<event> events;
    fault what = fault::none;
    std::uint64_t at = 0;
    bool lasting = false;
    std::uint64_t calls = 0;
    bool struck = false;
    dice chance{0};
    std::vector<unwritten> pages;
};

watch& watched() {
    static watch one;
    return one;
}

void look_at(const std::filesystem::path& file) {
    struct stat info {};
    if (::stat(file.c_str(), &info) != 0) throw std::runtime_error("no " + file.string());
    watched().device = info.st_dev;
    watched().inode = info.st_ino;
}

bool is_watched(int fd) {
    const watch& w = watched();
    struct stat info {};
    return (w.recording || w.faulty) && look(fd, info) == 0 && info.st_dev == w.device &&
           info.st_ino == w.inode;
}

// Whether this call fails; counts it.
fault fault_now() {
    watch& w = watched();
    if (!w.faulty) return fault::none;
    const std::uint64_t call = w.calls++;
    return call == w.at || (w.lasting && call > w.at) ? w.what : fault::none;
}

ssize_t refuse(fault what) {
    watched().struck = true;
    switch (what) {
        case fault::no_space:
            errno = ENOSPC;
            break;
        case fault::no_quota:
            errno = EDQUOT;
            break;
        case fault::read_only:
            errno = EROFS;
            break;
        default:
            errno = EIO;
    }
    return -1;
}

bool is_synced(int fd) { return (::fcntl(fd, F_GETFL) & O_DSYNC) != 0; }

void keep(int fd, std::uint64_t offset, const void* data, std::size_t size, bool lost = false) {
    // What is written again is on its way to the disk again.
    std::erase_if(watched().pages, [&](const unwritten& p) {
        return static_cast<std::uint64_t>(p.offset) < offset + size &&
               offset < static_cast<std::uint64_t>(p.offset) + p.bytes.size();
    });
    if (!watched().recording) return;
    event e;
    e.offset = offset;
    const auto* const from = static_cast<const std::byte*>(data);
    e.bytes.assign(from, from + size);
    e.synced = is_synced(fd);
    e.lost = lost;
    watched().events.push_back(std::move(e));
}

void keep_sync(bool failed) {
    if (!watched().recording) return;
    event e;
    e.what = event::kind::sync;
    e.failed = failed;
    watched().events.push_back(std::move(e));
}

// The same file, whatever the descriptor may do.
int opened_again(int fd, int flags) {
    return ::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags | O_CLOEXEC);
}

// A meta page whose write fails: to the disk or not, and into the page cache or not.
void fail_unsure(int fd, std::uint64_t offset, const void* data, std::size_t size) {
    watch& w = watched();
    if (w.chance.chance(50)) return;
    const bool lost = is_synced(fd) && w.chance.chance(50);
    unwritten page{static_cast<off_t>(offset), std::vector<std::byte>(size)};
    const int from = opened_again(fd, O_RDONLY);
    (void)!::pread(from, page.bytes.data(), size, page.offset);
    ::close(from);
    keep(fd, offset, data, size, lost);
    (void)!::syscall(SYS_pwrite64, fd, data, size, page.offset);
    if (lost) w.pages.push_back(std::move(page));
}

/// Where a call stands still while it is wanted.
class hold {
public:
    void want(bool wanted) {
        const std::lock_guard lock(mutex_);
        wanted_ = wanted;
        changed_.notify_all();
    }
    void wait_until_held() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return held_; });
    }
    bool is_wanted_and_not_held() {
        const std::lock_guard lock(mutex_);
        return wanted_ && !held_;
    }
    void stop_here() {
        std::unique_lock lock(mutex_);
        if (!wanted_) return;
        held_ = true;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !wanted_; });
        held_ = false;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool wanted_ = false;
    bool held_ = false;
};

struct late_errors {
    int first = 0;
    int then = 0;
    dev_t device = 0;
    ino_t inode = 0;
    std::set<int> told;
};

late_errors& late() {
    static late_errors all;
    return all;
}

// What this descriptor is told, or 0.
int late_error(int fd) {
    late_errors& l = late();
    struct stat info {};
    if (l.first == 0 || look(fd, info) != 0 || info.st_dev != l.device || info.st_ino != l.inode ||
        !l.told.insert(fd).second)
        return 0;
    return l.told.size() == 1 ? l.first : l.then;
}

hold& copies() {
    static hold one;
    return one;
}

hold& syncs() {
    static hold one;
    return one;
}

/// Where a write stands still until writing back is asked for.
struct writeback_gate {
    std::mutex mutex{};
    std::condition_variable changed{};
    bool wanted = false;
    bool held = false;
    bool asked = false;  // while a write was held
};

writeback_gate& gate() {
    static writeback_gate one;
    return one;
}

void wait_for_writeback() {
    writeback_gate& g = gate();
    std::unique_lock lock(g.mutex);
    if (!g.wanted) return;
    g.held = true;
    g.changed.wait_for(lock, std::chrono::minutes(1), [&] { return !g.wanted; });
    g.wanted = g.held = false;
}

// The first write of a copy is LMDB's two meta pages; the one after has all the rest.
constexpr std::size_t copy_bytes_min = 16'384;

std::optional<std::vector<std::filesystem::path>>& noted_syncs() {
    static std::optional<std::vector<std::filesystem::path>> noted;
    return noted;
}

struct times_asked {
    bool counting = false;
    dev_t device = 0;
    ino_t inode = 0;
    std::uint64_t times = 0;
};

times_asked& asked() {
    static times_asked one;
    return one;
}

std::optional<std::vector<std::filesystem::path>>& noted_removals() {
    static std::optional<std::vector<std::filesystem::path>> noted;
    return noted;
}

std::function<void()>& in_front_of_lock() {
    static std::function<void()> what;
    return what;
}

bool& is_full() {
    static bool full = false;
    return full;
}

struct limit {
    std::size_t puts_max = 0;
    std::size_t puts = 0;
};

limit& transactions() {
    static limit one;
    return one;
}

int& refused_commits() {
    static int left = 0;
    return left;
}

std::atomic<std::uint64_t>& counted_lookups() {
    static std::atomic<std::uint64_t> count{0};
    return count;
}

long& pretended() {
    static long type = 0;
    return type;
}

}  // namespace

void fail_writeback(const std::filesystem::path& file, int first, int then) {
    struct stat info {};
    if (::stat(file.c_str(), &info) != 0) throw std::runtime_error("no " + file.string());
    late() = {first, then, info.st_dev, info.st_ino, {}};
}

void start_noting_syncs() { noted_syncs().emplace(); }

std::vector<std::filesystem::path> stop_noting_syncs() {
    auto noted = std::exchange(noted_syncs(), std::nullopt);
    return std::move(*noted);
}

void start_counting_times(const std::filesystem::path& file) {
    struct stat info {};
    if (::stat(file.c_str(), &info) != 0) throw std::runtime_error("no " + file.string());
    asked() = {true, info.st_dev, info.st_ino, 0};
}

std::uint64_t stop_counting_times() {
    asked().counting = false;
    return asked().times;
}

void start_noting_removals() { noted_removals().emplace(); }

std::vector<std::filesystem::path> stop_noting_removals() {
    auto noted = std::exchange(noted_removals(), std::nullopt);
    return std::move(*noted);
}

bool is_locked(const std::filesystem::path& lock) {
    const int fd = ::open(lock.c_str(), O_RDONLY | O_CLOEXEC);
    const bool locked = fd >= 0 && ::syscall(SYS_flock, fd, LOCK_EX | LOCK_NB) != 0;
    if (fd >= 0) ::close(fd);
    return locked;
}

void before_next_lock(std::function<void()> what) { in_front_of_lock() = std::move(what); }

held_copy::held_copy() { copies().want(true); }
held_copy::~held_copy() { let_go(); }
void held_copy::wait_until_held() { copies().wait_until_held(); }
void held_copy::let_go() { copies().want(false); }

held_syncs::held_syncs() { syncs().want(true); }
held_syncs::~held_syncs() { let_go(); }
void held_syncs::wait_until_held() { syncs().wait_until_held(); }
void held_syncs::let_go() { syncs().want(false); }

held_write::held_write() {
    const std::lock_guard lock(gate().mutex);
    gate().wanted = true;
    gate().asked = false;
}
held_write::~held_write() {
    const std::lock_guard lock(gate().mutex);
    gate().wanted = false;
    gate().changed.notify_all();
}
bool held_write::was_let_go_by_writeback() const {
    const std::lock_guard lock(gate().mutex);
    return gate().asked;
}

void pretend_full(bool full) { is_full() = full; }

void limit_transactions(std::size_t puts) { transactions() = {puts, 0}; }

void refuse_commits(int transactions) { refused_commits() = transactions; }

std::uint64_t lookups() { return counted_lookups(); }

void pretend_filesystem(long type) { pretended() = type; }

void start_recording(const std::filesystem::path& file) {
    look_at(file);
    watched().events.clear();
    watched().pages.clear();
    watched().recording = true;
}

std::vector<event> stop_recording() {
    watched().recording = false;
    return std::move(watched().events);
}

void confirm(std::uint64_t token) {
    if (!watched().recording) return;
    event e;
    e.what = event::kind::confirm;
    e.token = token;
    watched().events.push_back(std::move(e));
}

void start_faults(const std::filesystem::path& file, fault what, std::uint64_t at, bool lasting,
                  std::uint64_t seed) {
    look_at(file);
    watch& w = watched();
    w.chance = dice(seed);
    w.what = what;
    w.at = at;
    w.lasting = lasting;
    w.calls = 0;
    w.struck = false;
    w.faulty = true;
}

std::uint64_t stop_faults() {
    watched().faulty = false;
    return watched().calls;
}

bool struck() { return watched().struck; }

std::vector<std::byte> read_file(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    const auto* const begin = reinterpret_cast<const std::byte*>(bytes.data());
    return {begin, begin + bytes.size()};
}

void write_file(const std::filesystem::path& file, std::span<const std::byte> bytes) {
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
}

}  // namespace cairn::test::disk

using namespace cairn::test::disk;

extern "C" ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
    const auto write = [&](size_t n) -> ssize_t {
        const auto written = ::syscall(SYS_pwrite64, fd, data, n, offset);
        const int error = is_synced(fd) ? late_error(fd) : 0;
        if (error == 0) return written;
        errno = error;
        return -1;
    };
    if (!is_watched(fd)) return write(size);
    wait_for_writeback();
    const fault f = fault_now();
    if (f == fault::short_write) {
        watched().struck = true;
        return write(size / 2);
    }
    if (f == fault::unsure) fail_unsure(fd, static_cast<std::uint64_t>(offset), data, size);
    if (f != fault::none) return refuse(f);
    keep(fd, static_cast<std::uint64_t>(offset), data, size);
    return write(size);
}

extern "C" ssize_t writev(int fd, const iovec* parts, int count) {
    if (!is_watched(fd)) return ::syscall(SYS_writev, fd, parts, count);
    wait_for_writeback();
    const fault f = fault_now();
    if (f == fault::short_write && count > 1) {
        watched().struck = true;
        return ::syscall(SYS_writev, fd, parts, count / 2);
    }
    if (f != fault::none && f != fault::short_write) return refuse(f);
    auto offset = static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_CUR));
    for (int i = 0; i < count; ++i) {
        keep(fd, offset, parts[i].iov_base, parts[i].iov_len);
        offset += parts[i].iov_len;
    }
    return ::syscall(SYS_writev, fd, parts, count);
}

extern "C" ssize_t write(int fd, const void* data, size_t size) {
    if (size < copy_bytes_min || !copies().is_wanted_and_not_held())
        return ::syscall(SYS_write, fd, data, size);
    const ssize_t half = ::syscall(SYS_write, fd, data, size / 2);
    copies().stop_here();
    return half;
}

extern "C" int mdb_txn_begin(MDB_env* env, MDB_txn* parent, unsigned flags, MDB_txn** txn) {
    static const auto real =
        reinterpret_cast<decltype(&mdb_txn_begin)>(::dlsym(RTLD_NEXT, "mdb_txn_begin"));
    if ((flags & MDB_RDONLY) == 0 && transactions().puts_max != 0) transactions().puts = 0;
    return real(env, parent, flags, txn);
}

extern "C" int mdb_txn_commit(MDB_txn* txn) {
    static const auto real =
        reinterpret_cast<decltype(&mdb_txn_commit)>(::dlsym(RTLD_NEXT, "mdb_txn_commit"));
    if (refused_commits() == 0) return real(txn);
    --refused_commits();
    ::mdb_txn_abort(txn);
    return MDB_TXN_FULL;
}

extern "C" int mdb_put(MDB_txn* txn, MDB_dbi dbi, MDB_val* key, MDB_val* value, unsigned flags) {
    static const auto real = reinterpret_cast<decltype(&mdb_put)>(::dlsym(RTLD_NEXT, "mdb_put"));
    limit& l = transactions();
    if (l.puts_max > 0 && l.puts++ >= l.puts_max) return MDB_TXN_FULL;
    return real(txn, dbi, key, value, flags);
}

extern "C" int mdb_get(MDB_txn* txn, MDB_dbi dbi, MDB_val* key, MDB_val* value) {
    static const auto real = reinterpret_cast<decltype(&mdb_get)>(::dlsym(RTLD_NEXT, "mdb_get"));
    counted_lookups().fetch_add(1, std::memory_order_relaxed);
    return real(txn, dbi, key, value);
}

extern "C" int mdb_cursor_get(MDB_cursor* cursor, MDB_val* key, MDB_val* value, MDB_cursor_op how) {
    static const auto real =
        reinterpret_cast<decltype(&mdb_cursor_get)>(::dlsym(RTLD_NEXT, "mdb_cursor_get"));
    counted_lookups().fetch_add(1, std::memory_order_relaxed);
    return real(cursor, key, value, how);
}

extern "C" int statfs(const char* file, struct statfs* info) noexcept {
    const auto done = static_cast<int>(::syscall(SYS_statfs, file, info));
    if (done == 0 && pretended() != 0) info->f_type = pretended();
    return done;
}

extern "C" int fsync(int fd) {
    if (noted_syncs())
        noted_syncs()->push_back(
            std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)));
    return static_cast<int>(::syscall(SYS_fsync, fd));
}

extern "C" int remove(const char* path) noexcept {
    static const auto real = reinterpret_cast<decltype(&remove)>(::dlsym(RTLD_NEXT, "remove"));
    const std::filesystem::path lock = std::filesystem::path(path).parent_path() / "cairn.lock";
    if (noted_removals() && std::filesystem::exists(lock) && !is_locked(lock))
        noted_removals()->emplace_back(path);
    return real(path);
}

extern "C" int fstat(int fd, struct stat* info) noexcept {
    const int done = look(fd, *info);
    if (done == 0 && asked().counting && info->st_dev == asked().device &&
        info->st_ino == asked().inode)
        ++asked().times;
    return done;
}

extern "C" int flock(int fd, int operation) noexcept {
    if (in_front_of_lock()) std::exchange(in_front_of_lock(), {})();
    return static_cast<int>(::syscall(SYS_flock, fd, operation));
}

extern "C" int fdatasync(int fd) {
    if (const int error = late_error(fd); error != 0) {
        (void)::syscall(SYS_fdatasync, fd);
        errno = error;
        return -1;
    }
    if (!is_watched(fd)) return static_cast<int>(::syscall(SYS_fdatasync, fd));
    const fault f = fault_now();
    if (f != fault::none && f != fault::short_write) {
        keep_sync(true);
        return static_cast<int>(refuse(f));
    }
    syncs().stop_here();
    const auto done = static_cast<int>(::syscall(SYS_fdatasync, fd));
    keep_sync(false);
    return done;
}

extern "C" int sync_file_range(int fd, off_t offset, off_t size, unsigned flags) {
    if (is_watched(fd)) {
        writeback_gate& g = gate();
        const std::lock_guard lock(g.mutex);
        g.asked = g.asked || g.held;
        if (g.held) g.wanted = false;
        g.changed.notify_all();
    }
    return static_cast<int>(::syscall(SYS_sync_file_range, fd, offset, size, flags));
}

extern "C" int posix_fallocate(int fd, off_t offset, off_t size) {
    if (is_full()) return ENOSPC;
    return ::syscall(SYS_fallocate, fd, 0, offset, size) == 0 ? 0 : errno;
}

extern "C" int posix_fadvise(int fd, off_t offset, off_t size, int advice) {
    if (is_watched(fd) && advice == POSIX_FADV_DONTNEED) {
        const int to = opened_again(fd, O_WRONLY);
        for (const unwritten& page : watched().pages)
            if (offset <= page.offset && page.offset < offset + size)
                (void)!::syscall(SYS_pwrite64, to, page.bytes.data(), page.bytes.size(),
                                 page.offset);
        ::close(to);
        watched().pages.clear();
    }
    return static_cast<int>(::syscall(SYS_fadvise64, fd, offset, size, advice));
}
