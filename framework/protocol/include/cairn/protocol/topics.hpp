#pragma once

#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <string_view>

namespace cairn::protocol {

/// Topics are printable UTF-8 without `*` and without control characters.
inline bool valid_topic(std::string_view topic) noexcept {
    return !topic.empty() && topic.size() <= wire::topic_bytes_max &&
           std::none_of(topic.begin(), topic.end(),
                        [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '*'; });
}

/// A pattern is a topic, or the beginning of topics followed by one `*`; `*` alone is all.
inline bool valid_pattern(std::string_view pattern) noexcept {
    if (pattern == "*") return true;
    if (pattern.ends_with('*')) pattern.remove_suffix(1);
    return valid_topic(pattern);
}

/// Requires: valid_pattern(pattern).
inline bool matches(std::string_view pattern, std::string_view topic) noexcept {
    return pattern.ends_with('*') ? topic.starts_with(pattern.substr(0, pattern.size() - 1))
                                  : topic == pattern;
}

}  // namespace cairn::protocol
