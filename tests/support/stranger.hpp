#pragma once

#include <cairn/security.hpp>
#include <cairn/wire/frames.hpp>

#include <zmq.hpp>

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::test {

/// One message with all its frames into `to`. False when the deadline passes first.
bool receive_whole(zmq::socket_t& from, std::vector<zmq::message_t>& to,
                   std::chrono::steady_clock::time_point end);

/// A peer that speaks ZeroMQ as a DEALER and says what a test wants it to say: frames of the
/// protocol in any order, or bytes that are none. While it listens it answers PING, as every peer
/// must.
///
/// Owns:    its socket, without any of the product's options.
/// Threads: one at a time.
class stranger {
public:
    using bytes = std::vector<std::byte>;

    /// `routing_id`: what a peer must not set.
    explicit stranger(const std::string& endpoint, std::string_view routing_id = {});
    /// With keys of its own, to a node that holds `server_key`.
    stranger(const std::string& endpoint, const key_pair& keys, const std::string& server_key);

    /// What was said is still sent when it goes away.
    void linger() { socket_.set(zmq::sockopt::linger, 10'000); }

    /// One message of these ZeroMQ frames. False when the pipe stays full for ten seconds.
    bool say(const std::vector<std::string>& frames);
    bool say(const wire::control_frame& frame);
    /// A batch or jobs with its body in the same frame.
    template <typename Header>
    bool say(Header header, std::string_view body) {
        header.checksum = wire::checksum(std::as_bytes(std::span(body)));
        bytes out;
        wire::encode(header, out);
        return say({std::string(reinterpret_cast<const char*>(out.data()), out.size()) +
                    std::string(body)});
    }

    /// Says HELLO as `node` and waits for the answer. False when another frame comes, or none.
    bool greet(node_id node = made_up_node());

    /// The next frame of that kind, others are passed over; nothing when the deadline passes first.
    /// Views in it are valid until the next call.
    std::optional<wire::control_frame> hear(
        wire::kind kind, std::chrono::milliseconds deadline = std::chrono::seconds(10));
    template <typename Frame>
    std::optional<Frame> hear(wire::kind kind,
                              std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
        const auto frame = hear(kind, deadline);
        return frame ? std::optional(std::get<Frame>(*frame)) : std::nullopt;
    }
    /// As hear(), for BATCH and JOBS: the header.
    std::optional<wire::jobs_header> hear_batch(
        wire::kind kind, std::chrono::milliseconds deadline = std::chrono::seconds(10));
    /// The next frame of any of these kinds.
    std::optional<wire::control_frame> hear_any(
        std::initializer_list<wire::kind> kinds,
        std::chrono::milliseconds deadline = std::chrono::seconds(10));
    /// Whether a message of one of the two kinds comes: last_batch() or last_frame() has it.
    bool hear_either(wire::kind one, wire::kind other,
                     std::chrono::milliseconds deadline = std::chrono::seconds(10));
    std::optional<wire::batch_header> last_batch() const;
    std::optional<wire::control_frame> last_frame() const;
    /// The code of the next ERROR or BYE; errc::ok when the deadline passes first.
    errc refusal(wire::kind kind);
    /// Whether the node answers a PING: it has taken everything said before, and goes on.
    bool answered();
    /// The same, and no ERROR came before the answer.
    bool answered_without_refusal();

    static node_id made_up_node();

private:
    bool receive(std::chrono::steady_clock::time_point end);
    std::optional<wire::kind> heard() const;

    zmq::socket_t socket_;
    std::vector<zmq::message_t> last_;
    std::uint64_t token_ = 0;
};

}  // namespace cairn::test
