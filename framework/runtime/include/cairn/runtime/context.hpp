#pragma once

#include <cairn/runtime/fork_guard.hpp>

#include <zmq.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::runtime {

class zap_handler;
class context;

/// A connection that the ZAP handler turned away.
struct refusal {
    std::string_view address;     ///< of the peer, "10.0.0.7"; "" when libzmq does not know
    std::string_view public_key;  ///< Z85; "" when the peer had none
    std::string_view reason;      ///< "its key is not on the allow-list"

    /// "connection from 10.0.0.7 refused: key abc… is not on the allow-list"
    std::string text() const;
};

/// Runs on the ZAP thread: must return quickly and call neither context nor admission.
using refusal_sink = std::function<void(const refusal&)>;

/// Who may connect to the sockets of one admission.
struct admission_policy {
    bool without_keys = false;  ///< peers without CURVE; for nodes that have no keys
    bool any_key = false;
    std::vector<std::string> allowed_keys{};  ///< public keys, Z85
};

/// Throws error (key_invalid, limit_exceeded) for a list that no admission takes.
void check_allowed_keys(const std::vector<std::string>& keys);

/// The right of admission of one node: a ZAP domain and its policy. Sockets made with its domain
/// accept whom the policy allows; after its destruction they accept nobody new.
///
/// Owns:    its entry in the context's ZAP handler; keeps the context alive.
/// Threads: thread-safe.
/// Fails:   construction and replace_policy throw error (key_invalid).
/// Limits:  allowed_keys_max keys.
class admission {
public:
    static constexpr std::size_t allowed_keys_max = 65'536;

    admission(std::shared_ptr<context> owner, admission_policy policy, refusal_sink refused);
    ~admission();
    admission(const admission&) = delete;
    admission& operator=(const admission&) = delete;

    /// Counts for handshakes from now on; connections that exist stay.
    void replace_policy(admission_policy policy);

    const std::string& domain() const noexcept { return domain_; }

private:
    std::shared_ptr<context> context_;
    std::string domain_;
};

/// The process's ZeroMQ context, shared by all nodes so that inproc works between them, and its
/// ZAP handler, which runs before any socket that needs it can exist.
///
/// Owns:    the ZeroMQ context, one I/O thread, the ZAP thread. Ends with the last node: sockets
///          hold it, so they are closed first. In a forked child it is left alone, not destroyed.
/// Threads: thread-safe.
/// Fails:   shared() throws error (limit_exceeded) when the system has no descriptors or threads
///          left, (not_supported) when libzmq has no CURVE.
class context {
public:
    static constexpr int io_threads = 1;
    static constexpr int sockets_max = 65'536;

    /// The context of this process, made by the first caller.
    static std::shared_ptr<context> shared();

    ~context();
    context(const context&) = delete;
    context& operator=(const context&) = delete;

    zmq::context_t& handle() noexcept { return *context_; }
    zap_handler& zap() noexcept { return *zap_; }
    const fork_guard& fork() const noexcept { return fork_; }

    /// A number that no other call in this process returns, for inproc names and domains.
    static std::uint64_t unique() noexcept;

private:
    context();

    fork_guard fork_;
    std::unique_ptr<zmq::context_t> context_;
    std::unique_ptr<zap_handler> zap_;
};

}  // namespace cairn::runtime
