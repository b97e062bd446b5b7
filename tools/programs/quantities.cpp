#include "programs/quantities.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string_view>
#include <system_error>

namespace cairn::programs {

namespace {

struct unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::array byte_units{
    unit{"", 1},
    unit{"B", 1},
    unit{"KiB", std::uint64_t{1} << 10},
    unit{"MiB", std::uint64_t{1} << 20},
    unit{"GiB", std::uint64_t{1} << 30},
    unit{"TiB", std::uint64_t{1} << 40},
    unit{"kB", 1'000},
    unit{"MB", 1'000'000},
    unit{"GB", 1'000'000'000},
    unit{"TB", 1'000'000'000'000},
};
constexpr std::array time_units{
    unit{"ms", 1},        unit{"s", 1'000},      unit{"min", 60'000},
    unit{"h", 3'600'000}, unit{"d", 86'400'000},
};
constexpr std::array plain{unit{"", 1}};

constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

template <typename Units>
std::uint64_t number(const std::string& text, const Units& units, std::string_view example) {
    std::uint64_t value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    std::string_view name(end, static_cast<std::size_t>(text.data() + text.size() - end));
    if (fault == std::errc() && value == 0 && name.empty()) return 0;
    const std::size_t begin = name.find_first_not_of(' ');
    if (begin != std::string_view::npos) name.remove_prefix(begin);
    const auto found =
        std::find_if(units.begin(), units.end(), [&](const unit& u) { return u.name == name; });
    if (fault != std::errc() || found == units.end() || value > largest / found->factor)
        throw usage_error("\"" + text + "\" is not understood; write for example " +
                          std::string(example));
    return value * found->factor;
}

}  // namespace

std::uint64_t bytes_of(const std::string& text) {
    return number(text, byte_units, "512MiB or 20GB");
}

std::chrono::milliseconds span_of(const std::string& text) {
    return std::chrono::milliseconds(number(text, time_units, "30s, 12h or 7d"));
}

std::uint64_t count_of(const std::string& text) { return number(text, plain, "1000"); }

bool truth_of(const std::string& text) {
    if (text == "true" || text == "yes" || text == "1") return true;
    if (text == "false" || text == "no" || text == "0") return false;
    throw usage_error("\"" + text + "\" is neither true nor false");
}

std::string shown_span(std::chrono::milliseconds span) {
    const auto ms = static_cast<std::uint64_t>(span.count());
    const unit* best = time_units.data();
    for (const unit& u : time_units)
        if (ms != 0 && ms % u.factor == 0) best = &u;
    return std::to_string(ms / best->factor) + std::string(best->name);
}

}  // namespace cairn::programs
