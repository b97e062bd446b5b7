#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

// usage: crowd PORT COUNT. Waits for SIGUSR1, then connects so often at once to a port of this
// machine, says nothing, and holds its connections until it is killed.
int main(int, char** arguments) {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    sigset_t start;
    sigemptyset(&start);
    sigaddset(&start, SIGUSR1);
    sigprocmask(SIG_BLOCK, &start, nullptr);
    std::puts("ready");
    std::fflush(stdout);
    int signal = 0;
    sigwait(&start, &signal);

    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(std::atoi(arguments[1])));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = std::atoi(arguments[2]); i != 0; --i) {
        const int one = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        // Done, or under way.
        static_cast<void>(::connect(one, reinterpret_cast<sockaddr*>(&where), sizeof where));
    }
    std::puts("all are there");
    std::fflush(stdout);
    for (;;) ::pause();
}
