#include <cairn/error.hpp>
#include <cairn/runtime/socket_factory.hpp>
#include <cairn/runtime/zap_handler.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include "internal_socket.hpp"
#include "signals_blocked.hpp"

#include <pthread.h>
#include <cstring>
#include <optional>

namespace cairn::runtime {

namespace {

constexpr std::string_view zap_version = "1.0";
constexpr std::size_t credentials_max = 2;  // PLAIN's, the most of all mechanisms
constexpr std::size_t request_parts = 6;    // version, id, domain, address, routing id, mechanism
constexpr std::size_t curve_key_bytes = 32;

std::optional<std::string> z85(std::string_view key) {
    if (key.size() != curve_key_bytes) return std::nullopt;
    char text[41];
    if (zmq_z85_encode(text, reinterpret_cast<const std::uint8_t*>(key.data()), key.size()) ==
        nullptr)
        return std::nullopt;
    return std::string(text, 40);
}

// The one blocking receive of the project: this thread has nothing else to do.
bool wait_part(zmq::socket_t& socket, zmq::message_t& part) noexcept {
    while (zmq_msg_recv(part.handle(), socket.handle(), 0) < 0)
        if (zmq_errno() != EINTR) return false;
    return true;
}

void reply_part(zmq::socket_t& socket, std::string_view text, bool more) {
    zmq::message_t part(text.data(), text.size());
    // REP with one peer that just asked never blocks; a peer that left makes libzmq drop the reply.
    static_cast<void>(send(socket, part, more));
}

}  // namespace

void check_allowed_keys(const std::vector<std::string>& keys) {
    if (keys.size() > admission::allowed_keys_max)
        throw error(errc::limit_exceeded, "allow keys: " + std::to_string(keys.size()) + " keys, " +
                                              std::to_string(admission::allowed_keys_max) +
                                              " are allowed");
    for (const std::string& key : keys)
        if (!is_key(key))
            throw error(errc::key_invalid, "allow keys: \"" + key.substr(0, 64) +
                                               "\" is not a public key of 40 Z85 characters");
}

struct zap_handler::request {
    std::array<std::string, request_parts> parts;
    std::string credentials;  // the first; CURVE has no more
    std::size_t count = 0;    // of all parts, credentials included
    bool oversized = false;

    const std::string& version() const { return parts[0]; }
    const std::string& id() const { return parts[1]; }
    const std::string& domain() const { return parts[2]; }
    const std::string& address() const { return parts[3]; }
    const std::string& mechanism() const { return parts[5]; }

    void take(const zmq::message_t& part) {
        if (part.size() > part_bytes_max)
            oversized = true;
        else if (count < request_parts)
            parts[count] = part.to_string();
        else if (count == request_parts)
            credentials = part.to_string();
        ++count;
    }

    bool well_formed() const {
        return version() == zap_version && count >= request_parts &&
               count <= request_parts + credentials_max && !oversized &&
               (mechanism() != "CURVE" || count == request_parts + 1);
    }
};

struct zap_handler::verdict {
    std::string_view status;
    std::string_view text;
    std::string user_id;
};

zap_handler::zap_handler(zmq::context_t& context)
    : socket_(internal_socket(context, zmq::socket_type::rep)) {
    if (uninterrupted([&] { return zmq_bind(socket_.handle(), "inproc://zeromq.zap.01"); }) != 0)
        throw_zmq("bind", "inproc://zeromq.zap.01", zmq_errno());
    const signals_blocked none;
    thread_ = std::thread([this] { serve(); });
    pthread_setname_np(thread_.native_handle(), "cairn-zap");
}

zap_handler::~zap_handler() { thread_.join(); }

void zap_handler::add(const std::string& domain, admission_policy policy, refusal_sink refused) {
    rights allowed = checked(std::move(policy));
    auto told = std::make_shared<sink>();
    told->call = std::move(refused);
    const std::lock_guard lock(mutex_);
    domains_.insert_or_assign(domain, entry{std::move(allowed), std::move(told)});
}

void zap_handler::replace(const std::string& domain, admission_policy policy) {
    rights allowed = checked(std::move(policy));
    const std::lock_guard lock(mutex_);
    const auto found = domains_.find(domain);
    if (found != domains_.end()) found->second.allowed = std::move(allowed);
}

void zap_handler::remove(const std::string& domain) noexcept {
    std::shared_ptr<sink> told;
    {
        const std::lock_guard lock(mutex_);
        const auto found = domains_.find(domain);
        if (found == domains_.end()) return;
        told = std::move(found->second.refused);
        domains_.erase(found);
    }
    const std::lock_guard lock(told->mutex);
    told->call = nullptr;
}

zap_handler::rights zap_handler::checked(admission_policy policy) {
    check_allowed_keys(policy.allowed_keys);
    rights allowed{policy.without_keys, policy.any_key, {}};
    for (std::string& key : policy.allowed_keys) allowed.allowed_keys.insert(std::move(key));
    return allowed;
}

void zap_handler::serve() noexcept {
    // An allocation can fail under memory pressure. The request is then lost and its handshake
    // runs into its time limit, which is a refusal; the handler must go on.
    for (bool going_on = true; going_on;) {
        try {
            going_on = serve_one();
        } catch (const std::exception&) {
            continue;
        }
    }
    socket_.close();
}

bool zap_handler::serve_one() {
    request asked;
    zmq::message_t part;
    do {
        if (!wait_part(socket_, part)) return false;
        asked.take(part);
    } while (part.more());

    const verdict answer = judge(asked);
    reply_part(socket_, zap_version, true);
    reply_part(socket_, asked.id(), true);
    reply_part(socket_, answer.status, true);
    reply_part(socket_, answer.text, true);
    reply_part(socket_, answer.user_id, true);
    reply_part(socket_, {}, false);
    return true;
}

zap_handler::verdict zap_handler::judge(const request& asked) {
    if (!asked.well_formed()) return {"500", "malformed request", {}};
    std::optional<std::string> key;
    if (asked.mechanism() == "CURVE") {
        key = z85(asked.credentials);
        if (!key) return {"500", "malformed request", {}};
    }
    std::shared_ptr<sink> told;
    {
        const std::lock_guard lock(mutex_);
        const auto found = domains_.find(asked.domain());
        if (found == domains_.end()) return {"400", "unknown domain", {}};
        const rights& allowed = found->second.allowed;
        if (key && (allowed.any_key || allowed.allowed_keys.contains(*key)))
            return {"200", "ok", std::move(*key)};
        if (asked.mechanism() == "NULL" && allowed.without_keys) return {"200", "ok", {}};
        told = found->second.refused;
    }
    if (key) return refuse(*told, asked, *key, "is not on the allow-list");
    return refuse(*told, asked, {}, "it has no key and this node demands one");
}

// Under the sink's lock, so that remove() can promise that it is not running any more.
zap_handler::verdict zap_handler::refuse(sink& told, const request& asked, std::string_view key,
                                         std::string_view reason) {
    const std::lock_guard lock(told.mutex);
    if (told.call) told.call({asked.address(), key, reason});
    return {"400", "not authorised", {}};
}

}  // namespace cairn::runtime
