#include "support/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace cairn::test {

namespace {

using std::chrono::steady_clock;

[[noreturn]] void fail(int code, const std::string& what) {
    throw std::system_error(code, std::generic_category(), what);
}

/// posix_spawn's list of what to do with descriptors in the child.
class file_actions {
public:
    file_actions() { posix_spawn_file_actions_init(&actions_); }
    ~file_actions() { posix_spawn_file_actions_destroy(&actions_); }
    file_actions(const file_actions&) = delete;
    file_actions& operator=(const file_actions&) = delete;

    posix_spawn_file_actions_t* get() noexcept { return &actions_; }

private:
    posix_spawn_file_actions_t actions_;
};

/// Whether one of the two becomes readable, or ends, before `end`; -1 never does.
bool readable(int fd, int other, steady_clock::time_point end) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - steady_clock::now());
        pollfd items[] = {{fd, POLLIN, 0}, {other, POLLIN, 0}};
        const int n = ::poll(items, 2, static_cast<int>(std::max<std::int64_t>(0, left.count())));
        if (n > 0) return true;
        if (n == 0 && left.count() <= 0) return false;
    }
}

bool readable(int fd) { return readable(fd, -1, steady_clock::now()); }

}  // namespace

child_process::child_process(const std::vector<std::string>& command) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail(errno, "pipe");
    pipe_ = ends[0];

    file_actions actions;
    posix_spawn_file_actions_addopen(actions.get(), 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(actions.get(), ends[1], 1);
    posix_spawn_file_actions_adddup2(actions.get(), ends[1], 2);

    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const int code =
        ::posix_spawnp(&pid_, arguments[0], actions.get(), nullptr, arguments.data(), environ);
    ::close(ends[1]);
    if (code == 0) process_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (code != 0 || process_ < 0) {
        const int cause = code != 0 ? code : errno;
        ::close(pipe_);
        fail(cause, "start " + command.front());
    }
}

child_process::~child_process() {
    if (!code_) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    if (pipe_ >= 0) ::close(pipe_);
    ::close(process_);
}

// Until it is reaped the process keeps its number, so the signal cannot meet a stranger.
bool child_process::signal(int number) {
    if (code_ || ::kill(pid_, number) != 0) return false;
    if (number != SIGSTOP) return true;
    siginfo_t seen{};
    while (::waitid(P_PID, static_cast<id_t>(pid_), &seen, WSTOPPED | WEXITED | WNOWAIT) != 0)
        if (errno != EINTR) return false;
    return seen.si_code == CLD_STOPPED;
}

std::optional<int> child_process::wait(std::chrono::milliseconds deadline) {
    const auto end = steady_clock::now() + deadline;
    if (code_) return code_;
    // A child that fills the pipe would wait for us for ever: read while it runs.
    while (!readable(process_)) {
        if (!readable(process_, pipe_, end)) return std::nullopt;
        read_until(steady_clock::now());
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    // What is left in the pipe; not until its end, for a grandchild may hold it open.
    while (read_until(steady_clock::now())) {
    }
    return code_;
}

bool child_process::wait_for_output(std::string_view text, std::chrono::milliseconds deadline) {
    const auto end = steady_clock::now() + deadline;
    while (output_.find(text) == std::string::npos)
        if (!read_until(end)) return false;
    return true;
}

bool child_process::read_until(steady_clock::time_point end) {
    if (pipe_ < 0 || !readable(pipe_, -1, end)) return false;
    char buffer[4096];
    const ssize_t n = ::read(pipe_, buffer, sizeof buffer);
    if (n > 0) {
        output_.append(buffer, static_cast<std::size_t>(n));
        return true;
    }
    ::close(pipe_);
    pipe_ = -1;
    return false;
}

}  // namespace cairn::test
