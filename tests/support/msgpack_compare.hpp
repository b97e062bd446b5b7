#pragma once

#include <cairn/wire/msgpack.hpp>

#include <msgpack.hpp>

#include <cstdint>
#include <string_view>

namespace cairn::test {

/// The bytes of a str or bin.
inline std::string_view text_of(const ::msgpack::object& o) {
    return o.type == ::msgpack::type::STR ? std::string_view(o.via.str.ptr, o.via.str.size)
                                          : std::string_view(o.via.bin.ptr, o.via.bin.size);
}

/// Whether our reader finds, item for item, what msgpack-c made of the same document. Types that we
/// never read are passed over.
inline bool same(wire::msgpack::reader& in, const ::msgpack::object& o) {
    constexpr std::size_t any_size = ~std::size_t{0};
    switch (o.type) {
        case ::msgpack::type::BOOLEAN:
            return in.boolean() == o.via.boolean;
        case ::msgpack::type::POSITIVE_INTEGER:
            return in.uint() == o.via.u64;
        case ::msgpack::type::NEGATIVE_INTEGER:
            return in.integer() == o.via.i64;
        case ::msgpack::type::STR:
            return in.text(any_size) == text_of(o);
        case ::msgpack::type::BIN:
            return in.text_or_bin(any_size) == text_of(o);
        case ::msgpack::type::ARRAY:
            if (in.array() != o.via.array.size) return false;
            for (std::uint32_t i = 0; i < o.via.array.size; ++i)
                if (!same(in, o.via.array.ptr[i])) return false;
            return true;
        case ::msgpack::type::MAP:
            if (in.map() != o.via.map.size) return false;
            for (std::uint32_t i = 0; i < o.via.map.size; ++i)
                if (!same(in, o.via.map.ptr[i].key) || !same(in, o.via.map.ptr[i].val))
                    return false;
            return true;
        default:
            in.skip();
            return !in.failed();
    }
}

}  // namespace cairn::test
