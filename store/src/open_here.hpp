#pragma once

#include <filesystem>

namespace cairn::store::lmdb {

/// That this process has an environment open in a directory, from before it is opened until it is
/// closed. LMDB forbids a second one: the locks of its reader table are the process's, and whoever
/// closes that table's file first takes the other's away.
///
/// Owns:    a descriptor of the directory, so that its inode, by which it is known whatever it is
///          called, becomes nobody else's meanwhile.
/// Threads: thread-safe. A forked child begins with none: those of its parent are not its own.
/// Fails:   throws failure with an errno; already_open.
class open_here {
public:
    /// `reads`: it is copied or verified.
    open_here(const std::filesystem::path& directory, bool reads);
    ~open_here();
    open_here(const open_here&) = delete;
    open_here& operator=(const open_here&) = delete;

private:
    int fd_ = -1;
};

/// Whether one is open there that does more than read: its process has the directory's lock, which
/// a copy by path has not.
bool is_open_here(const std::filesystem::path& directory) noexcept;

}  // namespace cairn::store::lmdb
