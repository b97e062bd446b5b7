#pragma once

#include "support/text.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace metrics {

/// One look at the machine and at the process itself.
struct sample {
    int load = 0;             ///< load average of one minute, in hundredths
    int cpu = 0;              ///< busy share of all processors since the last look, in thousandths
    int memory = 0;           ///< share of the memory that is in use, in thousandths
    std::int64_t own_kb = 0;  ///< memory of this process, KiB

    bool operator==(const sample&) const = default;
};

inline std::string encode(const sample& s) {
    return std::to_string(s.load) + ',' + std::to_string(s.cpu) + ',' + std::to_string(s.memory) +
           ',' + std::to_string(s.own_kb);
}

inline std::optional<sample> decode(std::string_view text) {
    const auto field = examples::fields(text);
    if (field.size() != 4) return {};
    const auto load = examples::number<int>(field[0]);
    const auto cpu = examples::number<int>(field[1]);
    const auto memory = examples::number<int>(field[2]);
    const auto own = examples::number<std::int64_t>(field[3]);
    if (!load || !cpu || !memory || !own) return {};
    return sample{*load, *cpu, *memory, *own};
}

inline std::string read_file(const char* path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// "0.42 0.30 …" of /proc/loadavg as 42; 0 when it says something else.
inline int parse_load(std::string_view loadavg) {
    std::string digits(loadavg.substr(0, loadavg.find(' ')));
    std::erase(digits, '.');
    return examples::number<int>(digits).value_or(0);
}

/// The number of KiB behind `name` in /proc/meminfo or /proc/self/status; 0 when it is not there.
inline std::int64_t parse_kb(std::string_view text, std::string_view name) {
    auto at = text.find(name);
    if (at == text.npos) return 0;
    at = text.find_first_of("0123456789", at + name.size());
    if (at == text.npos) return 0;
    return examples::number<std::int64_t>(text.substr(at, text.find(' ', at) - at)).value_or(0);
}

/// Time of all processors since the machine started, in clock ticks.
struct cpu_time {
    std::uint64_t busy = 0;
    std::uint64_t total = 0;
};

/// The first line of /proc/stat: user nice system idle iowait irq softirq steal (the guests' time
/// that follows is in user already).
inline cpu_time parse_cpu(std::string_view stat) {
    cpu_time time;
    stat = stat.substr(0, stat.find('\n'));
    for (int column = 0; column < 8; ++column) {
        const auto at = stat.find_first_of("0123456789");
        if (at == stat.npos) break;
        stat.remove_prefix(at);
        const auto end = std::min(stat.find(' '), stat.size());
        const auto ticks = examples::number<std::uint64_t>(stat.substr(0, end)).value_or(0);
        time.total += ticks;
        if (column != 3 && column != 4) time.busy += ticks;
        stat.remove_prefix(end);
    }
    return time;
}

/// Looks at the machine; `before` is the last look's processor time, and becomes this one's.
inline sample look(cpu_time& before) {
    const cpu_time now = parse_cpu(read_file("/proc/stat"));
    const auto total = now.total - before.total;
    const auto busy = now.busy - before.busy;
    before = now;
    const std::string memory = read_file("/proc/meminfo");
    const auto all = parse_kb(memory, "MemTotal:");
    const auto free = parse_kb(memory, "MemAvailable:");
    return {.load = parse_load(read_file("/proc/loadavg")),
            .cpu = total > 0 && busy <= total ? static_cast<int>(busy * 1'000 / total) : 0,
            .memory = all > 0 ? static_cast<int>((all - free) * 1'000 / all) : 0,
            .own_kb = parse_kb(read_file("/proc/self/status"), "VmRSS:")};
}

/// What the reader knows of one agent.
struct agent {
    std::uint64_t samples = 0;
    sample last;
};

/// One line an agent, under a heading; at most 80 columns.
inline std::string table(const std::map<std::string, agent>& agents, std::uint64_t expected) {
    using examples::mean, examples::right;
    std::string text = examples::coloured(
        2, "  agent       samples    load     cpu               memory               own\n");
    const auto share = [](int thousandths) {
        const auto drawn = examples::bar(thousandths, 1'000, 10);
        // A character of a bar is three bytes and one column.
        return right(mean(thousandths, 10), 7) + " % " + examples::coloured(36, drawn) +
               std::string(10 - drawn.size() / 3, ' ');
    };
    for (const auto& [name, seen] : agents) {
        text += "  " + examples::left(name, 10) +
                right(std::to_string(seen.samples) + "/" + std::to_string(expected), 9) +
                right(mean(seen.last.load, 100), 8) + share(seen.last.cpu) +
                share(seen.last.memory) + right(mean(seen.last.own_kb, 1'024), 7) + " MB\n";
    }
    return text;
}

}  // namespace metrics
