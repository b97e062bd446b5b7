#pragma once

#include <cairn/runtime/context.hpp>

#include <zmq.hpp>

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>

namespace cairn::runtime {

/// Answers libzmq's question who may connect (ZAP, ZeroMQ RFC 27), on a thread of its own so that a
/// busy or stuck loop never delays or opens a handshake. libzmq fails open when nobody answers:
/// hence this runs before any other socket, and every socket has ZMQ_ZAP_ENFORCE_DOMAIN as well.
///
/// Owns:    its socket and thread, until the context is shut down; the policies of all admissions.
/// Threads: add, replace and remove are thread-safe.
/// Limits:  parts of a request longer than part_bytes_max are answered 500.
class zap_handler {
public:
    static constexpr std::size_t part_bytes_max = 1'024;

    /// Answers from the time the constructor returns.
    explicit zap_handler(zmq::context_t& context);
    /// Requires: the context is shut down.
    ~zap_handler();
    zap_handler(const zap_handler&) = delete;
    zap_handler& operator=(const zap_handler&) = delete;

    void add(const std::string& domain, admission_policy policy, refusal_sink refused);
    void replace(const std::string& domain, admission_policy policy);
    /// When it returns, the domain's sink runs no more.
    void remove(const std::string& domain) noexcept;

private:
    struct rights {
        bool without_keys;
        bool any_key;
        std::unordered_set<std::string> allowed_keys;
    };
    /// A sink of its own lock, so that one node's slow log holds up no other node's calls.
    struct sink {
        std::mutex mutex;
        refusal_sink call;
    };
    struct entry {
        rights allowed;
        std::shared_ptr<sink> refused;  // shared with the ZAP thread while it calls
    };
    struct request;
    struct verdict;

    static rights checked(admission_policy policy);
    void serve() noexcept;
    bool serve_one();
    verdict judge(const request& asked);
    static verdict refuse(sink& told, const request& asked, std::string_view key,
                          std::string_view reason);

    zmq::socket_t socket_;
    std::mutex mutex_;
    std::unordered_map<std::string, entry> domains_;  // guarded by mutex_
    std::thread thread_;
};

}  // namespace cairn::runtime
