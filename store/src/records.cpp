#include "records.hpp"

#include "keys.hpp"
#include "sabotage.hpp"

#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>

namespace cairn::store {

namespace {

constexpr std::uint8_t batch_layout = 1;
constexpr std::uint8_t mark_layout = 2;

// Values up to this lie in a leaf beside their key; larger ones take a page of their own (LMDB
// with pages of 4,096 bytes: half a page for each of two nodes).
constexpr std::size_t leaf_value_bytes_max = 2'010;
constexpr std::size_t leaf_entry_bytes = 48;   // key, node and pointer of a piece
constexpr std::size_t index_entry_bytes = 72;  // key, node, pointer and value, sealed

void pack(packer& out, const topic_config& c) {
    out.number(static_cast<std::uint64_t>(c.retention.age_max.count()))
        .number(c.retention.bytes_max)
        .number(c.retention.messages_max)
        .flag(c.retention.until_acked)
        .number(static_cast<std::uint8_t>(c.retention.when_full))
        .number(static_cast<std::uint8_t>(c.confirm))
        .flag(c.last_per_key);
}

topic_config unpack_config(unpacker& in) {
    topic_config c;
    c.retention.age_max =
        std::chrono::milliseconds(static_cast<std::int64_t>(in.number<std::uint64_t>()));
    c.retention.bytes_max = in.number<std::uint64_t>();
    c.retention.messages_max = in.number<std::uint64_t>();
    c.retention.until_acked = in.flag();
    c.retention.when_full = static_cast<full_policy>(in.number<std::uint8_t>());
    c.confirm = static_cast<durability>(in.number<std::uint8_t>());
    c.last_per_key = in.flag();
    return c;
}

std::array<std::byte, 16> unpack_id(unpacker& in) {
    std::array<std::byte, 16> id{};
    const bytes raw = in.raw(id.size());
    if (!raw.empty()) std::memcpy(id.data(), raw.data(), id.size());
    return id;
}

template <typename Record>
std::optional<Record> decoded(const unpacker& in, Record&& r) {
    if (in.failed()) return std::nullopt;
    return std::forward<Record>(r);
}

// Seal of a header: its place in the log, then the header up to the seal.
std::uint64_t seal_of(const key& place, const std::byte* header) {
    std::array<std::byte, log_key_bytes + entry_header_bytes - seal_bytes> sealed{};
    std::memcpy(sealed.data(), bytes(place).data(), log_key_bytes);
    std::memcpy(sealed.data() + log_key_bytes, header, entry_header_bytes - seal_bytes);
    return wire::checksum(sealed);
}

void finish(const key& place, const std::vector<std::byte>& fields, std::byte* out) {
    std::memset(out, 0, entry_header_bytes);
    std::memcpy(out, fields.data(), fields.size());
    store_be(out + entry_header_bytes - seal_bytes, seal_of(place, out));
}

bool sealed_header(bytes value, const key& place, std::uint8_t layout) {
    if (value.size() < entry_header_bytes || value[0] != static_cast<std::byte>(layout))
        return false;
    if (sabotaged("no-checksum")) return true;
    const auto seal = load_be<std::uint64_t>(value.data() + entry_header_bytes - seal_bytes);
    return seal == seal_of(place, value.data());
}

}  // namespace

void encode(const meta_record& r, std::vector<std::byte>& out) {
    // Format and `needs` come first and keep their place for ever: a newer file must say so.
    packer(out)
        .number(r.format)
        .text(r.needs)
        .number(r.page_bytes)
        .number(r.incompatible)
        .number(r.compatible)
        .raw(r.store_id)
        .raw(r.generation.bytes)
        .time(r.created);
}

std::optional<meta_record> decode_meta(bytes value) {
    unpacker in(value);
    meta_record r;
    r.format = in.number<std::uint32_t>();
    r.needs = in.text();
    if (r.format > format_version) return decoded(in, std::move(r));
    r.page_bytes = in.number<std::uint32_t>();
    r.incompatible = in.number<std::uint32_t>();
    r.compatible = in.number<std::uint32_t>();
    r.store_id = unpack_id(in);
    r.generation.bytes = unpack_id(in);
    r.created = in.time();
    return decoded(in, std::move(r));
}

void encode(const counters_record& r, std::vector<std::byte>& out) {
    packer(out)
        .number(r.commit)
        .time(r.time)
        .number(r.next_topic)
        .number(r.topics)
        .number(r.bytes)
        .number(r.messages)
        .flag(r.clean);
}

std::optional<counters_record> decode_counters(bytes value) {
    unpacker in(value);
    counters_record r;
    r.commit = in.number<std::uint64_t>();
    r.time = in.time();
    r.next_topic = in.number<std::uint32_t>();
    r.topics = in.number<std::uint32_t>();
    r.bytes = in.number<std::uint64_t>();
    r.messages = in.number<std::uint64_t>();
    r.clean = in.flag();
    return decoded(in, std::move(r));
}

void encode(const topic_record& r, std::vector<std::byte>& out) {
    packer to(out);
    to.text(r.name);
    pack(to, r.config);
    to.flag(r.deleted)
        .flag(r.letters)
        .number(r.first.value)
        .number(r.next.value)
        .number(r.kept.value)
        .number(r.bytes)
        .number(r.next_source)
        .number(r.next_group)
        .number(r.last_source.value)
        .number(r.last_epoch.value);
}

std::optional<topic_record> decode_topic(bytes value) {
    unpacker in(value);
    topic_record r;
    r.name = in.text();
    r.config = unpack_config(in);
    r.deleted = in.flag();
    r.letters = in.flag();
    r.first = {in.number<std::uint64_t>()};
    r.next = {in.number<std::uint64_t>()};
    r.kept = {in.number<std::uint64_t>()};
    r.bytes = in.number<std::uint64_t>();
    r.next_source = in.number<std::uint32_t>();
    r.next_group = in.number<std::uint32_t>();
    if (in.rest().empty()) return decoded(in, std::move(r));  // of format 1
    r.last_source = {in.number<std::uint32_t>()};
    r.last_epoch = {in.number<std::uint64_t>()};
    return decoded(in, std::move(r));
}

void encode(const source_record& r, std::vector<std::byte>& out) {
    packer(out)
        .text(r.name)
        .text(r.owner)
        .number(r.epoch.value)
        .number(r.last.value)
        .number(r.tail.first.value)
        .number(r.tail.at.value)
        .number(r.unindexed);
}

std::optional<source_record> decode_source(bytes value) {
    unpacker in(value);
    source_record r;
    r.name = in.text();
    r.owner = in.text();
    r.epoch = {in.number<std::uint64_t>()};
    r.last = {in.number<std::uint64_t>()};
    if (in.rest().empty()) return decoded(in, std::move(r));  // of format 2
    r.tail.first = {in.number<std::uint64_t>()};
    r.tail.at = {in.number<std::uint64_t>()};
    r.unindexed = in.number<std::uint8_t>();
    return decoded(in, std::move(r));
}

void encode(const group_record& r, std::vector<std::byte>& out) {
    packer(out)
        .text(r.name)
        .text(r.settings)
        .number(r.floor.value)
        .number(r.acked)
        .number(r.attempts)
        .number(r.moves);
}

std::optional<group_record> decode_group(bytes value) {
    unpacker in(value);
    group_record r;
    r.name = in.text();
    r.settings = in.text();
    r.floor = {in.number<std::uint64_t>()};
    r.acked = in.number<std::uint64_t>();
    r.attempts = in.number<std::uint64_t>();
    if (in.rest().empty()) return decoded(in, std::move(r));  // of before it was counted
    r.moves = in.number<std::uint64_t>();
    return decoded(in, std::move(r));
}

void encode(const attempt_record& r, std::vector<std::byte>& out) {
    packer(out).number(r.attempts).time(r.not_before).text(r.reason);
}

std::optional<attempt_record> decode_attempt(bytes value) {
    unpacker in(value);
    attempt_record r;
    r.attempts = in.number<std::uint32_t>();
    r.not_before = in.time();
    r.reason = in.text();
    return decoded(in, std::move(r));
}

void encode(const untold_record& r, std::vector<std::byte>& out) {
    packer(out).number(r.epoch.value).number(r.first.value);
}

std::optional<untold_record> decode_untold(bytes value) {
    unpacker in(value);
    untold_record r;
    r.epoch.value = in.number<std::uint64_t>();
    r.first.value = in.number<std::uint64_t>();
    return decoded(in, std::move(r));
}

void encode(const story_record& r, std::vector<std::byte>& out) {
    packer(out)
        .text(r.topic)
        .text(r.group)
        .text(r.source)
        .number(r.epoch.value)
        .number(r.sequence.value)
        .number(r.at.value)
        .number(r.attempts)
        .number(static_cast<std::uint16_t>(r.cause))
        .text(r.reason)
        .time(r.moved);
}

std::optional<story_record> decode_story(bytes value) {
    unpacker in(value);
    story_record r;
    r.topic = in.text();
    r.group = in.text();
    r.source = in.text();
    r.epoch = {in.number<std::uint64_t>()};
    r.sequence = {in.number<std::uint64_t>()};
    r.at = {in.number<std::uint64_t>()};
    r.attempts = in.number<std::uint32_t>();
    r.cause = static_cast<errc>(in.number<std::uint16_t>());
    r.reason = in.text();
    r.moved = in.time();
    return decoded(in, std::move(r));
}

void add_seal(bytes k, std::vector<std::byte>& value) {
    // The key stands in front for a moment: one run of bytes is hashed.
    const std::size_t size = value.size();
    value.insert(value.end(), k.begin(), k.end());
    const std::uint64_t seal = wire::checksum(value);
    value.resize(size);
    packer(value).number(seal);
}

bytes unsealed(bytes k, bytes value) {
    if (value.size() < seal_bytes) throw damaged{"a value without a seal"};
    const bytes content = value.first(value.size() - seal_bytes);
    if (sabotaged("no-checksum")) return content;
    std::vector<std::byte> sealed(content.begin(), content.end());
    sealed.insert(sealed.end(), k.begin(), k.end());
    if (wire::checksum(sealed) != load_be<std::uint64_t>(value.data() + content.size()))
        throw damaged{"a value that fails its seal"};
    return content;
}

void encode(const batch_record& r, topic_id topic, offset first, std::byte* out) {
    thread_local std::vector<std::byte> fields;
    fields.clear();
    packer(fields)
        .number(std::uint32_t{batch_layout} << 24 | r.back)
        .number(r.count)
        .number(r.body_bytes)
        .number(r.source.value)
        .number(r.epoch.value)
        .number(r.first.value)
        .time(r.time)
        .time(r.stored)
        .number(r.checksum);
    finish(log_key(topic, first, part_kind::piece, 0), fields, out);
}

std::optional<batch_record> decode_batch_record(bytes value, topic_id topic, offset first) {
    if (!sealed_header(value, log_key(topic, first, part_kind::piece, 0), batch_layout)) return {};
    unpacker in(value);
    batch_record r;
    r.back = in.number<std::uint32_t>() & back_max;
    r.count = in.number<std::uint32_t>();
    r.body_bytes = in.number<std::uint32_t>();
    r.source = {in.number<std::uint32_t>()};
    r.epoch = {in.number<std::uint64_t>()};
    r.first = {in.number<std::uint64_t>()};
    r.time = in.time();
    r.stored = in.time();
    r.checksum = in.number<std::uint64_t>();
    if (r.count == 0 || r.count > wire::batch_messages_max || r.body_bytes > wire::batch_bytes_max)
        return std::nullopt;
    return r;
}

void encode(const mark_record& r, topic_id topic, offset at, std::uint32_t number, std::byte* out) {
    std::vector<std::byte> fields;
    packer(fields)
        .number(mark_layout)
        .number(std::uint8_t{0})
        .number(static_cast<std::uint16_t>(r.cause))
        .number(r.source.value)
        .number(r.epoch.value)
        .number(r.first.value)
        .number(r.last.value)
        .time(r.stored);
    finish(log_key(topic, at, part_kind::mark, number), fields, out);
}

std::optional<mark_record> decode_mark_record(bytes value, topic_id topic, offset at,
                                              std::uint32_t number) {
    if (value.size() != entry_header_bytes ||
        !sealed_header(value, log_key(topic, at, part_kind::mark, number), mark_layout))
        return {};
    unpacker in(value.subspan(2));
    mark_record r;
    r.cause = static_cast<errc>(in.number<std::uint16_t>());
    r.source = {in.number<std::uint32_t>()};
    r.epoch = {in.number<std::uint64_t>()};
    r.first = {in.number<std::uint64_t>()};
    r.last = {in.number<std::uint64_t>()};
    r.stored = in.time();
    return r;
}

static_assert(mark_cost == entry_header_bytes + leaf_entry_bytes + index_entry_bytes);

std::uint64_t cost_of(std::size_t body_bytes) noexcept {
    const std::size_t total = entry_header_bytes + body_bytes;
    const std::size_t full = total / piece_bytes_max;
    const std::size_t rest = total % piece_bytes_max;
    std::uint64_t cost = full * (4'096 + leaf_entry_bytes) + index_entry_bytes;
    if (rest > 0) cost += leaf_entry_bytes + (rest > leaf_value_bytes_max ? 4'096 : rest);
    return cost;
}

}  // namespace cairn::store
