#include <cairn/wire/frames.hpp>
#include <cairn/wire/msgpack.hpp>

#include <algorithm>
#include <array>
#include <cassert>

#include "layout.hpp"

namespace cairn::wire {

namespace {

// The message after the last one must have a number too.
constexpr std::uint64_t sequence_max = std::numeric_limits<std::uint64_t>::max() - 1;

// --- The users of layout() --------------------------------------------------------------

class size_bound {
public:
    std::size_t bytes() const { return bytes_; }

    void number(std::uint64_t) { bytes_ += msgpack::item_overhead_max; }
    void flag(bool) { number(0); }
    void code(errc) { number(0); }
    void choice(auto, auto) { number(0); }
    void time(wall_time) { number(0); }
    void channel_first(channel) { number(0); }
    void id(const auto& value) { bytes_ += msgpack::item_overhead_max + value.bytes.size(); }
    void text(std::string_view value, std::size_t) {
        bytes_ += msgpack::item_overhead_max + value.size();
    }
    void name(std::string_view value, std::size_t max) { text(value, max); }
    void nested(const auto& value) {
        number(0);
        layout(*this, value);
    }
    template <typename T>
    void list(const std::vector<T>& values) {
        number(0);
        for (const T& value : values) nested(value);
    }

private:
    std::size_t bytes_ = 0;
};

class counter {
public:
    std::size_t items() const { return items_; }

    void text(std::string_view, std::size_t) { ++items_; }
    void name(std::string_view, std::size_t) { ++items_; }
    void number(const auto&) { ++items_; }
    void flag(bool) { ++items_; }
    void code(errc) { ++items_; }
    void choice(auto, auto) { ++items_; }
    void time(wall_time) { ++items_; }
    void channel_first(channel) { ++items_; }
    void id(const auto&) { ++items_; }
    void nested(const auto&) { ++items_; }
    void list(const auto&) { ++items_; }

private:
    std::size_t items_ = 0;
};

std::size_t item_count(const auto& value) {
    counter count;
    layout(count, value);
    return count.items();
}

class frame_writer {
public:
    explicit frame_writer(std::span<std::byte> out) : out_(out) {}

    template <typename T>
    void frame(const T& value) {
        out_.array(1 + item_count(value));
        out_.uint(static_cast<std::uint64_t>(kind_of<T>));
        layout(*this, value);
    }
    std::size_t written() const { return out_.written(); }
    bool overflowed() const { return out_.overflowed(); }

    void number(std::uint64_t value) { out_.uint(value); }
    void flag(bool value) { out_.boolean(value); }
    void code(errc value) { out_.uint(static_cast<std::uint64_t>(value)); }
    template <typename Choice>
    void choice(Choice value, Choice last) {
        assert(value <= last);
        static_cast<void>(last);
        out_.uint(static_cast<std::uint64_t>(value));
    }
    void time(wall_time value) { out_.integer(value.time_since_epoch().count()); }
    void channel_first(channel value) { out_.uint32_fixed(value); }
    void id(const auto& value) { out_.bin(value.bytes); }
    void text(std::string_view value, std::size_t max) {
        assert(value.size() <= max);
        static_cast<void>(max);
        out_.text(value);
    }
    void name(std::string_view value, std::size_t max) {
        assert(!value.empty());
        text(value, max);
    }
    void nested(const auto& value) {
        out_.array(item_count(value));
        layout(*this, value);
    }
    template <typename T>
    void list(const std::vector<T>& values) {
        assert(values.size() <= array_items_max);
        out_.array(values.size());
        for (const T& value : values) nested(value);
    }

private:
    msgpack::writer out_;
};

class frame_reader {
public:
    explicit frame_reader(std::span<const std::byte> bytes) : in_(bytes) {}

    /// Enters the frame's array and reads its kind.
    std::uint64_t kind_number() {
        items_ = in_.array();
        depth_ = 1;
        take();
        return in_.uint();
    }

