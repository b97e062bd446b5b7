#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::test {

/// A TCP connection without ZeroMQ, for what strangers send.
///
/// Owns:    the connection.
/// Threads: one at a time.
/// Fails:   construction throws std::system_error.
/// Limits:  127.0.0.1.
class raw_peer {
public:
    explicit raw_peer(std::uint16_t port);
    ~raw_peer();
    raw_peer(const raw_peer&) = delete;
    raw_peer& operator=(const raw_peer&) = delete;

    void send(std::string_view bytes);

    /// Whether the other side closes before the deadline. What it sends before is read away.
    bool closed_within(std::chrono::milliseconds deadline);

    /// Exactly so many bytes; fewer when the other side closes or the deadline passes first.
    std::string read(std::size_t bytes, std::chrono::milliseconds deadline);

    /// Does the part of a NULL handshake that makes a ROUTER take us for a DEALER.
    bool greet_as_dealer();

private:
    int descriptor_;
};

/// The first 64 bytes of ZMTP 3.0 (ZeroMQ RFC 23) with the mechanism NULL.
std::string null_greeting();

}  // namespace cairn::test
