#include "store/support/fixture.hpp"
#include "store/support/workload.hpp"
#include "support/child_process.hpp"
#include "support/document.hpp"
#include "unit/protocol/random.hpp"

#include "../../store/src/acks.hpp"

#include <cairn/store/maintenance.hpp>
#include <cairn/wire/limits.hpp>

#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace cairn::test {
namespace {

using namespace store;
using namespace std::chrono_literals;

constexpr topic_id topic{1};
constexpr offset at{9};

std::vector<std::byte> block(const std::string& name) {
    for (const hex_block& b : read_document(STORE_FORMAT_MD).blocks)
        if (b.name == name) return b.bytes;
    ADD_FAILURE() << "FORMAT.md shows no " << name;
    return {};
}

wall_time ns(std::int64_t n) { return wall_time(std::chrono::nanoseconds(n)); }

TEST(Format, ShowsTheHeaderOfABatchAsTheCodeWritesIt) {
    const batch_record r{2, 16, {3}, {4}, {5}, ns(6), ns(7), 8, 4};
    std::vector<std::byte> written(entry_header_bytes);
    encode(r, topic, at, written.data());
    EXPECT_EQ(block("batch_record"), written);
    const auto read = decode_batch_record(written, topic, at);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->stored, r.stored);
    EXPECT_EQ(read->back, r.back);
    EXPECT_FALSE(decode_batch_record(written, topic, at + 1)) << "sealed for another place";
}

TEST(Format, ShowsAMarkAsTheCodeWritesIt) {
    const mark_record r{errc::lost, {3}, {4}, {5}, {6}, ns(7)};
    std::vector<std::byte> written(entry_header_bytes);
    encode(r, topic, at, 0, written.data());
    EXPECT_EQ(block("mark_record"), written);
    const auto read = decode_mark_record(written, topic, at, 0);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->last, r.last);
}

/// Reads bytes as the page says: fields "name type", separated by commas.
std::string reading(const std::string& fields, bytes data) {
    unpacker in(data);
    std::string text;
    std::istringstream list(fields);
    for (std::string field; std::getline(list >> std::ws, field, ',');) {
        const std::size_t space = field.find_last_of(' ');
        const std::string type = space == std::string::npos ? "" : field.substr(space + 1);
        std::string value;
        std::size_t name_bytes = space;
        if (type == "bytes") name_bytes = field.find_last_of(' ', space - 1);
        if (type == "u8" || type == "flag")
            value = std::to_string(in.number<std::uint8_t>());
        else if (type == "u16")
            value = std::to_string(in.number<std::uint16_t>());
        else if (type == "u32")
            value = std::to_string(in.number<std::uint32_t>());
        else if (type == "u64")
            value = std::to_string(in.number<std::uint64_t>());
        else if (type == "time")
            value = std::to_string(in.time().time_since_epoch().count());
        else if (type == "text")
            value = in.text();
        else if (type == "bytes")
            value =
                text_of(in.raw(number_of(field.substr(name_bytes + 1, space - name_bytes - 1))));
        else
            value = text_of(in.raw(in.rest().size())), name_bytes = field.size();
        text += (text.empty() ? "" : ", ") + field.substr(0, name_bytes) + "=" + value;
    }
    if (in.failed()) text += ", and is too short";
    if (!in.rest().empty()) text += ", and more";
    return text;
}

/// A record's row: its key behind topic and kind, and its value without the seal.
std::string reading_of_record(const key& k, bytes value) {
    const bytes all = k;
    const std::string kind(1, static_cast<char>(all[4]));
    const document doc = read_document(STORE_FORMAT_MD);
    for (const row& r : doc.table_with("rest of the key").rows)
        if (r.at(0) == kind) {
            const bool of_store = load_be<std::uint32_t>(all.data()) == 0;
            EXPECT_EQ(r.at(1), of_store ? "0" : "topic");
            return reading(r.at(2), all.subspan(state_prefix_bytes)) + ": " +
                   reading(r.at(3), value);
        }
    return "no row for " + kind;
}

template <typename Record>
std::string reading_of(const key& k, const Record& r) {
    std::vector<std::byte> value;
    encode(r, value);
    return reading_of_record(k, value);
}

