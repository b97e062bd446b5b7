#include "scripted_store.hpp"
#include "support/stranger.hpp"

#include <cairn/wire/records.hpp>

#include <algorithm>
#include <random>
#include <span>

namespace cairn::test {

scripted_store::scripted_store(const std::string& endpoint, std::uint64_t body_bytes_max)
    : socket_(context_, zmq::socket_type::router), body_bytes_max_(body_bytes_max) {
    std::random_device device;
    for (std::byte& b : id_.bytes) b = static_cast<std::byte>(device());
    socket_.set(zmq::sockopt::linger, 0);
    socket_.bind(endpoint);
    endpoint_ = socket_.get(zmq::sockopt::last_endpoint);
}

std::span<const std::byte> scripted_store::bytes() const {
    return {static_cast<const std::byte*>(last_[1].data()), last_[1].size()};
}

void scripted_store::say(const wire::control_frame& frame) {
    std::vector<std::byte> out;
    wire::encode(frame, out);
    socket_.send(zmq::buffer(peer_), zmq::send_flags::sndmore);
    socket_.send(zmq::buffer(out), zmq::send_flags::none);
}

bool scripted_store::receive(std::chrono::steady_clock::time_point end) {
    if (!receive_whole(socket_, last_, end)) return false;
    const auto kind = wire::peek_kind(bytes());
    if (kind && *kind == wire::kind::hello) {
        peer_ = last_[0].to_string();
        say(wire::hello{1, 1, id_, "scripted", body_bytes_max_, true});
    } else if (kind && *kind == wire::kind::ping) {
        say(wire::pong{std::get<wire::ping>(*wire::decode(bytes())).token});
    }
    return true;
}

std::optional<scripted_store::appended> scripted_store::hear_append(
    std::chrono::milliseconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (receive(end)) {
        if (const auto kind = wire::peek_kind(bytes()); !kind || *kind != wire::kind::append)
            continue;
        const auto decoded = wire::decode_append(bytes());
        if (!decoded) return std::nullopt;
        const std::span body =
            last_.size() == 3
                ? std::span(static_cast<const std::byte*>(last_[2].data()), last_[2].size())
                : bytes().subspan(decoded->bytes);
        if (wire::checksum(body) != decoded->header.checksum ||
            wire::check_records(body, decoded->header.count) != errc::ok)
            return std::nullopt;
        appended out{decoded->header, {}};
        wire::record_reader records(body);
        while (!records.done()) {
            const auto text = records.next().body;
            out.texts.emplace_back(reinterpret_cast<const char*>(text.data()), text.size());
        }
        return out;
    }
    return std::nullopt;
}

std::optional<wire::open_source> scripted_store::open(sequence last, std::uint64_t granted,
                                                      std::byte of) {
    const auto asked = hear<wire::open_source>();
    if (asked) say(wire::source_opened{asked->channel, generation_of(of), last, granted});
    return asked;
}

cairn::generation scripted_store::generation_of(std::byte which) {
    cairn::generation g;
    g.bytes.fill(which);
    return g;
}

}  // namespace cairn::test
