#pragma once

#include <cairn/attributes.hpp>
#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace cairn::test {

/// Frames of every kind with random contents inside the limits, often at their ends.
///
/// Owns:    the names and texts that its frames refer to.
/// Threads: one at a time.
class random_frames {
public:
    explicit random_frames(std::uint64_t seed) : random_(seed) {}

    static constexpr std::size_t control_kinds = std::variant_size_v<wire::control_frame>;

    /// The alternative `index` of control_frame.
    wire::control_frame control(std::size_t index) {
        return make_control(index, std::make_index_sequence<control_kinds>());
    }

    wire::batch_header batch() {
        wire::batch_header h;
        fill(h);
        return h;
    }

    wire::jobs_header jobs() {
        wire::jobs_header h;
        fill(h);
        h.attempt = number<std::uint32_t>(1);
        h.ack_wait_ms = number<std::uint64_t>();
        return h;
    }

    wire::append_header append() {
        wire::append_header h;
        fill(h);
        return h;
    }

    cairn::attributes attributes() {
        cairn::attributes a;
        if (coin()) a.key = bytes(wire::key_bytes_max);
        if (coin()) a.content_type = text(0, wire::content_type_bytes_max);
        if (coin())
            for (std::byte& b : a.trace_id) b = static_cast<std::byte>(below(256));
        for (std::size_t left = coin() ? below(wire::header_count_max + 1) : 0; left != 0; --left)
            a.headers.emplace_back(text(0, 40), text(0, 300));
        return a;
    }

    std::uint64_t below(std::uint64_t end) { return random_() % end; }
    bool coin() { return below(2) == 0; }

    /// Widths of all sizes are equally likely, and the ends of the range are likely.
    template <typename T>
    T number(T min = 0) {
        constexpr T max = std::numeric_limits<T>::max();
        if (below(8) == 0) return max;
        if (below(8) == 0) return min;
        const T value = static_cast<T>(random_() >> below(64));
        return value < min ? min : value;
    }

    std::string_view text(std::size_t min, std::size_t max) {
        const std::size_t size = below(4) == 0 ? max : min + below(std::min<std::size_t>(max, 40));
        std::string& kept = texts_.emplace_back(size, ' ');
        for (char& c : kept) c = static_cast<char>('a' + below(26));
        return kept;
    }

    std::string bytes(std::size_t max) {
        std::string s(1 + below(max), '\0');
        for (char& c : s) c = static_cast<char>(below(256));
        return s;
    }

private:
    template <std::size_t... I>
    wire::control_frame make_control(std::size_t index, std::index_sequence<I...>) {
        wire::control_frame made;
        ((I == index ? void(made = make<std::variant_alternative_t<I, wire::control_frame>>())
                     : void()),
         ...);
        return made;
    }

    template <typename T>
    T make() {
        T frame;
        fill(frame);
        return frame;
    }

    // Few are long: 1,024 heads with long names would not fit a control frame.
    std::size_t length() { return below(4) == 0 ? 100 : below(4); }
    errc code() { return static_cast<errc>(number<std::uint16_t>()); }
    std::string_view topic() { return text(1, wire::topic_bytes_max); }
    std::string_view source() { return text(1, wire::source_bytes_max); }

    sequence_range range() {
        const std::uint64_t max = std::numeric_limits<std::uint64_t>::max() - 1;
        const std::uint64_t first = std::min(number<std::uint64_t>(1), max);
        return {{first}, {first + std::min(number<std::uint64_t>(), max - first)}};
    }
    wire::resume_point resume_point() {
        return {topic(), source(), {number<std::uint64_t>()}, {number<std::uint64_t>()}};
    }
    wire::head head() {
        return {topic(),
                source(),
                {number<std::uint64_t>()},
                {number<std::uint64_t>()},
                {number<std::uint64_t>()},
                {number<std::uint64_t>()},
                {number<std::uint64_t>()}};
    }
    cairn::generation generation() {
        cairn::generation made;
        for (std::byte& b : made.bytes) b = static_cast<std::byte>(below(256));
        return made;
    }
    wire::place place() {
        return static_cast<wire::place>(below(static_cast<std::uint64_t>(wire::place::time) + 1));
    }
    std::vector<wire::source_point> point_list() {
        std::vector<wire::source_point> list(length());
        for (wire::source_point& p : list)
            p = {source(), {number<std::uint64_t>()}, {number<std::uint64_t>()}};
        return list;
    }
    std::vector<wire::head> head_list() {
        std::vector<wire::head> list(length());
        for (wire::head& h : list) h = head();
        return list;
    }