TEST(Format, NamesTheDatabasesAndKindsThatTheCodeUses) {
    const document doc = read_document(STORE_FORMAT_MD);
    std::set<std::string> kinds;
    for (const row& r : doc.table_with("rest of the key").rows) kinds.insert(r.at(0));
    EXPECT_EQ(kinds, (std::set<std::string>{"M", "C", "N", "T", "S", "s", "R", "G", "g", "B", "A",
                                            "U", "D", "K"}));
    const auto key_of = [&](const std::string& database, bytes k) {
        for (const row& r : doc.table_with("database").rows)
            if (r.at(0) == database) return reading(r.at(1), k);
        return "no row for " + database;
    };
    EXPECT_EQ(key_of("`log`", log_key(topic, at, part_kind::piece, 2)),
              "topic=1, offset=9, part=" + std::to_string((1U << 24) + 2));
    EXPECT_EQ(key_of("`index`", index_key(topic, {2}, {3}, {4})),
              "topic=1, source=2, epoch=3, sequence=4");
}

TEST(Format, SaysOfEachRecordWhatTheCodeWrites) {
    meta_record meta;
    meta.format = 3;
    meta.needs = "0.1.0";
    meta.page_bytes = 4'096;
    meta.incompatible = 5;
    meta.compatible = 6;
    meta.store_id.fill(std::byte{'i'});
    meta.generation.bytes.fill(std::byte{'g'});
    meta.created = ns(7);
    EXPECT_EQ(reading_of(meta_key(), meta),
              ": format=3, needs=0.1.0, page bytes=4096, incompatible=5, compatible=6, "
              "store id=iiiiiiiiiiiiiiii, generation=gggggggggggggggg, created=7");
    EXPECT_EQ(reading_of(counters_key(), counters_record{1, ns(2), 3, 4, 5, 6, true}),
              ": commit=1, latest=2, next topic=3, topics=4, bytes=5, messages=6, clean=1");
    topic_record t;
    t.name = "quakes";
    t.config = {.retention = {std::chrono::milliseconds(1), 2, 3, true, full_policy::drop_oldest},
                .confirm = durability::written,
                .last_per_key = true};
    t.letters = true;
    t.first = {4};
    t.next = {5};
    t.kept = {6};
    t.bytes = 7;
    t.next_source = 8;
    t.next_group = 9;
    t.last_source = {10};
    t.last_epoch = {11};
    EXPECT_EQ(reading_of(topic_key(topic), t),
              ": name=quakes, age ms=1, bytes max=2, messages max=3, until acked=1, when full=1, "
              "confirm=1, last per key=1, deleted=0, letters=1, first=4, next=5, kept=6, bytes=7, "
              "next source=8, next group=9, last source=10, last epoch=11");
    EXPECT_EQ(
        reading_of(source_key(topic, {2}), source_record{"a", "owner", {3}, {4}, {{5}, {6}}, 7}),
        "source=2: name=a, owner=owner, epoch=3, last sequence=4, stretch sequence=5, "
        "stretch offset=6, unindexed=7");
    EXPECT_EQ(reading_of(group_key(topic, {2}), group_record{"workers", "settings", {3}, 4, 5, 6}),
              "group=2: name=workers, settings=settings, floor=3, acked=4, attempts=5, moves=6");
    EXPECT_EQ(reading_of(attempt_key(topic, {2}, {3}), attempt_record{4, ns(5), "why"}),
              "group=2, offset=3: attempts=4, not before=5, reason=why");
    EXPECT_EQ(reading_of(untold_key(topic, {2}, {3}), untold_record{{4}, {5}}),
              "group=2, source=3: epoch=4, sequence=5");
    EXPECT_EQ(
        reading_of(story_key(topic, {2}),
                   story_record{"t", "g", "s", {3}, {4}, {5}, 6, errc::rejected, "why", ns(7)}),
        "offset=2: topic=t, group=g, source=s, epoch=3, sequence=4, offset=5, attempts=6, "
        "cause=" +
            std::to_string(static_cast<int>(errc::rejected)) + ", reason=why, moved=7");
}

