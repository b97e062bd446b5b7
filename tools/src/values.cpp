#include "values.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <optional>
#include <utility>

namespace cairn::tools {

namespace {

/// Takes digits from the front.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (fault != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

/// Reads an ISO 8601 time from its front.
class time_reader {
public:
    explicit time_reader(std::string_view text) : rest_(text) {}

    std::optional<wall_time> read() {
        using namespace std::chrono;
        const auto y = digits(4);
        if (!y || !take('-')) return std::nullopt;
        const auto m = digits(2);
        if (!m || !take('-')) return std::nullopt;
        const auto d = digits(2);
        if (!d) return std::nullopt;
        const year_month_day date{year(static_cast<int>(*y)), month(static_cast<unsigned>(*m)),
                                  day(static_cast<unsigned>(*d))};
        // Nanoseconds since 1970 end in 2262, and stored times begin in 1970.
        if (!date.ok() || *y < 1970 || *y > 2261) return std::nullopt;
        wall_time at = sys_days(date);
        if (rest_.empty()) return at;
        if (!take('T') && !take(' ')) return std::nullopt;
        const auto clock = time_of_day();
        const auto zone = clock ? offset() : std::nullopt;
        if (!zone || !rest_.empty()) return std::nullopt;
        return at + *clock - *zone;
    }

private:
    bool take(char c) {
        if (!rest_.starts_with(c)) return false;
        rest_.remove_prefix(1);
        return true;
    }
    std::optional<std::uint64_t> digits(std::size_t count) {
        std::string_view first = rest_.substr(0, count);
        const auto value = take_number(first);
        if (rest_.size() < count || !value || !first.empty()) return std::nullopt;
        rest_.remove_prefix(count);
        return value;
    }
    std::optional<std::chrono::nanoseconds> time_of_day() {
        const auto h = digits(2);
        if (!h || *h > 23 || !take(':')) return std::nullopt;
        const auto m = digits(2);
        if (!m || *m > 59) return std::nullopt;
        std::chrono::nanoseconds at = std::chrono::hours(*h) + std::chrono::minutes(*m);
        if (!take(':')) return at;
        const auto s = digits(2);
        if (!s || *s > 59) return std::nullopt;
        at += std::chrono::seconds(*s);
        if (!take('.')) return at;
        std::int64_t weight = 1'000'000'000;
        for (auto next = digits(1); next; next = digits(1)) {
            weight /= 10;
            at += std::chrono::nanoseconds(static_cast<std::int64_t>(*next) * weight);
        }
        if (weight == 1'000'000'000) return std::nullopt;
        return at;
    }
    std::optional<std::chrono::minutes> offset() {
        if (rest_.empty() || take('Z')) return std::chrono::minutes(0);
        const bool west = rest_.starts_with('-');
        if (!west && !rest_.starts_with('+')) return std::nullopt;
        rest_.remove_prefix(1);
        const auto h = digits(2);
        if (!h || *h > 23) return std::nullopt;
        take(':');
        const auto m = rest_.empty() ? std::optional<std::uint64_t>(0) : digits(2);
        if (!m || *m > 59) return std::nullopt;
        const std::chrono::minutes east = std::chrono::hours(*h) + std::chrono::minutes(*m);
        return west ? -east : east;
    }

    std::string_view rest_;
};

/// What stands behind "name:"; nothing when it does not begin so.
std::optional<std::string> behind(const std::string& text, std::string_view name) {
    if (!text.starts_with(name) || text.size() == name.size() || text[name.size()] != ':')
        return std::nullopt;
    return text.substr(name.size() + 1);
}

std::optional<from> stored_place(const std::string& text) {
    if (text == "first") return from::earliest();
    if (const auto n = behind(text, "last")) return from::last(count_of(*n));
    if (const auto n = behind(text, "offset")) return from::offset(count_of(*n));
    if (const auto t = behind(text, "time")) return from::time(time_of(*t));
    return std::nullopt;
}

}  // namespace

wall_time time_of(const std::string& text) {
    const auto time = time_reader(text).read();
    if (!time)
        throw usage_error("\"" + text +
                          "\" is no time; write for example 2026-03-01T12:00:00Z or 2026-03-01");
    return *time;
}

from from_of(const std::string& text) {
    if (text == "live") return from::live();
    if (const auto place = stored_place(text)) return *place;
    throw usage_error("\"" + text + "\" is no place; write " + std::string(places));
}

from stored_from_of(const std::string& text) {
    if (text == "live")
        throw usage_error("live is where a read ends; cairn sub reads on from there");
    if (const auto place = stored_place(text)) return *place;
    throw usage_error("\"" + text + "\" is no place; write " + std::string(stored_places));
}

until until_of(const std::string& text) {
    if (text == "now") return until::now();
    if (const auto n = behind(text, "offset")) return until::offset(count_of(*n));
    if (const auto t = behind(text, "time")) return until::time(time_of(*t));
    throw usage_error("\"" + text + "\" is no end; write now, offset:N or time:2026-03-01T12:00Z");
}

std::string shown_bytes(std::uint64_t bytes) {
    constexpr std::array names{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1'024) return std::to_string(bytes) + " B";
    auto value = static_cast<double>(bytes);
    std::size_t at = 0;
    for (; value >= 1'023.95 && at + 1 < names.size(); ++at) value /= 1'024;
    char text[32];
    std::snprintf(text, sizeof text, "%.1f %s", value, names[at]);
    return text;
}

std::string counted(std::uint64_t count, std::string_view what) {
    return std::to_string(count) + " " + std::string(what) + (count == 1 ? "" : "s");
}

std::string shown_time(wall_time time) {
    using namespace std::chrono;
    const auto date = floor<days>(time);
    const year_month_day day(date);
    const hh_mm_ss clock(time - date);
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%09lldZ",
                  static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                  static_cast<unsigned>(day.day()), static_cast<int>(clock.hours().count()),
                  static_cast<int>(clock.minutes().count()),
                  static_cast<int>(clock.seconds().count()),
                  static_cast<long long>(clock.subseconds().count()));
    return text;
}

}  // namespace cairn::tools
