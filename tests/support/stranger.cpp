#include "stranger.hpp"

#include <algorithm>
#include <random>
#include <span>

namespace cairn::test {

namespace {

zmq::context_t& context() {
    static zmq::context_t one(1);
    return one;
}

}  // namespace

bool receive_whole(zmq::socket_t& from, std::vector<zmq::message_t>& to,
                   std::chrono::steady_clock::time_point end) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    from.set(zmq::sockopt::rcvtimeo, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    to.clear();
    do {
        to.emplace_back();
        if (!from.recv(to.back())) return false;
    } while (to.back().more());
    return true;
}

stranger::stranger(const std::string& endpoint, std::string_view routing_id)
    : socket_(context(), zmq::socket_type::dealer) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::sndtimeo, 10'000);
    if (!routing_id.empty()) socket_.set(zmq::sockopt::routing_id, std::string(routing_id));
    socket_.connect(endpoint);
}

stranger::stranger(const std::string& endpoint, const key_pair& keys, const std::string& server_key)
    : socket_(context(), zmq::socket_type::dealer) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::sndtimeo, 10'000);
    socket_.set(zmq::sockopt::curve_publickey, keys.public_key);
    socket_.set(zmq::sockopt::curve_secretkey, keys.secret_key);
    socket_.set(zmq::sockopt::curve_serverkey, server_key);
    socket_.connect(endpoint);
}

bool stranger::say(const std::vector<std::string>& frames) {
    for (std::size_t i = 0; i != frames.size(); ++i) {
        const bool more = i + 1 != frames.size();
        if (!socket_.send(zmq::buffer(frames[i]),
                          more ? zmq::send_flags::sndmore : zmq::send_flags::none))
            return false;
    }
    return true;
}

bool stranger::say(const wire::control_frame& frame) {
    bytes out;
    wire::encode(frame, out);
    return say({std::string(reinterpret_cast<const char*>(out.data()), out.size())});
}

bool stranger::greet(node_id node) {
    say(wire::hello{1, 1, node, "stranger", 64 << 20});
    return hear(wire::kind::hello).has_value();
}

bool stranger::receive(std::chrono::steady_clock::time_point end) {
    if (!receive_whole(socket_, last_, end)) return false;
    if (heard() == wire::kind::ping) {
        const auto asked = wire::decode(
            {static_cast<const std::byte*>(last_.front().data()), last_.front().size()});
        if (asked) say(wire::pong{std::get<wire::ping>(*asked).token});
    }
    return true;
}

std::optional<wire::kind> stranger::heard() const {
    const auto kind = wire::peek_kind(
        {static_cast<const std::byte*>(last_.front().data()), last_.front().size()});
    return kind ? std::optional(*kind) : std::nullopt;
}

std::optional<wire::control_frame> stranger::hear(wire::kind kind,
                                                  std::chrono::milliseconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (receive(end)) {
        if (heard() != kind) continue;
        const auto frame = wire::decode(
            {static_cast<const std::byte*>(last_.front().data()), last_.front().size()});
        return frame ? std::optional(*frame) : std::nullopt;
    }
    return std::nullopt;
}

std::optional<wire::jobs_header> stranger::hear_batch(wire::kind kind,
                                                      std::chrono::milliseconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (receive(end)) {
        if (heard() != kind) continue;
        const std::span whole(static_cast<const std::byte*>(last_.front().data()),
                              last_.front().size());
        if (kind == wire::kind::jobs) return wire::decode_jobs(whole).value().header;
        wire::jobs_header header;
        static_cast<wire::batch_header&>(header) = wire::decode_batch(whole).value().header;
        return header;
    }
    return std::nullopt;
}

std::optional<wire::control_frame> stranger::hear_any(std::initializer_list<wire::kind> kinds,
                                                      std::chrono::milliseconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (receive(end))
        if (std::find(kinds.begin(), kinds.end(), heard()) != kinds.end()) return last_frame();
    return std::nullopt;
}

bool stranger::hear_either(wire::kind one, wire::kind other, std::chrono::milliseconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (receive(end))
        if (heard() == one || heard() == other) return true;
    return false;
}

std::optional<wire::batch_header> stranger::last_batch() const {
    if (heard() != wire::kind::batch) return std::nullopt;
    return wire::decode_batch(
               {static_cast<const std::byte*>(last_.front().data()), last_.front().size()})
        .value()
        .header;
}

std::optional<wire::control_frame> stranger::last_frame() const {
    const auto frame =
        wire::decode({static_cast<const std::byte*>(last_.front().data()), last_.front().size()});
    return frame ? std::optional(*frame) : std::nullopt;
}

errc stranger::refusal(wire::kind kind) {
    const auto frame = hear(kind);
    if (!frame) return errc::ok;
    if (const auto* e = std::get_if<wire::error_reply>(&*frame)) return e->code;
    return std::get<wire::bye>(*frame).reason;
}

bool stranger::answered() {
    say(wire::ping{++token_});
    while (const auto pong = hear<wire::pong>(wire::kind::pong))
        if (pong->token == token_) return true;
    return false;
}

bool stranger::answered_without_refusal() {
    say(wire::ping{++token_});
    const auto next = hear_any({wire::kind::pong, wire::kind::error}, std::chrono::seconds(10));
    return next && std::holds_alternative<wire::pong>(*next);
}

node_id stranger::made_up_node() {
    thread_local std::mt19937 random{std::random_device{}()};
    node_id id;
    for (std::byte& b : id.bytes) b = static_cast<std::byte>(random());
    return id;
}

}  // namespace cairn::test
