#include "directory.hpp"

#include "sabotage.hpp"
#include "upgrade.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

namespace cairn::store {

namespace fs = std::filesystem;

namespace {

std::string text_of_error(std::string_view operation, const fs::path& object,
                          std::string_view why) {
    return std::string(operation) + " " + object.string() + ": " + std::string(why);
}

errc code_of(int number) {
    switch (number) {
        case EACCES:
        case EPERM:
        case EROFS:
            return errc::permission_denied;
        case ENOSPC:
        case EDQUOT:
            return errc::disk_full;
        case ENOENT:
        case ENOTDIR:
        case ENAMETOOLONG:
        case EINVAL:
            return errc::invalid_argument;
        default:
            return errc::store_failed;
    }
}

}  // namespace

unique_fd::~unique_fd() {
    if (fd_ >= 0) ::close(fd_);
}

void throw_errno(std::string_view operation, const fs::path& object, int number) {
    throw error(code_of(number),
                text_of_error(operation, object, std::generic_category().message(number)));
}

void throw_failure(std::string_view operation, const fs::path& object, const lmdb::failure& what) {
    if (const auto* const other = dynamic_cast<const lmdb::already_open*>(&what))
        throw error(errc::store_in_use,
                    text_of_error(operation, object,
                                  other->reads() ? "this process is copying or verifying it; wait "
                                                   "until that is done"
                                                 : "this process has it open; close it first"));
    switch (what.code()) {
        case MDB_CORRUPTED:
        case MDB_PAGE_NOTFOUND:
        case MDB_INVALID:
        case MDB_VERSION_MISMATCH:
        case MDB_NOTFOUND:
        case MDB_INCOMPATIBLE:
        case MDB_BAD_TXN:  // a cursor began in a tree that it could not enter, and did not say so
        case MDB_CURSOR_FULL:
        case MDB_PAGE_FULL:
            throw error(errc::store_damaged, text_of_error(operation, object, what.what()));
        default:
            if (what.code() > 0) throw_errno(operation, object, what.code());
            throw error(errc::store_failed, text_of_error(operation, object, what.what()));
    }
}

std::string_view network_filesystem(long type) noexcept {
    // statfs(2); LMDB's locks and mappings need one machine's page cache.
    switch (static_cast<unsigned long>(type) & 0xffffffffUL) {
        case 0x6969UL:
            return "nfs";
        case 0xff534d42UL:
            return "cifs";
        case 0xfe534d42UL:
            return "smb2";
        case 0x517bUL:
            return "smb";
        case 0x01021997UL:
            return "9p";
        case 0x65735546UL:
            return "fuse";
        case 0x00c36400UL:
            return "ceph";
        case 0x5346414fUL:
            return "afs";
        case 0x73757245UL:
            return "coda";
        case 0x7461636fUL:
            return "ocfs2";
        case 0x01161970UL:
            return "gfs2";
        case 0x0bd00bd0UL:
            return "lustre";
        case 0x47504653UL:
            return "gpfs";
        default:
            return {};
    }
}

namespace {

constexpr const char* this_process = "this process";

/// Who holds a lock, for people; as /proc/locks shows it: not at all where the holder is in a
/// container of its own, or its file system has another device there (btrfs).
std::string holder_of(const unique_fd& lock) {
    constexpr const char* unknown = "another process";
    struct stat file {};
    if (::fstat(lock.get(), &file) != 0) return unknown;
    char place[64];
    std::snprintf(place, sizeof place, "%02x:%02x:%ju", major(file.st_dev), minor(file.st_dev),
                  static_cast<std::uintmax_t>(file.st_ino));
    std::ifstream locks("/proc/locks");
    // 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
    for (std::string line; std::getline(locks, line);) {
        std::istringstream fields(line);
        std::string number, kind, mode, access, where;
        pid_t pid = 0;
        fields >> number >> kind >> mode >> access >> pid >> where;
        if (kind != "FLOCK" || where != place) continue;
        if (pid == ::getpid()) return this_process;
        std::string name;
        std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/comm"), name);
        // Without a name: gone, and a child of it holds the lock.
        return name.empty() ? unknown : "process " + std::to_string(pid) + ", " + name;
    }
    return unknown;
}

bool is_removed(const unique_fd& file) noexcept {
    struct stat info {};
    return ::fstat(file.get(), &info) == 0 && info.st_nlink == 0;
}

}  // namespace

unique_fd lock_directory(std::string_view operation, const fs::path& directory, bool allow_network,
                         bool create) {
    if (create && ::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
        throw_errno(operation, directory, errno);
    struct statfs info {};
    if (::statfs(directory.c_str(), &info) != 0) throw_errno(operation, directory, errno);
    const std::string_view network = network_filesystem(static_cast<long>(info.f_type));
    if (!network.empty() && !allow_network)
        throw error(errc::filesystem_refused,
                    text_of_error(operation, directory,
                                  std::string(network) +
                                      " is a network file system, where LMDB can lose data"));
    const fs::path file = directory / lock_name;
    unique_fd lock;
    do {
        lock = unique_fd(::open(file.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600));
        if (lock.get() < 0) throw_errno(operation, file, errno);
        // Of this description, so that a second opening in one process is refused as well: LMDB
        // would let it in, and lose its locks when either closes.
        if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
            if (errno != EWOULDBLOCK) throw_errno("lock", file, errno);
            throw error(
                errc::store_in_use,
                text_of_error(operation, directory,
                              "the database is open in " +
                                  (lmdb::is_open_here(directory) ? this_process : holder_of(lock)) +
                                  "; close it there first"));
        }
        // A backup that failed takes its lock away when it has it: the next one there is another.
    } while (is_removed(lock));
    return lock;
}

namespace {

constexpr char mark_of_open = 'o';
constexpr char mark_of_closed = 'c';

}  // namespace

last_end how_it_ended(const unique_fd& lock) noexcept {
    char mark = 0;
    if (::pread(lock.get(), &mark, 1, 0) != 1) return last_end::unknown;
    if (mark == mark_of_closed) return last_end::closed;
    return mark == mark_of_open ? last_end::open : last_end::unknown;
}

void mark_open(const unique_fd& lock, const fs::path& directory) {
    errno = EIO;  // should less than the byte be written
    if (::pwrite(lock.get(), &mark_of_open, 1, 0) != 1 || ::fdatasync(lock.get()) != 0)
        throw_errno("mark as open", directory / lock_name, errno);
}

void mark_closed(const unique_fd& lock) noexcept {
    // Without a sync: should it be lost, the next opening looks more closely than it had to.
    (void)!::pwrite(lock.get(), &mark_of_closed, 1, 0);
}

void sync_path(const fs::path& path) {
    if (sabotaged("no-name-sync")) return;
    const unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0 || ::fsync(fd.get()) != 0)
        throw error(errc::store_failed,
                    text_of_error("sync", path, std::generic_category().message(errno)));
}

