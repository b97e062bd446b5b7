#pragma once

#include <cairn/runtime/connection_guard.hpp>
#include <cairn/runtime/endpoint.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/loop.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace cairn::patterns {

/// A socket that mirrors what its node publishes to plain ZeroMQ SUB sockets.
///
/// Owns:    socket, listener, and what libzmq keeps of its subscribers.
/// Threads: loop.
/// Fails:   construction throws error as node::open_tap does; later it is logged.
/// Limits:  peers_max connections of the node; beyond, nobody is accepted, but over ws, where all
///          end. Of what they subscribe to libzmq does not say whose it was and whether it is over,
///          so it is only counted: at subscriptions_max, or subscription_bytes_max, since there
///          last was no connection, the socket is made anew. libzmq keeps
///          socket_limits::tap_send_hwm messages a connection.
class tap final : public runtime::task {
public:
    static constexpr std::size_t subscriptions_max = 16'384;
    /// A byte is a node of libzmq's tree, some 100 bytes.
    static constexpr std::size_t subscription_bytes_max = std::size_t{256} << 10;

    /// Counts in `emptied` how often the socket was made anew.
    tap(runtime::hub& owner, const runtime::endpoint& where, std::uint64_t& emptied);
    ~tap();

    /// As bound, with its port.
    const runtime::endpoint& where() const noexcept { return where_; }
    void mirror(std::string_view topic, std::span<const std::byte> body);
    /// A send may take the event of a subscription along.
    void sent() noexcept { hub_.loop().flag(*this); }

    /// Reads what was subscribed to.
    void run(time_point now) override;

private:
    /// Reads what libzmq's I/O thread tells of the connections.
    struct event_reader final : task {
        explicit event_reader(tap& reads_for) : owner(reads_for) {}
        void run(time_point now) override;
        tap& owner;
    };
    struct opened;

    void open_again(time_point now);
    void handle_events();
    void read_subscriptions();
    void empty(time_point now);
    void check_connections(time_point now);
    void log(log_level level, std::string_view cause, std::string_view text);

    runtime::hub& hub_;
    event_reader event_reader_{*this};
    runtime::endpoint where_;
    std::uint64_t& emptied_;
    std::unique_ptr<opened> opened_;  // nullptr: to be opened again
};

}  // namespace cairn::patterns
