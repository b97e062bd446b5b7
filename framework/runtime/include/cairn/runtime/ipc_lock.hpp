#pragma once

#include <filesystem>
#include <string>

namespace cairn::runtime {

/// The right to listen at the file of an ipc endpoint, or to use a directory: an flock on a file
/// beside it. libzmq lets a second bind steal the file of the first without a word.
///
/// Owns:    the lock and its file, which goes with it. The kernel frees the lock with the process.
/// Threads: one at a time.
/// Fails:   construction throws error (address_in_use, permission_denied, address_invalid).
class ipc_lock {
public:
    /// Locks `path`.lock, made with mode 0600. `operation` leads the error's text:
    /// "bind ipc:///run/a.sock: in use by process 4711 (it holds /run/a.sock.lock)".
    ipc_lock(const std::filesystem::path& path, const std::string& operation);
    ~ipc_lock();
    ipc_lock(ipc_lock&& other) noexcept;
    ipc_lock& operator=(ipc_lock&&) = delete;

private:
    std::filesystem::path file_;
    int descriptor_ = -1;
};

}  // namespace cairn::runtime
