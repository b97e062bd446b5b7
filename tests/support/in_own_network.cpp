// Runs its arguments as a program in a network of its own, with nothing but a loopback device, and
// as a user that is not root even when root starts it. Leaves with 77 and a reason when the system
// allows no namespaces.
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

namespace {

constexpr int skipped = 77;
constexpr uid_t nobody = 65'534;

int fails(const char* what) {
    std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
    return skipped;
}

std::string map_of(unsigned id) {
    return std::to_string(id == 0 ? nobody : id) + " " + std::to_string(id) + " 1";
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const uid_t user = ::getuid();
    const gid_t group = ::getgid();
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return fails("unshare");
    std::ofstream("/proc/self/setgroups") << "deny";
    if (!(std::ofstream("/proc/self/uid_map") << map_of(user) << std::flush)) return fails("uids");
    if (!(std::ofstream("/proc/self/gid_map") << map_of(group) << std::flush)) return fails("gids");
    const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq loopback{};
    std::strncpy(loopback.ifr_name, "lo", IFNAMSIZ - 1);
    loopback.ifr_flags = IFF_UP | IFF_RUNNING;
    if (any < 0 || ::ioctl(any, SIOCSIFFLAGS, &loopback) != 0) return fails("loopback");
    ::execvp(argv[1], argv + 1);
    return fails(argv[1]);
}
