#pragma once

#include <cairn/error.hpp>
#include <cairn/store/database.hpp>
#include <cairn/store/ids.hpp>
#include <cairn/store/options.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::store {

/// One step of a log, in store order.
struct entry {
    enum class kind : std::uint8_t {
        batch,    ///< messages
        lost,     ///< its source declared a range lost, here: `cause` says why; ranges that follow
                  ///< each other in one place, for one cause, are one entry
        damaged,  ///< offsets whose bytes fail their checksum
    };

    kind what = kind::batch;
    offset_range offsets;  ///< lost: empty, and first is that of the next message
    source_id source;      ///< damaged: 0
    cairn::epoch epoch;
    sequence_range sequences;
    wall_time time;              ///< batch: when it was published
    wall_time stored;            ///< never goes back within a store
    std::uint64_t checksum = 0;  ///< batch: XXH3-64 of the body
    errc cause = errc::ok;
    std::span<const std::byte> body;  ///< batch: records (messages_of()); in the caller's buffer
};

/// What a read found.
struct page {
    std::vector<entry> entries;
    offset next;   ///< where to read on
    offset first;  ///< the lowest offset that is stored; messages before it are gone
    offset end;    ///< one behind the last
};

struct topic_info {
    topic_id id;
    std::string name;
    topic_config config;
    offset first;  ///< of what is stored
    offset end;    ///< one behind the last
    std::uint64_t bytes = 0;
    std::uint32_t sources = 0;
    std::uint32_t groups = 0;
    bool dead_letters = false;
    bool damaged = false;  ///< only the name is known, and mostly the id
};

struct source_info {
    source_id id;
    std::string name;
    cairn::epoch epoch;
    sequence last;
    std::string owner;
    bool damaged = false;  ///< only id and name are known
};

/// What is stored of one run of a source.
struct run_info {
    cairn::epoch epoch;
    sequence first_held;  ///< lowest that can be read; last + 1 when nothing can
    sequence last;        ///< highest that was ever stored; 0: nothing
    offset at;           ///< of first_held, or of the mark that covers it; else one behind the last
    bool ended = false;  ///< a newer run was opened
};

struct position_of_source {
    cairn::epoch epoch;
    cairn::sequence sequence;
};

struct range_of_run {
    cairn::epoch epoch;
    sequence_range range;
};

/// Where the readers of a group go on with a source.
struct position_of_group {
    position_of_source next;
    std::vector<range_of_run> done;  ///< behind it, and acked with all messages up to there
};

/// What lies under consecutive offsets.
struct placed {
    offset_range offsets;
    source_id source;
    cairn::epoch epoch;
    sequence first;  ///< of offsets.first
};

struct group_info {
    group_id id;
    std::string name;
    std::string settings;
    offset floor;               ///< all up to here are acked
    std::uint64_t acked = 0;    ///< above the floor
    std::uint64_t pending = 0;  ///< stored and not acked
    std::uint64_t moves = 0;    ///< how often it was moved other than by acks
    bool damaged = false;       ///< only id and name are known
};

struct attempt_info {
    offset message;
    std::uint32_t attempts = 0;
    wall_time not_before;
    std::string reason;
};

/// Where a dead letter comes from.
struct letter_story {
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

/// Reads a database beside its writer. Each call sees one moment and copies what it returns: no
/// page of the file stays pinned between calls.
///
/// All reading is read(), from an offset on; other calls say from which:
/// - a time: offset_at()
/// - positions first to last of a run: offset_from() of the first. Of the entries those of that
///   source and run count, cut to the range and to page::first, up to one that reaches its end: the
///   positions of a run rise with the offsets.
/// - the first that is stored: topic_info::first; the last n: end - n, but first at least
/// - the last of a key, or of each: last_of_key(), last_per_key()
///
/// Owns:    a slot in the reader table. The database must outlive it.
/// Threads: one at a time; any number of readers on as many threads.
/// Fails:   construction throws error limit_exceeded (readers_max), forked. A call that meets
///          damage beyond a batch returns store_damaged; a disk that cannot be read, store_failed;
///          in a forked child, forked.
/// Limits:  see read().
class reader {
public:
    explicit reader(const database& source);
    ~reader();
    reader(const reader&) = delete;
    reader& operator=(const reader&) = delete;

