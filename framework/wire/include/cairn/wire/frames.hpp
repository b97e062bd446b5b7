#pragma once

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/wire/channel.hpp>
#include <cairn/wire/kind.hpp>
#include <cairn/wire/manage_frames.hpp>
#include <cairn/wire/store_frames.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

/// The frames of PROTOCOL.md: one struct a kind, encoded as a msgpack array whose first item is
/// the kind. Elements that a newer version appends to an array are skipped by the decoder.
///
/// Topics, patterns and sources have at least one byte; ranges are not empty and begin at 1 or
/// more. Strings and spans of a decoded frame are views of the bytes that were decoded.
/// Threads: plain values and pure functions.
namespace cairn::wire {

// --- Link -------------------------------------------------------------------------------------

/// First frame of both sides of a link; anything else before it is answered with not_greeted.
struct hello {
    std::uint32_t version = 0;      ///< highest version that the sender speaks
    std::uint32_t version_min = 0;  ///< lowest version that the sender speaks
    node_id node;
    std::string_view node_name;
    std::uint64_t body_bytes_max = 0;  ///< largest message body that the sender takes
    /// The sender keeps what others publish, and passes it on: its streams are not its own.
    bool store = false;
    bool operator==(const hello&) const = default;
};

/// The sender closes the link; whatever it had granted or asked for is void.
struct bye {
    errc reason = errc::ok;
    std::string_view text;
    bool operator==(const bye&) const = default;
};

struct heartbeat {
    bool operator==(const heartbeat&) const = default;
};

struct ping {
    std::uint64_t token = 0;
    bool operator==(const ping&) const = default;
};

/// Answers PING. Says that the peer's node has taken everything sent before that PING.
struct pong {
    std::uint64_t token = 0;
    bool operator==(const pong&) const = default;
};

/// Answers a frame that cannot be followed. `channel` is 0 when it belongs to none.
struct error_reply {
    wire::channel channel = 0;
    errc code = errc::ok;
    std::string_view text;
    bool operator==(const error_reply&) const = default;
};

// --- Publish / subscribe ----------------------------------------------------------------------

/// Where a reader wants to begin on topics for which it names no position.
enum class start : std::uint8_t {
    live = 0,      ///< what is published from now on
    earliest = 1,  ///< everything that is still held
};

/// The next message that a reader wants of one source on one topic.
struct resume_point {
    std::string_view topic;
    std::string_view source;
    cairn::epoch epoch;
    sequence next;
    bool operator==(const resume_point&) const = default;
};

struct subscribe {
    wire::channel channel = 0;
    std::string_view pattern;
    start from = start::live;
    std::uint64_t credit = 0;  ///< bytes that may be sent in all (CREDIT raises it)
    /// More SUBSCRIBE frames for this channel follow, each with further resume points; the last
    /// has false, and only then is the subscription made.
    bool more = false;
    std::vector<resume_point> resume;
    bool operator==(const subscribe&) const = default;
};

/// What a publisher holds of one source on one topic, and where this reader's stream begins.
struct head {
    std::string_view topic;
    std::string_view source;
    cairn::epoch epoch;
    sequence first_held;  ///< lowest sequence that can still be sent; last + 1 when nothing is held
    sequence last;        ///< highest sequence that was published
    sequence next;        ///< the next that this reader will be sent
    /// The run that is brought into a store at present: an earlier one while a publisher pays what
    /// that still owes, of a store the newest. 0: none.
    cairn::epoch storing{};
    bool operator==(const head&) const = default;
};

/// Answers SUBSCRIBE; several frames when there are many topics, the last has more = false.
struct subscribed {
    wire::channel channel = 0;
    bool more = false;
    std::vector<head> heads;
    bool operator==(const subscribed&) const = default;
};

/// Sent later: publishers that appeared, and heads that changed. All before is sent already.
struct heads {
    wire::channel channel = 0;
    std::vector<head> items;
    bool operator==(const heads&) const = default;
};

/// Says in one frame that nothing is missing on any topic of a subscription: `sum` is the sum
/// (modulo 2^64) of stream_digest() over all its streams. A reader that disagrees resubscribes.
struct digest {
    wire::channel channel = 0;
    std::uint32_t streams = 0;
    std::uint64_t sum = 0;
    bool operator==(const digest&) const = default;
};

/// Sequences that will not come: the publisher no longer holds them.
struct gone {
    wire::channel channel = 0;
    std::string_view topic;
    std::string_view source;
    cairn::epoch epoch;
    sequence_range range;
    errc cause = errc::gone;
    bool operator==(const gone&) const = default;
};

/// Raises what the reader has granted, in bytes of bodies since SUBSCRIBE; never lowers it.
struct credit {
    wire::channel channel = 0;
    std::uint64_t granted = 0;   ///< in all, bytes
    std::uint64_t consumed = 0;  ///< in all, bytes that the application took
    bool operator==(const credit&) const = default;
};

struct unsubscribe {
    wire::channel channel = 0;
    bool operator==(const unsubscribe&) const = default;
};

/// Tells a publisher or pusher that a newer run of its source exists.
struct fenced {
    std::string_view topic;
    std::string_view source;
    cairn::epoch newer;
    bool operator==(const fenced&) const = default;
};

/// The reader misses `next` of a stream: the publisher goes back to it, or answers GONE.
struct repair {
    wire::channel channel = 0;
    resume_point from;
    bool operator==(const repair&) const = default;
};

/// The publisher or pusher closed in good order; `last` was its last sequence.
struct end {
    wire::channel channel = 0;
    std::string_view topic;
    std::string_view source;
    cairn::epoch epoch;
    sequence last;
    bool operator==(const end&) const = default;
};

// --- Push / pull ------------------------------------------------------------------------------

struct attach {
    wire::channel channel = 0;
    std::string_view topic;
    std::string_view member;     ///< the puller's name, for logs and counters
    std::uint64_t messages = 0;  ///< credit for each source, messages
    std::uint64_t bytes = 0;     ///< credit for each source, bytes of bodies
    bool operator==(const attach&) const = default;
};

struct attached {
    wire::channel channel = 0;
    std::uint32_t pushers = 0;  ///< how many the node has on that topic; sent again when it changes
    bool operator==(const attached&) const = default;
};

/// One source's messages that a verb is about; the topic is the attachment's.
struct job_ranges {
    wire::channel channel = 0;
    std::string_view source;
    cairn::epoch epoch;
    std::vector<sequence_range> ranges;
    bool operator==(const job_ranges&) const = default;
};

struct ack : job_ranges {
    bool operator==(const ack&) const = default;
};

struct nack : job_ranges {
    std::uint64_t delay_ms = 0;  ///< not to be delivered again before
    bool operator==(const nack&) const = default;
};

struct reject : job_ranges {
    std::string_view reason;
    bool operator==(const reject&) const = default;
};

struct extend : job_ranges {
    std::uint64_t ack_wait_ms = 0;  ///< from now
    bool operator==(const extend&) const = default;
};

/// Gives messages back unworked; not counted as a delivery.
struct release : job_ranges {
    bool operator==(const release&) const = default;
};

/// These were begun: however the lease ends but by ACK or RELEASE, this delivery counts.
struct begun : job_ranges {
    bool operator==(const begun&) const = default;
};

/// Raises what one source may have out with the puller. ATTACH grants the same to each source.
struct work_credit {
    wire::channel channel = 0;
    std::string_view source;
    cairn::epoch epoch;
    std::uint64_t messages = 0;  ///< in all, since ATTACH
    std::uint64_t bytes = 0;     ///< in all, since ATTACH
    bool operator==(const work_credit&) const = default;
};

/// The puller leaves; everything that it did not ack goes to others. Only what it said that it had
/// begun counts as delivered.
struct detach {
    wire::channel channel = 0;
    bool operator==(const detach&) const = default;
};

/// A verb named messages whose lease is over: `code` is stale_ack.
struct job_refused : job_ranges {
    errc code = errc::stale_ack;
    bool operator==(const job_refused&) const = default;
};

using control_frame =
    std::variant<hello, bye, heartbeat, ping, pong, error_reply, subscribe, subscribed, heads,
                 digest, gone, credit, unsubscribe, fenced, repair, end, attach, attached, ack,
                 nack, reject, extend, release, begun, work_credit, detach, job_refused,
                 open_source, source_opened, confirm, append_refused, lost, close_source, locate,
                 located, attach_group, group_attached, acked, list_topics, topics, list_sources,
                 sources, list_groups, groups, list_figures, figures, create_topic, alter_topic,
                 delete_topic, trim, create_group, seek_group, delete_group, done>;

/// Appends the frame's bytes to `out`.
/// Requires: names, texts and lists within limits.hpp, and control_bytes_max in all.
void encode(const control_frame& frame, std::vector<std::byte>& out);

/// The kind of a frame 1 of any sort, from its first bytes; malformed or unknown_kind otherwise.
result<kind> peek_kind(std::span<const std::byte> frame) noexcept;

/// Decodes any frame but BATCH, JOBS and APPEND, which are malformed here.
/// Fails: malformed, unknown_kind, too_large (a name or text), limit_exceeded (a list). Never
/// throws but std::bad_alloc; allocates only for lists, at most array_items_max items.
result<control_frame> decode(std::span<const std::byte> frame);

// --- Batches ----------------------------------------------------------------------------------

/// Header of BATCH, JOBS and APPEND: frame 1 begins with it. The body, count records (records.hpp),
/// is the rest of frame 1 when there is a rest, and otherwise frame 2.
struct batch_header {
    wire::channel channel = 0;
    std::string_view topic;
    std::string_view source;
    cairn::epoch epoch;
    sequence first;
    std::uint32_t count = 0;     ///< 1 to batch_messages_max
    wall_time time;              ///< when the first message was published
    std::uint64_t durable = 0;   ///< all sequences up to this one are durable in a store; 0: none
    std::uint64_t checksum = 0;  ///< XXH3-64 of the body

