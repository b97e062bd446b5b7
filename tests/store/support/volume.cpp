#include "volume.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

namespace cairn::test::volume {

namespace {

struct watch {
    std::mutex mutex;  // LMDB copies on a thread of its own
    bool on = false;
    std::string root;
    std::vector<event> events;
    std::map<ino_t, std::uint64_t> files;
    std::uint64_t made = no_file;
    fate what = fate::done;
    std::uint64_t at = 0;
    bool lasting = false;
    std::uint64_t calls = 0;
    std::uint64_t strikes = 0;
    bool looks_fail = false;
    std::uint64_t look_at = 0;
    std::uint64_t looks = 0;
};

watch& watched() {
    static watch one;
    return one;
}

// The path below the directory, if it is one.
std::optional<std::string> below(const std::string& path) {
    const std::string& root = watched().root;
    if (!path.starts_with(root)) return {};
    if (path.size() == root.size()) return "";
    return path[root.size()] == '/' ? std::optional(path.substr(root.size() + 1)) : std::nullopt;
}

std::optional<std::string> path_of(int fd) {
    if (!watched().on) return {};
    char text[PATH_MAX];
    const ssize_t n =
        ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), text, sizeof text);
    if (n <= 0) return {};
    return below({text, static_cast<std::size_t>(n)});
}

std::optional<std::string> path_at(int dir, const char* path) {
    if (!watched().on) return {};
    if (*path == '/') return below(path);
    if (dir == AT_FDCWD) return {};
    const auto at = path_of(dir);
    if (!at) return {};
    return at->empty() ? path : *at + "/" + path;
}

std::uint64_t file_of(int fd) {
    struct stat info {};
    (void)::fstat(fd, &info);
    const auto known = watched().files.find(info.st_ino);
    return known == watched().files.end() ? no_file : known->second;
}

void keep(event e) { watched().events.push_back(std::move(e)); }

int number_of(fate what) {
    switch (what) {
        case fate::no_space:
            return ENOSPC;
        case fate::no_quota:
            return EDQUOT;
        case fate::read_only:
            return EROFS;
        case fate::interrupted:
            return EINTR;
        default:
            return EIO;
    }
}

[[noreturn]] void die() {
    ::raise(SIGKILL);
    for (;;) ::pause();
}

// One call: `whole` does it, `half` a part of it where there are parts, and `note` keeps it.
template <typename Whole, typename Half, typename Note>
auto call(Whole&& whole, Half&& half, Note&& note) -> decltype(whole()) {
    watch& w = watched();
    const std::lock_guard hold(w.mutex);
    const std::uint64_t number = w.calls++;
    const bool meets = w.what != fate::done && (number == w.at || (w.lasting && number > w.at));
    w.strikes += meets ? 1U : 0U;
    const fate what = meets ? w.what : fate::done;
    if (what == fate::killed) die();
    if (what == fate::killed_in_it) {
        half();
        die();
    }
    if (what == fate::cut_short) return half();
    if (what != fate::done) {
        errno = number_of(what);
        return -1;
    }
    const auto result = whole();
    if (result >= 0) note();
    return result;
}

template <typename Whole, typename Note>
auto call(Whole&& whole, Note&& note) -> decltype(whole()) {
    // There is no half of it.
    return call(
        whole,
        [&] {
            const auto result = whole();
            if (result >= 0) note();
            return result;
        },
        note);
}

// One that changes nothing: whether it fails.
bool look_fails() {
    watch& w = watched();
    const std::lock_guard hold(w.mutex);
    const std::uint64_t number = w.looks++;
    const bool fails = w.looks_fail && (number == w.look_at || (w.lasting && number > w.look_at));
    w.strikes += fails ? 1U : 0U;
    if (fails) errno = EIO;
    return fails;
}

