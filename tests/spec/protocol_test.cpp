#include <cairn/error.hpp>
#include <cairn/wire/attributes.hpp>
#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <gtest/gtest.h>
#include <support/document.hpp>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace cairn::wire {
namespace {

using test::document;
using test::hex_block;
using test::table;
using bytes = std::vector<std::byte>;

/// Every kind, by number; the compiler names one that is missing.
std::string_view name_of(kind k) {
    switch (k) {
        case kind::hello:
            return "HELLO";
        case kind::bye:
            return "BYE";
        case kind::heartbeat:
            return "HEARTBEAT";
        case kind::ping:
            return "PING";
        case kind::pong:
            return "PONG";
        case kind::error:
            return "ERROR";
        case kind::subscribe:
            return "SUBSCRIBE";
        case kind::subscribed:
            return "SUBSCRIBED";
        case kind::heads:
            return "HEADS";
        case kind::digest:
            return "DIGEST";
        case kind::batch:
            return "BATCH";
        case kind::gone:
            return "GONE";
        case kind::credit:
            return "CREDIT";
        case kind::unsubscribe:
            return "UNSUBSCRIBE";
        case kind::fenced:
            return "FENCED";
        case kind::repair:
            return "REPAIR";
        case kind::end:
            return "END";
        case kind::attach:
            return "ATTACH";
        case kind::attached:
            return "ATTACHED";
        case kind::jobs:
            return "JOBS";
        case kind::ack:
            return "ACK";
        case kind::nack:
            return "NACK";
        case kind::reject:
            return "REJECT";
        case kind::extend:
            return "EXTEND";
        case kind::release:
            return "RELEASE";
        case kind::work_credit:
            return "WORK_CREDIT";
        case kind::detach:
            return "DETACH";
        case kind::job_refused:
            return "JOB_REFUSED";
        case kind::begun:
            return "BEGUN";
        case kind::open_source:
            return "OPEN_SOURCE";
        case kind::source_opened:
            return "SOURCE_OPENED";
        case kind::append:
            return "APPEND";
        case kind::confirm:
            return "CONFIRM";
        case kind::append_refused:
            return "APPEND_REFUSED";
        case kind::lost:
            return "LOST";
        case kind::close_source:
            return "CLOSE_SOURCE";
        case kind::locate:
            return "LOCATE";
        case kind::located:
            return "LOCATED";
        case kind::attach_group:
            return "ATTACH_GROUP";
        case kind::group_attached:
            return "GROUP_ATTACHED";
        case kind::acked:
            return "ACKED";
        case kind::list_topics:
            return "LIST_TOPICS";
        case kind::topics:
            return "TOPICS";
        case kind::list_sources:
            return "LIST_SOURCES";
        case kind::sources:
            return "SOURCES";
        case kind::list_groups:
            return "LIST_GROUPS";
        case kind::groups:
            return "GROUPS";
        case kind::list_figures:
            return "LIST_FIGURES";
        case kind::figures:
            return "FIGURES";
        case kind::create_topic:
            return "CREATE_TOPIC";
        case kind::alter_topic:
            return "ALTER_TOPIC";
        case kind::delete_topic:
            return "DELETE_TOPIC";
        case kind::trim:
            return "TRIM";
        case kind::create_group:
            return "CREATE_GROUP";
        case kind::seek_group:
            return "SEEK_GROUP";
        case kind::delete_group:
            return "DELETE_GROUP";
        case kind::done:
            return "DONE";
    }
    return {};
}

std::map<std::size_t, std::string> kinds_in_code() {
    std::map<std::size_t, std::string> kinds;
    for (unsigned n = 0; n < 256; ++n)
        if (const auto name = name_of(static_cast<kind>(n)); !name.empty()) kinds.emplace(n, name);
    return kinds;
}

class Protocol : public testing::Test {
protected:
    const hex_block& block(std::string_view name) const {
        const auto found =
            std::ranges::find_if(doc_.blocks, [&](const hex_block& b) { return b.name == name; });
        if (found == doc_.blocks.end()) ADD_FAILURE() << "no example of " << name;
        static const hex_block none;
        return found == doc_.blocks.end() ? none : *found;
    }

