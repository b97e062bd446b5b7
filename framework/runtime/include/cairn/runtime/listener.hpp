#pragma once

#include <cairn/ids.hpp>
#include <cairn/runtime/endpoint.hpp>
#include <cairn/runtime/ipc_lock.hpp>
#include <cairn/runtime/socket_factory.hpp>

#include <sys/types.h>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace cairn::runtime {

class unique_fd;

/// One endpoint on which a socket listens.
///
/// A tcp or ipc listener makes the listening socket itself and lends it to libzmq. So an ipc file
/// appears with its final rights (0600) whatever the umask, under the lock beside it; libzmq does
/// not unlink it late, when it belongs to a successor; and a listener can pause.
///
/// Owns:    the binding, the ipc file and its lock. The socket object outlives it and does not
///          move. Its end also ends the connections that came in by it, at once and without a
///          monitor event, and what they still had to send is lost: libzmq does so. Close the
///          socket first when it has something to send. A TCP port is free when the end returns.
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

    /// Accepts nobody new, keeps its connections and its right to the endpoint; who tries meanwhile
    /// gets in after resume(). Idempotent. Without effect on inproc, @NAME and ws.
    void pause() noexcept;
    /// Accepts again. False when the system refuses: try again later. Idempotent.
    [[nodiscard]] bool resume() noexcept;
    bool paused() const noexcept { return paused_; }

    /// Ends all who wait to be accepted, and returns how many: while the process has no descriptor
    /// for the first of them, libzmq's I/O thread tries to accept it without a pause. Needs no
    /// descriptor, and blocks for some milliseconds. Without effect where pause() has none, where
    /// unshare(2) is denied, and for a second after it had none.
    std::size_t turn_away_waiting(time_point now) noexcept;

    /// Whether the descriptor is that of a connection that came in by this listener. It need not be
    /// one of a socket at all.
    bool accepted(int descriptor) const noexcept;

private:
    void serve(unique_fd from);
    void take_port();
    void wait_until_closed() const noexcept;

    std::shared_ptr<context> owner_;
    const socket* socket_;
    endpoint where_;
    std::optional<ipc_lock> lock_;
    std::string bound_to_;  // as libzmq knows it; empty when moved from
    int descriptor_ = -1;   // listening; libzmq's since bind
    ino_t inode_ = 0;       // of that socket: its number may be another's when libzmq has closed it
    bool paused_ = false;
    time_point turn_away_at_{};  // not before
};

}  // namespace cairn::runtime
