#include <cairn/wire/attributes.hpp>
#include <cairn/wire/limits.hpp>

#include <gtest/gtest.h>
#include <support/random_frames.hpp>
#include <support/rounds.hpp>

#include "bytes.hpp"

namespace cairn::wire {
namespace {

using test::bytes;
using test::bytes_of;
using test::operator+;

constexpr std::uint64_t seed = 20'240'615;

errc encoding(const cairn::attributes& a) {
    bytes out;
    return encode(a, out);
}

bytes encoded(const cairn::attributes& a) {
    bytes out;
    EXPECT_EQ(encode(a, out), errc::ok);
    return out;
}

/// One header whose value makes the whole map so many bytes.
cairn::attributes attributes_of(std::size_t size) {
    constexpr std::size_t overhead =
        1 + 1 + 1 + 2 + 3;  // map, key 4, map, "h", str 16 of the value
    cairn::attributes a;
    a.headers.emplace_back("h", std::string(size - overhead, 'v'));
    return a;
}

TEST(Attributes, ComeBackAsTheyWereGiven) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    test::random_frames random(seed);
    for (std::size_t round = 0; round < test::rounds(2'000); ++round) {
        const cairn::attributes given = random.attributes();
        const bytes map = encoded(given);
        const auto got = decode_attributes(map);
        ASSERT_EQ(got.error(), errc::ok) << round;
        ASSERT_EQ(*got, given) << round;
        ASSERT_EQ(key_of(map), given.key) << round;
    }
}

TEST(Attributes, ThatAreEmptyTakeNoBytes) {
    EXPECT_TRUE(encoded({}).empty());
    EXPECT_TRUE(decode_attributes({})->empty());
    EXPECT_TRUE(key_of({}).empty());
}

TEST(Attributes, CutShortAnywhereAreMalformed) {
    test::random_frames random(seed);
    cairn::attributes given = random.attributes();
    given.key = "k";
    given.headers.emplace_back("name", "value");
    const bytes whole = encoded(given);
    for (std::size_t size = 1; size < whole.size(); ++size)
        ASSERT_EQ(decode_attributes(bytes(whole.begin(), whole.begin() + size)).error(),
                  errc::malformed)
            << "cut to " << size;
}

TEST(Attributes, WithBytesAfterTheirEndAreMalformed) {
    EXPECT_EQ(decode_attributes(bytes_of({0x80, 0x00})).error(), errc::malformed);
}

TEST(Attributes, OfANewerVersionAreReadWithoutWhatIsNew) {
    const bytes map = bytes_of({0x84, 0x05, 0x91, 0xc0, 0xa1, 'x', 0x01, 0x20, 0xc0,  //
                                0x01, 0xc4, 1, 'k'});
    const auto got = decode_attributes(map);
    ASSERT_EQ(got.error(), errc::ok);
    cairn::attributes expected;
    expected.key = "k";
    EXPECT_EQ(*got, expected);
    EXPECT_EQ(key_of(map), "k");
}

TEST(Attributes, MayBringTheirKeyAsText) {
    const bytes map = bytes_of({0x81, 1, 0xa2, 'i', 'd'});
    EXPECT_EQ(decode_attributes(map)->key, "id");
    EXPECT_EQ(key_of(map), "id");
}

TEST(Attributes, WithOneEntryTwiceAreMalformed) {
    const bytes map = bytes_of({0x82, 1, 0xa1, 'a', 1, 0xa1, 'b'});
    EXPECT_EQ(decode_attributes(map).error(), errc::malformed);
}

TEST(Attributes, WithAnEntryOfAnotherTypeAreMalformed) {
    EXPECT_EQ(decode_attributes(bytes_of({0x81, 1, 7})).error(), errc::malformed);
    EXPECT_EQ(decode_attributes(bytes_of({0x81, 2, 0xc4, 0})).error(), errc::malformed);
    EXPECT_EQ(decode_attributes(bytes_of({0x81, 3, 0xc4, 1, 0})).error(), errc::malformed);
    EXPECT_EQ(decode_attributes(bytes_of({0x81, 4, 0x90})).error(), errc::malformed);
    EXPECT_EQ(decode_attributes(bytes_of({0x91, 4})).error(), errc::malformed);
    EXPECT_TRUE(key_of(bytes_of({0x81, 1, 7})).empty());
}

TEST(Attributes, HoldAKeyUpToItsLimit) {
    cairn::attributes a;
    a.key.assign(key_bytes_max, 'k');
    EXPECT_EQ(decode_attributes(encoded(a)).error(), errc::ok);
    a.key += 'k';
    EXPECT_EQ(encoding(a), errc::too_large);
    const bytes map = bytes_of({0x81, 1, 0xc5, 1, 0}) + bytes(256, std::byte{'k'});
    EXPECT_EQ(decode_attributes(map).error(), errc::too_large);
    EXPECT_TRUE(key_of(map).empty());
}

TEST(Attributes, HoldAContentTypeUpToItsLimit) {
    cairn::attributes a;
    a.content_type.assign(content_type_bytes_max, 't');
    EXPECT_EQ(decode_attributes(encoded(a)).error(), errc::ok);
    a.content_type += 't';
    EXPECT_EQ(encoding(a), errc::too_large);
    const bytes map = bytes_of({0x81, 2, 0xda, 1, 0}) + bytes(256, std::byte{'t'});
    EXPECT_EQ(decode_attributes(map).error(), errc::too_large);
}

TEST(Attributes, HoldHeadersUpToTheirLimit) {
    cairn::attributes a;
    for (std::size_t i = 0; i < header_count_max; ++i) a.headers.emplace_back("", "");
    EXPECT_EQ(decode_attributes(encoded(a)).error(), errc::ok);
    a.headers.emplace_back("", "");
    EXPECT_EQ(encoding(a), errc::limit_exceeded);
    const bytes map = bytes_of({0x81, 4, 0xde, 0, header_count_max + 1}) +
                      bytes(2 * (header_count_max + 1), std::byte{0xa0});
    EXPECT_EQ(decode_attributes(map).error(), errc::limit_exceeded);
}

TEST(Attributes, FillTheirBytesAndNotOneMore) {
    EXPECT_EQ(encoded(attributes_of(attributes_bytes_max)).size(), attributes_bytes_max);
    EXPECT_EQ(encoding(attributes_of(attributes_bytes_max + 1)), errc::too_large);
    EXPECT_EQ(encoding(attributes_of(10 * attributes_bytes_max)), errc::too_large);
    const bytes map =
        bytes_of({0x81, 9, 0xc6, 0, 0, 0xff, 0xfa}) + bytes(attributes_bytes_max - 6, std::byte{0});
    ASSERT_EQ(map.size(), attributes_bytes_max + 1);
    EXPECT_EQ(decode_attributes(map).error(), errc::too_large);
}

TEST(Attributes, ThatCannotBeEncodedLeaveTheBufferAlone) {
    bytes out = bytes_of("before");
    EXPECT_EQ(encode(attributes_of(attributes_bytes_max + 1), out), errc::too_large);
    EXPECT_EQ(out, bytes_of("before"));
}

TEST(Attributes, KeepTheOrderOfHeadersAndRepeatedNames) {
    cairn::attributes a;
    a.headers = {{"b", "1"}, {"a", "2"}, {"b", "3"}};
    EXPECT_EQ(decode_attributes(encoded(a))->headers, a.headers);
}

}  // namespace
}  // namespace cairn::wire
