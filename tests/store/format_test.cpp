#include "store/support/fixture.hpp"
#include "support/child_process.hpp"
#include "support/document.hpp"
#include "unit/protocol/random.hpp"

#include "../../store/src/acks.hpp"

#include <gtest/gtest.h>

#include <set>

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

TEST(Format, NamesTheDatabasesAndKindsThatTheCodeUses) {
    const document doc = read_document(STORE_FORMAT_MD);
    std::set<std::string> kinds;
    for (const row& r : doc.table_with("rest of the key").rows) kinds.insert(r.at(0));
    EXPECT_EQ(kinds, (std::set<std::string>{"M", "C", "N", "T", "S", "s", "R", "G", "g", "B", "A",
                                            "U", "D", "K"}));
    EXPECT_EQ(bytes(topic_key(topic)).size(), state_prefix_bytes);
    EXPECT_EQ(bytes(log_key(topic, at, part_kind::piece, 0)).size(), log_key_bytes);
    EXPECT_EQ(bytes(index_key(topic, {1}, {1}, {1})).size(), index_key_bytes);
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
    append_to(opened("quakes", "a"), 1, {"one"});
    db_.reset();
    child_process stat({"mdb_stat", "-a", directory_ / "db"});
    EXPECT_EQ(stat.wait(60s), 0) << stat.output();
    EXPECT_NE(stat.output().find("Status of log"), std::string::npos) << stat.output();
    std::filesystem::create_directory(directory_ / "copy");
    child_process copy({"mdb_copy", "-c", directory_ / "db", directory_ / "copy"});
    EXPECT_EQ(copy.wait(60s), 0) << copy.output();
    db_ = std::make_unique<database>(directory_ / "copy", small_options());
    EXPECT_EQ(texts("quakes"), strings{"one"});
}

}  // namespace
}  // namespace cairn::test
