#pragma once

#include <cairn/runtime/endpoint.hpp>
#include <cairn/runtime/ipc_lock.hpp>
#include <cairn/runtime/socket_factory.hpp>

#include <memory>
#include <optional>
#include <string>

namespace cairn::runtime {

/// One endpoint on which a socket listens.
///
/// An ipc listener holds the lock beside its file, binds under a temporary name, takes all rights
/// of group and others off it, and renames it to its place: nobody can connect to it with the
/// umask's rights, no second listener steals it, and the unlink that libzmq does late, on its own
/// thread, never hits a successor.
///
/// Owns:    the binding, the ipc file and its lock. The socket must outlive it.
/// Threads: that of its socket.
/// Fails:   construction throws error (address_in_use, permission_denied, address_invalid,
///          insecure_refused, not_supported).
class listener {
public:
    /// Binds. `where` has a numeric address or `*` (see resolve). `by` made the socket and knows
    /// whether it is safe to listen beyond loopback.
    listener(const socket_factory& by, const socket& on, endpoint where);
    ~listener();
    listener(listener&& other) noexcept;
    listener& operator=(listener&&) = delete;

    /// As bound, with the port that the system chose; `*` stays.
    const endpoint& where() const noexcept { return where_; }

    /// Stops accepting and keeps the right to the endpoint; connections stay. Idempotent.
    void pause() noexcept;
    /// Accepts again. False when the system does not let us yet (libzmq closes the old listener in
    /// the background): try again in some milliseconds. Idempotent.
    [[nodiscard]] bool resume() noexcept;
    bool paused() const noexcept { return bound_to_.empty(); }

private:
    void bind();
    void bind_network();
    void bind_file();

    std::shared_ptr<context> owner_;
    zmq::socket_ref socket_;
    endpoint where_;
    std::optional<ipc_lock> lock_;
    std::string bound_to_;  // as libzmq knows it; empty while paused
};

}  // namespace cairn::runtime
