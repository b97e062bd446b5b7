#pragma once

#include "bytes.hpp"

#include <string>

namespace cairn::store {

/// A record of `state` in words, for a person: "group 3", "the last message of key oil".
/// Its topic, the key's first four bytes, is left to the caller. Any bytes.
std::string name_of_state(bytes key);

/// The same for an entry of the index: "the index of source 1, epoch 5, from sequence 100".
std::string name_of_index(bytes key);

}  // namespace cairn::store
