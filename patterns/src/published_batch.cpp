#include "published_batch.hpp"

#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <cstring>

namespace cairn::patterns {

namespace {

// Below this a batch that fills less than half of its block moves to one of its size: the ring
// counts bytes in use.
constexpr std::size_t moved_bytes_max = 4'096;

std::byte* bytes_of(zmq::message_t& frame) { return static_cast<std::byte*>(frame.data()); }

}  // namespace

published_batch::published_batch(wire::batch_header header, runtime::block_ref body,
                                 std::size_t body_bytes, time_point now)
    : first_(header.first),
      last_(header.last()),
      time_(header.time),
      published_(now),
      body_bytes_(body_bytes) {
    header.checksum = wire::checksum({body.data(), body_bytes});
    wire::encode(header, header_);
    if (body_bytes <= wire::inline_body_bytes_max) {
        frame_.rebuild(header_.size() + body_bytes);
        std::memcpy(frame_.data(), header_.data(), header_.size());
        std::memcpy(bytes_of(frame_) + header_.size(), body.data(), body_bytes);
        header_ = {};
    } else if (body_bytes * 2 < body.capacity() && body_bytes <= moved_bytes_max) {
        block_ = runtime::block_ref::make(body_bytes);
        std::copy_n(body.data(), body_bytes, block_.data());
    } else {
        block_ = std::move(body);
    }
}

std::span<const std::byte> published_batch::body() const noexcept {
    if (block_) return {block_.data(), body_bytes_};
    const auto* frame = static_cast<const std::byte*>(frame_.data());
    return {frame + (frame_.size() - body_bytes_), body_bytes_};
}

runtime::link::sent published_batch::send(runtime::link& to, wire::channel channel) {
    if (block_) return to.send_batch(header_, channel, block_, body());
    if (channel != channel_) {
        // What was sent may still be read by others.
        if (channel_ != 0) frame_ = zmq::message_t(frame_.data(), frame_.size());
        wire::patch_channel({bytes_of(frame_), frame_.size()}, channel);
        channel_ = channel;
    }
    return to.send_batch(frame_, body_bytes_);
}

runtime::link::sent published_batch::append(runtime::link& to, wire::channel channel) {
    if (block_) {
        wire::patch_kind(header_, wire::kind::append);
        const auto outcome = to.send_batch(header_, channel, block_, body());
        wire::patch_kind(header_, wire::kind::batch);
        return outcome;
    }
    zmq::message_t copy(frame_.data(), frame_.size());
    wire::patch_kind({bytes_of(copy), copy.size()}, wire::kind::append);
    wire::patch_channel({bytes_of(copy), copy.size()}, channel);
    return to.send_batch(copy, body_bytes_);
}

runtime::spill::batch published_batch::put_aside() const {
    runtime::spill::batch out;
    out.first = first_;
    out.last = last_;
    if (block_) {
        out.head = header_;
        out.header_bytes = header_.size();
        out.block = block_;
        out.block_bytes = body_bytes_;
    } else {
        const auto* frame = static_cast<const std::byte*>(frame_.data());
        out.head.assign(frame, frame + frame_.size());
        out.header_bytes = frame_.size() - body_bytes_;
    }
    return out;
}

runtime::link::sent published_batch::send_part(runtime::link& to, wire::channel channel,
                                               wire::kind as, wire::batch_header header,
                                               std::span<const std::byte> part) {
    if (part.size() == body_bytes_)
        return as == wire::kind::append ? append(to, channel) : send(to, channel);
    return send_records(to, channel, as, header, block_, part);
}

runtime::link::sent published_batch::send_records(runtime::link& to, wire::channel channel,
                                                  wire::kind as, wire::batch_header header,
                                                  const runtime::block_ref& block,
                                                  std::span<const std::byte> records) {
    header.checksum = wire::checksum(records);
    std::vector<std::byte> encoded;
    wire::encode(header, encoded);
    wire::patch_kind(encoded, as);
    return to.send_batch(encoded, channel, block, records);
}

}  // namespace cairn::patterns
