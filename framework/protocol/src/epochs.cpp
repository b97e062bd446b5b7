#include <cairn/protocol/epochs.hpp>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <limits>

namespace cairn::protocol {

namespace {

// The length keeps ("ab", "c") and ("a", "bc") apart whatever bytes the names are made of.
std::string key_of(std::string_view topic, std::string_view source) {
    std::string key;
    key.reserve(topic.size() + source.size() + 2);
    key += static_cast<char>(topic.size() & 0xff);
    key += static_cast<char>(topic.size() >> 8 & 0xff);
    key += topic;
    key += source;
    return key;
}

}  // namespace

std::optional<epoch> choose_epoch(std::optional<epoch> saved, std::optional<epoch> known,
                                  wall_time now) noexcept {
    const auto ms = std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()).count();
    epoch chosen{ms > 0 ? static_cast<std::uint64_t>(ms) : 1};
    for (const auto& lower : {saved, known}) {
        if (!lower) continue;
        if (lower->value == std::numeric_limits<std::uint64_t>::max()) return std::nullopt;
        chosen = std::max(chosen, epoch{lower->value + 1});
    }
    return chosen;
}

epoch_table::epoch_table(std::size_t entries_max) : entries_max_(entries_max) {
    assert(entries_max != 0);
}

epoch_standing epoch_table::judge(std::string_view topic, std::string_view source, epoch run,
                                  const node_id& at) {
    std::string key = key_of(topic, source);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) {
        entries_.push_front({.key = std::move(key), .highest = run, .at = at});
        by_key_.emplace(entries_.front().key, entries_.begin());
        if (entries_.size() > entries_max_) {
            by_key_.erase(entries_.back().key);
            entries_.pop_back();
        }
        return epoch_standing::newer;
    }
    entry& known = *found->second;
    entries_.splice(entries_.begin(), entries_, found->second);
    if (run < known.highest) return epoch_standing::older;
    if (run == known.highest)
        return at == known.at ? epoch_standing::current : epoch_standing::twin;
    known.highest = run;
    known.at = at;
    return epoch_standing::newer;
}

std::optional<epoch> epoch_table::highest(std::string_view topic, std::string_view source) const {
    const auto found = by_key_.find(key_of(topic, source));
    if (found == by_key_.end()) return std::nullopt;
    return found->second->highest;
}

}  // namespace cairn::protocol
