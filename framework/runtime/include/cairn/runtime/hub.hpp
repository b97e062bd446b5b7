#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/node_options.hpp>
#include <cairn/runtime/context.hpp>
#include <cairn/runtime/fork_guard.hpp>
#include <cairn/runtime/gate.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/runtime/log_limiter.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/runtime/received_batch.hpp>
#include <cairn/runtime/saved_epochs.hpp>
#include <cairn/runtime/socket_factory.hpp>
#include <cairn/stats.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cairn::runtime {

class acceptor;
class connector;

/// What patterns and the daemon plug into a hub: told of peers, and given their frames.
///
/// Threads: loop, all of it.
class frame_handler {
public:
    /// A peer was greeted. Of several connections to one node only one is announced at a time.
    virtual void link_up(link&) {}
    /// That connection is gone or replaced; nothing can be sent to it any more. Also told of links
    /// that stood by for another one to the same node and were never announced.
    virtual void link_down(link&) {}
    /// A send that was `blocked` may succeed now.
    virtual void link_writable(link&) {}
    /// A PONG came: link::in_transit() is less than it was.
    virtual void link_drained(link&) {}
    /// A peer knows a newer run of a source than it was sent.
    virtual void fenced(link&, const wire::fenced&) {}
    /// A control frame. Anything but ok is answered with ERROR and counted as malformed.
    virtual errc frame(link& from, const wire::control_frame& frame) = 0;
    /// A checked batch for a channel of this handler.
    virtual void batch(link&, std::unique_ptr<received_batch>) {}
    /// An APPEND, with its bytes; only its header and the number of its bodies were checked.
    virtual void append(link&, std::unique_ptr<received_batch>) {}
    /// The node closes: its sockets end after this.
    virtual void node_closing() {}
    /// The node waits for what is unfinished, and closes then.
    virtual void node_ending() {}
    /// What a node that closes had better wait for; asked whenever something changed.
    virtual std::uint64_t unfinished() { return 0; }
    /// Appends the counters of this handler's handles.
    virtual void add_stats(std::vector<handle_stats>&) const {}

protected:
    ~frame_handler() = default;
};

/// Throws the error that a hub would throw for these options, its endpoints included, but for what
/// only the attempt can tell, such as a port in use. Makes nothing.
void check(const node_options& options);

/// The runtime of one node: its loop, its sockets and links, and who handles which frames.
///
/// Owns:    everything named so. Handlers are not owned and must be removed before they end.
/// Threads: thread-safe where a function takes the lock itself (said so), else loop.
/// Fails:   construction, bind, connect and open_tap throw error as node's do.
class hub {
public:
    /// `is_store`: it says so to its peers.
    explicit hub(node_options options, bool is_store = false);
    ~hub();
    hub(const hub&) = delete;
    hub& operator=(const hub&) = delete;

    // --- Thread-safe ---

    std::string bind(std::string_view endpoint);
    /// `server_key`: that of the node there; empty: the options'.
    void connect(std::string_view endpoint, const std::string& server_key = {});
    /// Connects to a store, under the key of stores unless it is connected already. Returns the
    /// endpoint's canonical form, for link::is_store().
    std::string connect_store(std::string_view endpoint);
    bool unbind(std::string_view endpoint);
    bool disconnect(std::string_view endpoint);
    bool wait_for_peers(std::size_t count, std::chrono::milliseconds deadline);
    /// Says BYE on all links and closes all sockets. Idempotent.
    void close();
    /// What the handlers would lose if it closed now. Loop.
    std::uint64_t unfinished();
    void tell_ending();
    bool closed() const noexcept { return closed_.load(); }
    /// In a child that was forked after the hub was made nothing of it may be touched.
    bool forked() const noexcept { return fork_.forked(); }

    const node_options& options() const noexcept { return options_; }
    const std::string& name() const noexcept { return options_.name; }
    /// The user gave none: another one with each start.
    bool has_random_name() const noexcept { return random_name_; }
    node_id id() const noexcept { return id_; }
    runtime::loop& loop() noexcept { return loop_; }
    const socket_factory& sockets() const noexcept { return sockets_; }
    /// Links of keys that are not among them end. Throws error (key_invalid, not_supported).
    void allow_keys(std::vector<std::string> keys);
    /// replace_gate() with these rules. Throws error (invalid_argument, key_invalid).
    void allow(std::vector<access_rule> rules);
    node_stats stats();
    void log(log_level level, std::string_view cause, std::string_view text);
    /// What comes again with each try of a peer: once a minute, and how often.
    void log_repeated(log_level level, std::string_view cause, std::string_view text);
    /// Somebody came who could not be spoken with: counted, and logged as what comes again.
    void handshake_failed(std::string_view text);
    /// Throws error (closed or forked): "OPERATION: …".
    void check_open(std::string_view operation) const;
    /// The epoch of a new run of a source; blocks for a sync when there is a state directory.
    epoch new_epoch(std::string_view topic, std::string_view source);

    // --- Loop ---

    /// Frames of `kind` go to `handler` from now on (nullptr: to nobody; they are answered
    /// not_supported).
    void serve(wire::kind kind, frame_handler* handler);
    /// Announces links to the handler: those that are up at once, others as they come.
    void add(frame_handler& handler);
    void remove(frame_handler& handler);

    /// A channel number for a reader; frames for it go to `handler`.
    wire::channel open_channel(frame_handler& handler);
    void close_channel(wire::channel channel);