    sequence last() const { return first + (count - 1); }
    bool operator==(const batch_header&) const = default;
};

/// What JOBS adds to the header of a batch.
struct jobs_header : batch_header {
    std::uint32_t attempt = 1;      ///< 1 for a first delivery
    std::uint64_t ack_wait_ms = 0;  ///< the lease of each message ends so long after its delivery
    bool operator==(const jobs_header&) const = default;
};

/// A batch on its way into a store, on the channel of an OPEN_SOURCE. `durable` means nothing.
struct append_header : batch_header {
    bool operator==(const append_header&) const = default;
};

template <typename Header>
struct decoded_header {
    Header header;
    std::size_t bytes = 0;  ///< where the body begins in frame 1, if it is there
};

/// Offset of the channel's four big-endian bytes in every encoded header of a batch, so that one
/// encoded header serves all readers: only these bytes differ. The kind lies at offset 1, and BATCH
/// and APPEND differ in nothing else, so that it serves the store as well.
inline constexpr std::size_t header_channel_offset = 3;

void encode(const batch_header& header, std::vector<std::byte>& out);
void encode(const jobs_header& header, std::vector<std::byte>& out);
void encode(const append_header& header, std::vector<std::byte>& out);

/// Writes `value` over the channel of an encoded header.
void patch_channel(std::span<std::byte> encoded_header, channel value) noexcept;

/// Turns an encoded header of BATCH into one of APPEND, or back.
/// Requires: `encoded_header` is one of the two; `value` is batch or append.
void patch_kind(std::span<std::byte> encoded_header, kind value) noexcept;

result<decoded_header<batch_header>> decode_batch(std::span<const std::byte> frame) noexcept;
result<decoded_header<jobs_header>> decode_jobs(std::span<const std::byte> frame) noexcept;
result<decoded_header<append_header>> decode_append(std::span<const std::byte> frame) noexcept;

/// XXH3-64 (https://xxhash.com) of a batch body.
std::uint64_t checksum(std::span<const std::byte> body) noexcept;

/// One stream's part in DIGEST: XXH3-64 of topic, 0, source, 0, epoch and last sequence (each 8
/// bytes, little-endian).
/// Requires: topic and source within limits.hpp.
std::uint64_t stream_digest(std::string_view topic, std::string_view source, epoch epoch,
                            sequence last) noexcept;

}  // namespace cairn::wire
