#pragma once

#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::tools {

/// Members stay in the order in which they were added.
using json = nlohmann::ordered_json;

/// Whoever read our output is gone: time to leave without a word.
struct output_closed : std::runtime_error {
    output_closed() : std::runtime_error("the output is closed") {}
};

/// What others wrote, so that it neither forges lines nor steers a terminal: control characters and
/// bytes that are no UTF-8 as \xNN.
std::string escaped(std::string_view text);

/// Adds `text` as `name`, or, when it is no UTF-8, in base64 as `name`_base64.
void add_text(json& to, const std::string& name, std::string_view text);

std::string base64(std::string_view bytes);

/// Standard output.
///
/// Owns:    what was added and not written.
/// Threads: one at a time.
/// Fails:   write throws output_closed, or std::system_error.
/// Limits:  none; flush() when it suits.
class printer {
public:
    void object(const json& one);
    void line(std::string_view text);
    std::size_t waiting() const noexcept { return waiting_.size(); }
    void flush();

    /// Nobody reads any more; what was written so far may have arrived.
    static bool closed() noexcept;

private:
    std::string waiting_;
};

/// Columns below each other.
class table {
public:
    explicit table(std::vector<std::string> heads);
    /// As many cells as heads. What others wrote is escaped.
    void row(std::vector<std::string> cells);
    /// Numbers and sizes to the right, all else to the left.
    void print(printer& to) const;

private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace cairn::tools