    void fill(wire::hello& f) {
        f = {number<std::uint32_t>(),       number<std::uint32_t>(), {},
             text(0, wire::name_bytes_max), number<std::uint64_t>(), below(2) == 1};
        for (std::byte& b : f.node.bytes) b = static_cast<std::byte>(below(256));
    }
    void fill(wire::bye& f) { f = {code(), text(0, wire::text_bytes_max)}; }
    void fill(wire::heartbeat&) {}
    void fill(wire::ping& f) { f.token = number<std::uint64_t>(); }
    void fill(wire::pong& f) { f.token = number<std::uint64_t>(); }
    void fill(wire::error_reply& f) {
        f = {number<std::uint32_t>(), code(), text(0, wire::text_bytes_max)};
    }
    void fill(wire::subscribe& f) {
        f = {number<std::uint32_t>(), topic(), coin() ? wire::start::live : wire::start::earliest,
             number<std::uint64_t>(), coin(),  {}};
        f.resume.resize(length());
        for (wire::resume_point& p : f.resume) p = resume_point();
    }
    void fill(wire::subscribed& f) { f = {number<std::uint32_t>(), coin(), head_list()}; }
    void fill(wire::heads& f) { f = {number<std::uint32_t>(), head_list()}; }
    void fill(wire::digest& f) {
        f = {number<std::uint32_t>(), number<std::uint32_t>(), number<std::uint64_t>()};
    }
    void fill(wire::gone& f) {
        f = {number<std::uint32_t>(),   topic(), source(),
             {number<std::uint64_t>()}, range(), code()};
    }
    void fill(wire::credit& f) {
        f = {number<std::uint32_t>(), number<std::uint64_t>(), number<std::uint64_t>()};
    }
    void fill(wire::unsubscribe& f) { f.channel = number<std::uint32_t>(); }
    void fill(wire::fenced& f) { f = {topic(), source(), {number<std::uint64_t>()}}; }
    void fill(wire::repair& f) { f = {number<std::uint32_t>(), resume_point()}; }
    void fill(wire::end& f) {
        f = {number<std::uint32_t>(),
             topic(),
             source(),
             {number<std::uint64_t>()},
             {number<std::uint64_t>()}};
    }
    void fill(wire::attach& f) {
        f = {number<std::uint32_t>(), topic(), text(0, wire::name_bytes_max),
             number<std::uint64_t>(), number<std::uint64_t>()};
    }
    void fill(wire::attached& f) { f = {number<std::uint32_t>(), number<std::uint32_t>()}; }
    void fill(wire::work_credit& f) {
        f = {number<std::uint32_t>(),
             source(),
             {number<std::uint64_t>()},
             number<std::uint64_t>(),
             number<std::uint64_t>()};
    }
    void fill(wire::detach& f) { f.channel = number<std::uint32_t>(); }

    void fill(wire::open_source& f) {
        f = {number<std::uint32_t>(), topic(), source(), {number<std::uint64_t>()}};
    }
    void fill(wire::source_opened& f) {
        f = {number<std::uint32_t>(),
             generation(),
             {number<std::uint64_t>()},
             number<std::uint64_t>()};
    }
    void fill(wire::confirm& f) {
        f = {number<std::uint32_t>(),
             {number<std::uint64_t>()},
             coin() ? wire::durability::flushed : wire::durability::written,
             number<std::uint64_t>()};
    }
    void fill(wire::append_refused& f) {
        f = {number<std::uint32_t>(), code(), {number<std::uint64_t>()}};
    }
    void fill(wire::lost& f) { f = {number<std::uint32_t>(), range(), code()}; }
    void fill(wire::close_source& f) { f.channel = number<std::uint32_t>(); }
    void fill(wire::locate& f) {
        f = {number<std::uint32_t>(), topic(), place(), number<std::uint64_t>()};
    }
    void fill(wire::located& f) {
        f = {number<std::uint32_t>(), generation(), coin(), point_list()};
    }
    void fill(wire::attach_group& f) {
        f = {number<std::uint32_t>(),       topic(), group(),
             text(0, wire::name_bytes_max), sort(),  place(),
             number<std::uint64_t>()};
    }
    void fill(wire::group_attached& f) {
        f = {number<std::uint32_t>(), generation(), coin(), coin(), point_list(), {}, {}};
        f.of.bytes = generation().bytes;
        f.done.resize(length());
        for (wire::done_range& d : f.done) d = {source(), {number<std::uint64_t>()}, range()};
    }
    void fill(wire::acked& f) { f = {number<std::uint32_t>(), number<std::uint64_t>()}; }

