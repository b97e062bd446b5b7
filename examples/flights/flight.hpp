#pragma once

#include "support/text.hpp"

#include <cairn/ids.hpp>

#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace flights {

/// What the statistics need of one flight.
struct flight {
    int hour;   ///< of departure, 0 to 23
    int delay;  ///< minutes; negative: early

    bool operator==(const flight&) const = default;
};

/// Reads "2001-01-01T07:46,12,1750,DTW,LAS" (time, delay, and what is not looked at). Nothing when
/// the line has no time or no delay, as those of cancelled flights.
inline std::optional<flight> parse_flight(std::string_view line) {
    const auto field = examples::fields(line);
    if (field.size() < 2 || field[0].size() < 5) return {};
    const std::string_view time = field[0].substr(field[0].size() - 5);
    const auto hour = examples::number<unsigned>(time.substr(0, 2));
    const auto minute = examples::number<unsigned>(time.substr(3));
    const auto delay = examples::number<int>(field[1]);
    if (!hour || !minute || !delay || time[2] != ':' || *hour > 23 || *minute > 59) return {};
    if (*delay < -1'440 || *delay > 10'080) return {};  // a day early, a week late: not a delay
    return flight{static_cast<int>(*hour), *delay};
}

/// What a worker makes of a line: the position of the line, which names it however often it was
/// worked on, and its flight, if it was one.
struct parsed_line {
    cairn::position line;
    std::optional<flight> found;

    bool operator==(const parsed_line&) const = default;
};

inline std::string encode(const parsed_line& parsed) {
    return parsed.line.source + ',' + std::to_string(parsed.line.epoch.value) + ',' +
           std::to_string(parsed.line.sequence.value) +
           (parsed.found ? ',' + std::to_string(parsed.found->hour) + ',' +
                               std::to_string(parsed.found->delay)
                         : "");
}

/// The reverse of encode(). Throws std::invalid_argument.
inline parsed_line decode(std::string_view text) {
    const auto field = examples::fields(text);
    const auto epoch = examples::number<std::uint64_t>(field.size() > 1 ? field[1] : "");
    const auto sequence = examples::number<std::uint64_t>(field.size() > 2 ? field[2] : "");
    const auto hour = examples::number<int>(field.size() > 4 ? field[3] : "");
    const auto delay = examples::number<int>(field.size() > 4 ? field[4] : "");
    if (!epoch || !sequence || (field.size() != 3 && (field.size() != 5 || !hour || !delay))) {
        throw std::invalid_argument("not a parsed line: " + std::string(text));
    }
    parsed_line parsed{{std::string(field[0]), {*epoch}, {*sequence}}, {}};
    if (hour) parsed.found = flight{*hour, *delay};
    return parsed;
}

/// The lines of a CSV file without its heading. Throws std::runtime_error.
inline std::vector<std::string> read_lines(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) lines.push_back(line);
    if (lines.empty()) throw std::runtime_error("read " + path + ": no such file, or no records");
    return lines;
}

}  // namespace flights
