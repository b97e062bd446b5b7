#include "document.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace cairn::test {

namespace {

constexpr std::string_view hex_fence = "```hex frame=";

std::string trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

row cells_of(std::string_view line) {
    row cells;
    std::istringstream in{std::string(line.substr(1))};
    for (std::string cell; std::getline(in, cell, '|');) cells.push_back(trimmed(cell));
    return cells;
}

bool is_ruler(const row& cells) {
    return std::ranges::all_of(
        cells, [](const std::string& c) { return c.find_first_not_of("-:") == std::string::npos; });
}

void append_hex(std::string_view line, hex_block& block) {
    std::istringstream in{std::string(line.substr(0, line.find(';')))};
    for (std::string two; in >> two;) {
        std::size_t used = 0;
        const int value = two.size() == 2 && std::isxdigit(static_cast<unsigned char>(two[0])) != 0
                              ? std::stoi(two, &used, 16)
                              : 0;
        if (used != 2) throw std::runtime_error(block.name + ": not a byte: " + two);
        block.bytes.push_back(static_cast<std::byte>(value));
    }
}

}  // namespace

const table& document::table_with(std::string_view header_cell) const {
    for (const table& t : tables)
        if (std::ranges::find(t.header, header_cell) != t.header.end()) return t;
    throw std::runtime_error("no table with a column named " + std::string(header_cell));
}

const table* document::table_below(std::string_view heading) const {
    const auto found =
        std::ranges::find_if(tables, [&](const table& t) { return t.heading == heading; });
    return found == tables.end() ? nullptr : &*found;
}

document read_document(const std::string& path) {
    document doc;
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::string heading;
    bool fenced = false;
    bool in_hex = false;
    bool in_table = false;
    std::size_t number = 0;
    for (std::string line; std::getline(file, line);) {
        ++number;
        if (line.starts_with("```")) {
            in_hex = !fenced && line.starts_with(hex_fence);
            if (in_hex) doc.blocks.push_back({line.substr(hex_fence.size()), number, {}});
            fenced = !fenced;
        } else if (fenced) {
            if (in_hex) append_hex(line, doc.blocks.back());
        } else if (line.starts_with("#")) {
            heading = trimmed(line.substr(line.find_first_not_of('#')));
        } else if (line.starts_with("|")) {
            const row cells = cells_of(line);
            if (!in_table)
                doc.tables.push_back({heading, cells, {}});
            else if (!is_ruler(cells))
                doc.tables.back().rows.push_back(cells);
        }
        in_table = line.starts_with("|");
    }
    return doc;
}

std::size_t number_of(std::string_view cell) {
    std::string digits(cell);
    std::erase(digits, ',');
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos)
        throw std::runtime_error("not a number: " + std::string(cell));
    return std::stoull(digits);
}

}  // namespace cairn::test