void keep_write(int fd, std::uint64_t offset, const void* data, std::size_t size) {
    event e;
    e.file = file_of(fd);
    e.offset = offset;
    const auto* const from = static_cast<const std::byte*>(data);
    e.bytes.assign(from, from + size);
    e.synced = (::fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    keep(std::move(e));
}

void keep_name(const std::string& path, std::uint64_t file) {
    event e;
    e.what = event::kind::name;
    e.path = path;
    e.file = file;
    keep(std::move(e));
}

ssize_t write_at(int fd, const void* data, std::size_t size, std::uint64_t offset) {
    const auto put = [&](std::size_t n) {
        const auto done =
            static_cast<ssize_t>(::syscall(SYS_pwrite64, fd, data, n, static_cast<off_t>(offset)));
        if (done > 0) keep_write(fd, offset, data, static_cast<std::size_t>(done));
        return done;
    };
    // Whole pages of a copy, which goes past the page cache.
    const std::size_t half = size > 4'096 ? size / 2 / 4'096 * 4'096 : size / 2;
    return call([&] { return put(size); }, [&] { return put(half); }, [] {});
}

int open_at(int dir, const char* path, int flags, mode_t mode) {
    const auto plain = [&] {
        return static_cast<int>(::syscall(SYS_openat, dir, path, flags, mode));
    };
    const auto where = path_at(dir, path);
    if (!where) return plain();
    struct stat info {};
    if ((flags & O_CREAT) == 0 || ::fstatat(dir, path, &info, 0) == 0)
        return look_fails() ? -1 : plain();
    int fd = -1;
    return call([&] { return fd = plain(); },
                [&] {
                    (void)::fstat(fd, &info);
                    watched().files[info.st_ino] = ++watched().made;
                    keep_name(*where, watched().made);
                });
}

int sync(int fd, long number) {
    const auto where = path_of(fd);
    const auto plain = [&] { return static_cast<int>(::syscall(number, fd)); };
    if (!where) return plain();
    return call(plain, [&] {
        struct stat info {};
        (void)::fstat(fd, &info);
        event e;
        e.what = S_ISDIR(info.st_mode) ? event::kind::sync_dir : event::kind::sync;
        e.path = *where;
        e.file = file_of(fd);
        keep(std::move(e));
    });
}

int remove_at(int dir, const char* path, int flags) {
    const auto where = path_at(dir, path);
    const auto plain = [&] { return static_cast<int>(::syscall(SYS_unlinkat, dir, path, flags)); };
    if (!where) return plain();
    return call(plain, [&] { keep_name(*where, no_file); });
}

/// What is on the disk and what is on its way there.
class remains {
public:
    remains(std::uint64_t percent, dice& random) : percent_(percent), random_(random) {}

    void follow(const event& e) {
        switch (e.what) {
            case event::kind::name:
                names_[e.path].push_back({e.file, false});
                break;
            case event::kind::make_dir:
                names_[e.path].push_back({no_file, true});
                break;
            case event::kind::sync_dir:
                for (auto& [path, values] : names_) {
                    if (parent_of(path) != e.path) continue;
                    values.erase(values.begin(), values.end() - 1);
                    synced_.insert(path);
                }
                break;
            case event::kind::write:
            case event::kind::size:
                if (e.synced)
                    put(files_[e.file].synced, e, 0, e.bytes.size());
                else
                    files_[e.file].pending.push_back(&e);
                break;
            case event::kind::sync:
                for (const event* p : files_[e.file].pending)
                    put(files_[e.file].synced, *p, 0, p->bytes.size());
                files_[e.file].pending.clear();
                break;
            case event::kind::confirm:
                break;
        }
    }

    void leave(const std::filesystem::path& target) {
        std::map<std::uint64_t, std::vector<std::byte>> contents;
        for (auto& [file, all] : files_) {
            for (const event* p : all.pending) arrive(all.synced, *p);
            contents[file] = all.synced;
        }
        // Parents come in front of what is in them.
        for (const auto& [path, values] : names_) {
            const auto value = chosen(path, values);
            if (!value || !std::filesystem::is_directory(target / parent_of(path))) continue;
            if (value->directory) {
                std::filesystem::create_directory(target / path);
            } else if (value->file != no_file) {
                std::ofstream out(target / path, std::ios::binary);
                const auto& bytes = contents[value->file];
                out.write(reinterpret_cast<const char*>(bytes.data()),
                          static_cast<std::streamsize>(bytes.size()));
            }
        }
    }

private:
    struct node {
        std::uint64_t file = no_file;
        bool directory = false;
    };
    struct content {
        std::vector<std::byte> synced;
        std::vector<const event*> pending;
    };

    static std::string parent_of(const std::string& path) {
        return std::filesystem::path(path).parent_path().string();
    }

    static void put(std::vector<std::byte>& into, const event& e, std::size_t from,
                    std::size_t to) {
        if (e.what == event::kind::size) return into.resize(e.offset);
        if (into.size() < e.offset + to) into.resize(e.offset + to);
        std::copy(e.bytes.begin() + static_cast<std::ptrdiff_t>(from),
                  e.bytes.begin() + static_cast<std::ptrdiff_t>(to),
                  into.begin() + static_cast<std::ptrdiff_t>(e.offset + from));
    }

    void arrive(std::vector<std::byte>& into, const event& e) {
        constexpr std::size_t sector = 512;
        if (e.what == event::kind::size) {
            if (random_.chance(percent_)) put(into, e, 0, 0);
            return;
        }
        for (std::size_t from = 0; from < e.bytes.size();) {
            const std::size_t to =
                std::min(e.bytes.size(), from + sector - (e.offset + from) % sector);
            if (random_.chance(percent_)) put(into, e, from, to);
            from = to;
        }
    }

    // What the name is: as at its directory's last sync, or at a moment since.
    std::optional<node> chosen(const std::string& path, const std::vector<node>& values) {
        std::optional<node> value;
        std::size_t next = 0;
        if (synced_.contains(path)) value = values[next++];
        for (; next < values.size(); ++next)
            if (random_.chance(percent_)) value = values[next];
        return value;
    }

    std::uint64_t percent_;
    dice& random_;
    std::map<std::string, std::vector<node>> names_;
    std::set<std::string> synced_;  // their first value is on the disk
    std::map<std::uint64_t, content> files_;
};

}  // namespace

