#include "harness/program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace cairn::bench {

namespace {

using std::chrono::steady_clock;

// What is kept of a program that prints for ever.
constexpr std::size_t printed_bytes_max = 64 * 1'024;

[[noreturn]] void become(const std::vector<char*>& command, pid_t parent, int output) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::raise(SIGKILL);  // it died before the line above
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::execvp(command.front(), command.data());
    const std::string_view trouble = "cannot be started; is it installed?\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, trouble.data(), trouble.size());
    ::_exit(127);
}

}  // namespace

program::program(std::vector<std::string> command) : name_(command.front()) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "pipe2");
    output_ = ends[0];
    std::vector<char*> pointers;
    for (auto& argument : command) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) become(pointers, parent, ends[1]);
    const int cause = errno;
    ::close(ends[1]);
    if (pid_ > 0) return;
    ::close(output_);
    throw std::system_error(cause, std::generic_category(), "fork");
}

program::~program() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    wait();
    ::close(output_);
}

void program::wait_for_output(std::string_view text, std::chrono::milliseconds patience) {
    const auto end = steady_clock::now() + patience;
    while (printed_.find(text) == std::string::npos)
        if (!read_until(end))
            throw std::runtime_error(name_ + " did not say \"" + std::string(text) +
                                     "\": " + printed_);
}

void program::watch() {
    while (read_until(steady_clock::now() + std::chrono::hours(1))) continue;
    throw std::runtime_error(name_ + " ended: " + printed_);
}

void program::terminate() {
    ::kill(pid_, SIGTERM);
    const int status = wait();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw std::runtime_error(name_ + " did not end as it should: " + printed_);
}

bool program::read_until(steady_clock::time_point end) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - steady_clock::now());
    pollfd readable{output_, POLLIN, 0};
    const int ready =
        ::poll(&readable, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) return true;
    if (ready <= 0) return false;
    std::array<char, 4'096> buffer{};
    const auto count = ::read(output_, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) return true;
    if (count <= 0) return false;
    printed_.append(buffer.data(), static_cast<std::size_t>(count));
    if (printed_.size() > printed_bytes_max) printed_.erase(0, printed_bytes_max / 2);
    return true;
}

int program::wait() noexcept {
    int status = 0;
    const pid_t ended = std::exchange(pid_, -1);
    while (ended > 0 && ::waitpid(ended, &status, 0) < 0 && errno == EINTR) continue;
    return status;
}

}  // namespace cairn::bench