    document doc_ = test::read_document(CAIRN_PROTOCOL_MD);
};

bool is_batch(const hex_block& b) {
    return b.name == "BATCH" || b.name == "JOBS" || b.name == "APPEND";
}
bool is_control(const hex_block& b) {
    return !is_batch(b) && b.name.find_first_of("abcdefghijklmnopqrstuvwxyz") == std::string::npos;
}

template <typename Header>
bytes encoded_again(const Header& header, std::span<const std::byte> body) {
    EXPECT_EQ(checksum(body), header.checksum);
    EXPECT_EQ(check_records(body, header.count), errc::ok);
    bytes again;
    encode(header, again);
    for (record_reader records(body); !records.done();) {
        const record r = records.next();
        const auto decoded = decode_attributes(r.attributes);
        EXPECT_EQ(decoded.error(), errc::ok);
        bytes attributes;
        EXPECT_EQ(encode(*decoded, attributes), errc::ok);
        bytes written(record_bytes(attributes.size(), r.body.size()));
        write_record(written.data(), attributes, r.body);
        again.insert(again.end(), written.begin(), written.end());
    }
    return again;
}

TEST_F(Protocol, HasAnExampleOfEveryKind) {
    std::set<std::string> examples;
    for (const hex_block& b : doc_.blocks) examples.insert(b.name);
    for (const auto& [number, name] : kinds_in_code()) EXPECT_TRUE(examples.contains(name)) << name;
}

TEST_F(Protocol, NamesEachExampleByItsKind) {
    for (const hex_block& b : doc_.blocks) {
        if (!is_control(b) && !is_batch(b)) continue;
        const auto kind = peek_kind(b.bytes);
        ASSERT_EQ(kind.error(), errc::ok) << b.name << ", line " << b.line;
        EXPECT_EQ(name_of(*kind), b.name) << "line " << b.line;
    }
}

TEST_F(Protocol, HasControlExamplesThatEncodeToTheSameBytes) {
    for (const hex_block& b : doc_.blocks) {
        if (!is_control(b)) continue;
        const auto frame = decode(b.bytes);
        ASSERT_EQ(frame.error(), errc::ok) << b.name << ", line " << b.line;
        bytes again;
        encode(*frame, again);
        EXPECT_EQ(again, b.bytes) << b.name << ", line " << b.line;
    }
}

TEST_F(Protocol, HasBatchExamplesThatEncodeToTheSameBytes) {
    for (const hex_block& b : doc_.blocks) {
        if (!is_batch(b)) continue;
        SCOPED_TRACE(testing::Message() << b.name << ", line " << b.line);
        const auto body_from = [&b](std::size_t at) { return std::span(b.bytes).subspan(at); };
        if (b.name == "BATCH") {
            const auto decoded = decode_batch(b.bytes);
            ASSERT_EQ(decoded.error(), errc::ok);
            EXPECT_EQ(encoded_again(decoded->header, body_from(decoded->bytes)), b.bytes);
        } else if (b.name == "APPEND") {
            const auto decoded = decode_append(b.bytes);
            ASSERT_EQ(decoded.error(), errc::ok);
            EXPECT_EQ(encoded_again(decoded->header, body_from(decoded->bytes)), b.bytes);
        } else {
            const auto decoded = decode_jobs(b.bytes);
            ASSERT_EQ(decoded.error(), errc::ok);
            EXPECT_EQ(encoded_again(decoded->header, body_from(decoded->bytes)), b.bytes);
        }
    }
}

TEST_F(Protocol, HasAnExampleOfAttributesThatEncodesToTheSameBytes) {
    const hex_block& example = block("attributes");
    const auto decoded = decode_attributes(example.bytes);
    ASSERT_EQ(decoded.error(), errc::ok);
    EXPECT_EQ(decoded->key, "us7000");
    EXPECT_EQ(decoded->headers.size(), 1u);
    bytes again;
    ASSERT_EQ(encode(*decoded, again), errc::ok);
    EXPECT_EQ(again, example.bytes);
}

TEST_F(Protocol, ComputesItsDigestAsItSays) {
    const auto frame = decode(block("DIGEST").bytes);
    ASSERT_EQ(frame.error(), errc::ok);
    const std::uint64_t sum = std::get<digest>(*frame).sum;
    EXPECT_EQ(sum, checksum(block("digest-input").bytes));
    EXPECT_EQ(sum, stream_digest("quakes.us", "usgs", {1'718'000'000'123}, {45}));
}

TEST_F(Protocol, ExplainsTheValuesOfItsExamples) {
    const auto heads_frame = decode(block("HEADS").bytes);
    const auto nack_frame = decode(block("NACK").bytes);
    const auto gone_frame = decode(block("GONE").bytes);
    ASSERT_TRUE(heads_frame && nack_frame && gone_frame);
    EXPECT_EQ(
        std::get<heads>(*heads_frame).items.at(0),
        (head{"quakes.us", "usgs", {1'718'000'000'123}, {17}, {45}, {46}, {1'718'000'000'123}}));
    EXPECT_EQ(std::get<nack>(*nack_frame).delay_ms, 5'000u);
    EXPECT_EQ(std::get<gone>(*gone_frame).range, (sequence_range{{3}, {16}}));
    EXPECT_EQ(std::get<gone>(*gone_frame).cause, errc::gone);
}

TEST_F(Protocol, MakesAnAppendOfABatchByItsKindAndChannel) {
    bytes batch = block("BATCH").bytes;
    patch_kind(batch, kind::append);
    patch_channel(batch, 3);
    EXPECT_EQ(batch, block("APPEND").bytes);
}

TEST_F(Protocol, ListsTheKindsOfTheCode) {
    std::map<std::size_t, std::string> listed;
    for (const test::row& r : doc_.table_with("kind").rows)
        EXPECT_TRUE(listed.emplace(test::number_of(r.at(0)), r.at(1)).second) << r.at(0);
    EXPECT_EQ(listed, kinds_in_code());
}

TEST_F(Protocol, DescribesEachItemOfEachKind) {
    for (const hex_block& b : doc_.blocks) {
        if (!is_control(b) && !is_batch(b)) continue;
        const table* items = doc_.table_below(b.name);
        const std::size_t described = items == nullptr ? 0 : items->rows.size();
        const auto in_array = static_cast<std::size_t>(b.bytes.at(0)) - 0x90;
        EXPECT_EQ(described, in_array - 1) << b.name;
        for (std::size_t i = 0; i < described; ++i)
            EXPECT_EQ(test::number_of(items->rows[i].at(0)), i + 1) << b.name;
    }
}

TEST_F(Protocol, ListsTheErrorsOfTheCode) {
    std::map<std::size_t, std::string> listed;
    for (const test::row& r : doc_.table_with("on the wire").rows)
        EXPECT_TRUE(listed.emplace(test::number_of(r.at(0)), r.at(1)).second) << r.at(0);
    std::map<std::size_t, std::string> in_code;
    for (unsigned n = 0; n < 65'536; ++n)
        if (const auto name = cairn::name(static_cast<errc>(n)); name != "unknown")
            in_code.emplace(n, name);
    EXPECT_EQ(listed, in_code);
}

TEST_F(Protocol, ListsTheLimitsOfTheCode) {
    std::map<std::string, std::size_t> listed;
    for (const test::row& r : doc_.table_with("limit").rows)
        EXPECT_TRUE(listed.emplace(r.at(0), test::number_of(r.at(1))).second) << r.at(0);
#define LIMIT(name) \
    { #name, name }
    const std::map<std::string, std::size_t> in_code = {
        LIMIT(protocol_version),   LIMIT(topic_bytes_max),
        LIMIT(source_bytes_max),   LIMIT(name_bytes_max),
        LIMIT(group_bytes_max),    LIMIT(text_bytes_max),
        LIMIT(body_bytes_max),     LIMIT(attributes_bytes_max),
        LIMIT(key_bytes_max),      LIMIT(content_type_bytes_max),
        LIMIT(header_count_max),   LIMIT(batch_messages_max),
        LIMIT(batch_bytes_max),    LIMIT(batch_bytes_default),
        LIMIT(control_bytes_max),  LIMIT(header_bytes_max),
        LIMIT(frame_bytes_max),    LIMIT(inline_body_bytes_max),
        LIMIT(batch_charge_bytes), LIMIT(credit_report_bytes),
        LIMIT(array_items_max),    LIMIT(map_items_max),
        LIMIT(depth_max)};
#undef LIMIT
    EXPECT_EQ(listed, in_code);
}

TEST_F(Protocol, ListsEachLimitThatTheHeaderHas) {
    std::set<std::string> listed;
    for (const test::row& r : doc_.table_with("limit").rows) listed.insert(r.at(0));
    std::ifstream header(CAIRN_LIMITS_HPP);
    ASSERT_TRUE(header);
    std::set<std::string> in_header;
    const std::regex constant("inline constexpr [a-z0-9_:]+ (\\w+) =.*");
    std::smatch match;
    for (std::string line; std::getline(header, line);)
        if (std::regex_match(line, match, constant)) in_header.insert(match[1]);
    EXPECT_EQ(listed, in_header);
}

TEST_F(Protocol, KeepsTheChannelWhereItsTableSays) {
    EXPECT_EQ(header_channel_offset, 3u);
    for (const std::string_view name : {"BATCH", "JOBS", "APPEND"}) {
        bytes patched = block(name).bytes;
        ASSERT_GT(patched.size(), 7u);
        EXPECT_EQ(patched[2], std::byte{0xce});
        patch_channel(patched, 0x0a0b0c0d);
        EXPECT_EQ(patched[3], std::byte{0x0a});
        EXPECT_EQ(patched[6], std::byte{0x0d});
    }
}

}  // namespace
}  // namespace cairn::wire