void sync_parent(const fs::path& path) {
    fs::path whole = fs::absolute(path).lexically_normal();
    if (!whole.has_filename()) whole = whole.parent_path();  // it ended with a slash
    const fs::path parent = whole.parent_path();
    sync_path(parent.empty() ? fs::path("/") : parent);
}

void settle(const fs::path& file) {
    // LMDB's two meta pages, of any size that it has. What they count was synced before them.
    constexpr off_t metas_bytes = off_t{2} << 16;
    const unique_fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    const int problem = fd.get() < 0 || ::fdatasync(fd.get()) != 0 ? errno : 0;
    // A page whose write failed counts as written, and a later sync passes it by (Linux): it is
    // read anew. Should this fail, it was in no use that we know of.
    if (fd.get() >= 0)
        static_cast<void>(::posix_fadvise(fd.get(), 0, metas_bytes, POSIX_FADV_DONTNEED));
    if (problem != 0) throw_errno("sync", file, problem);
}

std::array<std::byte, 16> random_id() {
    std::array<std::byte, 16> id{};
    if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size()))
        throw error(errc::store_failed, "getrandom: " + std::generic_category().message(errno));
    return id;
}

void clear_aside(const fs::path& directory) {
    for (const std::string_view name : {aside_name, unfinished_copy_name}) {
        std::error_code problem;
        fs::remove_all(directory / name, problem);
        if (problem) throw_errno("remove", directory / name, problem.value());
    }
}

