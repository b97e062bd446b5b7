#include <cairn/runtime/handshake.hpp>

#include <zmq.h>
#include <cerrno>
#include <functional>
#include <string>

namespace cairn::runtime {

namespace {

constexpr int zap_not_authorised = 400;

constexpr handshake_advice mechanism_mismatch(side ours, bool has_keys) {
    if (ours == side::connecting)
        return has_keys
                   ? handshake_advice{errc::mechanism_mismatch,
                                      "we use keys and the peer does not: give it keys, or take "
                                      "security.keys from this node"}
                   : handshake_advice{errc::mechanism_mismatch,
                                      "the peer demands keys and we have none: set security.keys "
                                      "and security.server_key on this node"};
    return has_keys ? handshake_advice{errc::mechanism_mismatch,
                                       "a peer without keys tried to connect and we demand them: "
                                       "set security.keys and security.server_key on that peer"}
                    : handshake_advice{errc::mechanism_mismatch,
                                       "a peer with keys tried to connect and we have none: set "
                                       "security.keys on this node, or take them from that peer"};
}

constexpr handshake_advice not_cairn(side ours) {
    return ours == side::connecting
               ? handshake_advice{errc::not_cairn,
                                  "something listens there that is no cairn node (another "
                                  "program, or another kind of ZeroMQ socket): check the endpoint"}
               : handshake_advice{errc::not_cairn,
                                  "something connected that is no cairn node (another program, "
                                  "another kind of ZeroMQ socket, or ZeroMQ before 4.0): check "
                                  "what uses this endpoint"};
}

handshake_advice protocol_failure(std::int32_t code, side ours, bool has_keys) {
    switch (code) {
        case ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
            return mechanism_mismatch(ours, has_keys);
        case ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
            return {errc::server_key_mismatch,
                    ours == side::binding
                        ? "a peer expects another key than ours: set its security.server_key to "
                          "this node's public key"
                        : "the peer's answer does not fit its key: set security.server_key to the "
                          "peer's public key"};
        default:
            return not_cairn(ours);
    }
}

handshake_advice auth_failure(std::int32_t status, side ours) {
    if (status == zap_not_authorised)
        return {errc::not_authorised,
                ours == side::connecting
                    ? "the peer's allow-list does not hold our key: add this node's public key to "
                      "the peer's security.allowed_keys"
                    : "a peer's key is not on our allow-list: add it to security.allowed_keys if "
                      "it may connect"};
    return {errc::not_authorised,
            "the binding side could not decide whether the key may connect: look at its log"};
}

// libzmq has no more to say than that the connection ended before the handshake did.
handshake_advice undetailed_failure(std::int32_t error_number, side ours, bool has_keys) {
    if (error_number == EAGAIN)
        return {errc::not_cairn, ours == side::connecting
                                     ? "something listens there but says nothing: it is no cairn "
                                       "node, or it hangs"
                                     : "something connected and said nothing until the time limit "
                                       "of the handshake"};
    if (ours == side::binding)
        return {errc::not_cairn, "a peer went away in the middle of the handshake"};
    // What a wrong server key looks like from here: the peer cannot decrypt and hangs up.
    if (has_keys)
        return {errc::server_key_mismatch,
                "the peer hung up during the handshake, most likely because security.server_key "
                "is not its public key, or it has no keys: compare them"};
    return {errc::not_cairn,
            "the peer hung up during the handshake: it demands keys and this node has none, or it "
            "is no cairn node, or just stopping"};
}

}  // namespace

std::optional<handshake_advice> advise(const monitor_event& event, side ours, bool has_keys) {
    switch (event.kind) {
        case event_kind::failed_protocol:
            return protocol_failure(event.value, ours, has_keys);
        case event_kind::failed_auth:
            return auth_failure(event.value, ours);
        case event_kind::failed_no_detail:
            return undetailed_failure(event.value, ours, has_keys);
        default:
            return std::nullopt;
    }
}

std::optional<handshake_advice> connect_watch::on(const monitor_event& event, time_point now) {
    const std::optional<handshake_advice> failure = advise(event, side::connecting, has_keys_);
    if (failure) {
        state_ = state::failed;
        return failure;
    }
    switch (event.kind) {
        case event_kind::connected:
            state_ = state::greeting;
            break;
        case event_kind::handshake_ok:
            state_ = state::up;
            break;
        case event_kind::retried:
        case event_kind::connect_delayed:
            state_ = state::trying;
            break;
        case event_kind::disconnected: {
            // What is no ZMTP 3 at all, and a socket type that does not fit, fail without an event
            // of their own.
            const bool unexplained = state_ == state::greeting;
            state_ = state::lost;
            lost_at_ = now;
            if (unexplained) return not_cairn(side::connecting);
            break;
        }
        default:
            break;
    }
    return std::nullopt;
}

std::optional<handshake_advice> accept_watch::on(const monitor_event& event) {
    const std::optional<handshake_advice> failure = advise(event, side::binding, has_keys_);
    if (failure) {
        just_failed_ = true;
        // Whom our own allow-list refused, the admission has told already, with the key.
        if (failure->code == errc::not_authorised && event.value == zap_not_authorised)
            return std::nullopt;
        return failure;
    }
    switch (event.kind) {
        case event_kind::accepted:
            open_.insert_or_assign(event.value, std::hash<std::string>{}(event.endpoint));
            greeting_.insert(event.value);
            break;
        case event_kind::handshake_ok:
            // The event does not say whose handshake it was, so that only one at a time is sure.
            greeting_.clear();
            break;
        case event_kind::disconnected: {
            open_.erase(event.value);
            const bool unexplained = greeting_.erase(event.value) > 0 && !just_failed_;
            just_failed_ = false;
            if (unexplained) return not_cairn(side::binding);
            break;
        }
        case event_kind::closed: {
            // A listener that ends takes its connections along without further events.
            const std::size_t gone = std::hash<std::string>{}(event.endpoint);
            std::erase_if(open_, [gone](const auto& entry) { return entry.second == gone; });
            std::erase_if(greeting_, [this](int fd) { return !open_.contains(fd); });
            break;
        }
        default:
            break;
    }
    return std::nullopt;
}

}  // namespace cairn::runtime