void start(const std::filesystem::path& directory) {
    watch& w = watched();
    w.root = directory.string();
    w.events.clear();
    w.files.clear();
    w.made = no_file;
    w.on = true;
    plan(fate::done, 0, false);
}

void plan(fate what, std::uint64_t at, bool lasting) {
    watch& w = watched();
    w.what = what;
    w.at = at;
    w.lasting = lasting;
    w.calls = 0;
    w.strikes = 0;
    w.looks_fail = false;
    w.looks = 0;
}

void plan_looks(std::uint64_t at, bool lasting) {
    plan(fate::done, 0, lasting);
    watched().looks_fail = true;
    watched().look_at = at;
}

std::uint64_t looks() { return watched().looks; }

std::uint64_t unplan() {
    watched().what = fate::done;
    watched().looks_fail = false;
    return watched().calls;
}

std::uint64_t strikes() { return watched().strikes; }

void confirm(std::uint64_t token) {
    if (!watched().on) return;
    event e;
    e.what = event::kind::confirm;
    e.token = token;
    keep(std::move(e));
}

std::vector<event> stop() {
    watched().on = false;
    return std::move(watched().events);
}

void leave_after_cut(const std::vector<event>& events, std::size_t at, std::uint64_t percent,
                     dice& random, const std::filesystem::path& target) {
    remains left(percent, random);
    for (std::size_t i = 0; i < at; ++i) left.follow(events[i]);
    left.leave(target);
}

}  // namespace cairn::test::volume

using namespace cairn::test::volume;

