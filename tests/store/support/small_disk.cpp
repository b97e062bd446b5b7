#include "small_disk.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace cairn::test {

namespace {

std::string reason(const char* call) {
    return std::string(call) + ": " + std::generic_category().message(errno);
}

/// Makes mounts this process's own; empty or why not.
std::string own_mounts() {
    static bool done = false;
    if (done) return {};
    if (::unshare(CLONE_NEWNS) != 0) {
        const std::string uid = std::to_string(::getuid());
        const std::string gid = std::to_string(::getgid());
        if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return reason("unshare");
        std::ofstream("/proc/self/setgroups") << "deny";
        std::ofstream("/proc/self/uid_map") << "0 " + uid + " 1";
        std::ofstream("/proc/self/gid_map") << "0 " + gid + " 1";
    }
    if (::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return reason("mount /");
    done = true;
    return {};
}

}  // namespace

std::string mount_small_disk(const std::filesystem::path& where, std::size_t bytes) {
    if (std::string why = own_mounts(); !why.empty()) return why;
    const std::string size = "size=" + std::to_string(bytes);
    if (::mount("tmpfs", where.c_str(), "tmpfs", 0, size.c_str()) != 0) return reason("mount");
    return {};
}

void unmount_small_disk(const std::filesystem::path& where) {
    ::umount2(where.c_str(), MNT_DETACH);
}

}  // namespace cairn::test
