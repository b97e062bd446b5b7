#include "harness/processes.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace cairn::bench {

namespace {

constexpr std::string_view error_prefix = "error ";
constexpr std::string_view log_prefix = "log ";

[[noreturn]] void throw_errno(const char* operation) {
    throw std::system_error(errno, std::generic_category(), operation);
}

void keep_over_exec(int descriptor) { ::fcntl(descriptor, F_SETFD, 0); }

[[noreturn]] void become(const std::vector<char*>& arguments, pid_t parent, int report,
                         int inherited) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::raise(SIGKILL);  // it died before the line above
    keep_over_exec(report);
    keep_over_exec(inherited);
    ::execv("/proc/self/exe", arguments.data());
    ::_exit(127);
}

}  // namespace

child_process::child_process(std::vector<std::string> arguments, int inherited) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
    report_ = ends[0];
    arguments.insert(arguments.begin(), "cairn-bench");
    arguments.insert(arguments.end(), {"--report-fd", std::to_string(ends[1])});
    std::vector<char*> pointers;
    for (auto& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);

    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) become(pointers, parent, ends[1], inherited);
    ::close(ends[1]);
    if (pid_ < 0) {
        ::close(report_);
        throw_errno("fork");
    }
}

child_process::child_process(child_process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      report_(std::exchange(other.report_, -1)),
      unread_(std::move(other.unread_)) {}

child_process::~child_process() {
    kill();
    while (pid_ > 0 && ::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
    if (report_ >= 0) ::close(report_);
}

std::string child_process::wait_for_line(std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (;;) {
        if (auto line = take_line()) return *line;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) throw std::runtime_error("a started process did not get ready");
        read_some(left);
    }
}

void child_process::check_alive() {
    while (read_some(std::chrono::milliseconds(0))) continue;
    take_all_lines();
}

std::optional<std::string> child_process::take_line() {
    const auto end = unread_.find('\n');
    if (end == std::string::npos) return std::nullopt;
    auto line = unread_.substr(0, end);
    unread_.erase(0, end + 1);
    if (line.starts_with(error_prefix)) throw std::runtime_error(line.substr(error_prefix.size()));
    if (!line.starts_with(log_prefix)) return line;
    std::fprintf(stderr, "%s\n", line.c_str() + log_prefix.size());
    return take_line();
}

bool child_process::read_some(std::chrono::milliseconds patience) {
    pollfd readable{report_, POLLIN, 0};
    const int ready = ::poll(&readable, 1, static_cast<int>(patience.count()));
    if (ready < 0 && errno != EINTR) throw_errno("poll");
    if (ready <= 0) return false;
    std::array<char, 1024> buffer{};
    const auto count = ::read(report_, buffer.data(), buffer.size());
    if (count < 0 && errno != EINTR) throw_errno("read");
    if (count == 0) {
        take_all_lines();  // what it wrote before it ended says more than its exit code
        throw_ended();
    }
    if (count > 0) unread_.append(buffer.data(), static_cast<std::size_t>(count));
    return true;
}

void child_process::take_all_lines() {
    while (take_line()) continue;
}

void child_process::throw_ended() {
    int status = 0;
    const pid_t ended = std::exchange(pid_, -1);
    while (::waitpid(ended, &status, 0) < 0 && errno == EINTR) continue;
    throw std::runtime_error("a started process ended " +
                             (WIFSIGNALED(status)
                                  ? "by signal " + std::to_string(WTERMSIG(status))
                                  : "with exit code " + std::to_string(WEXITSTATUS(status))));
}

void child_process::kill() noexcept {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
}

void child_process::stop() {
    if (::kill(pid_, SIGSTOP) != 0) throw_errno("kill");
}

void child_process::resume() {
    if (::kill(pid_, SIGCONT) != 0) throw_errno("kill");
}

std::chrono::nanoseconds child_process::cpu_time() const {
    clockid_t clock{};
    timespec used{};
    if (::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &used) != 0)
        throw_errno("clock_gettime");
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

std::size_t child_process::peak_resident_bytes() const { return status_bytes_of(pid_, "VmHWM"); }

std::size_t child_process::anonymous_bytes() const { return status_bytes_of(pid_, "RssAnon"); }

void reporter::line(std::string_view text) const {
    std::string whole(text);
    for (auto& c : whole)
        if (c == '\n') c = ' ';
    whole += '\n';
    // A short write to a pipe is one write; should the parent be gone, the kernel ends us anyway.
    [[maybe_unused]] const auto written = ::write(descriptor_, whole.data(), whole.size());
}

std::size_t status_bytes_of(pid_t pid, std::string_view name) {
    std::ifstream status("/proc/" + (pid == 0 ? "self" : std::to_string(pid)) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(name) && line.substr(name.size()).starts_with(':'))
            return std::stoull(line.substr(name.size() + 1)) * 1'024;
    throw std::runtime_error("read status: failed");
}

}  // namespace cairn::bench
