#include <cairn/error.hpp>
#include <cairn/runtime/printable.hpp>
#include <cairn/runtime/socket_factory.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include "internal_socket.hpp"

#include <pthread.h>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <utility>

// Not one ZMQ_HEARTBEAT_* option is set, here or anywhere: with a peer that stalls for some seconds
// libzmq 4.3.4 then aborts the connecting process (assertion in _input_stopped) or loses messages
// on the binding side (libzmq issues 3937, 4364, 4767). Liveness is the protocol's, and TCP's
// keep-alive below. tests/hazards greps the tree for it.

namespace cairn::runtime {

namespace {

// zmq.h hides the number behind the draft API, although every 4.3 has the option. Without it CURVE
// fails open: a handshake for which no ZAP handler answers succeeds with any key.
constexpr int zap_enforce_domain = 93;

constexpr std::int64_t curve_overhead_bytes = 33;  // MESSAGE command, nonce, tag, flags (RFC 26)
constexpr std::int64_t subscription_bytes_max = 1'024;  // all that a SUB socket may send to a tap
constexpr int monitor_events_max = 65'536;

int milliseconds(std::chrono::milliseconds time) {
    return static_cast<int>(std::clamp<std::int64_t>(time.count(), 1, 1 << 30));
}

template <typename Value>
void set(zmq::socket_ref made, int option, Value value, std::string_view name) {
    if (zmq_setsockopt(made.handle(), option, &value, sizeof value) != 0)
        throw_zmq("set socket option", name, zmq_errno());
}

void set(zmq::socket_ref made, int option, const std::string& value, std::string_view name) {
    if (zmq_setsockopt(made.handle(), option, value.data(), value.size()) != 0)
        throw_zmq("set socket option", name, zmq_errno());
}

void set_time_limits(zmq::socket_ref made) {
    using namespace socket_limits;
    set(made, ZMQ_LINGER, milliseconds(linger), "LINGER");
    // A stranger who connects and says nothing holds a descriptor for this long.
    set(made, ZMQ_HANDSHAKE_IVL, milliseconds(handshake_time_max), "HANDSHAKE_IVL");
    set(made, ZMQ_CONNECT_TIMEOUT, milliseconds(connect_time_max), "CONNECT_TIMEOUT");
    set(made, ZMQ_TCP_MAXRT, milliseconds(retransmit_time_max), "TCP_MAXRT");
    set(made, ZMQ_TCP_KEEPALIVE, 1, "TCP_KEEPALIVE");
    set(made, ZMQ_TCP_KEEPALIVE_IDLE, static_cast<int>(keepalive_idle.count()),
        "TCP_KEEPALIVE_IDLE");
    set(made, ZMQ_TCP_KEEPALIVE_INTVL, static_cast<int>(keepalive_interval.count()),
        "TCP_KEEPALIVE_INTVL");
    set(made, ZMQ_TCP_KEEPALIVE_CNT, keepalive_probes, "TCP_KEEPALIVE_CNT");
}

// libzmq doubles the interval up to the maximum, but takes its jitter from the base alone, so that
// a fleet stays in step. A base of its own for each socket spreads it.
int spread(std::chrono::milliseconds base) {
    std::random_device source;
    std::uniform_int_distribution<int> between(milliseconds(base), 2 * milliseconds(base));
    return between(source);
}

// Never destroyed: nodes with static storage may be made after it would have been.
std::mutex& seeding() {
    static std::mutex& instance = *[] {
        auto* made = new std::mutex;  // NOLINT(*-owning-memory)
        // A fork meanwhile would leave it locked in the child.
        pthread_atfork([] { seeding().lock(); }, [] { seeding().unlock(); },
                       [] { seeding().unlock(); });
        return made;
    }();
    return instance;
}

/// While it lives rand() gives what nobody can guess; then it goes on as if nothing had been.
///
/// libzmq numbers the connections of a ROUTER from rand(), which nobody has seeded, so that their
/// routing ids were the same in every process. A peer that takes the next one for itself has libzmq
/// abort the process (socket_base.cpp, "Assertion failed: ok"); one that takes another peer's, and
/// is silent, is sent what was meant for that.
class unforeseen_numbers {
public:
    unforeseen_numbers()
        : holding_(seeding()),
          before_(::initstate(std::random_device{}(), state_.data(), state_.size())) {}
    ~unforeseen_numbers() { ::setstate(before_); }
    unforeseen_numbers(const unforeseen_numbers&) = delete;
    unforeseen_numbers& operator=(const unforeseen_numbers&) = delete;

private:
    static inline std::array<char, 128> state_{};  // the C library knows it for longer than we live

