#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/node_options.hpp>
#include <cairn/stats.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

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
///          host_unknown, permission_denied, insecure_refused, key_invalid). What goes wrong with
///          a peer later is logged, counted and told by endpoint (stats().endpoints), and mended
///          when its cause is gone. In a child forked later, node and handles are the parent's:
///          waiting, receiving, acking, trying and closing do nothing there and say so; everything
///          else throws error (forked).
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

    /// Connects to one more endpoint, at the addresses that its host has by then. Returns at once;
    /// a peer that is not there yet is tried again. Connecting twice to one is one connection; with
    /// another key it throws error (key_invalid): disconnect() first.
    void connect(std::string_view endpoint, const connect_options& options = {});

    /// Stops listening on, or connecting to, an endpoint. False when the node did not.
    bool unbind(std::string_view endpoint);
    bool disconnect(std::string_view endpoint);

    /// Mirrors what the node's publishers send to plain ZeroMQ SUB sockets: frame 1 the topic,
    /// frame 2 the body. Lossy, as PUB is: libzmq keeps up to 1,024 messages, of whatever size, for
    /// each SUB socket, and drops more. At peers_max connections nobody else is accepted (over ws:
    /// all end); at 16,384 subscriptions since it last had no connection, or 256 KiB of them, all
    /// its connections end and may come again. Loopback or ipc only unless keys are set or
    /// `insecure` is said, and not with rules (node_options::access), which a tap cannot keep:
    /// not_supported. Also takes ws://127.0.0.1:PORT where libzmq has WebSocket, else
    /// not_supported. Returns the endpoint with its port.
    std::string open_tap(std::string_view endpoint);
    /// Ends a tap, by the endpoint that open_tap() returned. False when there is none.
    bool close_tap(std::string_view endpoint);

    /// Waits until `count` peers are greeted. False when the deadline passed first: why is in
    /// stats().endpoints.
    bool wait_for_peers(std::size_t count, std::chrono::milliseconds deadline);

    /// Replaces the public keys that may connect to this node (security_options::allowed_keys).
    /// Links of peers whose keys are not among them have ended when it returns. Throws error
    /// (key_invalid, or not_supported when the node has no keys).
    void allow_keys(std::vector<std::string> keys);

    /// Replaces what peers may do (node_options::access). Links of peers whose rights change have
    /// ended when it returns, with all that they had asked for; they are made anew, under the new
    /// rules. Throws error (invalid_argument, key_invalid; not_supported while a tap is open).
    void allow(std::vector<access_rule> rules);

    const std::string& name() const noexcept;
    node_id id() const noexcept;
    node_stats stats() const;

    /// Closes all handles, giving them until the deadline to hand over what they hold, then the
    /// network. Returns how many messages were not sent or not confirmed, acks of durable groups
    /// among them; 0 when it was closed before.
    std::uint64_t close(std::chrono::milliseconds deadline);

    /// Not for users: the handles' way in.
    struct parts;
    parts& internals() noexcept { return *parts_; }

private:
    std::unique_ptr<parts> parts_;
};

}  // namespace cairn