    /// What the peers of this node may do.
    const runtime::gate& gate() const noexcept { return gate_; }
    /// Links of peers whose rights change end, and are made anew: what they may not do any more
    /// ends with them, and what they may do from now on they ask for again.
    void replace_gate(runtime::gate fresh);

    /// Links that were announced and not taken back.
    const std::vector<link*>& links() const noexcept { return primary_links_; }

    /// Reserves (topic, source) for a handle of this node. False when another one has it.
    bool claim_source(std::string_view topic, std::string_view source);
    void release_source(std::string_view topic, std::string_view source);

    /// Counts one frame that broke a rule, and tells its sender.
    void refuse(link& from, wire::channel channel, errc code, std::string_view text);
    /// Counts one more frame of a sort that was refuse()d before: the answer would say no more.
    void count_refused(errc code = errc::not_authorised) noexcept;

private:
    friend class link;
    friend class acceptor;
    friend class connector;

    struct housekeeping final : task {
        explicit housekeeping(hub& node) : owner(node) {}
        void run(time_point now) override;
        hub& owner;
        time_point next_check{};
    };
    struct blocked_retry final : task {
        explicit blocked_retry(hub& node) : owner(node) {}
        void run(time_point now) override { owner.retry_blocked(now); }
        hub& owner;
    };
    /// Frames that the node sent to itself.
    struct local_delivery final : task {
        explicit local_delivery(hub& node) : owner(node) {}
        void run(time_point now) override;
        hub& owner;
        std::vector<std::pair<zmq::message_t, zmq::message_t>> frames;
    };

    std::string connect(std::string_view endpoint, const std::string& server_key, bool store);

    // For link, acceptor and connector.
    void received(link& from, zmq::message_t& frame1, zmq::message_t* frame2, time_point now);
    /// The link's end is dealt with in the next round, so that no caller loses it under its feet.
    void lost(link& which, errc why);
    /// Sends what waits on the acceptor's blocked links; their handlers may send again.
    void retry_blocked(time_point now);
    void retry(link& which);
    /// The first `count` of the unreachable links have been read to their end.
    void give_up_unreachable(std::size_t count);
    wire::hello our_hello() const;

    /// Notes what went wrong at an endpoint, for node::stats().
    static void note(endpoint_stats& at, errc code, std::string_view text);
    /// Turns a peer that is no link yet away, in words, on both sides.
    void turn_away(link& from, errc why, std::string_view text);
    /// What the allow-list refused last.
    std::string last_refusal();
    bool admits(const link& which) const;
    /// The link of a peer that is here against our will, or under rights that it has no more.
    void cut(link& which, std::string_view why_here, std::string_view why_there);
    void greet(link& from, const wire::hello& hello);
    void received_batch_frame(link& from, wire::kind kind, zmq::message_t& frame1,
                              zmq::message_t* frame2);
    void control_frame(link& from, wire::kind kind, const zmq::message_t& frame);
    frame_handler* handler_of(wire::kind kind, const wire::control_frame& frame) const;
    static bool same_node(const link& a, const link& b);
    void introduce(link& which);
    /// Notes by which endpoints the user named the peer as a store; if one is new, and the link was
    /// announced before, announces it anew.
    void note_stores(link& which, bool announced);
    void bury(link& which, errc why);
    void bury_lost();
    void keep_alive(time_point now);

    const node_id id_;
    const bool is_store_;
    const bool random_name_;
    const node_options options_;
    std::set<std::string, std::less<>> allowed_keys_;  // loop; of who may connect to us
    runtime::gate gate_;
    fork_guard fork_;
    std::atomic<std::uint64_t> refusals_{0};  // by the allow-list; counted on the ZAP thread
    runtime::loop loop_;
    std::shared_ptr<context> context_;
    socket_factory sockets_;
    std::unique_ptr<saved_epochs> epochs_;

    local_delivery local_{*this};
    housekeeping housekeeping_{*this};
    blocked_retry retry_{*this};
    time_point retry_blocked_at_{};
    bool retrying_ = false;

    std::vector<link*> all_links_;  // greeted or not, the lost ones until they are buried
    std::vector<std::pair<link*, errc>> lost_links_;
    std::vector<link*> blocked_links_;
    std::vector<link*> unreachable_links_;
    std::vector<link*> primary_links_;  // one a peer
    std::vector<frame_handler*> handlers_;
    std::array<frame_handler*, wire::kinds_end> by_kind_{};
    std::unordered_map<wire::channel, frame_handler*> channels_;
    wire::channel next_channel_ = 1;
    std::set<std::pair<std::string, std::string>> sources_;
    std::uint64_t next_link_ = 1;
    std::vector<std::byte> scratch_;
    std::mt19937 random_{std::random_device{}()};
    std::set<node_id> known_peers_;  // greeted at least once: a second time is a reconnect
    node_stats counters_;
    std::atomic<bool> closed_{false};

    std::mutex log_mutex_;
    log_limiter limiter_;       // guarded by log_mutex_
    std::string last_refusal_;  // guarded by log_mutex_

    // Last, because links strike themselves off the lists above when they end.
    std::unique_ptr<acceptor> acceptor_;
    std::map<std::string, std::unique_ptr<connector>> connectors_;  // by canonical endpoint
    std::unique_ptr<link> local_link_;
};

}  // namespace cairn::runtime