    template <typename T>
    void fields(T& value) {
        layout(*this, value);
        skip_rest();
    }

    std::size_t consumed() const { return in_.consumed(); }
    errc error() const { return in_.error(); }
    void finish() {
        if (!in_.failed() && !in_.done()) in_.fail(errc::malformed);
    }

    template <typename T>
    void number(T& value) {
        take();
        value = static_cast<T>(in_.uint(std::numeric_limits<T>::max()));
    }
    void flag(bool& value) {
        take();
        value = in_.boolean();
    }
    void code(errc& value) {
        std::uint16_t read = 0;
        number(read);
        value = static_cast<errc>(read);
    }
    template <typename Choice>
    void choice(Choice& value, Choice last) {
        take();
        value = static_cast<Choice>(in_.uint(static_cast<std::uint64_t>(last)));
    }
    void time(wall_time& value) {
        take();
        value = wall_time(std::chrono::nanoseconds(in_.integer()));
    }
    void channel_first(channel& value) { number(value); }
    void id(auto& value) {
        take();
        const std::span<const std::byte> read = in_.bin(value.bytes.size());
        if (read.size() != value.bytes.size()) return in_.fail(errc::malformed);
        std::ranges::copy(read, value.bytes.begin());
    }
    void text(std::string_view& value, std::size_t max) {
        take();
        value = in_.text(max);
    }
    void name(std::string_view& value, std::size_t max) {
        text(value, max);
        if (value.empty()) in_.fail(errc::malformed);
    }
    void nested(auto& value) {
        take();
        inner(value);
    }
    template <typename T>
    void list(std::vector<T>& values) {
        take();
        ++depth_;
        const std::size_t count = in_.array();
        // An item takes a byte at least, so a short frame cannot make us reserve for a long list.
        values.reserve(std::min(count, in_.remaining()));
        for (std::size_t i = 0; i < count && !in_.failed(); ++i) inner(values.emplace_back());
        --depth_;
    }

private:
    void take() {
        if (items_ == 0)
            in_.fail(errc::malformed);
        else
            --items_;
    }

    template <typename T>
    void inner(T& value) {
        const std::size_t outer = items_;
        ++depth_;
        items_ = in_.array();
        layout(*this, value);
        skip_rest();
        if constexpr (std::is_same_v<T, sequence_range>)
            if (value.first.value == 0 || value.empty() || value.last.value > sequence_max)
                in_.fail(errc::malformed);
        --depth_;
        items_ = outer;
    }

    // What a newer version appended.
    void skip_rest() {
        for (; items_ != 0 && !in_.failed(); --items_) in_.skip(depth_);
    }