void create_data(const fs::path& directory, wall_time now) {
    // LMDB's own creation has moments in which a power cut leaves a file that cannot be opened, and
    // it never syncs the directory.
    const fs::path aside = directory / aside_name;
    if (::mkdir(aside.c_str(), 0700) != 0) throw_errno("create", aside, errno);
    {
        lmdb::environment env(aside, {.map_bytes = std::size_t{16} << 20});
        lmdb::transaction txn(env, lmdb::transaction::mode::write);
        const databases dbs = open_databases(txn, true);
        meta_record meta;
        meta.page_bytes = env.page_bytes();  // of the machine
        if (meta.page_bytes != page_bytes_needed)
            throw error(errc::not_supported,
                        text_of_error("create", directory,
                                      "a store needs a machine with pages of 4096 bytes"));
        meta.store_id = random_id();
        meta.generation.bytes = random_id();
        meta.created = now;
        meta.needs = known_steps().back().needs;
        std::vector<std::byte> value;
        encode(meta, value);
        add_seal(meta_key(), value);
        txn.put(dbs.state, meta_key(), value);
        counters_record counters;
        counters.commit = txn.id();
        counters.clean = true;
        value.clear();
        encode(counters, value);
        add_seal(counters_key(), value);
        txn.put(dbs.state, counters_key(), value);
        txn.commit();
    }
    sync_path(aside / data_name);
    if (::rename((aside / data_name).c_str(), (directory / data_name).c_str()) != 0)
        throw_errno("create", directory / data_name, errno);
    sync_path(directory);
    sync_parent(directory);
    clear_aside(directory);
}

databases open_databases(lmdb::transaction& txn, bool create) {
    try {
        return {txn.open("log", create), txn.open("index", create), txn.open("state", create)};
    } catch (const lmdb::failure& what) {
        if (what.code() != MDB_NOTFOUND) throw;
        throw damaged{"the record of a tree is damaged; restore a backup"};
    }
}

meta_record read_meta(const lmdb::transaction& txn, const databases& dbs,
                      const fs::path& directory) {
    const auto refuse = [&](errc code, const std::string& why) {
        throw error(code, text_of_error("open", directory, why));
    };
    const auto value = txn.get(dbs.state, meta_key());
    std::optional<meta_record> meta;
    try {
        if (value) meta = decode_meta(unsealed(meta_key(), *value));
    } catch (const damaged&) {
    }
    if (!meta) throw damaged{"the meta record is damaged; restore a backup"};
    const auto newer = [&](const std::string& what) {
        refuse(errc::store_newer, what + "; install cairn " +
                                      (meta->needs.empty() ? "of a later version" : meta->needs) +
                                      " or later");
    };
    if (meta->format > format_version)
        newer("the database has format " + std::to_string(meta->format) +
              ", this cairn reads up to " + std::to_string(format_version));
    if (meta->page_bytes != page_bytes_needed)
        refuse(errc::not_supported, "its pages have " + std::to_string(meta->page_bytes) +
                                        " bytes, and a store needs 4096");
    if (meta->incompatible != 0) newer("the database uses what this cairn does not know");
    return *meta;
}

counters_record read_counters(const lmdb::transaction& txn, const databases& dbs) {
    const auto value = txn.get(dbs.state, counters_key());
    try {
        const auto counters =
            value ? decode_counters(unsealed(counters_key(), *value)) : std::nullopt;
        if (counters) return *counters;
    } catch (const damaged&) {
    }
    throw damaged{"the store's counters are damaged; compact it, which makes them anew"};
}

void require_whole_meta(const counters_record& counters, std::uint64_t last) {
    if (counters.commit < last) throw damaged{torn_meta};
}

bool ballast::take() noexcept {
    if (size_ == 0) return true;
    struct stat known {};
    if (::stat(file_.c_str(), &known) == 0 &&
        static_cast<std::size_t>(known.st_blocks) * 512 >= size_)
        return true;
    struct statvfs disk {};
    if (::statvfs(file_.parent_path().c_str(), &disk) != 0 ||
        static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize < 2 * std::uint64_t{size_})
        return false;
    const unique_fd fd(::open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (fd.get() < 0 || ::posix_fallocate(fd.get(), 0, static_cast<off_t>(size_)) != 0) {
        give_back();
        return false;
    }
    return true;
}

bool ballast::is_needed() const noexcept {
    constexpr off_t probe_bytes = off_t{1} << 20;
    const unique_fd fd(::open(file_.parent_path().c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    const int code = fd.get() < 0 ? errno : ::posix_fallocate(fd.get(), 0, probe_bytes);
    return lmdb::is_lack_of_room(code);
}

void ballast::give_back() noexcept { ::unlink(file_.c_str()); }

}  // namespace cairn::store