TEST(Format, ShowsAcksInTheFormsThatTheCodeWrites) {
    ack_chunk few;
    for (const std::uint64_t o : {5U, 6U, 198U}) few.set(o, o);
    ack_chunk most;
    most.set(1, 257);
    most.set(259, chunk_offsets - 1);
    ack_chunk half;
    for (std::uint64_t o = 0; o < chunk_offsets; o += 2) half.set(o, o);
    half.set(64 * 3 + 1, 64 * 3 + 1);
    const auto encoded = [](const ack_chunk& c) {
        std::vector<std::byte> out;
        c.encode(out);
        return out;
    };
    EXPECT_EQ(encoded(few), block("acks_few"));
    EXPECT_EQ(encoded(most), block("acks_most"));
    const auto bitmap = encoded(half);
    ASSERT_EQ(bitmap.size(), 1'025U);
    EXPECT_EQ(bitmap[0], std::byte{0});
    EXPECT_EQ(load_be<std::uint64_t>(bitmap.data() + 1 + 8 * 3), 0x5555'5555'5555'5557U);
    EXPECT_EQ(load_be<std::uint64_t>(bitmap.data() + 1 + 8 * 4), 0x5555'5555'5555'5555U);
}

using FormatOfAFile = Database;

// What has no record type of its own.
TEST_F(FormatOfAFile, HasTheSmallRecordsThatThePageNames) {
    const auto s = std::get<source_opened>(
        one(open_source{"quakes", "a", {1}, "", true, {.last_per_key = true}}).value);
    body_bytes body;
    add_record(body, "text", "oil");
    ASSERT_TRUE(one(batch(s, {1}, 1, 1, body)).ok());
    const group_id g = group_of(s.topic, "workers");
    opened("quakes", "a", 2);  // ends the run
    db_.reset();
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        const auto read = [&](const key& k) {
            return reading_of_record(k, unsealed(k, txn.get(dbs.state, k).value()));
        };
        EXPECT_EQ(read(topic_name_key("quakes")), "topic's name=quakes: topic=1");
        EXPECT_EQ(read(source_name_key(s.topic, "a")), "source's name=a: source=1");
        EXPECT_EQ(read(group_name_key(s.topic, "workers")),
                  "group's name=workers: group=" + std::to_string(g.value));
        EXPECT_EQ(read(ended_run_key(s.topic, s.source, {1})),
                  "source=1, epoch=1: last sequence=1");
        EXPECT_EQ(read(last_of_key_key(s.topic, "oil")), "message's key=oil: offset=1");
        const key entry = index_key(s.topic, s.source, {1}, {1});
        const document doc = read_document(STORE_FORMAT_MD);
        for (const row& r : doc.table_with("database").rows)
            if (r.at(0) == "`index`") {
                const std::string fields = r.at(2).substr(0, r.at(2).find(", seal"));
                EXPECT_EQ(reading(fields, unsealed(entry, txn.get(dbs.index, entry).value())),
                          "offset=1, part=" + std::to_string(1U << 24));
            }
    });
}

// Longer ones need neighbouring free pages. A batch fills all of its pieces but the last.
TEST_F(FormatOfAFile, HasNoValueAboveAPage) {
    const auto s = opened("jobs", "a");
    std::uint64_t sent = 0;
    for (const std::size_t size : {0, 1, 2'000, 4'011, 4'012, 4'013, 4'080, 8'091, 8'092, 100'000})
        ASSERT_TRUE(append_to(s, ++sent, {std::string(size, 'x')}).ok());
    append_to(s, ++sent, strings(2 * chunk_offsets, "x"));
    const group_id g =
        std::get<group_created>(
            one(create_group{s.topic, "workers", std::string(settings_bytes_max, 's'), {1}}).value)
            .group;
    ack scattered{s.topic, g, {}};
    for (std::uint64_t o = 100; o < chunk_offsets; o += 2) scattered.ranges.push_back({{o}, {o}});
    ASSERT_TRUE(one(std::move(scattered)).ok());
    const std::string reason(wire::text_bytes_max, 'r');
    ASSERT_TRUE(one(note_attempts{s.topic, g, {1}, 1, {}, reason}).ok());
    ASSERT_TRUE(one(dead_letter{s.topic, g, {2}, "dead", 1, errc::rejected, reason}).ok());
    db_.reset();
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        std::size_t largest = 0;
        for (const MDB_dbi dbi : {dbs.log, dbs.index, dbs.state}) {
            lmdb::cursor walk(txn, dbi);
            for (auto item = walk.first(); item; item = walk.next())
                largest = std::max(largest, item->value.size());
        }
        EXPECT_EQ(largest, piece_bytes_max);
        log_place before;
        std::size_t bytes_before = 0;
        lmdb::cursor walk(txn, dbs.log);
        for (auto item = walk.first(); item; item = walk.next()) {
            const log_place place = parse_log_key(item->key);
            if (place.number > 0) {
                EXPECT_EQ(bytes_before, piece_bytes_max);
                EXPECT_EQ(place.number, before.number + 1);
                EXPECT_EQ(place.first, before.first);
            }
            before = place;
            bytes_before = item->value.size();
        }
    });
}

