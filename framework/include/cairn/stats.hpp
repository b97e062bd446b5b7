#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace cairn {

/// How far one reader of a publisher is.
struct reader_stats {
    std::string node_name;       ///< of the reader's node
    std::string pattern;         ///< what it subscribed to
    std::uint64_t lag_messages;  ///< published, and not yet sent to it
    std::uint64_t unread_bytes;  ///< sent to it, and not yet taken by its application
    bool left_behind;  ///< it stalled longer than `patience` and holds nothing back any more
};

/// Counters of one handle. All count since its construction.
struct handle_stats {
    enum class role : std::uint8_t { publisher, subscriber, pusher, puller };

    handle_stats::role role;
    std::string topic;
    std::uint64_t messages = 0;    ///< accepted from the user, or given to the user's side
    std::uint64_t bytes = 0;       ///< of bodies and attributes, likewise
    std::uint64_t batches = 0;     ///< likewise
    std::uint64_t drops = 0;       ///< messages that a reader of this handle will never get from it
    std::uint64_t gaps = 0;        ///< gaps told to the user (subscriber)
    std::uint64_t repairs = 0;     ///< holes that were asked for again, or answered
    std::uint64_t duplicates = 0;  ///< messages that came twice and were dropped
    std::uint64_t redeliveries = 0;  ///< messages delivered again (pusher)
    std::uint64_t rejected = 0;      ///< messages given up (pusher)
    /// Calls that found it full, and were told so or waited; of a puller acks that came too late.
    std::uint64_t refused = 0;
    std::uint64_t queue_messages = 0;  ///< waiting now: to be sent, to be acked, or to be received
    std::uint64_t queue_bytes = 0;
    std::uint64_t durable = 0;            ///< highest sequence that a store confirmed (publisher)
    std::uint64_t owed_messages = 0;      ///< accepted and not confirmed by the store (publisher)
    std::uint64_t owed_bytes = 0;         ///< of these, in memory
    std::uint64_t spilled_bytes = 0;      ///< of these, in the node's state directory
    std::chrono::nanoseconds owed_age{};  ///< how long the oldest in memory has waited
    /// Messages that the store will never get, those that earlier runs put aside among them: as
    /// on_lost told them (publisher).
    std::uint64_t lost_to_store = 0;
    /// Why a peer that is there now serves this subscriber or puller nothing; ok: none refuses.
    errc peer_refusal = errc::ok;
    /// Why the store takes nothing of this publisher's, or gives this subscriber nothing; ok: it
    /// does, or is away.
    errc store_refusal = errc::ok;
    bool store_refuses_for_good = false;  ///< it will never again
    std::uint64_t peers = 0;              ///< readers, publishers, pullers or pushers attached now
    std::vector<reader_stats> readers;    ///< publisher only
};

enum class endpoint_state : std::uint8_t {
    connecting,  ///< to be connected to; no try has failed yet
    connected,   ///< a peer was greeted there
    failing,     ///< the last try failed or the connection ended; tried again by itself
    listening,   ///< bound: others may connect
    paused,      ///< bound; nobody is accepted until there is room (peers_max, open files)
};

/// How one endpoint of a node stands, and what went wrong there last.
struct endpoint_stats {
    std::string endpoint{};  ///< as connect() takes it, or as bind() returned it
    endpoint_state state = endpoint_state::connecting;
    /// Tries that failed and connections that ended; of a bound endpoint, who was turned away.
    std::uint64_t failures = 0;
    /// Why the last of them; ok: there was none. Stays when all is well again. `peer_unreachable`:
    /// nobody listens there, `host_unknown`: its name has no address any more, `not_cairn`,
    /// `mechanism_mismatch`, `server_key_mismatch`, `not_authorised`, `version_mismatch`, …
    errc last_error = errc::ok;
    std::string last_error_text{};  ///< the same in words, with the remedy where there is one
    wall_time last_error_time{};
};

/// Counters of a node and all its handles at one moment.
struct node_stats {
    std::uint64_t links = 0;       ///< connections greeted and alive now
    std::uint64_t reconnects = 0;  ///< links that came back after they had been lost
    std::uint64_t frames_received = 0;
    std::uint64_t frames_sent = 0;
    std::uint64_t bytes_received = 0;
    std::uint64_t bytes_sent = 0;
    std::uint64_t frames_malformed = 0;   ///< did not decode, or broke a rule of the protocol
    std::uint64_t rights_refused = 0;     ///< of these, beyond the peer's rights (access)
    std::uint64_t handshakes_failed = 0;  ///< wrong keys, wrong mechanism, not ours
    std::uint64_t peers_refused = 0;      ///< over a limit
    std::uint64_t taps_emptied = 0;       ///< times that a tap had more subscriptions than it may
    std::uint64_t log_suppressed = 0;     ///< log lines left out by the rate limit
    /// Bound ones first; without taps.
    std::vector<endpoint_stats> endpoints;
    std::vector<handle_stats> handles;
};

}  // namespace cairn
