#pragma once

#include "receiving_side.hpp"

#include <cairn/ids.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/link.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace cairn::patterns {

/// Which older runs a reader has answered with FENCED already: once says all, for each link.
///
/// Threads: loop.
/// Limits:  entries_max streams over all links; beyond, all are forgotten, and told once more.
class fences_told {
public:
    explicit fences_told(std::size_t entries_max) : entries_max_(entries_max) {}

    /// A frame of the run `older` came over `from`, and `newer` is known: is that to be told?
    bool due(const runtime::link& from, std::string_view topic, std::string_view source,
             epoch older, epoch newer) {
        if (told_.size() >= entries_max_) told_.clear();
        std::pair<epoch, epoch>& told = told_[{from.number(), stream_key(topic, source)}];
        return std::exchange(told, {older, newer}) != std::pair(older, newer);
    }
    void forget(const runtime::link& gone) {
        told_.erase(told_.lower_bound({gone.number(), std::string()}),
                    told_.lower_bound({gone.number() + 1, std::string()}));
    }

private:
    const std::size_t entries_max_;
    std::map<std::pair<std::uint64_t, std::string>, std::pair<epoch, epoch>> told_;
};

/// Two nodes have one source and epoch: `later` is told to stop, and the user what happened.
inline void log_twin(runtime::hub& hub, const runtime::link& later, std::string_view topic,
                     std::string_view source) {
    hub.log(log_level::error, "conflict",
            later.description() + " has the same epoch of source " + std::string(source) + " on " +
                std::string(topic) +
                " as another node that came before: it is told to stop. Sources need names of "
                "their own; a run that follows another needs node_options::state_directory where "
                "the clock may go back");
}

}  // namespace cairn::patterns
