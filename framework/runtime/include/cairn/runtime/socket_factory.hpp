#pragma once

#include <cairn/node_options.hpp>
#include <cairn/runtime/context.hpp>
#include <cairn/runtime/endpoint.hpp>
#include <cairn/wire/limits.hpp>

#include <zmq.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace cairn::runtime {

/// Values of socket options that no user chooses.
namespace socket_limits {
inline constexpr std::chrono::milliseconds linger{2'000};
inline constexpr std::chrono::milliseconds handshake_time_max{2'000};
inline constexpr std::chrono::milliseconds connect_time_max{5'000};
inline constexpr std::chrono::milliseconds retransmit_time_max{15'000};  ///< ZMQ_TCP_MAXRT
inline constexpr std::chrono::seconds keepalive_idle{10};
inline constexpr std::chrono::seconds keepalive_interval{5};
inline constexpr int keepalive_probes = 3;
inline constexpr int backlog = 1'024;
inline constexpr int link_send_hwm = 1'024;     ///< frames a peer; bytes are bounded by credit
inline constexpr int link_receive_hwm = 1'024;  ///< likewise
inline constexpr int tap_send_hwm = 1'024;      ///< messages a SUB socket; beyond, PUB drops
}  // namespace socket_limits

/// High-water marks in frames; never 0, which libzmq takes for "unlimited".
struct frame_limits {
    int send = socket_limits::link_send_hwm;
    int receive = socket_limits::link_receive_hwm;
};

/// A ZeroMQ socket that keeps its context alive and leaves ZeroMQ alone in a forked child.
///
/// Owns:    the socket. Destruction closes it; what it still has to send is sent in the
///          background for socket_limits::linger.
/// Threads: one at a time.
class socket {
public:
    socket() noexcept = default;
    /// Throws error (limit_exceeded). For socket_factory and monitor; sets no options.
    socket(std::shared_ptr<context> owner, zmq::socket_type type);
    ~socket() { close(); }
    socket(socket&& other) noexcept;
    socket& operator=(socket&& other) noexcept;

    explicit operator bool() const noexcept { return handle_ != nullptr; }
    zmq::socket_ref ref() const noexcept { return {zmq::from_handle, handle_}; }
    operator zmq::socket_ref() const noexcept { return ref(); }  // NOLINT(*-explicit-*)
    const std::shared_ptr<context>& owner() const noexcept { return owner_; }

    void close() noexcept;
    /// As close(), and forgets what is not sent yet.
    void close_now() noexcept;

private:
    std::shared_ptr<context> owner_;
    void* handle_ = nullptr;
};

/// The one place where sockets are made and every option is set.
///
/// Owns:    a copy of what it needs of the options, and the node's admission.
/// Threads: thread-safe (const).
/// Fails:   construction and makers throw error (key_invalid, not_supported, limit_exceeded).
class socket_factory {
public:
    /// `refused` hears of every connection that the allow-list turns away, on the ZAP thread.
    socket_factory(std::shared_ptr<context> owner, const node_options& options,
                   refusal_sink refused);

    /// The binding side of links. Peers get random routing ids; a message to one that is gone is
    /// refused with `unroutable`, never dropped.
    socket router(frame_limits limits = {}) const;

    /// The connecting side of one link, for one peer. Sends only while connected (ZMQ_IMMEDIATE):
    /// what was meant for a lost connection never reaches the next one. With keys it demands
    /// `server_key` of the peer, and throws error (key_invalid) when there is none.
    socket dealer(const std::string& server_key, frame_limits limits = {}) const;
    /// The same, with security_options.server_key.
    socket dealer(frame_limits limits = {}) const { return dealer(server_key_, limits); }

    /// A socket for taps: XPUB, which tells what is subscribed to.
    socket tap(frame_limits limits = {socket_limits::tap_send_hwm, 1}) const;

    /// True when the node has keys, so that every connection is encrypted and authenticated.
    bool secure() const noexcept { return !keys_.public_key.empty(); }
    bool insecure_allowed() const noexcept { return insecure_; }

    /// Counts for handshakes from now on. Throws error (key_invalid).
    void replace_allowed_keys(std::vector<std::string> keys);

    const std::shared_ptr<context>& owner() const noexcept { return context_; }

private:
    socket make(zmq::socket_type type, frame_limits limits) const;
    /// For sockets that are connected to.
    void admit(const socket& made) const;

    std::shared_ptr<context> context_;
    key_pair keys_;
    std::string server_key_;
    bool insecure_;
    bool any_key_;
    std::int64_t frame_bytes_max_;
    std::chrono::milliseconds reconnect_min_;
    std::chrono::milliseconds reconnect_max_;
    std::unique_ptr<admission> admission_;
};

/// Throws error (key_invalid, invalid_argument, limit_exceeded) when a node cannot have these.
void check_security(const security_options& security);

/// Throws error (key_invalid) when the node cannot connect to who holds that key; empty: none.
/// `operation` begins the error's text.
void check_server_key(const security_options& security, const std::string& server_key,
                      std::string_view operation = "node");

/// Whether the text can be a key of CURVE: 40 characters of Z85.
bool is_key(const std::string& text);

/// Connects. `where` has a numeric address (see resolve). Throws error (address_invalid, ...).
void connect(const socket& from, const endpoint& where);
/// Stops connecting; false when it did not connect there.
bool disconnect(const socket& from, const endpoint& where) noexcept;

}  // namespace cairn::runtime
