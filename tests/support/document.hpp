#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::test {

/// A ```hex frame=NAME block: bytes in hex, explained behind a semicolon.
struct hex_block {
    std::string name;
    std::size_t line = 0;  ///< of its first fence
    std::vector<std::byte> bytes;
};

/// A table's row, without its header and ruler; cells trimmed.
using row = std::vector<std::string>;

struct table {
    std::string heading;  ///< the nearest heading above, without number signs
    row header;
    std::vector<row> rows;
};

/// The parts of a specification that are compared with the code.
///
/// Fails: throws std::runtime_error that says what is missing or does not parse.
struct document {
    std::vector<hex_block> blocks;
    std::vector<table> tables;

    /// The first table with that header cell.
    const table& table_with(std::string_view header_cell) const;
    /// The first table below that heading; null when there is none.
    const table* table_below(std::string_view heading) const;
};

document read_document(const std::string& path);

/// "65,536" as a number.
std::size_t number_of(std::string_view cell);

}  // namespace cairn::test
