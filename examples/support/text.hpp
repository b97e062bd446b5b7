#pragma once

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Text for people: what the examples print, and how they read numbers and lines.
namespace examples {

/// 1234567 as "1,234,567".
inline std::string thousands(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (auto at = static_cast<int>(text.size()) - 3; at > 0; at -= 3) text.insert(at, ",");
    return text;
}

/// sum / count with one decimal, rounded half away from zero, in integers: the same everywhere.
/// "0.0" for a count of 0.
inline std::string mean(std::int64_t sum, std::uint64_t count) {
    if (count == 0) return "0.0";
    const std::uint64_t size = sum < 0 ? -static_cast<std::uint64_t>(sum) : sum;
    const std::uint64_t tenths = (size * 20 + count) / (count * 2);
    const bool negative = sum < 0 && tenths > 0;
    return (negative ? "-" : "") + std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

/// A bar of value / most * width characters, in eighths of a character; nothing for value <= 0.
inline std::string bar(double value, double most, int width) {
    static constexpr const char* parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    if (!(value > 0) || !(most > 0)) return {};
    const int eighths = static_cast<int>(std::min(value / most, 1.0) * width * 8 + 0.5);
    std::string text;
    for (int i = 0; i < eighths / 8; ++i) text += "█";
    return text + parts[eighths % 8];
}

/// `text` at the right or left end of `width` columns. Counts bytes: for plain ASCII.
inline std::string right(std::string_view text, std::size_t width) {
    return std::string(width - std::min(width, text.size()), ' ').append(text);
}
inline std::string left(std::string_view text, std::size_t width) {
    return std::string(text).append(width - std::min(width, text.size()), ' ');
}

/// Whether standard output is read by a person: a terminal, or a run script that says it has one.
inline bool terminal() { return std::getenv("CLICOLOR_FORCE") != nullptr || isatty(1) == 1; }

/// `text` in an ANSI colour (31 red, 32 green, 2 dim …), on a terminal and without NO_COLOR.
inline std::string coloured(int colour, const std::string& text) {
    const char* no_color = std::getenv("NO_COLOR");
    if (!terminal() || (no_color != nullptr && *no_color != '\0')) return text;
    return "\x1b[" + std::to_string(colour) + "m" + text + "\x1b[0m";
}

/// The whole of `text` as a number; nothing when it is not one or does not fit.
template <typename Number>
std::optional<Number> number(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return {};
    return value;
}

/// The fields of a line of comma-separated values without quotes.
inline std::vector<std::string_view> fields(std::string_view line) {
    std::vector<std::string_view> found;
    for (auto comma = line.find(','); comma != line.npos; comma = line.find(',')) {
        found.push_back(line.substr(0, comma));
        line.remove_prefix(comma + 1);
    }
    found.push_back(line);
    return found;
}

}  // namespace examples
