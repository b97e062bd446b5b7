#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::bench {

/// Another program that takes part in a measurement: a daemon, or a peer's server.
///
/// Owns:    the process: it is killed with the object, and by the kernel should we die.
/// Threads: one at a time; constructed by the main thread (the kernel's watch is on the thread).
/// Fails:   construction throws std::system_error; waiting throws std::runtime_error.
class program {
public:
    /// Starts `command`: the program, by path or found in PATH, and its arguments.
    explicit program(std::vector<std::string> command);
    ~program();
    program(const program&) = delete;
    program& operator=(const program&) = delete;

    pid_t pid() const noexcept { return pid_; }

    /// Waits until what it prints, to standard output or error, contains `text`. Throws, with what
    /// was printed, when it ended or `patience` passed first.
    void wait_for_output(std::string_view text, std::chrono::milliseconds patience);

    /// What it printed and was read so far, without the oldest of much.
    const std::string& printed() const noexcept { return printed_; }

    /// Waits until it ends, which it should not: throws, with what was printed.
    [[noreturn]] void watch();

    /// SIGTERM, and waits. Throws when it leaves with anything but 0.
    void terminate();

private:
    bool read_until(std::chrono::steady_clock::time_point end);
    int wait() noexcept;

    std::string name_;
    pid_t pid_ = -1;
    int output_ = -1;
    std::string printed_;
};

}  // namespace cairn::bench
