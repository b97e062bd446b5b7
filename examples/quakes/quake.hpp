#pragma once

#include "support/text.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace quakes {

struct quake {
    std::int64_t time_ms;    ///< since 1970, UTC
    int magnitude;           ///< in hundredths
    std::string_view place;  ///< part of the line
};

/// Reads "1517932242400,us1000chhc,6.40,22km NNE of Hualian; Taiwan".
inline std::optional<quake> parse_quake(std::string_view line) {
    const auto field = examples::fields(line);
    if (field.size() != 4 || field[2].size() < 4 || field[2][field[2].size() - 3] != '.') return {};
    const auto time = examples::number<std::int64_t>(field[0]);
    std::string digits(field[2]);
    const auto magnitude = examples::number<int>(digits.erase(digits.size() - 3, 1));
    if (!time || !magnitude) return {};
    return quake{*time, *magnitude, field[3]};
}

/// "quakes.small.m0" (with all below) to "quakes.small.m3", "quakes.big.m4" and so on.
inline std::string topic(const quake& event) {
    const int size = std::max(0, event.magnitude / 100);
    return (size < 4 ? "quakes.small.m" : "quakes.big.m") + std::to_string(size);
}

inline bool matches(std::string_view pattern, std::string_view topic) {
    if (!pattern.ends_with('*')) return topic == pattern;
    return topic.starts_with(pattern.substr(0, pattern.size() - 1));
}

/// "02-06 15:50  M  6.4  22km NNE of Hualian, Taiwan": at most 68 columns.
inline std::string describe(const quake& event) {
    using namespace std::chrono;
    const sys_time<milliseconds> time{milliseconds(event.time_ms)};
    const year_month_day day{floor<days>(time)};
    const hh_mm_ss clock{time - floor<days>(time)};
    char head[48];
    std::snprintf(head, sizeof head, "%02u-%02u %02d:%02d  M %4.1f  ",
                  static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()),
                  static_cast<int>(clock.hours().count()),
                  static_cast<int>(clock.minutes().count()), event.magnitude / 100.0);
    std::string place(event.place.substr(0, 46));
    std::replace(place.begin(), place.end(), ';', ',');
    return head + place;
}

/// The lines of the last `hours` that the file knows, in the order of time. Throws
/// std::runtime_error.
inline std::vector<std::string> read_last(const std::string& path, int hours) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
        if (!parse_quake(line)) throw std::runtime_error("read " + path + ": not a quake: " + line);
        lines.push_back(line);
    }
    if (lines.empty()) throw std::runtime_error("read " + path + ": no such file, or no records");
    const auto first = parse_quake(lines.back())->time_ms - std::int64_t{hours} * 3'600'000;
    std::erase_if(lines, [&](const std::string& l) { return parse_quake(l)->time_ms < first; });
    return lines;
}

/// The lines by topic, for the topics that match.
inline std::map<std::string, std::vector<std::string>> by_topic(
    const std::vector<std::string>& lines, std::string_view pattern) {
    std::map<std::string, std::vector<std::string>> topics;
    for (const std::string& line : lines) {
        const std::string name = topic(*parse_quake(line));
        if (matches(pattern, name)) topics[name].push_back(line);
    }
    return topics;
}

}  // namespace quakes
