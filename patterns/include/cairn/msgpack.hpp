#pragma once

// msgpack-c asks for Boost unless told otherwise.
#ifndef MSGPACK_NO_BOOST
#define MSGPACK_NO_BOOST
#endif

#include <cairn/attributes.hpp>
#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/message.hpp>
#include <cairn/publisher.hpp>
#include <cairn/pusher.hpp>

#include <msgpack.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

/// Typed messages: any type that msgpack-c can pack (MSGPACK_DEFINE, or an adaptor) is published,
/// pushed and received as one. Needs the headers of msgpack-c, which the rest of cairn does not.
///
/// Threads: as those of the handle; packing uses a buffer of the thread's own.
/// Fails:   as publish() and push(); unpack() throws error (malformed).
/// Limits:  of what is unpacked: 16 nested containers, 1 M items each, no more items than bytes.
namespace cairn {

inline constexpr std::string_view msgpack_content_type = "application/msgpack";
inline constexpr std::size_t msgpack_depth_max = 16;
inline constexpr std::uint32_t msgpack_items_max = 1'048'576;  ///< of one array or map

namespace detail {

/// Calls send(bytes) with `value` packed. The thread keeps the buffer unless it grew large.
template <typename T, typename Send>
auto packed(const T& value, Send&& send) {
    constexpr std::size_t kept_bytes_max = std::size_t{1} << 20;
    thread_local ::msgpack::sbuffer buffer;
    buffer.clear();
    ::msgpack::pack(buffer, value);
    struct give_back {
        ~give_back() {
            if (buffer.size() > kept_bytes_max) buffer = ::msgpack::sbuffer();
        }
    } const at_the_end;
    return send(std::as_bytes(std::span(buffer.data(), buffer.size())));
}

inline const attributes& msgpack_attributes() {
    static const attributes only_type{.key = {},
                                      .content_type = std::string(msgpack_content_type),
                                      .trace_id = {},
                                      .headers = {}};
    return only_type;
}

inline attributes with_msgpack_type(attributes given) {
    given.content_type = msgpack_content_type;
    return given;
}

/// Looks at a message's containers before anything is allocated for them: five bytes may announce
/// four thousand million items.
class msgpack_check : public ::msgpack::null_visitor {
public:
    explicit msgpack_check(std::size_t bytes) : items_left_(bytes) {}

    const char* wrong() const noexcept { return wrong_; }

    bool start_array(std::uint32_t items) { return enter(items, 1); }
    bool start_map(std::uint32_t pairs) { return enter(pairs, 2); }
    bool end_array() { return --depth_, true; }
    bool end_map() { return --depth_, true; }
    void parse_error(std::size_t, std::size_t) { say("it is no msgpack"); }
    void insufficient_bytes(std::size_t, std::size_t) { say("it ends too early"); }

private:
    bool enter(std::uint32_t items, std::uint64_t each) {
        // Every item takes a byte at least.
        if (items * each > items_left_) return say("it announces more items than it has bytes");
        items_left_ -= static_cast<std::size_t>(items * each);
        if (items > msgpack_items_max) return say("an array or map has more than 1 M items");
        if (++depth_ > msgpack_depth_max) return say("more than 16 containers are nested");
        return true;
    }
    bool say(const char* what) {
        if (wrong_ == nullptr) wrong_ = what;
        return false;
    }

    std::size_t items_left_;
    std::size_t depth_ = 0;
    const char* wrong_ = nullptr;
};

template <typename T>
T unpack(std::span<const std::byte> body, std::string_view topic, sequence number) {
    static_assert(!std::is_same_v<T, ::msgpack::object>,
                  "an object refers to memory that is gone when unpack() returns; ask for a type "
                  "that owns what it holds");
    const auto fail = [&](const char* what) -> error {
        return {errc::malformed, "unpack message " + std::to_string(number.value) + " on " +
                                     std::string(topic) + ": " + what};
    };
    const auto* bytes = reinterpret_cast<const char*>(body.data());
    msgpack_check check(body.size());
    std::size_t end = 0;
    if (body.empty()) throw fail("it is empty");
    if (!::msgpack::parse(bytes, body.size(), end, check))
        throw fail(check.wrong() ? check.wrong() : "it is no msgpack");
    if (end != body.size()) throw fail("something follows the msgpack item");
    try {
        ::msgpack::zone memory;
        std::size_t offset = 0;
        // Strings and bins stay where they are until the conversion takes them.
        const auto in_place = [](::msgpack::type::object_type, std::size_t, void*) { return true; };
        const ::msgpack::object value =
            ::msgpack::unpack(memory, bytes, body.size(), offset, in_place);
        return value.as<T>();
    } catch (const ::msgpack::type_error&) {
        throw fail("it does not fit the type that was asked for");
    } catch (const ::msgpack::unpack_error& fault) {
        throw fail(fault.what());
    }
}

}  // namespace detail

/// Publishes `value`, packed, with the content type "application/msgpack".
template <typename T>
sequence publish(publisher& to, const T& value) {
    return detail::packed(value, [&](std::span<const std::byte> body) {
        return to.publish(body, detail::msgpack_attributes());
    });
}

template <typename T>
sequence publish(publisher& to, const T& value, attributes given) {
    const attributes typed = detail::with_msgpack_type(std::move(given));
    return detail::packed(value,
                          [&](std::span<const std::byte> body) { return to.publish(body, typed); });
}

/// Pushes `value`, packed, with the content type "application/msgpack".
template <typename T>
sequence push(pusher& to, const T& value) {
    return detail::packed(value, [&](std::span<const std::byte> body) {
        return to.push(body, detail::msgpack_attributes());
    });
}

template <typename T>
sequence push(pusher& to, const T& value, attributes given) {
    const attributes typed = detail::with_msgpack_type(std::move(given));
    return detail::packed(value,
                          [&](std::span<const std::byte> body) { return to.push(body, typed); });
}

/// The value in a message or job. Throws error (malformed), which says what is wrong with it. A
/// view in T, such as a std::string_view, is a view of the message.
template <typename T>
T unpack(const message& from) {
    return detail::unpack<T>(from.body(), from.topic(), from.sequence());
}

template <typename T>
T unpack(const owned_message& from) {
    return detail::unpack<T>(from.body, from.topic, from.position.sequence);
}

}  // namespace cairn
