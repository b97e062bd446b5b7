#pragma once

#include <cairn/ids.hpp>
#include <cairn/wire/frames.hpp>

#include <zmq.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cairn::test {

/// A store that says what a test wants it to say, to one peer. It greets, and answers PING; all
/// else is the test's.
///
/// Owns:    its socket.
/// Threads: one at a time; it only works while a function of it runs.
class scripted_store {
public:
    static constexpr std::chrono::milliseconds patience = std::chrono::seconds(10);

    /// `body_bytes_max`: as it says in its HELLO; 64 MiB at most.
    explicit scripted_store(const std::string& endpoint = "tcp://127.0.0.1:*",
                            std::uint64_t body_bytes_max = std::uint64_t{64} << 20);
    const std::string& endpoint() const noexcept { return endpoint_; }

    void say(const wire::control_frame& frame);

    /// The next frame of that sort, others are passed over; nothing when the deadline passes first.
    /// Views in it are valid until the next call.
    template <typename Frame>
    std::optional<Frame> hear(std::chrono::milliseconds deadline = patience) {
        const auto end = std::chrono::steady_clock::now() + deadline;
        while (receive(end)) {
            const auto frame = wire::decode(bytes());
            if (frame && std::holds_alternative<Frame>(*frame)) return std::get<Frame>(*frame);
        }
        return std::nullopt;
    }
    /// As hear(), for APPEND: checked, with the bodies of its messages in `texts`.
    struct appended {
        wire::append_header header;
        std::vector<std::string> texts;
    };
    std::optional<appended> hear_append(std::chrono::milliseconds deadline = patience);

    /// Hears OPEN_SOURCE and answers it. Returns what was heard.
    std::optional<wire::open_source> open(sequence last = {}, std::uint64_t granted = 1 << 20,
                                          std::byte of = std::byte{1});
    static cairn::generation generation_of(std::byte which);

private:
    bool receive(std::chrono::steady_clock::time_point end);
    std::span<const std::byte> bytes() const;

    zmq::context_t context_{1};
    zmq::socket_t socket_;
    std::string endpoint_;
    std::uint64_t body_bytes_max_;
    node_id id_;
    std::string peer_;
    std::vector<zmq::message_t> last_;
};

}  // namespace cairn::test
