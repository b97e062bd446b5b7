#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace cairn::runtime {

link::link(hub& owner, role side, zmq::socket_ref carrier, task* server, std::string routing_id)
    : hub_(owner),
      role_(side),
      number_(owner.next_link_++),
      carrier_(carrier),
      server_(server),
      routing_id_(std::move(routing_id)),
      last_sent_(owner.loop().now()),
      last_received_(last_sent_) {
    hub_.all_links_.push_back(this);
}

link::~link() {
    std::erase(hub_.all_links_, this);
    std::erase(hub_.blocked_links_, this);
    std::erase(hub_.primary_links_, this);
    std::erase(hub_.unreachable_links_, this);
    std::erase_if(hub_.lost_links_, [this](const auto& entry) { return entry.first == this; });
}

std::string link::description() const {
    std::string text = peer_name_.empty() ? std::string("a peer") : "peer " + peer_name_;
    if (!address_.empty()) text += " (" + address_ + ")";
    return text;
}

void link::fail(errc why, std::string_view text) {
    if (state_ == state::lost) return;
    state_ = state::lost;
    fault_ = text;
    hub_.lost(*this, why);
}

io link::transmit(zmq::message_t& frame1, zmq::message_t* frame2) {
    const std::size_t bytes = frame1.size() + (frame2 ? frame2->size() : 0);
    const io outcome = hand_over(frame1, frame2);
    if (outcome == io::done) {
        ++hub_.counters_.frames_sent;
        hub_.counters_.bytes_sent += bytes;
    }
    return outcome;
}

io link::hand_over(zmq::message_t& frame1, zmq::message_t* frame2) {
    if (role_ == role::local) {
        hub_.local_.frames.emplace_back(std::move(frame1),
                                        frame2 ? std::move(*frame2) : zmq::message_t());
        hub_.loop_.flag(hub_.local_);
        return io::done;
    }
    if (role_ == role::binding) {
        zmq::message_t id(routing_id_.data(), routing_id_.size());
        if (const io outcome = runtime::send(carrier_, id, true); outcome != io::done)
            return outcome;
    }
    const io outcome = runtime::send(carrier_, frame1, frame2 != nullptr);
    if (outcome != io::done || !frame2) return outcome;
    return runtime::send(carrier_, *frame2, false);
}

link::sent link::settle(io outcome) {
    // A send reads the socket's commands, and with them edges that were meant for its reader.
    if (server_ && !(outcome == io::would_block && hub_.retrying_)) hub_.loop_.flag(*server_);
    switch (outcome) {
        case io::done:
            last_sent_ = hub_.loop_.turn_time();
            return sent::yes;
        case io::would_block:
            if (!std::exchange(blocked_, true) && role_ == role::binding)
                hub_.blocked_links_.push_back(this);
            return sent::blocked;
        case io::unroutable:
            // libzmq sends nothing more once the connection ended, but has what came before that.
            if (role_ != role::binding) break;
            unreachable_ = true;
            hub_.unreachable_links_.push_back(this);
            return sent::lost;
        case io::terminated:
        case io::failed:
            break;
    }
    fail(errc::peer_unreachable);
    return sent::lost;
}

bool link::send(const wire::control_frame& frame) {
    if (lost() || unreachable_) return false;
    std::vector<std::byte>& bytes = hub_.scratch_;
    bytes.clear();
    wire::encode(frame, bytes);
    if (waiting_.empty()) {
        zmq::message_t message(bytes.data(), bytes.size());
        const sent outcome = settle(transmit(message, nullptr));
        if (outcome != sent::blocked) return outcome == sent::yes;
    }
    if (waiting_.size() == waiting_frames_max ||
        waiting_bytes_ + bytes.size() > waiting_bytes_max) {
        fail(errc::peer_silent);
        return false;
    }
    waiting_.push_back(bytes);
    waiting_bytes_ += bytes.size();
    return true;
}

link::sent link::send_batch(std::span<const std::byte> header, wire::channel channel,
                            const block_ref& block, std::span<const std::byte> body) {
    if (lost() || unreachable_) return sent::lost;
    if (blocked_) return sent::blocked;
    const bool together = body.size() <= wire::inline_body_bytes_max;
    zmq::message_t frame1(header.size() + (together ? body.size() : 0));
    auto* to = static_cast<std::byte*>(frame1.data());
    std::memcpy(to, header.data(), header.size());
    wire::patch_channel({to, header.size()}, channel);
    io outcome{};
    if (together) {
        std::memcpy(to + header.size(), body.data(), body.size());
        outcome = transmit(frame1, nullptr);
    } else {
        // ZeroMQ reads the ring's own bytes and gives its reference back from its own thread.
        zmq::message_t frame2(
            const_cast<std::byte*>(body.data()), body.size(),
            [](void*, void* lent) { block_ref::give_back(lent); }, block.lend());
        outcome = transmit(frame1, &frame2);
    }
    const sent result = settle(outcome);
    if (result == sent::yes) note_batch(body.size());
    return result;
}

link::sent link::send_batch(zmq::message_t& frame, std::size_t body_bytes) {
    if (lost() || unreachable_) return sent::lost;
    if (blocked_) return sent::blocked;
    zmq::message_t reference;
    reference.copy(frame);
    const sent result = settle(transmit(reference, nullptr));
    if (result == sent::yes) note_batch(body_bytes);
    return result;
}

void link::note_batch(std::size_t bytes) {
    batch_bytes_sent_ += bytes;
    const std::uint64_t pinged =
        transit_pings_.empty() ? batch_bytes_read_ : transit_pings_.back().second;
    if (batch_bytes_sent_ - pinged >= transit_ping_bytes)
        transit_pings_.emplace_back(ping(), batch_bytes_sent_);
}

void link::note_pong(std::uint64_t token) {
    pong_token_ = std::max(pong_token_, std::min(token, ping_token_));
    while (!transit_pings_.empty() && transit_pings_.front().first <= pong_token_) {
        batch_bytes_read_ = transit_pings_.front().second;
        transit_pings_.pop_front();
    }
}

bool link::flush() {
    while (!waiting_.empty() && !lost() && !unreachable_) {
        zmq::message_t message(waiting_.front().data(), waiting_.front().size());
        blocked_ = false;
        if (settle(transmit(message, nullptr)) != sent::yes) return false;
        waiting_bytes_ -= waiting_.front().size();
        waiting_.pop_front();
    }
    blocked_ = false;
    return !lost() && !unreachable_;
}

std::uint64_t link::ping() {
    send(wire::ping{++ping_token_});
    return ping_token_;
}

}  // namespace cairn::runtime
