#pragma once

#include <cairn/protocol/topics.hpp>
#include <cairn/runtime/printable.hpp>
#include <cairn/wire/limits.hpp>

#include <string>
#include <string_view>

namespace cairn::patterns {

using protocol::matches;
using protocol::valid_pattern;
using protocol::valid_topic;

/// A topic or pattern in the text of an error, which may be about what is wrong with it.
inline std::string shown(std::string_view topic) {
    return runtime::printable(topic, wire::topic_bytes_max);
}

}  // namespace cairn::patterns