namespace {

mode_t mode_of(int flags, va_list rest) {
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
}

}  // namespace

extern "C" int open(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_at(AT_FDCWD, path, flags, mode);
}

extern "C" int open64(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_at(AT_FDCWD, path, flags, mode);
}

extern "C" int mkdir(const char* path, mode_t mode) noexcept {
    const auto where = path_at(AT_FDCWD, path);
    const auto plain = [&] { return static_cast<int>(::syscall(SYS_mkdir, path, mode)); };
    if (!where) return plain();
    return call(plain, [&] {
        event e;
        e.what = event::kind::make_dir;
        e.path = *where;
        keep(std::move(e));
    });
}

extern "C" int rename(const char* from, const char* to) noexcept {
    const auto source = path_at(AT_FDCWD, from);
    const auto target = path_at(AT_FDCWD, to);
    const auto plain = [&] { return static_cast<int>(::syscall(SYS_rename, from, to)); };
    if (!source || !target) return plain();
    struct stat info {};
    (void)::stat(from, &info);
    return call(plain, [&] {
        keep_name(*target, watched().files[info.st_ino]);
        keep_name(*source, no_file);
    });
}

extern "C" int unlink(const char* path) noexcept { return remove_at(AT_FDCWD, path, 0); }
extern "C" int rmdir(const char* path) noexcept { return remove_at(AT_FDCWD, path, AT_REMOVEDIR); }
extern "C" int unlinkat(int dir, const char* path, int flags) noexcept {
    return remove_at(dir, path, flags);
}

extern "C" int ftruncate(int fd, off_t size) noexcept {
    const auto where = path_of(fd);
    const auto plain = [&] { return static_cast<int>(::syscall(SYS_ftruncate, fd, size)); };
    if (!where) return plain();
    return call(plain, [&] {
        event e;
        e.what = event::kind::size;
        e.file = file_of(fd);
        e.offset = static_cast<std::uint64_t>(size);
        keep(std::move(e));
    });
}

extern "C" ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
    if (!path_of(fd)) return ::syscall(SYS_pwrite64, fd, data, size, offset);
    return write_at(fd, data, size, static_cast<std::uint64_t>(offset));
}

extern "C" ssize_t write(int fd, const void* data, size_t size) {
    if (!path_of(fd)) return ::syscall(SYS_write, fd, data, size);
    const off_t at = ::lseek(fd, 0, SEEK_CUR);
    const ssize_t done = write_at(fd, data, size, static_cast<std::uint64_t>(at));
    if (done > 0) ::lseek(fd, at + done, SEEK_SET);
    return done;
}

extern "C" ssize_t pread(int fd, void* data, size_t size, off_t offset) {
    if (path_of(fd) && look_fails()) return -1;
    return ::syscall(SYS_pread64, fd, data, size, offset);
}

extern "C" void* mmap(void* at, size_t size, int rights, int flags, int fd, off_t offset) noexcept {
    if (fd >= 0 && path_of(fd) && look_fails()) return MAP_FAILED;
    return reinterpret_cast<void*>(::syscall(SYS_mmap, at, size, rights, flags, fd, offset));
}

extern "C" ssize_t writev(int fd, const iovec* parts, int count) {
    if (!path_of(fd)) return ::syscall(SYS_writev, fd, parts, count);
    const auto put = [&](int n) {
        auto offset = static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_CUR));
        for (int i = 0; i < n; ++i) {
            keep_write(fd, offset, parts[i].iov_base, parts[i].iov_len);
            offset += parts[i].iov_len;
        }
        return static_cast<ssize_t>(::syscall(SYS_writev, fd, parts, n));
    };
    return call([&] { return put(count); }, [&] { return put(count > 1 ? count / 2 : count); },
                [] {});
}

extern "C" int fsync(int fd) { return sync(fd, SYS_fsync); }
extern "C" int fdatasync(int fd) { return sync(fd, SYS_fdatasync); }
