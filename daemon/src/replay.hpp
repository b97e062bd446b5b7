#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/runtime/block.hpp>
#include <cairn/store/reader.hpp>
#include <cairn/wire/store_frames.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

/// What a reader of the store is due, worked out on a reader thread: plain functions over a
/// store::reader, without network and time.
namespace cairn::daemon {

/// Where a reader stands with one source of a topic, and the run that it is due next.
struct replay_stream {
    store::source_id id;
    std::string name;
    cairn::epoch epoch;
    sequence next;        ///< may lie behind last + 1: the reader has more than the store
    sequence first_held;  ///< last + 1 when nothing is
    sequence last;        ///< of `epoch`, as far as it was known
    cairn::epoch newest;  ///< the source's present run
    sequence newest_last;
};

/// How far a reader came in a topic.
struct replay_cursor {
    store::topic_id topic;
    std::string name;
    store::offset next{1};
    std::vector<replay_stream> streams;                       ///< only grows
    std::unordered_map<std::uint32_t, std::uint32_t> places;  ///< of sources in `streams`
    // Until the end of what is stored is reached:
    bool damage = false;   ///< what is missing may be what was damaged
    bool trimmed = false;  ///< something was trimmed that was not read

    void add(replay_stream s) {
        places.emplace(s.id.value, static_cast<std::uint32_t>(streams.size()));
        streams.push_back(std::move(s));
    }
};

/// Something to be sent, in order.
struct replay_step {
    enum class kind : std::uint8_t { head, gone, batch };

    replay_step::kind what = kind::head;
    std::uint32_t stream = 0;  ///< its place in replay_cursor::streams
    cairn::epoch epoch{};
    sequence_range range{{1}, {0}};  ///< gone, batch
    errc cause = errc::gone;         ///< gone
    sequence first_held{};           ///< head
    sequence last{};                 ///< head
    sequence next{};                 ///< head
    std::size_t header = 0;          ///< batch: where its header begins in replay_page::headers
    std::size_t header_bytes = 0;
    std::size_t body = 0;  ///< batch: where its body begins in replay_page::block
    std::size_t body_bytes = 0;
};

struct replay_page {
    std::vector<replay_step> steps;
    std::vector<std::byte> headers;
    runtime::block_ref block;
    bool end = false;  ///< nothing more is stored
};

/// Where a reader wants to go on with a source.
struct replay_point {
    std::string topic;
    std::string source;
    cairn::epoch epoch;
    sequence next;
};

/// Many of them, to be found by name. Of two of one source the first counts.
class replay_points {
public:
    explicit replay_points(std::vector<replay_point> of);

    /// nullptr: there is none.
    const replay_point* find(std::string_view topic, std::string_view source) const;

private:
    std::vector<replay_point> points_;  // sorted by topic and source
};

/// Where a reader that names no position of a source begins.
enum class replay_start : std::uint8_t {
    live,      ///< behind what is stored
    earliest,  ///< at what is stored
    whole,     ///< at 1: it was there before the source
};

/// A cursor of a topic; `points` may be those of other topics too. `begin` gets the head of each
/// source, and what is missing where it begins. Fails: topic_unknown, store_damaged, store_failed.
result<replay_cursor> open_replay(store::reader& reader, const store::topic_info& topic,
                                  const replay_points& points, replay_start start,
                                  replay_page& begin);

/// What comes next: about `bytes_max` of it; 0: only what can be said without reading. `sources`:
/// sources or runs may be new. No body above `body_bytes_max`.
/// Fails: topic_unknown, store_damaged, store_failed; the cursor then stays as it was, or went
/// behind what was worked out, which is in the page.
errc read_replay(store::reader& reader, replay_cursor& cursor, std::size_t bytes_max,
                 std::uint64_t body_bytes_max, bool sources, replay_page& out);

/// The offset that a place in a topic stands for.
result<store::offset> offset_of_place(store::reader& reader, const store::topic_info& topic,
                                      wire::place from, std::uint64_t value);

struct located_point {
    store::source_id id;
    std::string source;
    cairn::epoch epoch;
    sequence next;
    cairn::epoch newest;  ///< the source's present run
    sequence last;        ///< of that
};

/// Where each source of a topic stands at an offset.
result<std::vector<located_point>> locate(store::reader& reader, store::topic_id topic,
                                          store::offset at);

struct done_positions {
    store::source_id id;
    cairn::epoch epoch;
    sequence_range range;
};

struct group_progress {
    std::vector<located_point> points;
    std::vector<done_positions> done;
    incarnation of;
};

/// Ranges of acked messages above a group's floor that its member is told; what is beyond comes
/// again.
inline constexpr std::size_t done_ranges_max = 65'536;

/// What a group has done.
result<group_progress> progress_of(store::reader& reader, store::topic_id topic,
                                   store::group_id group);

}  // namespace cairn::daemon
