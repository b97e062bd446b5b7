#pragma once

#include <cairn/protocol/topics.hpp>

namespace cairn::patterns {

using protocol::matches;
using protocol::valid_pattern;
using protocol::valid_topic;

}  // namespace cairn::patterns
