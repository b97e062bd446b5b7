#include <cairn/wire/msgpack.hpp>

#include <gtest/gtest.h>
#include <msgpack.hpp>
#include <support/msgpack_compare.hpp>
#include <support/rounds.hpp>

#include <algorithm>
#include <random>
#include <string>

namespace cairn::wire::msgpack {
namespace {

namespace peer = ::msgpack;

constexpr std::uint64_t seed = 20'240'611;

/// Writes one random document of every type that msgpack has.
class random_document {
public:
    random_document(std::mt19937_64& random, peer::sbuffer& out) : random_(random), out_(out) {}

    void item(std::size_t depth = 0) {
        switch (below(depth < 5 ? 11 : 9)) {
            case 0:
                return void(out_.pack_nil());
            case 1:
                return void(below(2) == 0 ? out_.pack_true() : out_.pack_false());
            case 2:
                return void(out_.pack_uint64(random_() >> below(64)));
            case 3:
                return void(out_.pack_int64(static_cast<std::int64_t>(random_()) >> below(64)));
            case 4:
                return void(out_.pack_float(1.5F));
            case 5:
                return void(out_.pack_double(static_cast<double>(random_())));
            case 6:
                return text();
            case 7:
                return binary();
            case 8:
                return extension();
            case 9:
                return array(depth);
            default:
                return map(depth);
        }
    }

private:
    std::uint64_t below(std::uint64_t end) { return random_() % end; }
    std::uint32_t length() {
        constexpr std::uint32_t edges[] = {0, 1, 15, 16, 31, 32, 255, 256, 300};
        return edges[below(std::size(edges))];
    }
    std::string content() { return std::string(length(), static_cast<char>('a' + below(26))); }

    void text() {
        const std::string s = content();
        out_.pack_str(static_cast<std::uint32_t>(s.size()));
        out_.pack_str_body(s.data(), static_cast<std::uint32_t>(s.size()));
    }
    void binary() {
        const std::string s = content();
        out_.pack_bin(static_cast<std::uint32_t>(s.size()));
        out_.pack_bin_body(s.data(), static_cast<std::uint32_t>(s.size()));
    }
    void extension() {
        const std::string s(1 + below(20), 'e');
        out_.pack_ext(s.size(), 5);
        out_.pack_ext_body(s.data(), static_cast<std::uint32_t>(s.size()));
    }
    void array(std::size_t depth) {
        const auto count = static_cast<std::uint32_t>(below(20));
        out_.pack_array(count);
        for (std::uint32_t i = 0; i < count; ++i) item(depth + 1);
    }
    void map(std::size_t depth) {
        const auto count = static_cast<std::uint32_t>(below(20));
        out_.pack_map(count);
        for (std::uint32_t i = 0; i < 2 * count; ++i) item(depth + 1);
    }

    std::mt19937_64& random_;
    peer::packer<peer::sbuffer> out_;
};

/// Writes the same again with our writer; false when it has a type that we never write.
bool write_again(writer& out, const peer::object& o) {
    switch (o.type) {
        case peer::type::BOOLEAN:
            return out.boolean(o.via.boolean), true;
        case peer::type::POSITIVE_INTEGER:
            return out.uint(o.via.u64), true;
        case peer::type::NEGATIVE_INTEGER:
            return out.integer(o.via.i64), true;
        case peer::type::STR:
            return out.text(test::text_of(o)), true;
        case peer::type::BIN:
            return out.bin(std::as_bytes(std::span(test::text_of(o)))), true;
        case peer::type::ARRAY: {
            out.array(o.via.array.size);
            bool all = true;
            for (std::uint32_t i = 0; i < o.via.array.size; ++i)
                all = write_again(out, o.via.array.ptr[i]) && all;
            return all;
        }
        case peer::type::MAP: {
            out.map(o.via.map.size);
            bool all = true;
            for (std::uint32_t i = 0; i < o.via.map.size; ++i) {
                all = write_again(out, o.via.map.ptr[i].key) && all;
                all = write_again(out, o.via.map.ptr[i].val) && all;
            }
            return all;
        }
        default:
            return false;
    }
}

class MsgpackBothWays : public testing::Test {
protected:
    MsgpackBothWays() { RecordProperty("seed", std::to_string(seed)); }

    peer::sbuffer make_document() {
        peer::sbuffer document;
        random_document(random_, document).item();
        return document;
    }

    static std::span<const std::byte> view(const peer::sbuffer& document) {
        return std::as_bytes(std::span(document.data(), document.size()));
    }

    std::mt19937_64 random_{seed};
};

TEST_F(MsgpackBothWays, WeReadWhatMsgpackCWrites) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    for (std::size_t i = 0; i < test::rounds(5'000); ++i) {
        const peer::sbuffer document = make_document();
        const peer::object_handle parsed = peer::unpack(document.data(), document.size());
        reader in(view(document));
        ASSERT_TRUE(test::same(in, parsed.get())) << "document " << i;
        ASSERT_EQ(in.error(), errc::ok) << "document " << i;
        ASSERT_TRUE(in.done()) << "document " << i;
    }
}

TEST_F(MsgpackBothWays, WeSkipWhatMsgpackCWrites) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    for (std::size_t i = 0; i < test::rounds(5'000); ++i) {
        const peer::sbuffer document = make_document();
        reader in(view(document));
        in.skip();
        ASSERT_EQ(in.error(), errc::ok) << "document " << i;
        ASSERT_TRUE(in.done()) << "document " << i;
    }
}

TEST_F(MsgpackBothWays, WeWriteTheBytesThatMsgpackCWrites) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::size_t compared = 0;
    const std::size_t documents = test::rounds(5'000);
    for (std::size_t i = 0; i < documents; ++i) {
        const peer::sbuffer document = make_document();
        const peer::object_handle parsed = peer::unpack(document.data(), document.size());
        std::vector<std::byte> again(document.size());
        writer out(again);
        if (!write_again(out, parsed.get())) continue;
        ASSERT_EQ(out.written(), document.size()) << "document " << i;
        ASSERT_TRUE(std::ranges::equal(again, view(document))) << "document " << i;
        ++compared;
    }
    EXPECT_GT(compared, documents / 5);
}

}  // namespace
}  // namespace cairn::wire::msgpack
