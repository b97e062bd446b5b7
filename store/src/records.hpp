#pragma once

#include "bytes.hpp"

#include <cairn/error.hpp>
#include <cairn/store/ids.hpp>
#include <cairn/store/options.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Values of FORMAT.md. Every value ends with a seal: XXH3-64 of its key and of itself, so that a
/// value that was flipped, or belongs elsewhere, is noticed.
namespace cairn::store {

inline constexpr std::uint32_t format_version = 4;
inline constexpr std::size_t seal_bytes = 8;
inline constexpr std::uint32_t page_bytes_needed = 4'096;  ///< of LMDB's pages

/// What needs to be read fails its seal or does not decode. Thrown inside the store only.
struct damaged {
    const char* what;
};

inline constexpr const char* torn_meta =
    "a torn meta page: the last commit is not there; restore a backup";

/// Who can open the database, and which one it is.
struct meta_record {
    std::uint32_t format = format_version;
    std::uint32_t page_bytes = 0;
    std::uint32_t incompatible = 0;  ///< flags: an unknown one forbids to open
    std::uint32_t compatible = 0;    ///< flags: an unknown one may be ignored
    std::array<std::byte, 16> store_id{};
    store::generation generation;
    wall_time created;
    std::string needs;  ///< the first cairn that can open this
};

/// Written by every commit.
struct counters_record {
    std::uint64_t commit = 0;  ///< id of the transaction that wrote this
    wall_time time;            ///< latest stored time
    std::uint32_t next_topic = 1;
    std::uint32_t topics = 0;
    std::uint64_t bytes = 0;
    std::uint64_t messages = 0;
    bool clean = false;
};

struct topic_record {
    std::string name;
    topic_config config;
    bool deleted = false;
    bool letters = false;  ///< a topic of dead letters
    offset first{1};       ///< lowest that is read
    offset next{1};
    offset kept{1};  ///< lowest whose batch still takes space: first or less
    std::uint64_t bytes = 0;
    std::uint32_t next_source = 1;
    std::uint32_t next_group = 1;
    /// Whose batch is the last one: what goes on from it needs no entry of the index. 0: nobody's.
    source_id last_source;
    cairn::epoch last_epoch;
};

struct source_record {
    std::string name;
    std::string owner;
    cairn::epoch epoch;
    sequence last;
    /// Where the last stretch of the present run begins; no offset: the index has what there is.
    struct {
        sequence first;
        offset at;
    } tail;
    std::uint8_t unindexed = 0;  ///< stretches since the last one with an entry in the index
};

struct group_record {
    std::string name;
    std::string settings;
    offset floor;
    std::uint64_t acked = 0;     ///< above the floor
    std::uint64_t attempts = 0;  ///< attempt records
    std::uint64_t moves = 0;     ///< by seek_group
};

struct attempt_record {
    std::uint32_t attempts = 0;
    wall_time not_before;
    std::string reason;
};

/// The first position of a source that left the log before a group was done with it or told of it.
struct untold_record {
    cairn::epoch epoch;
    cairn::sequence first;
};

struct story_record {
    std::string topic;
    std::string group;
    std::string source;
    cairn::epoch epoch;
    cairn::sequence sequence;
    offset at;
    std::uint32_t attempts = 0;
    errc cause = errc::ok;
    std::string reason;
    wall_time moved;
};

/// Appends the value without its seal; decoding takes it without.
void encode(const meta_record& r, std::vector<std::byte>& out);
void encode(const counters_record& r, std::vector<std::byte>& out);
void encode(const topic_record& r, std::vector<std::byte>& out);
void encode(const source_record& r, std::vector<std::byte>& out);
void encode(const group_record& r, std::vector<std::byte>& out);
void encode(const attempt_record& r, std::vector<std::byte>& out);
void encode(const untold_record& r, std::vector<std::byte>& out);
void encode(const story_record& r, std::vector<std::byte>& out);

// Nothing when the bytes do not decode. Further bytes are left to newer versions.
std::optional<meta_record> decode_meta(bytes value);
std::optional<counters_record> decode_counters(bytes value);
std::optional<topic_record> decode_topic(bytes value);
std::optional<source_record> decode_source(bytes value);
std::optional<group_record> decode_group(bytes value);
std::optional<attempt_record> decode_attempt(bytes value);
std::optional<untold_record> decode_untold(bytes value);
std::optional<story_record> decode_story(bytes value);

/// Appends the seal of (key, value) to the value.
void add_seal(bytes key, std::vector<std::byte>& value);
/// The value without its seal. Throws damaged.
bytes unsealed(bytes key, bytes value);

// --- Log entries --------------------------------------------------------------------------------

/// Longest value: what one page takes beside the key's leaf (DESIGN: longer ones need neighbouring
/// free pages, which fragmentation makes dear).
inline constexpr std::size_t piece_bytes_max = 4'080;
inline constexpr std::size_t entry_header_bytes = 64;
inline constexpr std::uint32_t back_max = 0xff'ffff;  // three bytes

/// First bytes of a batch's first piece; the body follows.
struct batch_record {
    std::uint32_t count = 0;
    std::uint32_t body_bytes = 0;
    source_id source;
    cairn::epoch epoch;
    sequence first;
    wall_time time;
    wall_time stored;
    std::uint64_t checksum = 0;  ///< XXH3-64 of the body
    /// Offsets from the begin of the run's stretch in front, where this batch begins one. 0: none,
    /// or one that has an entry in the index.
    std::uint32_t back = 0;

    sequence last() const { return first + (count - 1); }
    std::uint32_t pieces() const {
        return static_cast<std::uint32_t>((entry_header_bytes + body_bytes + piece_bytes_max - 1) /
                                          piece_bytes_max);
    }
};

/// A range that its source declared lost.
struct mark_record {
    errc cause = errc::lost;
    source_id source;
    cairn::epoch epoch;
    sequence first;
    sequence last;
    wall_time stored;
};

/// Writes entry_header_bytes, sealed for this place.
void encode(const batch_record& r, topic_id topic, offset first, std::byte* out);
void encode(const mark_record& r, topic_id topic, offset at, std::uint32_t number, std::byte* out);

std::optional<batch_record> decode_batch_record(bytes value, topic_id topic, offset first);
std::optional<mark_record> decode_mark_record(bytes value, topic_id topic, offset at,
                                              std::uint32_t number);

/// What a batch takes of the quota: its pages, leaf entries and index entry.
std::uint64_t cost_of(std::size_t body_bytes) noexcept;
/// What a mark takes of it.
inline constexpr std::uint64_t mark_cost = 184;
/// What a small record beside the log takes of it: of the last message of a key, a letter's story.
constexpr std::uint64_t small_record_cost(std::size_t key_bytes, std::size_t sealed_value_bytes) {
    return key_bytes + sealed_value_bytes + 16;  // node and pointer
}
/// Of the last message of that key.
constexpr std::uint64_t key_cost(std::string_view message_key) {
    return small_record_cost(5 + message_key.size(), sizeof(std::uint64_t) + seal_bytes);
}

}  // namespace cairn::store
