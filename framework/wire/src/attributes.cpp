#include <cairn/wire/attributes.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/msgpack.hpp>

#include <algorithm>

namespace cairn::wire {

namespace {

constexpr std::uint64_t key_entry = 1;
constexpr std::uint64_t content_type_entry = 2;
constexpr std::uint64_t trace_id_entry = 3;
constexpr std::uint64_t headers_entry = 4;

// Entering the map itself and the map of headers.
constexpr std::size_t map_depth = 1;

errc check(const cairn::attributes& a) {
    if (a.key.size() > key_bytes_max || a.content_type.size() > content_type_bytes_max)
        return errc::too_large;
    return a.headers.size() > header_count_max ? errc::limit_exceeded : errc::ok;
}

bool has_trace_id(const cairn::attributes& a) {
    return std::ranges::any_of(a.trace_id, [](std::byte b) { return b != std::byte{0}; });
}

std::size_t bytes_bound(const cairn::attributes& a) {
    constexpr std::size_t fixed = 10 * msgpack::item_overhead_max;
    std::size_t bytes = fixed + a.key.size() + a.content_type.size() + a.trace_id.size();
    for (const auto& [name, value] : a.headers)
        bytes += 2 * msgpack::item_overhead_max + name.size() + value.size();
    return bytes;
}

void write(msgpack::writer& out, const cairn::attributes& a) {
    const bool traced = has_trace_id(a);
    out.map(!a.key.empty() + !a.content_type.empty() + traced + !a.headers.empty());
    if (!a.key.empty()) {
        out.uint(key_entry);
        out.bin(std::as_bytes(std::span(a.key)));
    }
    if (!a.content_type.empty()) {
        out.uint(content_type_entry);
        out.text(a.content_type);
    }
    if (traced) {
        out.uint(trace_id_entry);
        out.bin(a.trace_id);
    }
    if (a.headers.empty()) return;
    out.uint(headers_entry);
    out.map(a.headers.size());
    for (const auto& [name, value] : a.headers) {
        out.text(name);
        out.text(value);
    }
}

void read_headers(msgpack::reader& in, cairn::attributes& a) {
    const std::size_t count = in.map();
    if (count > header_count_max) return in.fail(errc::limit_exceeded);
    a.headers.reserve(count);
    for (std::size_t i = 0; i < count && !in.failed(); ++i) {
        const std::string_view name = in.text(attributes_bytes_max);
        const std::string_view value = in.text(attributes_bytes_max);
        if (!in.failed()) a.headers.emplace_back(name, value);
    }
}

void read_trace_id(msgpack::reader& in, cairn::attributes& a) {
    const std::span<const std::byte> id = in.bin(a.trace_id.size());
    if (id.size() != a.trace_id.size()) return in.fail(errc::malformed);
    std::ranges::copy(id, a.trace_id.begin());
}

// The number of the next entry; 0, and the key passed over, when it is none of this version's.
std::uint64_t read_entry(msgpack::reader& in) {
    if (in.at_uint()) {
        const std::uint64_t number = in.uint();
        return number <= headers_entry ? number : 0;
    }
    in.skip(map_depth);
    return 0;
}

}  // namespace

errc encode(const cairn::attributes& attributes, std::vector<std::byte>& out) {
    if (const errc wrong = check(attributes); wrong != errc::ok) return wrong;
    if (attributes.empty()) return errc::ok;
    const std::size_t bound = bytes_bound(attributes);
    // The smallest form takes at most eight bytes an item less than the bound.
    constexpr std::size_t slack = msgpack::item_overhead_max * (10 + 2 * header_count_max);
    if (bound > attributes_bytes_max + slack) return errc::too_large;

    const std::size_t before = out.size();
    out.resize(before + bound);
    msgpack::writer writer(std::span{out}.subspan(before));
    write(writer, attributes);
    const bool fits = writer.written() <= attributes_bytes_max;
    out.resize(before + (fits ? writer.written() : 0));
    return fits ? errc::ok : errc::too_large;
}

result<cairn::attributes> decode_attributes(std::span<const std::byte> map) {
    cairn::attributes a;
    if (map.empty()) return a;
    if (map.size() > attributes_bytes_max) return errc::too_large;
    msgpack::reader in(map);
    const std::size_t count = in.map();
    std::uint32_t seen = 0;
    for (std::size_t i = 0; i < count && !in.failed(); ++i) {
        const std::uint64_t number = read_entry(in);
        const std::uint32_t bit = number == 0 ? 0 : std::uint32_t{1} << number;
        if ((seen & bit) != 0) in.fail(errc::malformed);
        seen |= bit;
        switch (number) {
            case key_entry:
                a.key = in.text_or_bin(key_bytes_max);
                break;
            case content_type_entry:
                a.content_type = in.text(content_type_bytes_max);
                break;
            case trace_id_entry:
                read_trace_id(in, a);
                break;
            case headers_entry:
                read_headers(in, a);
                break;
            default:
                in.skip(map_depth);
        }
    }
    if (!in.failed() && !in.done()) in.fail(errc::malformed);
    if (in.failed()) return in.error();
    return a;
}

std::string_view key_of(std::span<const std::byte> map) noexcept {
    if (map.empty()) return {};
    msgpack::reader in(map);
    const std::size_t count = in.map();
    for (std::size_t i = 0; i < count && !in.failed(); ++i) {
        if (read_entry(in) == key_entry) return in.text_or_bin(key_bytes_max);
        in.skip(map_depth);
    }
    return {};
}

}  // namespace cairn::wire