    msgpack::reader in_;
    std::size_t items_ = 0;  // left in the array that is being read
    std::size_t depth_ = 0;  // of that array
};

// --- Headers ----------------------------------------------------------------------------------

template <typename Header>
void encode_header(const Header& header, std::vector<std::byte>& out) {
    std::array<std::byte, header_bytes_max> bytes;
    frame_writer writer(bytes);
    writer.frame(header);
    assert(!writer.overflowed());
    out.insert(out.end(), bytes.begin(), bytes.begin() + writer.written());
}

errc check(const batch_header& header) {
    if (header.count == 0 || header.first.value == 0) return errc::malformed;
    if (header.count > batch_messages_max) return errc::limit_exceeded;
    return header.first.value > sequence_max - (header.count - 1) ? errc::malformed : errc::ok;
}

errc check(const jobs_header& header) {
    if (header.attempt == 0) return errc::malformed;
    return check(static_cast<const batch_header&>(header));
}

template <typename Header>
result<decoded_header<Header>> decode_header(std::span<const std::byte> frame) {
    frame_reader reader(frame.first(std::min(frame.size(), header_bytes_max)));
    if (reader.kind_number() != static_cast<std::uint64_t>(kind_of<Header>))
        return reader.error() == errc::ok ? errc::malformed : reader.error();
    decoded_header<Header> decoded;
    reader.fields(decoded.header);
    if (reader.error() != errc::ok) return reader.error();
    if (const errc wrong = check(decoded.header); wrong != errc::ok) return wrong;
    decoded.bytes = reader.consumed();
    return decoded;
}

// --- Control frames ---------------------------------------------------------------------------

template <typename T>
result<control_frame> decode_as(frame_reader& reader) {
    control_frame frame(std::in_place_type<T>);
    reader.fields(*std::get_if<T>(&frame));
    reader.finish();
    if (reader.error() != errc::ok) return reader.error();
    return frame;
}

using decoder = result<control_frame> (*)(frame_reader&);

// The decoder of each kind, by number; null for headers of batches and numbers without a meaning.
template <typename... Frames>
constexpr auto decoders_of(const std::variant<Frames...>*) {
    std::array<decoder, kinds_end> table{};
    ((table[static_cast<std::size_t>(kind_of<Frames>)] = &decode_as<Frames>), ...);
    return table;
}

constexpr auto decoders = decoders_of(static_cast<const control_frame*>(nullptr));

bool is_header(std::uint64_t number) {
    return number == static_cast<std::uint64_t>(kind::batch) ||
           number == static_cast<std::uint64_t>(kind::jobs) ||
           number == static_cast<std::uint64_t>(kind::append);
}

bool is_known(std::uint64_t number) {
    return is_header(number) || (number < decoders.size() && decoders[number] != nullptr);
}

}  // namespace

void encode(const control_frame& frame, std::vector<std::byte>& out) {
    std::visit(
        [&out](const auto& value) {
            size_bound bound;
            bound.number(0);
            bound.nested(value);
            const std::size_t before = out.size();
            out.resize(before + bound.bytes());
            frame_writer writer(std::span{out}.subspan(before));
            writer.frame(value);
            assert(!writer.overflowed());
            out.resize(before + writer.written());
        },
        frame);
}

result<kind> peek_kind(std::span<const std::byte> frame) noexcept {
    frame_reader reader(frame);
    const std::uint64_t number = reader.kind_number();
    if (reader.error() != errc::ok) return reader.error();
    if (!is_known(number)) return errc::unknown_kind;
    return static_cast<kind>(number);
}

result<control_frame> decode(std::span<const std::byte> frame) {
    if (frame.size() > control_bytes_max) return errc::too_large;
    frame_reader reader(frame);
    const std::uint64_t number = reader.kind_number();
    if (reader.error() != errc::ok) return reader.error();
    if (is_header(number)) return errc::malformed;
    if (!is_known(number)) return errc::unknown_kind;
    return decoders[number](reader);
}

void encode(const batch_header& header, std::vector<std::byte>& out) { encode_header(header, out); }
void encode(const jobs_header& header, std::vector<std::byte>& out) { encode_header(header, out); }
void encode(const append_header& header, std::vector<std::byte>& out) {
    encode_header(header, out);
}

void patch_channel(std::span<std::byte> encoded_header, channel value) noexcept {
    assert(encoded_header.size() >= header_channel_offset + sizeof(value));
    for (std::size_t i = 0; i < sizeof(value); ++i)
        encoded_header[header_channel_offset + i] =
            static_cast<std::byte>(value >> (8 * (sizeof(value) - 1 - i)));
}

void patch_kind(std::span<std::byte> encoded_header, kind value) noexcept {
    assert(encoded_header.size() >= header_channel_offset);
    assert(value == kind::batch || value == kind::append);
    encoded_header[1] = static_cast<std::byte>(value);
}

result<decoded_header<batch_header>> decode_batch(std::span<const std::byte> frame) noexcept {
    return decode_header<batch_header>(frame);
}

result<decoded_header<jobs_header>> decode_jobs(std::span<const std::byte> frame) noexcept {
    return decode_header<jobs_header>(frame);
}

result<decoded_header<append_header>> decode_append(std::span<const std::byte> frame) noexcept {
    return decode_header<append_header>(frame);
}

}  // namespace cairn::wire
