#pragma once

#include <cairn/protocol/backoff.hpp>
#include <cairn/runtime/endpoint.hpp>
#include <cairn/runtime/handshake.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/runtime/monitor.hpp>
#include <cairn/runtime/name_lookup.hpp>
#include <cairn/runtime/socket_factory.hpp>
#include <cairn/stats.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::runtime {

class hub;

/// The connecting side: one endpoint, and a DEALER for each life of the connection.
///
/// A socket is used for one connection only. When that is lost, or a handshake failed for good, a
/// new socket is made after a pause: nothing meant for the old peer can reach the new one, and a
/// mechanism mismatch, after which a DEALER never works again, mends itself. Of several addresses
/// the next one is tried at once; when all were tried in vain, a name is looked up again.
///
/// Owns:    socket and link.
/// Threads: loop.
/// Fails:   never after construction; failures are logged and tried again.
class connector final : public task {
public:
    /// `addresses`: those of `where`, as resolve() gives them.
    /// `server_key`: what the node there must hold; empty without keys.
    connector(hub& owner, endpoint where, std::vector<endpoint> addresses, std::string server_key);
    ~connector();

    void run(time_point now) override;
    /// The user wants it no more: says BYE.
    void disconnect();
    const std::string& server_key() const noexcept { return server_key_; }
    /// The user named the endpoint as that of a store.
    void mark_store() noexcept { store_ = true; }
    /// The endpoint is that of a store, and this node answers there.
    bool leads_to_store(const link& node) const noexcept;

    /// `which` was greeted, or buried because of `why`; the connector acts when it is its own. True
    /// when it is.
    bool greeted(const link& which);
    bool forget(const link& which, errc why, std::string_view text);
    endpoint_stats stats() const;

private:
    /// Reads what libzmq's I/O thread tells of the socket; only when there is something.
    struct event_reader final : task {
        explicit event_reader(connector& reads_for) : owner(reads_for) {}
        void run(time_point now) override;
        connector& owner;
    };

    void open(time_point now);
    void open_again(time_point now);
    void close();
    void retry_later(time_point now);
    void receive_frames(time_point now);
    void handle_events(time_point now);
    void handle(const monitor_event& event, time_point now);
    void greeting_missed(time_point now);
    void tell_unreachable();
    void failed(errc why, std::string_view text);
    bool named() const { return addresses_.front() != where_; }
    bool last_address() const noexcept { return address_ + 1 >= addresses_.size(); }

    hub& hub_;
    event_reader event_reader_{*this};
    const endpoint where_;    // as the user gave it
    const std::string name_;  // its text
    std::vector<endpoint> addresses_;
    std::size_t address_ = 0;  // which of them is tried, or serves
    std::optional<name_lookup> lookup_;
    const std::string server_key_;
    socket dealer_;
    std::optional<monitor> monitor_;
    std::optional<connect_watch> watch_;
    std::optional<loop::watching> watching_frames_;
    std::optional<loop::watching> watching_events_;
    std::unique_ptr<link> link_;
    time_point retry_at_ = loop::never;
    time_point greeting_due_ = loop::never;  // connected, and no HELLO yet
    protocol::backoff pause_;
    endpoint_stats told_;                  // but for its state
    bool failing_ = false;                 // since the last link, or the beginning
    time_point tell_again_ = loop::never;  // what has failed in the same way since
    bool reached_ = false;                 // this socket was connected
    bool nameless_ = false;                // the last lookup knew no address
    bool store_ = false;
    bool abandon_ = false;      // this socket's life is over: close it at the end of the turn
    bool told_silent_ = false;  // of this connection
    bool told_unreachable_ = false;
};

}  // namespace cairn::runtime
