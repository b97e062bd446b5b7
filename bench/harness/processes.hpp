#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::bench {

/// A process that runs this program again with other arguments, and tells its parent what it is at
/// by lines over a pipe. Lines `log …` are passed on to standard error.
///
/// Owns:    the process: it is killed with the object, and by the kernel should the parent die.
/// Threads: one at a time; constructed by the main thread (the kernel's watch is on the thread).
/// Fails:   construction throws std::system_error; wait_for_line() throws std::runtime_error.
class child_process {
public:
    /// Starts it. `--report-fd N` is added to the arguments; `inherited` stays open in it.
    child_process(std::vector<std::string> arguments, int inherited);
    ~child_process();
    child_process(child_process&& other) noexcept;
    child_process& operator=(child_process&&) = delete;

    /// Waits for the next line. Throws when the process ended, reported `error …`, or said nothing
    /// for as long as `patience`.
    std::string wait_for_line(std::chrono::milliseconds patience);

    /// Throws when the process has ended or reported an error.
    void check_alive();

    void kill() noexcept;  ///< SIGKILL; the destructor still waits for it
    void stop();           ///< SIGSTOP
    void resume();         ///< SIGCONT

    std::chrono::nanoseconds cpu_time() const;
    /// The most that it ever had resident, and what of its memory no file backs now.
    std::size_t peak_resident_bytes() const;
    std::size_t anonymous_bytes() const;

private:
    std::optional<std::string> take_line();
    void take_all_lines();
    bool read_some(std::chrono::milliseconds patience);
    [[noreturn]] void throw_ended();

    pid_t pid_ = -1;
    int report_ = -1;
    std::string unread_;
};

/// The child's end of the pipe.
class reporter {
public:
    explicit reporter(int descriptor) : descriptor_(descriptor) {}
    void line(std::string_view text) const;

private:
    int descriptor_;
};

/// A line of /proc/PID/status that gives kB, in bytes ("VmHWM", "RssAnon"); 0 means this process.
std::size_t status_bytes_of(pid_t pid, std::string_view name);

}  // namespace cairn::bench
