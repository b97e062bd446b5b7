#include "harness/report.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace cairn::bench {

namespace {

std::string formatted(const char* format, double value) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), format, value);
    return text.data();
}

// Names and texts are ours: letters, digits and signs that need no escape.
std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

class json_object {
public:
    void add(std::string_view name, const std::string& value) {
        text_ += text_.empty() ? "{" : ", ";
        text_ += quoted(name) + ": " + value;
    }
    void add(std::string_view name, std::optional<double> value) {
        add(name, value && std::isfinite(*value) ? formatted("%.9g", *value) : "null");
    }
    std::string done() const { return text_ + "}"; }

private:
    std::string text_;
};

std::string size_text(std::size_t bytes) {
    if (bytes >= 1'024 && bytes % 1'024 == 0) return std::to_string(bytes / 1'024) + " KiB";
    return std::to_string(bytes) + " B";
}

std::string rate_text(std::optional<double> per_s) {
    if (!per_s) return "-";
    if (*per_s >= 999'500) return formatted("%.2f M", *per_s * 1e-6);
    if (*per_s >= 9'995) return formatted("%.0f k", *per_s * 1e-3);
    return formatted("%.0f  ", *per_s);
}

std::string number_text(const char* format, std::optional<double> value) {
    return value ? formatted(format, *value) : "-";
}

struct column {
    std::string_view title;
    int width;  ///< negative: to the left
};

constexpr std::array<column, 11> columns{{{"scenario", -17},
                                          {"size", 7},
                                          {"transport", 9},
                                          {"peers", 5},
                                          {"messages/s", 11},
                                          {"MB/s", 8},
                                          {"p50 us", 10},
                                          {"p99 us", 10},
                                          {"baseline", 11},
                                          {"ratio", 7},
                                          {"target", -26}}};

std::string in_columns(const std::array<std::string, columns.size()>& cells) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const auto width = static_cast<std::size_t>(std::abs(columns[i].width));
        const std::string padding(width > cells[i].size() ? width - cells[i].size() : 0, ' ');
        if (i > 0) line += "  ";
        line += columns[i].width < 0 ? cells[i] + padding : padding + cells[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
}

std::string baseline_text(const row& result) {
    if (result.baseline_p50_us) return formatted("%.3g us", *result.baseline_p50_us);
    return rate_text(result.baseline_messages_per_s);
}

std::string target_text(const row& result) {
    if (!result.met) return result.target;
    return result.target + (*result.met ? ": met" : ": NOT MET");
}

}  // namespace

std::string to_json(const row& result) {
    json_object json;
    json.add("scenario", quoted(result.scenario));
    json.add("size", std::to_string(result.size));
    json.add("transport", quoted(result.transport));
    json.add("peers", std::to_string(result.peers));
    json.add("rounds", std::to_string(result.rounds));
    json.add("messages_per_s", result.messages_per_s);
    json.add("mb_per_s", result.mb_per_s);
    json.add("p50_us", result.p50_us);
    json.add("p99_us", result.p99_us);
    json.add("baseline_messages_per_s", result.baseline_messages_per_s);
    json.add("baseline_p50_us", result.baseline_p50_us);
    json.add("ratio", result.ratio);
    json.add("ratio_min", result.ratio_min);
    json.add("ratio_max", result.ratio_max);
    for (const auto& [name, value] : result.details) json.add(name, value);
    json.add("baseline", result.baseline.empty() ? "null" : quoted(result.baseline));
    if (!result.trials.empty()) {
        json_object trials;
        for (const auto& [name, value] : result.trials) trials.add(name, value);
        json.add("baseline_trials", trials.done());
    }
    json.add("target", result.target.empty() ? "null" : quoted(result.target));
    json.add("met", result.met ? (*result.met ? "true" : "false") : "null");
    return json.done();
}

std::string table_heading() {
    std::array<std::string, columns.size()> cells;
    for (std::size_t i = 0; i < cells.size(); ++i) cells[i] = columns[i].title;
    return in_columns(cells);
}

std::string to_table_line(const row& result) {
    std::string line = in_columns(
        {result.scenario, size_text(result.size), result.transport, std::to_string(result.peers),
         rate_text(result.messages_per_s), number_text("%.1f", result.mb_per_s),
         number_text("%.4g", result.p50_us), number_text("%.4g", result.p99_us),
         baseline_text(result), number_text("%.2f", result.ratio), target_text(result)});
    for (const auto& [name, value] : result.details)
        line += "\n    " + name + " " + formatted("%.4g", value);
    return line;
}

}  // namespace cairn::bench
