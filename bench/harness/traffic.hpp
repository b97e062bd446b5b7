#pragma once

#include "harness/board.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace cairn::bench {

inline std::uint64_t now_ns() noexcept {
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

/// Bodies of a benchmark's messages. The first eight bytes of one in `stride` carry the time of its
/// sending, those of the others zero: reading a clock for each would cost as much as sending it.
class body_source {
public:
    explicit body_source(std::size_t size) : body_(size, 'c'), stride_(size < 4'096 ? 1'024 : 16) {
        if (can_stamp()) set_stamp(0);
    }

    /// Valid until the next call.
    std::string_view next() noexcept {
        if (++since_stamp_ == stride_ && can_stamp()) {
            since_stamp_ = 0;
            set_stamp(now_ns());
        } else if (since_stamp_ == 1 && can_stamp()) {
            set_stamp(0);
        }
        return body_;
    }

private:
    bool can_stamp() const noexcept { return body_.size() >= sizeof(std::uint64_t); }
    void set_stamp(std::uint64_t ns) noexcept { std::memcpy(body_.data(), &ns, sizeof ns); }

    std::string body_;
    std::uint32_t stride_;
    std::uint32_t since_stamp_ = 0;
};

/// Counts what a role sent or received on its lane. The same code for cairn and for libzmq.
class tally {
public:
    tally(board& shared, std::size_t lane_index) : shared_(shared), lane_(shared.at(lane_index)) {}

    void sent() noexcept { lane_.messages.store(++messages_, std::memory_order_relaxed); }

    /// Reads the body as far as a benchmark must: the first byte and the size.
    void received(std::string_view body) noexcept {
        std::uint64_t stamp = 0;
        if (body.size() >= sizeof stamp) {
            std::memcpy(&stamp, body.data(), sizeof stamp);
            if (stamp != 0) took(now_ns() - stamp);
        } else if (!body.empty()) {
            stamp = static_cast<unsigned char>(body.front());
        }
        touched_ += body.size() + (stamp & 0xff);
        lane_.touched.store(touched_, std::memory_order_relaxed);
        lane_.messages.store(++messages_, std::memory_order_relaxed);
    }

    /// A duration for the percentiles; counts only while the harness measures.
    void took(std::uint64_t ns) noexcept {
        if (shared_.phase() == phase::measuring) lane_.latency.add(ns);
    }

    void missed(std::uint64_t messages) noexcept { lane_.gaps.fetch_add(messages); }

private:
    board& shared_;
    lane& lane_;
    std::uint64_t messages_ = 0;
    std::uint64_t touched_ = 0;
};

}  // namespace cairn::bench
