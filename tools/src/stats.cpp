// cairn stats: what a store says of itself.
#include "verbs.hpp"

#include <cstdio>

namespace cairn::tools {

namespace {

struct stats_options {
    common_options common{};
};

std::string hex(const generation& of) {
    std::string text;
    for (const std::byte b : of.bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(b));
        text += digits;
    }
    return text;
}

int stats(const stats_options& given) {
    store_session with(given.common);
    const store_figures figures = with.store.figures();
    if (given.common.json) {
        json values = json::object();
        for (const auto& [name, value] : figures.values) values[name] = value;
        with.out.object(json{{"generation", hex(figures.generation)}, {"values", values}});
    } else {
        table shown({"FIGURE", "VALUE"});
        for (const auto& [name, value] : figures.values) {
            const bool bytes = name.ends_with("_bytes");
            shown.row({name, bytes ? shown_bytes(value) : std::to_string(value)});
        }
        with.out.line("generation " + hex(figures.generation));
        shown.print(with.out);
    }
    with.out.flush();
    return 0;
}

}  // namespace

void add_stats(CLI::App& cairn, action& chosen) {
    const auto [line, to] =
        add_verb(cairn, "stats", "shows what a store says of itself", chosen, &stats);
    add_common(line, to.common);
}

}  // namespace cairn::tools
