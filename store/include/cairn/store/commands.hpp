#pragma once

#include <cairn/error.hpp>
#include <cairn/store/ids.hpp>
#include <cairn/store/options.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

/// Everything that changes a database, and what is answered. Each command says how it fails beside
/// topic_unknown, store_failed, store_damaged (what it needs to read fails its checksum) and
/// disk_full. A command that fails changes nothing and does not touch its neighbours.
namespace cairn::store {

/// Bytes that stay where they are until the reply; `owner` keeps them there.
struct shared_bytes {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;  ///< may be empty when the caller keeps them itself
};

// --- Sources and messages -----------------------------------------------------------------------

/// A run of a source begins, or goes on after a lost connection. Replies source_opened.
/// Fails: fenced (a higher epoch was opened; the reply tells it), not_authorised (another owner
/// opened the source first), topic_invalid (its name's size: 1 to 255 bytes), invalid_argument
/// (another name's size, epoch 0 or 2^64 - 1), limit_exceeded (topics_max, sources_per_topic_max).
struct open_source {
    std::string topic;
    std::string source;
    cairn::epoch epoch;   ///< 1 to 2^64 - 2; a higher one fences the runs before it
    std::string owner{};  ///< who opens: up to 64 bytes; the first owns the source; "": not asked
    bool create_topic = true;
    topic_config config{};  ///< of a topic that is made
};

/// A batch, in order. Replies appended.
///
/// What is stored already is confirmed again, with the offsets of then (`repeated`). A batch that
/// is partly stored is stored from there on. Fails: source_unknown, fenced, hole (the reply tells
/// what is expected), conflict (the same position, other bytes), checksum_mismatch, malformed
/// (records), invalid_argument (count, sequence), limit_exceeded, store_full.
struct append {
    topic_id topic;
    source_id source;
    cairn::epoch epoch;
    sequence first;
    std::uint32_t count = 0;
    wall_time time;              ///< when the first message was published
    std::uint64_t checksum = 0;  ///< XXH3-64 of the body
    shared_bytes body;           ///< records, as on the wire: see batch_builder
};

/// The source no longer has these: readers will find a mark in their place. Replies appended, with
/// the offset that the next message will have. A range that goes on where another of its source
/// ended, in the same place and for the same cause, makes that mark longer; a mark of its own takes
/// room as a message without a body does. Fails as append; store_full also beyond marks_max.
struct declare_lost {
    topic_id topic;
    source_id source;
    cairn::epoch epoch;
    sequence_range range;
    errc cause = errc::lost;
};

// --- Topics -------------------------------------------------------------------------------------

/// Replies topic_created, also when it exists with the same configuration.
/// Fails: topic_exists, topic_invalid (a name's size: 1 to 255 bytes), limit_exceeded.
struct create_topic {
    std::string name;
    topic_config config;
};

/// `last_per_key` cannot be altered: not_supported.
struct alter_topic {
    topic_id topic;
    topic_config config;
};

/// The name is free at once; the space comes back in steps, a bounded number a commit.
struct delete_topic {
    topic_id topic;
};

/// Everything up to `last` goes. Replies counted: how many messages.
/// Fails: not_stored (beyond the end).
struct trim {
    topic_id topic;
    offset last;
};

/// Everything stored goes, marks included; offsets and positions go on where they are. Replies
/// counted: how many messages.
struct purge {
    topic_id topic;
};

// --- Groups -------------------------------------------------------------------------------------

/// All before `start` counts as acked. Replies group_created, also when it exists with the same
/// settings. Fails: group_exists, invalid_argument (sizes), limit_exceeded (groups_per_topic_max).
struct create_group {
    topic_id topic;
    std::string name;
    std::string settings;  ///< the caller's own bytes, kept and given back
    offset start{1};       ///< cut to what is stored; {number_max}: behind the last
};

struct alter_group {
    topic_id topic;
    group_id group;
    std::string settings;
};

/// Fails: not_supported (the store's own group of a topic of dead letters).
struct delete_group {
    topic_id topic;
    group_id group;
};

/// All before `next` counts as acked, all from it on as not; attempts are forgotten.
struct seek_group {
    topic_id topic;
    group_id group;
    offset next;  ///< cut to what is stored
};

/// Done: never again for this group. What is acked or trimmed already stays so. Replies acked.
/// Fails: group_unknown, not_stored (beyond the end), invalid_argument (an empty range),
/// limit_exceeded (more than ack_ranges_max ranges; more than ack_range_max messages in those that
/// do not begin at the floor).
struct ack {
    topic_id topic;
    group_id group;
    std::vector<offset_range> ranges;  ///< {1, o} is cumulative
};

/// The same by position. Sequences of a lost range count as done, and so do those behind the end of
/// a run that a newer one ended, in a range that begins before it. One command looks at no more
/// than ack_batches_max batches and ack_range_max messages above the floor: acked::next says where
/// to go on, in the ranges in ascending order.
/// Fails: group_unknown, source_unknown, not_stored (beyond the end, or an epoch that was never
/// opened), invalid_argument (an empty range), limit_exceeded (more than ack_ranges_max ranges).
struct ack_positions {
    topic_id topic;
    group_id group;
    source_id source;
    cairn::epoch epoch;
    std::vector<sequence_range> ranges;
};

/// Remembers failed deliveries, so that a restart does not forget them. An ack forgets them.
/// Fails: group_unknown, not_stored, gone (acked or trimmed), invalid_argument (reason),
/// limit_exceeded (attempts_max).
struct note_attempts {
    topic_id topic;
    group_id group;
    offset message;
    std::uint32_t attempts = 0;  ///< deliveries so far that count
    wall_time not_before;        ///< not to be delivered again before
    std::string reason;          ///< up to 1,024 bytes
};

/// Moves a message to the dead letters, and acks it, in one transaction. Replies moved.
/// Fails: group_unknown, not_stored, gone (acked or trimmed), store_full, topic_invalid (`to` has
/// 1 to 255 bytes), topic_exists (it is no topic of dead letters), limit_exceeded (topics_max),
/// invalid_argument (`to` is the message's own topic; reason).
struct dead_letter {
    topic_id topic;
    group_id group;
    offset message;
    std::string to;  ///< topic of the dead letters; made when it does not exist
    std::uint32_t attempts = 0;
    errc cause = errc::rejected;
    std::string reason;  ///< up to 1,024 bytes
};

/// Appends dead letters to the topics that they come from, and removes them; what a source of its
/// own appended there stays. Replies counted.
/// Fails: not_supported (not a topic of dead letters), not_stored, store_full, limit_exceeded
/// (more than 10,000 at once).
struct redrive {
    topic_id topic;  ///< of dead letters
    offset_range range;
};

using command = std::variant<open_source, append, declare_lost, create_topic, alter_topic,
                             delete_topic, trim, purge, create_group, alter_group, delete_group,
                             seek_group, ack, ack_positions, note_attempts, dead_letter, redrive>;

// --- Replies ------------------------------------------------------------------------------------

struct source_opened {
    topic_id topic;
    source_id source;
    sequence last;  ///< of this epoch; 0 when nothing is stored of it
    store::generation generation;
    bool made_topic = false;
    bool operator==(const source_opened&) const = default;
};

struct appended {
    offset first;  ///< 0 in a repeat of which something is no longer stored
    offset last;
    sequence up_to;  ///< of this epoch all up to here is stored: the cumulative confirm
    bool repeated = false;
    durability level = durability::flushed;
    bool operator==(const appended&) const = default;
};

struct topic_created {
    topic_id topic;
    bool made = false;  ///< it did not exist
    bool operator==(const topic_created&) const = default;
};

struct group_created {
    group_id group;
    offset floor;
    bool operator==(const group_created&) const = default;
};

struct acked {
    std::uint64_t messages = 0;  ///< that were not acked before
    offset floor;                ///< all up to here are acked
    sequence next{};  ///< of ack_positions: what lies from here on is not done; 0: all is
    bool operator==(const acked&) const = default;
};

struct moved {
    topic_id topic;
    offset at;
    bool operator==(const moved&) const = default;
};

struct counted {
    std::uint64_t messages = 0;
    bool operator==(const counted&) const = default;
};

/// With errc::hole: what the source has to send next.
struct expected {
    sequence next;
    bool operator==(const expected&) const = default;
};

/// With errc::fenced: the newer run.
struct fenced_by {
    cairn::epoch newer;
    bool operator==(const fenced_by&) const = default;
};

struct reply {
    errc code = errc::ok;
    std::variant<std::monostate, source_opened, appended, topic_created, group_created, acked,
                 moved, counted, expected, fenced_by>
        value;

    bool ok() const noexcept { return code == errc::ok; }
    bool operator==(const reply&) const = default;
};

}  // namespace cairn::store
