#include "record_names.hpp"

#include "keys.hpp"

#include <algorithm>
#include <cctype>

namespace cairn::store {

namespace {

// A damaged key may hold anything.
std::string printed(bytes text) {
    std::string shown(text_of(text));
    std::replace_if(
        shown.begin(), shown.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, '?');
    return shown;
}

template <typename T>
std::string number_at(bytes k, std::size_t at) {
    return k.size() < at + sizeof(T) ? "?" : std::to_string(load_be<T>(k.data() + at));
}

}  // namespace

std::string name_of_state(bytes k) {
    if (k.size() < state_prefix_bytes) return "a record whose key is none";
    const bytes rest = k.subspan(state_prefix_bytes);
    const std::string name = printed(rest);
    const std::string number = number_at<std::uint32_t>(rest, 0);
    const auto of_group = [&](const char* what) { return what + (" of group " + number); };
    switch (static_cast<char>(k[state_prefix_bytes - 1])) {
        case 'M':
            return "the meta record";
        case 'C':
            return "the store's counters";
        case 'N':
            return "the name " + name + " of a topic";
        case 'T':
            return "the topic's record";
        case 'S':
            return "source " + number;
        case 's':
            return "the name " + name + " of a source";
        case 'R':
            return "an ended run of source " + number;
        case 'G':
            return "group " + number;
        case 'g':
            return "the name " + name + " of a group";
        case 'B':
            return of_group("acks");
        case 'A':
            return of_group("an attempt");
        case 'U':
            return of_group("what was not told");
        case 'D':
            return "the story of letter " + number_at<std::uint64_t>(rest, 0);
        case 'K':
            return "the last message of key " + name;
        default:
            return "a record of a kind that is none";
    }
}

std::string name_of_index(bytes k) {
    if (k.size() != index_key_bytes) return "an entry of the index whose key is none";
    return "the index of source " + number_at<std::uint32_t>(k, 4) + ", epoch " +
           number_at<std::uint64_t>(k, 8) + ", from sequence " + number_at<std::uint64_t>(k, 16);
}

}  // namespace cairn::store
