#pragma once

#include "bytes.hpp"

#include <cairn/store/ids.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// Keys of FORMAT.md. Big-endian, so that LMDB's order is the order of the numbers.
namespace cairn::store {

/// A key under construction, on the stack.
class key {
public:
    template <typename T>
    key& number(T value) noexcept {
        store_be(data_.data() + size_, value);
        size_ += sizeof(T);
        return *this;
    }
    key& letter(char c) noexcept { return number(static_cast<std::uint8_t>(c)); }
    /// What does not fit is left out: such a key is longer than LMDB's longest, and nobody's. Ours
    /// have 260 bytes at most.
    key& text(std::string_view value) noexcept {
        value = value.substr(0, data_.size() - size_);
        if (!value.empty()) std::memcpy(data_.data() + size_, value.data(), value.size());
        size_ += value.size();
        return *this;
    }
    /// As it was read. False when no key of LMDB's is so long.
    bool assign(bytes read) noexcept {
        if (read.size() > data_.size()) return false;
        size_ = 0;
        text(text_of(read));
        return true;
    }
    operator bytes() const noexcept { return {data_.data(), size_}; }  // NOLINT(*-explicit-*)

private:
    std::array<std::byte, 512> data_;  // NOLINT(*-member-init): only what is written is read
    std::size_t size_ = 0;
};

// --- Database "log": pieces of batches, and marks of lost ranges -------------------------------

enum class part_kind : std::uint8_t {
    mark = 0,  // sorts before the batch that has the same first offset
    piece = 1,
};

inline constexpr std::size_t log_key_bytes = 16;

/// Requires: number below 2^24.
inline key log_key(topic_id topic, offset first, part_kind kind, std::uint32_t number) noexcept {
    key k;
    k.number(topic.value).number(first.value);
    k.number(static_cast<std::uint32_t>(kind) << 24 | number);
    return k;
}

struct log_place {
    topic_id topic;
    offset first;
    part_kind kind = part_kind::mark;
    std::uint32_t number = 0;
    bool valid = false;  ///< false: this is no key of ours
};

inline log_place parse_log_key(bytes k) noexcept {
    if (k.size() != log_key_bytes) return {};
    const auto part = load_be<std::uint32_t>(k.data() + 12);
    return {{load_be<std::uint32_t>(k.data())},
            {load_be<std::uint64_t>(k.data() + 4)},
            static_cast<part_kind>(part >> 24),
            part & 0xffffff,
            part >> 24 <= 1};
}

// --- Database "index": where a source's sequences are -----------------------------------------

inline constexpr std::size_t index_key_bytes = 24;

inline key index_key(topic_id topic, source_id source, epoch e, sequence first) noexcept {
    key k;
    k.number(topic.value).number(source.value).number(e.value).number(first.value);
    return k;
}

inline epoch epoch_of_index(bytes k) noexcept {
    return {load_be<std::uint64_t>(k.data() + sizeof(topic_id::value) + sizeof(source_id::value))};
}

// --- Database "state": everything small; what belongs to a topic lies together -----------------

inline constexpr topic_id no_topic{0};  // keys of the whole store

inline key state_key(topic_id topic, char kind) noexcept {
    key k;
    k.number(topic.value).letter(kind);
    return k;
}
inline key meta_key() noexcept { return state_key(no_topic, 'M'); }
inline key counters_key() noexcept { return state_key(no_topic, 'C'); }
inline key topic_name_key(std::string_view name) noexcept {
    return state_key(no_topic, 'N').text(name);
}
inline key topic_key(topic_id t) noexcept { return state_key(t, 'T'); }
inline key source_key(topic_id t, source_id s) noexcept {
    return state_key(t, 'S').number(s.value);
}
inline key source_name_key(topic_id t, std::string_view name) noexcept {
    return state_key(t, 's').text(name);
}
inline key ended_run_key(topic_id t, source_id s, epoch e) noexcept {
    return state_key(t, 'R').number(s.value).number(e.value);
}
inline key group_key(topic_id t, group_id g) noexcept { return state_key(t, 'G').number(g.value); }
inline key group_name_key(topic_id t, std::string_view name) noexcept {
    return state_key(t, 'g').text(name);
}
inline key chunk_key(topic_id t, group_id g, std::uint64_t chunk) noexcept {
    return state_key(t, 'B').number(g.value).number(chunk);
}
inline key attempt_key(topic_id t, group_id g, offset message) noexcept {
    return state_key(t, 'A').number(g.value).number(message.value);
}
inline key untold_key(topic_id t, group_id g, source_id s) noexcept {
    return state_key(t, 'U').number(g.value).number(s.value);
}
inline key story_key(topic_id t, offset letter) noexcept {
    return state_key(t, 'D').number(letter.value);
}
inline constexpr std::size_t story_key_bytes = 13;
inline key last_of_key_key(topic_id t, std::string_view message_key) noexcept {
    return state_key(t, 'K').text(message_key);
}

inline constexpr std::size_t state_prefix_bytes = 5;  // topic and kind

/// Whether two keys agree in their first `size` bytes.
inline bool same_prefix(bytes a, bytes b, std::size_t size) noexcept {
    return a.size() >= size && b.size() >= size && std::memcmp(a.data(), b.data(), size) == 0;
}

}  // namespace cairn::store