    std::string_view group() { return text(1, wire::group_bytes_max); }
    wire::group_kind sort() { return coin() ? wire::group_kind::each : wire::group_kind::share; }
    wire::topic_config config() {
        return {number<std::uint64_t>(),
                number<std::uint64_t>(),
                number<std::uint64_t>(),
                coin(),
                coin() ? wire::full_rule::refuse : wire::full_rule::drop_oldest,
                coin() ? wire::durability::flushed : wire::durability::written,
                coin()};
    }
    void fill(wire::list_topics& f) { f = {number<std::uint32_t>(), topic()}; }
    void fill(wire::topics& f) {
        f = {number<std::uint32_t>(), coin(), {}};
        f.items.resize(length());
        for (wire::listed_topic& t : f.items)
            t = {topic(),
                 config(),
                 number<std::uint64_t>(),
                 number<std::uint64_t>(),
                 number<std::uint64_t>(),
                 number<std::uint32_t>(),
                 number<std::uint32_t>(),
                 coin(),
                 coin()};
    }
    void fill(wire::sources& f) {
        f = {number<std::uint32_t>(), coin(), {}};
        f.items.resize(length());
        for (wire::listed_source& s : f.items)
            s = {source(), {number<std::uint64_t>()}, {number<std::uint64_t>()}, coin()};
    }
    void fill(wire::groups& f) {
        f = {number<std::uint32_t>(), coin(), {}};
        f.items.resize(length());
        for (wire::listed_group& g : f.items)
            g = {group(),
                 sort(),
                 number<std::uint64_t>(),
                 number<std::uint64_t>(),
                 number<std::uint64_t>(),
                 number<std::uint32_t>(),
                 coin()};
    }
    void fill(wire::list_figures& f) { f.channel = number<std::uint32_t>(); }
    void fill(wire::figures& f) {
        f = {number<std::uint32_t>(), generation(), {}};
        f.items.resize(length());
        for (wire::figure& g : f.items) g = {group(), number<std::uint64_t>()};
    }
    void fill(wire::trim& f) {
        f = {number<std::uint32_t>(), topic(), place(), number<std::uint64_t>()};
    }
    void fill(wire::create_group& f) {
        f = {number<std::uint32_t>(), topic(), group(), sort(), place(), number<std::uint64_t>()};
    }
    void fill(wire::seek_group& f) {
        f = {number<std::uint32_t>(), topic(), group(), place(), number<std::uint64_t>()};
    }
    void fill(wire::delete_group& f) { f = {number<std::uint32_t>(), topic(), group()}; }
    void fill(wire::done& f) { f = {number<std::uint32_t>(), number<std::uint64_t>()}; }

    template <typename T>
    requires std::is_base_of_v<wire::topic_request, T>
    void fill(T& f) {
        f.channel = number<std::uint32_t>();
        f.topic = topic();
    }

    template <typename T>
    requires std::is_base_of_v<wire::configure_topic, T>
    void fill(T& f) {
        f.channel = number<std::uint32_t>();
        f.topic = topic();
        f.config = config();
    }

    template <typename T>
    requires std::is_base_of_v<wire::job_ranges, T>
    void fill(T& f) {
        f.channel = number<std::uint32_t>();
        f.source = source();
        f.epoch = {number<std::uint64_t>()};
        f.ranges.resize(length());
        for (sequence_range& r : f.ranges) r = range();
        if constexpr (std::is_same_v<T, wire::nack>) f.delay_ms = number<std::uint64_t>();
        if constexpr (std::is_same_v<T, wire::reject>) f.reason = text(0, wire::text_bytes_max);
        if constexpr (std::is_same_v<T, wire::extend>) f.ack_wait_ms = number<std::uint64_t>();
        if constexpr (std::is_same_v<T, wire::job_refused>) f.code = code();
    }

    template <typename T>
    requires std::is_base_of_v<wire::batch_header, T>
    void fill(T& h) {
        h.channel = number<std::uint32_t>();
        h.topic = topic();
        h.source = source();
        h.epoch = {number<std::uint64_t>()};
        h.count = static_cast<std::uint32_t>(1 + below(wire::batch_messages_max));
        h.first = {(number<std::uint64_t>(1) >> 1) + 1};
        h.time = wall_time(std::chrono::nanoseconds(static_cast<std::int64_t>(random_())));
        h.durable = number<std::uint64_t>();
        h.checksum = number<std::uint64_t>();
    }

    std::mt19937_64 random_;
    std::deque<std::string> texts_;
};

}  // namespace cairn::test
