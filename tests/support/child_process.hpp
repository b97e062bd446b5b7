#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::test {

/// A program that a test started, with its standard output and error in one pipe.
///
/// Owns:    the process and the pipe: a process that still runs is killed and reaped with the
///          object.
/// Threads: one at a time.
/// Fails:   construction throws std::system_error when the program cannot be started.
/// Limits:  what the program prints is kept in memory.
class child_process {
public:
    /// Starts `command`: the program, by path or found in PATH, and its arguments. It inherits the
    /// environment, and reads nothing.
    explicit child_process(const std::vector<std::string>& command);
    ~child_process();
    child_process(const child_process&) = delete;
    child_process& operator=(const child_process&) = delete;

    pid_t pid() const noexcept { return pid_; }

    /// Sends a signal; false when the process is over. After SIGSTOP all its threads stand still.
    bool signal(int number);

    /// Waits until the process is over: its exit code, or 128 + the signal that ended it. Nothing
    /// when the deadline passed first; the process then goes on.
    std::optional<int> wait(std::chrono::milliseconds deadline);

    /// Waits until what was printed so far contains `text`. False when the deadline passed or the
    /// program closed its output first.
    bool wait_for_output(std::string_view text, std::chrono::milliseconds deadline);

    /// What was printed and read so far; all of it after wait() returned a code.
    const std::string& output() const noexcept { return output_; }

private:
    /// Reads once, waiting at most until `end`; false when there is no more, or not in time.
    bool read_until(std::chrono::steady_clock::time_point end);

    pid_t pid_ = -1;
    int process_ = -1;  // pidfd: readable when the process is over
    int pipe_ = -1;     // the end that we read; -1 when the program closed its own
    std::optional<int> code_;
    std::string output_;
};

}  // namespace cairn::test
