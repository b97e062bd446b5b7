#pragma once

#include <cairn/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace cairn::protocol {

/// The epoch for a source's new run: above the saved one and above `known` (another's that was met
/// while starting), and not below the wall clock in milliseconds, so that it rises without anything
/// saved too. Nothing when there is no higher number.
std::optional<epoch> choose_epoch(std::optional<epoch> saved, std::optional<epoch> known,
                                  wall_time now) noexcept;

enum class epoch_standing : std::uint8_t {
    current,  ///< the highest met so far
    newer,    ///< higher than any met before, or the first
    older,    ///< fenced: a higher one was met
    twin,     ///< as high as the highest, and another node's: two runs have one number
};

/// The highest epoch that was met of each (topic, source), and at which node.
///
/// Owns:    its entries.
/// Threads: one at a time.
/// Fails:   std::bad_alloc.
/// Limits:  `entries_max` streams; beyond, the one that was judged longest ago is forgotten, and
///          its next run counts as the first.
class epoch_table {
public:
    explicit epoch_table(std::size_t entries_max);
    epoch_table(const epoch_table&) = delete;
    epoch_table& operator=(const epoch_table&) = delete;

    /// Where a run of that node stands, and notes it if it is newer.
    epoch_standing judge(std::string_view topic, std::string_view source, epoch run,
                         const node_id& at);
    /// The highest epoch met; does not count as judging.
    std::optional<epoch> highest(std::string_view topic, std::string_view source) const;
    std::size_t size() const noexcept { return entries_.size(); }

private:
    struct entry {
        std::string key;
        epoch highest;
        node_id at;
    };

    std::size_t entries_max_;
    std::list<entry> entries_;  // judged last is first
    std::unordered_map<std::string_view, std::list<entry>::iterator> by_key_;  // views of entry.key
};

}  // namespace cairn::protocol
