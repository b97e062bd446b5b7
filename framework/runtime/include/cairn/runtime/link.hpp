#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/runtime/block.hpp>
#include <cairn/runtime/zmq_calls.hpp>
#include <cairn/wire/frames.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::runtime {

class hub;
class task;

/// One connection to another node, symmetric after HELLO. The node itself is reached over a link of
/// its own, without a socket, so that its handles need no special case.
///
/// Owns:    control frames that wait because the pipe is full.
/// Threads: loop.
/// Fails:   never; a link that cannot be used any more is `lost`.
/// Limits:  waiting_frames_max control frames, waiting_bytes_max in all, may wait; then the peer
///          counts as lost.
class link {
public:
    enum class role : std::uint8_t { binding, connecting, local };
    enum class sent : std::uint8_t {
        yes,
        blocked,  ///< the pipe is full: frame_handler::link_writable() says when to try again
        lost,
    };
    static constexpr std::size_t waiting_frames_max = 16'384;
    static constexpr std::size_t waiting_bytes_max = std::size_t{16} << 20;
    /// After so many frames that break the rules the link is given up.
    static constexpr std::uint32_t refusals_max = 100;

    /// `carrier` sends for the link: the ROUTER with the peer's routing id, the DEALER, or nobody.
    /// `server` is the task that serves it: a send may take the socket's event with it, so whoever
    /// sends has it looked at again.
    link(hub& owner, role side, zmq::socket_ref carrier, task* server, std::string routing_id);
    ~link();
    link(const link&) = delete;
    link& operator=(const link&) = delete;

    /// Different for each link of the node, also over time.
    std::uint64_t number() const noexcept { return number_; }
    role side() const noexcept { return role_; }
    const node_id& peer() const noexcept { return peer_; }
    const std::string& peer_name() const noexcept { return peer_name_; }
    /// Public key of the peer in Z85, "" without CURVE.
    const std::string& peer_key() const noexcept { return peer_key_; }
    /// What to call the peer in a log line.
    std::string description() const;
    std::uint64_t peer_body_bytes_max() const noexcept { return peer_body_bytes_max_; }
    /// By its own word, whether anybody named it so or not.
    bool peer_is_store() const noexcept { return peer_is_store_; }

    /// The user named this peer as a store, by this endpoint (hub::connect_store).
    bool is_store(std::string_view endpoint) const noexcept {
        return std::find(stores_.begin(), stores_.end(), endpoint) != stores_.end();
    }

    bool greeted() const noexcept { return state_ == state::greeted; }
    bool lost() const noexcept { return state_ == state::lost; }

    /// Sends a control frame, after what waits already. False when the link is lost.
    bool send(const wire::control_frame& frame);

    /// Sends a batch: the encoded header with `channel` written into it, and the body, which is
    /// shared with ZeroMQ unless it is small enough to travel with the header.
    sent send_batch(std::span<const std::byte> header, wire::channel channel,
                    const block_ref& block, std::span<const std::byte> body);
    /// Sends a whole batch, header and body in one frame, by reference: `frame` stays the caller's,
    /// who may send it to others but not change it any more. `body_bytes` is its body's share.
    sent send_batch(zmq::message_t& frame, std::size_t body_bytes);

    /// Bytes of batches that the peer's node has not yet read, as far as we know: a PING follows
    /// each transit_ping_bytes, and link_drained() its PONG. At most the last transit_ping_bytes
    /// are unknown.
    std::uint64_t in_transit() const noexcept { return batch_bytes_sent_ - batch_bytes_read_; }
    static constexpr std::uint64_t transit_ping_bytes = 128 << 10;

    /// A PING whose PONG is noted in pong_token(). Returns its token.
    std::uint64_t ping();
    /// Of the last PING; the next one has one more.
    std::uint64_t ping_token() const noexcept { return ping_token_; }
    std::uint64_t pong_token() const noexcept { return pong_token_; }

private:
    friend class hub;
    friend class acceptor;
    friend class connector;

    enum class state : std::uint8_t { connected, greeted, refused, lost };

    io transmit(zmq::message_t& frame1, zmq::message_t* frame2);
    io hand_over(zmq::message_t& frame1, zmq::message_t* frame2);
    sent settle(io outcome);
    void note_batch(std::size_t bytes);
    void note_pong(std::uint64_t token);
    /// Tries again to send what waits. True when nothing waits any more.
    bool flush();
    /// `text`: what is to be told of it, where it is more than `why`.
    void fail(errc why, std::string_view text = {});

    hub& hub_;
    const role role_;
    const std::uint64_t number_;
    zmq::socket_ref carrier_;
    task* const server_;
    const std::string routing_id_;
    state state_ = state::connected;
    bool blocked_ = false;
    bool suspected_ = false;    // its connection may be the one that broke
    bool unreachable_ = false;  // it is, but what the peer said before may still have to be read
    bool primary_ = false;      // of several links to one node, the one that is used
    bool was_greeted_ = false;
    node_id peer_;
    std::string peer_name_;
    std::string peer_key_;
    std::string address_;
    std::string fault_;                // why it is lost, when somebody said so
    std::vector<std::string> stores_;  // endpoints by which the user named it as a store
    int descriptor_ = -1;  // of the connection, binding side: disconnected events name it
    std::uint64_t peer_body_bytes_max_ = 0;
    bool peer_is_store_ = false;
    std::deque<std::vector<std::byte>> waiting_;
    std::size_t waiting_bytes_ = 0;
    time_point last_sent_;
    time_point last_received_;
    std::uint64_t batch_bytes_sent_ = 0;
    std::uint64_t batch_bytes_read_ = 0;
    std::deque<std::pair<std::uint64_t, std::uint64_t>> transit_pings_;  // token, bytes sent then
    std::uint32_t refusals_ = 0;
    std::uint64_t ping_token_ = 0;
    std::uint64_t pong_token_ = 0;
};

}  // namespace cairn::runtime
