#include <cairn/wire/msgpack.hpp>

#include <gtest/gtest.h>

#include <array>

#include "bytes.hpp"

namespace cairn::wire::msgpack {
namespace {

using test::bytes;
using test::bytes_of;
using test::operator+;

errc skipped(const bytes& document, std::size_t enclosing = 0) {
    reader in(document);
    in.skip(enclosing);
    return in.error();
}

bytes nested_arrays(std::size_t depth) {
    return bytes(depth - 1, std::byte{0x91}) + bytes_of({0x90});
}

TEST(MsgpackReader, TakesAnUnsignedNumberInEveryWidth) {
    for (const bytes& document :
         {bytes_of({0x07}), bytes_of({0xcc, 7}), bytes_of({0xcd, 0, 7}),
          bytes_of({0xce, 0, 0, 0, 7}), bytes_of({0xcf, 0, 0, 0, 0, 0, 0, 0, 7}),
          bytes_of({0xd0, 7}), bytes_of({0xd1, 0, 7}), bytes_of({0xd2, 0, 0, 0, 7}),
          bytes_of({0xd3, 0, 0, 0, 0, 0, 0, 0, 7})}) {
        reader in(document);
        EXPECT_EQ(in.uint(), 7u);
        EXPECT_EQ(in.error(), errc::ok);
        EXPECT_TRUE(in.done());
    }
}

TEST(MsgpackReader, TakesANegativeNumberInEveryWidth) {
    for (const bytes& document :
         {bytes_of({0xfd}), bytes_of({0xd0, 0xfd}), bytes_of({0xd1, 0xff, 0xfd}),
          bytes_of({0xd2, 0xff, 0xff, 0xff, 0xfd}),
          bytes_of({0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd})}) {
        reader in(document);
        EXPECT_EQ(in.integer(), -3);
        EXPECT_EQ(in.error(), errc::ok);
        EXPECT_TRUE(in.done());
    }
}

TEST(MsgpackReader, RefusesANegativeNumberWhereAnUnsignedOneIsExpected) {
    for (const bytes& document :
         {bytes_of({0xff}), bytes_of({0xd0, 0x80}), bytes_of({0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0})}) {
        reader in(document);
        EXPECT_EQ(in.uint(), 0u);
        EXPECT_EQ(in.error(), errc::malformed);
    }
}

TEST(MsgpackReader, RefusesANumberAboveTheCallersMaximum) {
    const bytes document = bytes_of({0xcd, 1, 0});
    EXPECT_EQ(reader(document).uint(256), 256u);
    reader in(document);
    EXPECT_EQ(in.uint(255), 0u);
    EXPECT_EQ(in.error(), errc::malformed);
}

TEST(MsgpackReader, RefusesAnUnsignedNumberBeyondInt64AsASignedOne) {
    const bytes document = bytes_of({0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0});
    reader in(document);
    in.integer();
    EXPECT_EQ(in.error(), errc::malformed);
}

TEST(MsgpackReader, TakesATextOfTheCallersMaximumAndNotAByteMore) {
    const bytes document = bytes_of({0xd9, 3, 'a', 'b', 'c'});
    EXPECT_EQ(reader(document).text(3), "abc");
    reader in(document);
    EXPECT_EQ(in.text(2), "");
    EXPECT_EQ(in.error(), errc::too_large);
}

TEST(MsgpackReader, TakesAKeyAsTextOrAsBytes) {
    const bytes text = bytes_of({0xa2, 'i', 'd'});
    const bytes binary = bytes_of({0xc4, 2, 'i', 'd'});
    EXPECT_EQ(reader(text).text_or_bin(8), "id");
    EXPECT_EQ(reader(binary).text_or_bin(8), "id");
}

TEST(MsgpackReader, RefusesALengthBeyondTheEndWithoutReadingIt) {
    for (const bytes& document : {bytes_of({0xdb, 0xff, 0xff, 0xff, 0xff, 'x'}),
                                  bytes_of({0xc6, 0xff, 0xff, 0xff, 0xff, 'x'}),
                                  bytes_of({0xc9, 0xff, 0xff, 0xff, 0xff, 1, 'x'})})
        EXPECT_EQ(skipped(document), errc::malformed);
}

TEST(MsgpackReader, KeepsItsFirstErrorAndReadsNothingMore) {
    const bytes document = bytes_of({0xa3, 'a', 'b', 'c', 0x07, 0xc1});
    reader in(document);
    in.text(1);
    EXPECT_EQ(in.uint(), 0u);
    in.skip();
    EXPECT_EQ(in.error(), errc::too_large);
}

TEST(MsgpackReader, EntersAnArrayOfTheLargestCountAndNotOneMore) {
    const bytes most = bytes_of({0xdc, array_items_max >> 8, array_items_max & 0xff});
    EXPECT_EQ(reader(most).array(), array_items_max);
    const bytes more = bytes_of({0xdc, array_items_max >> 8, (array_items_max & 0xff) + 1});
    reader in(more);
    EXPECT_EQ(in.array(), 0u);
    EXPECT_EQ(in.error(), errc::limit_exceeded);
}

TEST(MsgpackReader, EntersAMapOfTheLargestCountAndNotOneMore) {
    const bytes most = bytes_of({0xde, map_items_max >> 8, map_items_max & 0xff});
    EXPECT_EQ(reader(most).map(), map_items_max);
    const bytes more = bytes_of({0xde, map_items_max >> 8, (map_items_max & 0xff) + 1});
    reader in(more);
    EXPECT_EQ(in.map(), 0u);
    EXPECT_EQ(in.error(), errc::limit_exceeded);
}

TEST(MsgpackReader, RefusesAHeaderThatAsksForFourThousandMillionItems) {
    EXPECT_EQ(skipped(bytes_of({0xdd, 0xff, 0xff, 0xff, 0xff})), errc::limit_exceeded);
    EXPECT_EQ(skipped(bytes_of({0xdf, 0xff, 0xff, 0xff, 0xff})), errc::limit_exceeded);
}

TEST(MsgpackReader, SkipsTheDeepestNestingAndNotOneDeeper) {
    EXPECT_EQ(skipped(nested_arrays(depth_max)), errc::ok);
    EXPECT_EQ(skipped(nested_arrays(depth_max + 1)), errc::limit_exceeded);
    EXPECT_EQ(skipped(bytes(60'000, std::byte{0x91})), errc::limit_exceeded);
}

TEST(MsgpackReader, CountsEnclosingContainersAsDepth) {
    EXPECT_EQ(skipped(nested_arrays(depth_max - 2), 2), errc::ok);
    EXPECT_EQ(skipped(nested_arrays(depth_max - 1), 2), errc::limit_exceeded);
}

TEST(MsgpackReader, SkipsExactlyOneItemOfEveryFormat) {
    for (int first = 0; first < 256; ++first) {
        if (first == format::never_used) continue;
        // Zeros are a length of zero, a number, or an item, whatever the format asks for.
        const bytes document = bytes_of({first}) + bytes(64, std::byte{0});
        reader in(document);
        in.skip();
        EXPECT_EQ(in.error(), errc::ok) << first;
        bytes cut(document.begin(), document.begin() + in.consumed());
        EXPECT_EQ(skipped(cut), errc::ok) << first;
        cut.pop_back();
        EXPECT_EQ(skipped(cut), errc::malformed) << first;
    }
}

TEST(MsgpackReader, RefusesTheFormatThatIsNeverUsed) {
    EXPECT_EQ(skipped(bytes_of({0xc1})), errc::malformed);
    EXPECT_EQ(skipped(bytes_of({0x92, 0x01, 0xc1})), errc::malformed);
}

TEST(MsgpackReader, FindsNothingInNoBytes) {
    reader in({});
    EXPECT_TRUE(in.done());
    in.skip();
    EXPECT_EQ(in.error(), errc::malformed);
}

TEST(MsgpackWriter, TakesTheSmallestForm) {
    std::array<std::byte, 64> out;
    const auto size = [&out](auto&& write) {
        writer w(out);
        write(w);
        return w.written();
    };
    EXPECT_EQ(size([](writer& w) { w.uint(127); }), 1u);
    EXPECT_EQ(size([](writer& w) { w.uint(128); }), 2u);
    EXPECT_EQ(size([](writer& w) { w.uint(256); }), 3u);
    EXPECT_EQ(size([](writer& w) { w.uint(65'536); }), 5u);
    EXPECT_EQ(size([](writer& w) { w.uint(std::uint64_t{1} << 32); }), 9u);
    EXPECT_EQ(size([](writer& w) { w.integer(-32); }), 1u);
    EXPECT_EQ(size([](writer& w) { w.integer(-33); }), 2u);
    EXPECT_EQ(size([](writer& w) { w.text(std::string(31, 'x')); }), 32u);
    EXPECT_EQ(size([](writer& w) { w.text(std::string(32, 'x')); }), 34u);
    EXPECT_EQ(size([](writer& w) { w.array(15); }), 1u);
    EXPECT_EQ(size([](writer& w) { w.array(16); }), 3u);
}

TEST(MsgpackWriter, StopsAtTheEndOfItsMemory) {
    std::array<std::byte, 8> out{};
    writer w(std::span{out}.first(4));
    w.uint(1);
    w.text("abc");
    EXPECT_TRUE(w.overflowed());
    EXPECT_LE(w.written(), 4u);
    w.uint(1);
    EXPECT_LE(w.written(), 4u);
    EXPECT_EQ(out[4], std::byte{0});
}

}  // namespace
}  // namespace cairn::wire::msgpack