    /// Entries from `from` on, oldest first: the batch that holds `from` comes whole. Stops
    /// when `buffer` has `bytes_max` bytes or more, or after 1,024 entries; one entry at least,
    /// when there is one. The marks in front of a message come on one page, and with it when it is
    /// the next: up to marks_max more. Those behind the last message come again, grown maybe, with
    /// each read from there.
    /// `buffer` is overwritten; the entries' bodies are in it.
    errc read(topic_id topic, offset from, std::size_t bytes_max, std::vector<std::byte>& buffer,
              page& out);

    /// The position's offset. gone: trimmed. lost: declared lost. not_stored: not yet.
    result<offset> offset_of(topic_id topic, source_id source, epoch e, sequence s);
    /// Where reading begins that is to bring a position of a run and those behind it: its offset,
    /// or of what covers it, a loss or damage, or of the first one behind it that is stored; one
    /// behind the topic's last when none is.
    result<offset> offset_from(topic_id topic, source_id source, epoch e, sequence s);
    /// The first offset stored at or after a time; one behind the last when there is none.
    result<offset> offset_at(topic_id topic, wall_time stored);
    /// The run of that epoch, or the next one of which something was ever stored, or the present
    /// one. source_unknown: no run of that epoch or above was opened.
    result<run_info> run_from(topic_id topic, source_id source, epoch e);
    /// The first run of that epoch or above of which something can be read, or the present one.
    result<run_info> held_run_from(topic_id topic, source_id source, epoch e);
    /// The first position of a source at `from` or behind it: one behind the last of the present
    /// run when there is none.
    result<position_of_source> position_at(topic_id topic, source_id source, offset from);
    /// The positions of the messages in a range, oldest first: 1,024 runs of them at most. What is
    /// damaged or not stored is left out.
    result<std::vector<placed>> positions(topic_id topic, offset_range range);
    /// The last message of a key. gone: none, or trimmed. not_supported: not indexed.
    result<offset> last_of_key(topic_id topic, std::string_view key);
    /// Of each key behind `after`, in order, the last message: 1,024 at most.
    result<std::vector<std::pair<std::string, offset>>> last_per_key(topic_id topic,
                                                                     std::string_view after);

    result<topic_id> find_topic(std::string_view name);
    // Lists have a row for what is damaged too, and it says so.

    /// Topics with a name behind `after`, in order: 1,024 at most.
    result<std::vector<topic_info>> topics(std::string_view after = {});
    result<topic_info> topic(topic_id id);
    result<std::vector<source_info>> sources(topic_id topic);
    result<source_info> source(topic_id topic, source_id source);
    result<std::vector<group_info>> groups(topic_id topic);
    result<group_info> group(topic_id topic, group_id group);
    result<group_id> find_group(topic_id topic, std::string_view name);
    /// Where a reader of the group goes on with a source: at the first message that is not acked,
    /// in front of what was trimmed before it was acked, and in front of losses with no acked
    /// message behind them.
    result<position_of_group> position_of(topic_id topic, group_id group, source_id source);

    /// Ranges from `from` on that are stored and not acked: `ranges_max` at most.
    result<std::vector<offset_range>> pending(topic_id topic, group_id group, offset from,
                                              std::size_t ranges_max);
    /// What note_attempts() left, from `from` on: 1,024 at most.
    result<std::vector<attempt_info>> attempts(topic_id topic, group_id group, offset from);
    result<letter_story> story(topic_id topic, offset letter);

    struct impl;

private:
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn::store
