#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/security.hpp>
#include <cairn/stats.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

namespace runtime {
class hub;
}

enum class log_level : std::uint8_t { debug, info, warning, error };

/// Called with one line without a line end. Runs on any thread, must return quickly, and must not
/// call the node that it belongs to. Lines of one cause are limited to ten a second.
using log_sink = std::function<void(log_level, std::string_view)>;

struct node_options {
    /// Name for logs and peers, and the default source of the node's publishers and pushers. A
    /// publisher that must keep its identity over restarts needs a stable one. Empty: a random
    /// name.
    std::string name;
    std::vector<std::string> bind;     ///< endpoints to listen on from the start
    std::vector<std::string> connect;  ///< endpoints to connect to from the start
    security_options security;
    /// Directory in which the last epoch of each source is kept, so that a restart takes a higher
    /// one even if the clock went back. Empty: epochs come from the clock alone.
    std::filesystem::path state_directory;
    std::size_t peers_max = 1'024;             ///< connections accepted; one more is refused
    std::size_t topics_per_peer_max = 65'536;  ///< streams that one peer may follow or offer
    std::size_t subscriptions_per_peer_max = 1'024;
    std::size_t body_bytes_max = std::size_t{64} << 20;  ///< largest message body, sent or taken
    std::chrono::milliseconds heartbeat = std::chrono::seconds(1);  ///< silence is broken so often
    std::chrono::milliseconds silence_max =
        std::chrono::milliseconds(3'500);  ///< then a peer is lost
    std::chrono::milliseconds reconnect_min = std::chrono::milliseconds(100);
    std::chrono::milliseconds reconnect_max = std::chrono::seconds(5);
    log_sink log;
};

/// One process's end of the network: the endpoints it listens on and connects to, and the thread
/// that serves them. Publishers, subscribers, pushers and pullers of a node share its connections;
/// each of them reaches all of the node's peers, whichever side bound, and the node's own handles
/// as well.
///
/// Endpoints: tcp://HOST:PORT (bind: `*` for all addresses, port 0 or `*` for a free one),
/// ipc://PATH (an absolute path, or `@NAME` for an abstract one), inproc://NAME.
///
/// Owns:    its sockets and its thread. Must outlive its handles.
/// Threads: thread-safe.
/// Fails:   construction, bind and connect throw error (address_invalid, address_in_use,
/// host_unknown,
///          permission_denied, insecure_refused, key_invalid). What goes wrong with a peer later is
///          logged and counted, and mended when its cause is gone.
/// Limits:  node_options.
class node {
public:
    explicit node(node_options options = {});
    /// Closes without waiting for anybody.
    ~node();
    node(const node&) = delete;
    node& operator=(const node&) = delete;

    /// Listens on one more endpoint. Returns it as others can connect to it, with the port that the
    /// system chose.
    std::string bind(std::string_view endpoint);

    /// Connects to one more endpoint. Returns at once; a peer that is not there yet is tried again.
    /// Connecting twice to one endpoint is one connection.
    void connect(std::string_view endpoint);

    /// Stops listening on, or connecting to, an endpoint. False when the node did not.
    bool unbind(std::string_view endpoint);
    bool disconnect(std::string_view endpoint);

    /// Mirrors what the node's publishers send to plain ZeroMQ SUB sockets: frame 1 the topic,
    /// frame 2 the body. Lossy, as PUB is. Loopback or ipc only unless keys are set or `insecure`
    /// is said. Returns the endpoint with its port. Also takes ws://127.0.0.1:PORT when libzmq has
    /// WebSocket.
    std::string open_tap(std::string_view endpoint);

    /// Waits until `count` peers are greeted. False when the deadline passed first.
    bool wait_for_peers(std::size_t count, std::chrono::milliseconds deadline);

    const std::string& name() const noexcept;
    node_id id() const noexcept;
    node_stats stats() const;

    /// Closes all handles, giving them until the deadline to hand over what they hold, then the
    /// network. Returns how many messages were not sent or not confirmed. Idempotent.
    std::uint64_t close(std::chrono::milliseconds deadline);

    /// Not for users: the handles' way in.
    runtime::hub& hub() noexcept { return *hub_; }

private:
    std::unique_ptr<runtime::hub> hub_;
};

}  // namespace cairn
