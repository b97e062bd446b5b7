#include <cairn/wire/attributes.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <gtest/gtest.h>
#include <support/random_frames.hpp>
#include <support/rounds.hpp>

#include "bytes.hpp"

namespace cairn::wire {
namespace {

using test::bytes;
using test::bytes_of;
using test::operator+;

constexpr std::uint64_t records_seed = 20'240'614;

bytes record_of(const bytes& attributes, const bytes& body) {
    bytes out(record_bytes(attributes.size(), body.size()));
    const std::byte* end = write_record(out.data(), attributes, body);
    EXPECT_EQ(end, out.data() + out.size());
    return out;
}

struct written_record {
    bytes attributes;
    bytes body;
};

std::vector<written_record> random_records(test::random_frames& random) {
    std::vector<written_record> records(1 + random.below(50));
    const bool same_size = random.coin();
    for (written_record& r : records) {
        if (random.below(4) == 0) {
            EXPECT_EQ(encode(random.attributes(), r.attributes), errc::ok);
        }
        r.body = bytes_of(random.bytes(same_size ? 1 : 300));
    }
    return records;
}

bytes body_of(const std::vector<written_record>& records) {
    bytes body;
    for (const written_record& r : records) body = body + record_of(r.attributes, r.body);
    return body;
}

bool equal(std::span<const std::byte> view, const bytes& expected) {
    return std::ranges::equal(view, expected);
}

TEST(Records, ComeBackAsTheyWereWritten) {
    SCOPED_TRACE(testing::Message() << "records_seed " << records_seed);
    test::random_frames random(records_seed);
    for (std::size_t round = 0; round < test::rounds(500); ++round) {
        const auto written = random_records(random);
        const bytes body = body_of(written);
        ASSERT_EQ(check_records(body, static_cast<std::uint32_t>(written.size())), errc::ok);
        record_reader reader(body);
        for (const written_record& expected : written) {
            ASSERT_FALSE(reader.done());
            const record got = reader.next();
            ASSERT_TRUE(equal(got.attributes, expected.attributes)) << "round " << round;
            ASSERT_TRUE(equal(got.body, expected.body)) << "round " << round;
        }
        ASSERT_TRUE(reader.done());
    }
}

TEST(Records, MustBeAsManyAsTheHeaderSays) {
    SCOPED_TRACE(testing::Message() << "records_seed " << records_seed);
    test::random_frames random(records_seed);
    for (std::size_t round = 0; round < 200; ++round) {
        const auto written = random_records(random);
        const auto count = static_cast<std::uint32_t>(written.size());
        const bytes body = body_of(written);
        ASSERT_EQ(check_records(body, count - 1), errc::malformed);
        ASSERT_EQ(check_records(body, count + 1), errc::malformed);
    }
}

TEST(Records, CutShortAnywhereAreMalformed) {
    const std::vector<written_record> written = {{{}, bytes_of("same")},
                                                 {{}, bytes_of("size")},
                                                 {bytes_of({0x81, 1, 0xc4, 1, 'k'}), bytes_of("x")},
                                                 {{}, {}}};
    const bytes whole = body_of(written);
    for (std::size_t size = 0; size < whole.size(); ++size)
        ASSERT_EQ(check_records(bytes(whole.begin(), whole.begin() + size), 4), errc::malformed)
            << "cut to " << size;
}

TEST(Records, CountTheirPrefixes) {
    SCOPED_TRACE(testing::Message() << "records_seed " << records_seed);
    test::random_frames random(records_seed);
    for (std::size_t round = 0; round < 100; ++round) {
        const auto written = random_records(random);
        const bytes body = body_of(written);
        std::size_t expected = 0;
        for (std::uint32_t n = 0; n < written.size(); ++n) {
            ASSERT_EQ(prefix_bytes(body, n), expected);
            expected += record_bytes(written[n].attributes.size(), written[n].body.size());
        }
        ASSERT_EQ(prefix_bytes(body, static_cast<std::uint32_t>(written.size())), body.size());
    }
}

TEST(Records, OfNoBytesAreRecordsAllTheSame) {
    const bytes body = record_of({}, {}) + record_of({}, {});
    EXPECT_EQ(check_records(body, 2), errc::ok);
    record_reader reader(body);
    EXPECT_TRUE(reader.next().body.empty());
    EXPECT_EQ(reader.remaining(), record_word_bytes);
}

TEST(Records, NoneAtAllNeedNoBytes) {
    EXPECT_EQ(check_records({}, 0), errc::ok);
    EXPECT_EQ(check_records({}, 1), errc::malformed);
}

TEST(Records, HoldTheLargestMessageAndNotAByteMore) {
    bytes body(record_word_bytes + body_bytes_max + 1);
    store_record_word(body.data(), body_bytes_max + 1);
    EXPECT_EQ(check_records(body, 1), errc::too_large);
    body.pop_back();
    store_record_word(body.data(), body_bytes_max);
    EXPECT_EQ(check_records(body, 1), errc::ok);
}

TEST(Records, HoldTheLargestBatchAndNotAByteMore) {
    const bytes attributes =
        bytes_of({0x81, 9, 0xc5, 0xff, 0xfb}) + bytes(attributes_bytes_max - 5, std::byte{0});
    bytes body = record_of(attributes, bytes(body_bytes_max));
    ASSERT_EQ(body.size(), batch_bytes_max);
    EXPECT_EQ(check_records(body, 1), errc::ok);
    body.push_back(std::byte{0});
    EXPECT_EQ(check_records(body, 1), errc::too_large);
}

TEST(Records, HoldAttributesUpToTheirLimit) {
    const auto attributes_of = [](std::size_t size) {
        const std::size_t rest = size - 7;
        return bytes_of({0x81, 9, 0xc6, 0, 0, static_cast<int>(rest >> 8),
                         static_cast<int>(rest & 0xff)}) +
               bytes(rest, std::byte{0});
    };
    EXPECT_EQ(check_records(record_of(attributes_of(attributes_bytes_max), {}), 1), errc::ok);
    EXPECT_EQ(check_records(record_of(attributes_of(attributes_bytes_max + 1), {}), 1),
              errc::too_large);
}

TEST(Records, WithAttributesThatAreNoMapAreMalformed) {
    for (const bytes& attributes :
         {bytes_of({0x91, 1}), bytes_of({0x01}), bytes_of({0xc1}), bytes_of({0x81, 1})})
        EXPECT_EQ(check_records(record_of(attributes, {}), 1), errc::malformed);
    bytes nothing_but_the_bit = record_of({}, {});
    store_record_word(nothing_but_the_bit.data(), record_attributes_bit);
    EXPECT_EQ(check_records(nothing_but_the_bit, 1), errc::malformed);
}

TEST(Records, WithAttributesThatReachIntoTheNextRecordAreMalformed) {
    const bytes first = record_of(bytes_of({0x81, 1, 0xa4, 'a', 'b'}), {});
    EXPECT_EQ(check_records(first + record_of({}, bytes_of("xxxx")), 2), errc::malformed);
}

}  // namespace
}  // namespace cairn::wire
