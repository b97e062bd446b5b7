#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::test {

/// One thing that a process of a torture test saw, as a line of its log.
struct fact {
    enum class kind : char {
        invoked = 'i',    ///< a publisher is about to publish `text`
        published = 'p',  ///< it got this position
        durable = 'd',    ///< the store confirmed all of the run up to `first`
        lost = 'l',       ///< the store was told that it will never get `first` to `last`
        given = 'g',      ///< the group `who` was given `text`
        gap = 'x',        ///< it was told that `first` to `last` will not come
        acked = 'c',      ///< the store confirmed its ack
        stored = 's',     ///< in the store at the end, in its order
        wiped = 'w',      ///< the store forgot all that it had of its runs up to `epoch`
    };

    fact::kind what = kind::invoked;
    std::string who;     ///< a group; without spaces
    std::string source;  ///< whose run it is; without spaces
    std::uint64_t epoch = 0;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::string text;

    std::string line() const;
    /// Nothing for what a killed process did not finish.
    static std::optional<fact> from(std::string_view line);
};

/// The facts in a file, in its order; none when there is no such file.
std::vector<fact> read_history(const std::string& path);

/// Checks in one pass over the facts, where those of a publisher come before those of the store,
/// and these before those of groups, each in the order of its log. Returns what is wrong, each line
/// beginning with its rule:
///
/// C1  all that was confirmed is given to each group, unless it was told as lost
/// C2  what is given or stored was invoked
/// C3  a position holds one content everywhere
/// C4  of each source, first deliveries of a group, and what is stored, are in order
/// C5  what a group's confirmed ack named does not come again
/// C6  what was invoked is stored at most once
/// C7  all that was confirmed is in the store, unless it was told as lost
/// C9  what a group was given and what it was told as gaps leaves no hole
///
/// C8, that all is quiet in time, is for who waits. Of runs that a store forgot, which are a
/// history's first facts, C1, C5 and C7 ask nothing; the other rules hold.
std::vector<std::string> check_history(const std::vector<fact>& facts,
                                       const std::vector<std::string>& groups);

}  // namespace cairn::test