    std::lock_guard<std::mutex> holding_;
    char* before_;
};

// A frame holds one largest message, or a whole batch of small ones, with its header.
std::int64_t frame_bytes(std::size_t body_bytes_max) {
    const std::size_t records = std::max(body_bytes_max, wire::batch_bytes_default) +
                                wire::attributes_bytes_max + 4 + wire::header_bytes_max;
    return static_cast<std::int64_t>(std::min(records, wire::frame_bytes_max));
}

void check_keys(const security_options& security) {
    if (security.allow_any_key && !security.allowed_keys.empty())
        throw error(errc::invalid_argument,
                    "node: security.allow_any_key admits every key, so that security.allowed_keys "
                    "means nothing: set one of them");
    const key_pair& keys = security.keys;
    if (keys.public_key.empty() && keys.secret_key.empty()) {
        check_server_key(security, security.server_key);
        check_server_key(security, security.store_key);
        // Silence would be worse: whoever lists keys expects that others are kept out.
        if (!security.allowed_keys.empty())
            throw error(errc::key_invalid,
                        "node: security.allowed_keys is set but security.keys is not; give the "
                        "node a key pair of its own (cairn::generate_keys)");
        return;
    }
    if (keys.secret_key.empty())
        throw error(errc::key_invalid,
                    "node: security.keys has no secret_key; load the file FILE_secret that cairn "
                    "keygen FILE or save_keys made, not the public one beside it");
    char derived[41] = {};
    if (!is_key(keys.secret_key) || zmq_curve_public(derived, keys.secret_key.c_str()) != 0)
        throw error(errc::key_invalid,
                    "node: security.keys.secret_key is not a secret key of 40 Z85 characters; "
                    "take a pair of cairn::generate_keys or load_keys");
    if (keys.public_key != derived)
        throw error(errc::key_invalid,
                    "node: security.keys.public_key is not the public key of its secret_key; take "
                    "both from one pair");
    check_server_key(security, security.server_key);
    check_server_key(security, security.store_key);
}

}  // namespace

void check_server_key(const security_options& security, const std::string& server_key,
                      std::string_view operation) {
    if (server_key.empty()) return;
    const std::string start =
        std::string(operation) + ": server key \"" + printable(server_key, 64);
    if (!is_key(server_key))
        throw error(errc::key_invalid,
                    start +
                        "\" is not a public key of 40 Z85 characters; take that of the node "
                        "to connect to (cairn::load_keys)");
    if (security.keys.public_key.empty())
        throw error(errc::key_invalid,
                    start +
                        "\" is set but security.keys is not; give the node a key pair of its "
                        "own (cairn::generate_keys)");
}

void check_security(const security_options& security) {
    check_keys(security);
    check_allowed_keys(security.allowed_keys);
}

zmq::socket_t internal_socket(zmq::context_t& context, zmq::socket_type type) {
    try {
        zmq::socket_t made(context, type);
        set(made, ZMQ_LINGER, 0, "LINGER");
        return made;
    } catch (const zmq::error_t& fault) {
        throw_zmq("make a socket", {}, fault.num());
    }
}

socket monitor_socket(std::shared_ptr<context> owner) {
    socket made(std::move(owner), zmq::socket_type::pair);
    set(made, ZMQ_LINGER, 0, "LINGER");
    // Finite, so that a flood of connections cannot fill the memory: at the limit libzmq's I/O
    // thread waits until events are read.
    set(made, ZMQ_RCVHWM, monitor_events_max, "RCVHWM");
    return made;
}

socket::socket(std::shared_ptr<context> owner, zmq::socket_type type) : owner_(std::move(owner)) {
    owner_->fork().check("make a socket");
    handle_ = zmq_socket(owner_->handle().handle(), static_cast<int>(type));
    if (handle_ == nullptr) throw_zmq("make a socket", {}, zmq_errno());
}

socket::socket(socket&& other) noexcept
    : owner_(std::move(other.owner_)), handle_(std::exchange(other.handle_, nullptr)) {}

socket& socket::operator=(socket&& other) noexcept {
    if (this != &other) {
        close();
        owner_ = std::move(other.owner_);
        handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
}

void socket::close() noexcept {
    if (handle_ != nullptr && !owner_->fork().forked()) {
        // Here, because later libzmq would do it on its reaper thread, which would wait for ever
        // when the monitor is gone by then.
        zmq_socket_monitor(handle_, nullptr, 0);
        zmq_close(handle_);
    }
    handle_ = nullptr;
    owner_.reset();
}

void socket::close_now() noexcept {
    const int none = 0;
    if (handle_ != nullptr && !owner_->fork().forked())
        zmq_setsockopt(handle_, ZMQ_LINGER, &none, sizeof none);
    close();
}

socket_factory::socket_factory(std::shared_ptr<context> owner, const node_options& options,
                               refusal_sink refused)
    : context_(std::move(owner)),
      keys_(options.security.keys),
      server_key_(options.security.server_key),
      insecure_(options.security.insecure),
      any_key_(options.security.allow_any_key),
      frame_bytes_max_(frame_bytes(options.body_bytes_max)),
      reconnect_min_(options.reconnect_min),
      reconnect_max_(options.reconnect_max) {
    check_keys(options.security);
    if (secure()) frame_bytes_max_ += curve_overhead_bytes;
    admission_ =
        std::make_unique<admission>(context_,
                                    admission_policy{.without_keys = !secure(),
                                                     .any_key = any_key_,
                                                     .allowed_keys = options.security.allowed_keys},
                                    std::move(refused));
}

socket socket_factory::router(frame_limits limits) const {
    socket made = [&] {
        const unforeseen_numbers ids;
        return make(zmq::socket_type::router, limits);
    }();
    set(made, ZMQ_ROUTER_MANDATORY, 1, "ROUTER_MANDATORY");
    // A peer that sets its own routing id (ours never do) may only replace itself: with handover
    // off its return would be accepted and then heard by nobody.
    set(made, ZMQ_ROUTER_HANDOVER, 1, "ROUTER_HANDOVER");
    set(made, ZMQ_MAXMSGSIZE, frame_bytes_max_, "MAXMSGSIZE");
    admit(made);
    return made;
}

socket socket_factory::dealer(const std::string& server_key, frame_limits limits) const {
    socket made = make(zmq::socket_type::dealer, limits);
    set(made, ZMQ_IMMEDIATE, 1, "IMMEDIATE");
    set(made, ZMQ_MAXMSGSIZE, frame_bytes_max_, "MAXMSGSIZE");
    const int base = std::min(spread(reconnect_min_), milliseconds(reconnect_max_));
    set(made, ZMQ_RECONNECT_IVL, base, "RECONNECT_IVL");
    set(made, ZMQ_RECONNECT_IVL_MAX, milliseconds(reconnect_max_), "RECONNECT_IVL_MAX");
    if (!secure()) return made;
    if (server_key.empty())
        throw error(errc::key_invalid,
                    "make a socket: with keys of its own it needs security.server_key");
    set(made, ZMQ_CURVE_SERVERKEY, server_key, "CURVE_SERVERKEY");
    set(made, ZMQ_CURVE_PUBLICKEY, keys_.public_key, "CURVE_PUBLICKEY");
    set(made, ZMQ_CURVE_SECRETKEY, keys_.secret_key, "CURVE_SECRETKEY");
    return made;
}

socket socket_factory::tap(frame_limits limits) const {
    socket made = make(zmq::socket_type::xpub, limits);
    // Tells each subscription, also one that another connection has, or the count would be wrong.
    set(made, ZMQ_XPUB_VERBOSE, 1, "XPUB_VERBOSE");
    set(made, ZMQ_MAXMSGSIZE, subscription_bytes_max, "MAXMSGSIZE");
    admit(made);
    return made;
}

void socket_factory::replace_allowed_keys(std::vector<std::string> keys) {
    admission_->replace_policy(
        {.without_keys = !secure(), .any_key = any_key_, .allowed_keys = std::move(keys)});
}

socket socket_factory::make(zmq::socket_type type, frame_limits limits) const {
    if (limits.send < 1 || limits.receive < 1)
        throw error(errc::invalid_argument,
                    "make a socket: a high-water mark below 1 means unlimited memory to libzmq");
    socket made(context_, type);
    set_time_limits(made);
    set(made, ZMQ_BACKLOG, socket_limits::backlog, "BACKLOG");
    set(made, ZMQ_SNDHWM, limits.send, "SNDHWM");
    set(made, ZMQ_RCVHWM, limits.receive, "RCVHWM");
    return made;
}

// A domain on NULL sockets too: it is what makes libzmq refuse ZMTP 1.0 and 2.0. On the binding
// side alone: without keys a connecting socket would ask the handler as well, whom there is nothing
// to ask, and libzmq aborts the process when it connects anew while that socket is being closed
// (zap_client.cpp: "Transport endpoint is not connected").
void socket_factory::admit(const socket& made) const {
    set(made, ZMQ_ZAP_DOMAIN, admission_->domain(), "ZAP_DOMAIN");
    set(made, zap_enforce_domain, 1, "ZAP_ENFORCE_DOMAIN");
    if (!secure()) return;
    set(made, ZMQ_CURVE_SERVER, 1, "CURVE_SERVER");
    set(made, ZMQ_CURVE_SECRETKEY, keys_.secret_key, "CURVE_SECRETKEY");
}

bool is_key(const std::string& text) {
    std::uint8_t binary[32];
    const bool valid = text.size() == 40 && zmq_z85_decode(binary, text.c_str()) != nullptr;
    explicit_bzero(binary, sizeof binary);  // it may be a secret one
    return valid;
}

void allow_ipv6(zmq::socket_ref on, const endpoint& where) {
    // With the option on, IPv4 addresses are reported mapped into IPv6; `*` listens on both.
    const int on_off = where.host == "*" || where.host.find(':') != std::string::npos ? 1 : 0;
    set(on, ZMQ_IPV6, on_off, "IPV6");
}

void use_descriptor(zmq::socket_ref on, int listening) { set(on, ZMQ_USE_FD, listening, "USE_FD"); }

void connect(const socket& from, const endpoint& where) {
    const std::string text = where.text();
    allow_ipv6(from, where);
    if (uninterrupted([&] { return zmq_connect(from.ref().handle(), text.c_str()); }) != 0)
        throw_zmq("connect", text, zmq_errno());
}

bool disconnect(const socket& from, const endpoint& where) noexcept {
    const std::string text = where.text();
    return uninterrupted([&] { return zmq_disconnect(from.ref().handle(), text.c_str()); }) == 0;
}

}  // namespace cairn::runtime
