#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace cairn {

/// Every outcome that has a number. The numbers are fixed for ever and are the numbers on the wire
/// (PROTOCOL.md, "Errors"): a retired one is never used again.
enum class errc : std::uint16_t {
    ok = 0,

    // General: 1 to 99.
    closed = 1,            ///< The handle, node or peer was closed. Give up.
    timed_out = 2,         ///< The deadline passed first. Retry when it suits.
    full = 3,              ///< A limit in bytes or messages is reached. Retry later.
    invalid_argument = 4,  ///< The caller gave a value outside its documented range. Fix the call.
    limit_exceeded = 5,    ///< A peer asked for more than a limit allows. Ask for less.
    not_supported = 6,     ///< This version does not do that.
    forked = 7,  ///< The handle belongs to the parent of a forked process. Make a new node.

    // Wire: 100 to 199.
    malformed = 100,          ///< The frame does not decode.
    unknown_kind = 101,       ///< The frame's kind has no meaning in this version.
    version_mismatch = 102,   ///< No protocol version is spoken by both sides.
    too_large = 103,          ///< A message, frame or name is above its limit.
    checksum_mismatch = 104,  ///< A batch body differs from what its sender hashed.
    not_greeted = 105,        ///< A request came before HELLO.

    // Links: 200 to 299.
    address_in_use = 200,
    address_invalid = 201,
    host_unknown = 202,
    permission_denied = 203,
    insecure_refused = 204,  ///< A listener beyond loopback without keys, and `insecure` not said.
    key_invalid = 205,       ///< A CURVE key or key file cannot be used.
    not_authorised = 206,    ///< The peer's key is not on the allow-list.
    server_key_mismatch = 207,  ///< The peer does not hold the key that we expected.
    mechanism_mismatch = 208,   ///< One side uses CURVE and the other does not.
    not_cairn = 209,            ///< Something answers there, but it does not speak this protocol.
    peer_silent = 210,          ///< Nothing was heard for the liveness limit.
    too_many_peers = 211,       ///< The node has as many connections as it allows.
    peer_unreachable = 212,     ///< Nobody listens at the endpoint yet.

    // Topics: 300 to 399.
    topic_invalid = 300,
    source_in_use = 301,         ///< This node already has that source on that topic.
    fenced = 302,                ///< A newer run of the same source exists. Stop.
    gone = 303,                  ///< The position is no longer held.
    unknown_subscription = 304,  ///< The number names no subscription or attachment of the link.
    credit_exceeded = 305,       ///< More was sent than the reader granted.

    // Work: 400 to 499.
    stale_ack = 400,            ///< The lease belongs to somebody else by now, or is done.
    deliveries_exceeded = 401,  ///< The message was delivered as often as allowed.
    rejected = 402,             ///< A worker refused the message for good.

    // Store: 500 to 599.
    store_in_use = 500,        ///< Only one opener at a time.
    store_newer = 501,         ///< The database needs a newer cairn.
    store_damaged = 502,       ///< Stored bytes fail their checksum.
    store_failed = 503,        ///< A write or sync failed; no writing until reopened.
    store_full = 504,          ///< A quota or a topic's limit is reached.
    disk_full = 505,           ///< The disk has no room; appends go on when it has.
    filesystem_refused = 506,  ///< LMDB does not work on network file systems.
    topic_unknown = 507,
    topic_exists = 508,  ///< With another configuration.
    group_unknown = 509,
    group_exists = 510,  ///< With other settings.
    source_unknown = 511,
    hole = 512,        ///< The batch does not follow what is stored of its source.
    conflict = 513,    ///< The position is stored with another content.
    not_stored = 514,  ///< The position or offset is not stored yet.
    lost = 515,        ///< Its source declared it lost.
    sought = 516,      ///< The group was moved to another position.
};

/// The enumerator's name, for example "address_in_use"; "unknown" for a number without one.
std::string_view name(errc code) noexcept;

/// One sentence that says what the code means and what to do; for logs and exception texts.
std::string_view describe(errc code) noexcept;

/// What constructors and `open` throw: the text names the operation and the object, the code the
/// kind of failure ("bind tcp://*:5556: address in use").
class error : public std::runtime_error {
public:
    error(errc code, const std::string& text) : std::runtime_error(text), code_(code) {}

    errc code() const noexcept { return code_; }

private:
    errc code_;
};

/// A value, or the reason why there is none. The member names are those of std::expected.
template <typename T>
class [[nodiscard]] result {
public:
    result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(*-explicit-*)
    result(errc code) : state_(std::in_place_index<1>, code) {}            // NOLINT(*-explicit-*)

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    /// Requires: has_value().
    T& value() & noexcept { return *std::get_if<0>(&state_); }
    const T& value() const& noexcept { return *std::get_if<0>(&state_); }
    T&& value() && noexcept { return std::move(*std::get_if<0>(&state_)); }
    T& operator*() & noexcept { return value(); }
    const T& operator*() const& noexcept { return value(); }
    T* operator->() noexcept { return std::get_if<0>(&state_); }
    const T* operator->() const noexcept { return std::get_if<0>(&state_); }

    /// errc::ok when there is a value.
    errc error() const noexcept { return has_value() ? errc::ok : *std::get_if<1>(&state_); }

private:
    std::variant<T, errc> state_;
};

}  // namespace cairn
