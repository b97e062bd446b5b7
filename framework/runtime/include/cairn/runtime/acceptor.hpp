#pragma once

#include <cairn/runtime/connection_guard.hpp>
#include <cairn/runtime/endpoint.hpp>
#include <cairn/runtime/handshake.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/runtime/listener.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/runtime/monitor.hpp>
#include <cairn/runtime/socket_factory.hpp>
#include <cairn/stats.hpp>

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cairn::runtime {

class hub;

/// The binding side: one ROUTER with all endpoints of the node, and a link for each connection that
/// said HELLO.
///
/// Owns:    socket, listeners, links.
/// Threads: loop.
/// Fails:   bind throws error as listener's constructor.
/// Limits:  node_options::peers_max links, connection_guard's connections; one that is no link for
///          five seconds is ended.
class acceptor final : public task {
public:
    explicit acceptor(hub& owner);

    /// Returns the endpoint as others can connect to it.
    endpoint bind(const endpoint& where);
    /// By either name: as it was bound, or as bind() returned it.
    bool unbind(const endpoint& where);

    void run(time_point now) override;
    /// Frames wait to be received, whether or not the descriptor tells.
    bool readable() const noexcept;

    /// The link was buried by the hub.
    void forget(link& gone);
    /// The hub will not have `who` as a peer.
    void turned_away(const link& who, errc why, std::string_view text);
    /// One entry for each endpoint.
    void add_stats(std::vector<endpoint_stats>& to) const;

private:
    /// Reads what libzmq's I/O thread tells of the socket; only when there is something.
    struct event_reader final : task {
        explicit event_reader(acceptor& reads_for) : owner(reads_for) {}
        void run(time_point now) override;
        acceptor& owner;
    };

    /// Whether nothing is left to be read.
    bool receive_frames(time_point now);
    void receive_frame(zmq::message_t& id, time_point now);
    link& link_of(const zmq::message_t& id, const zmq::message_t& frame1);
    void handle_events(time_point now);
    void handle(const monitor_event& event);
    void look_at_process();
    void check_limits(time_point now);
    void turn_away_waiting(time_point now);
    void note_stranger(int descriptor, time_point now);
    void end_strangers(time_point now);
    /// False when it has to be tried again.
    bool end_connection(int descriptor);
    void probe_suspects(time_point now);

    struct listening {
        listener on;
        endpoint told;         // what bind() returned
        endpoint_stats stats;  // but for its state
    };
    /// Notes the failure at the listener that the event names.
    void note_event(const monitor_event& event, errc why, std::string_view text);

    hub& hub_;
    event_reader event_reader_{*this};
    socket router_;
    monitor monitor_;
    std::list<listening> listeners_;
    std::unordered_map<std::string, std::unique_ptr<link>> links_;  // by routing id
    accept_watch watch_;
    // Connections that were no link when this was looked at last, by descriptor; since when.
    std::unordered_map<int, time_point> strangers_;
    time_point end_strangers_at_ = loop::never;
    connection_guard guard_;
    std::size_t look_at_ = 0;  // so many connections
    time_point check_limits_at_{};
    bool paused_ = false;
    bool exhausted_ = false;  // libzmq had no descriptor for one who came
    // A connection broke. Which link that was is only sure when sending to it is refused.
    time_point suspect_until_{};
    loop::watching watching_frames_;
    loop::watching watching_events_;
};

}  // namespace cairn::runtime
