#pragma once

#include <cstdint>
#include <string_view>

namespace cairn::runtime {

/// Tells whether this process is a fork of the one that made an object. libzmq does not survive a
/// fork: its threads are gone in the child, and closing a context there hangs for ever.
///
/// Owns:    nothing; installs one pthread_atfork handler in the process.
/// Threads: thread-safe.
class fork_guard {
public:
    fork_guard() noexcept;

    /// True in a child that was forked after this object was made. One load.
    bool forked() const noexcept;

    /// Throws error (forked) in such a child: "OPERATION: the node belongs to the parent …".
    void check(std::string_view operation) const;

private:
    std::uint64_t made_in_;
};

}  // namespace cairn::runtime