TEST_F(FormatOfAFile, ThreeIsCountedAnewWithItsKeysAndLetters) {
    const auto s = std::get<source_opened>(
        one(open_source{"quakes", "a", {1}, "", true, {.last_per_key = true}}).value);
    body_bytes body;
    add_record(body, "text", "oil");
    add_record(body, "text", "gas");
    ASSERT_TRUE(one(batch(s, {1}, 1, 2, body)).ok());
    const group_id g = group_of(s.topic, "workers");
    const topic_id dead =
        std::get<moved>(one(dead_letter{s.topic, g, {1}, "dead", 1, errc::rejected, "why"}).value)
            .topic;
    const std::uint64_t counted = db_->stats().stored_bytes;
    db_.reset();
    std::uint64_t before = 0;
    inside([&](lmdb::transaction& txn, const databases& dbs) {
        for (const topic_id t : {s.topic, dead}) {
            topic_record r =
                *decode_topic(unsealed(topic_key(t), *txn.get(dbs.state, topic_key(t))));
            r.bytes = cost_of(t == dead ? body.size() / 2 : body.size());
            before += r.bytes;
            put(txn, dbs, topic_key(t), r);
        }
    });
    rewrite_counters([&](counters_record& r) { r.bytes = before; });
    rewrite_meta([](meta_record& m) { m.format = 3; });
    reopen();
    EXPECT_EQ(db_->stats().stored_bytes, counted);
    EXPECT_GT(counted, before + 2 * 30 + 60);
    db_.reset();
    const verify_report report = verify(directory_ / "db");
    EXPECT_TRUE(report.sound()) << report.findings.front().what;
}

TEST(AckChunk, ComesBackFromItsSmallestForm) {
    expect_no_failure(500, [](std::uint64_t seed) -> std::optional<std::string> {
        dice random(seed);
        ack_chunk chunk;
        std::set<std::uint64_t> set;
        for (std::uint64_t n = random.below(random.chance(50) ? 20 : 9'000); n > 0; --n) {
            const std::uint64_t o = random.below(chunk_offsets);
            if (chunk.set(o, o) != (set.insert(o).second ? 1U : 0U)) return "miscounted";
        }
        std::vector<std::byte> out;
        chunk.encode(out);
        if (out.size() > 1'025) return "too long";
        const auto back = ack_chunk::decode(out);
        if (!back) return "does not decode";
        for (std::uint64_t o = 0; o < chunk_offsets; ++o)
            if (back->test(o) != set.contains(o)) return "differs at " + std::to_string(o);
        return std::nullopt;
    });
}

TEST(AckChunk, TakesAnyBytesWithoutHarm) {
    expect_no_failure(2'000, [](std::uint64_t seed) -> std::optional<std::string> {
        dice random(seed);
        std::vector<std::byte> noise(random.below(40));
        for (std::byte& b : noise) b = static_cast<std::byte>(random.below(256));
        if (!noise.empty()) noise[0] = static_cast<std::byte>(random.below(4));
        (void)ack_chunk::decode(noise);
        (void)decode_topic(noise);
        (void)decode_group(noise);
        (void)decode_meta(noise);
        (void)decode_story(noise);
        return std::nullopt;
    });
}

using Tools = Database;

TEST_F(Tools, OfLmdbReadAClosedStore) {
    model known;
    age(known, 1, db_.get());
    const auto both = [&](const command& wanted) {
        const reply answer = one(wanted);
        EXPECT_EQ(answer.code, errc::ok);
        EXPECT_EQ(known.apply(wanted).code, errc::ok);
        known.end_commit();
        return answer.value;
    };
    for (const char* const name : {"large", "larger"}) {
        const auto s = std::get<source_opened>(both(open_source{name, "a", {1}, "", true}));
        for (std::uint64_t n = 1; n <= 3; ++n)
            both(batch(s, {1}, n, 1, records({std::string(n << 20, *name)})));
        const auto made = std::get<group_created>(both(create_group{s.topic, "workers", "", {1}}));
        both(ack{s.topic, made.group, {{{2}, {2}}}});
    }
    db_.reset();
    child_process stat({"mdb_stat", "-a", directory_ / "db"});
    EXPECT_EQ(stat.wait(60s), 0) << stat.output();
    for (const char* const name : {"Status of log", "Status of index", "Status of state"})
        EXPECT_NE(stat.output().find(name), std::string::npos) << stat.output();
    const auto expect_copy = [&](std::vector<std::string> command_line) {
        std::filesystem::remove_all(directory_ / "copy");
        std::filesystem::create_directory(directory_ / "copy");
        command_line.insert(command_line.end(), {directory_ / "db", directory_ / "copy"});
        child_process copy(command_line);
        EXPECT_EQ(copy.wait(60s), 0) << copy.output();
        {
            const database opened_copy(directory_ / "copy", small_options());
            EXPECT_EQ(difference(opened_copy, known), std::nullopt);
        }
        EXPECT_TRUE(verify(directory_ / "copy").sound());
    };
    expect_copy({"mdb_copy"});
    expect_copy({"mdb_copy", "-c"});
}

}  // namespace
}  // namespace cairn::test
