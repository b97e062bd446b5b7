#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cairn::test {

/// A rule that a simulation breaks on purpose, to see that it notices.
enum class planted : std::uint8_t {
    nothing,
    store_confirms_before_its_sync,
    publisher_goes_on_where_it_was,  ///< when a store returns
    publisher_names_no_loss,         ///< skips what neither ring nor spill has
    reader_believes_the_first_gone,  ///< tells a gap though the store has the messages
    reader_asks_for_no_repair,
    reader_enters_a_restart_at_once,  ///< before the store gave the rest of the run
    reader_asks_the_store_only_once,  ///< and waits for what that never hears of
    publisher_hides_what_it_owes,     ///< of earlier runs
};

/// How often the interesting things happened.
struct sights {
    std::uint64_t live = 0;       ///< batches given from a ring
    std::uint64_t history = 0;    ///< from the store
    std::uint64_t joined = 0;     ///< a reader came from history to live
    std::uint64_t fell_back = 0;  ///< and the other way
    std::uint64_t restarts = 0;   ///< of the publisher, told to a reader
    std::uint64_t gaps = 0;       ///< and tails
    std::uint64_t orphaned = 0;
    std::uint64_t spilled = 0;     ///< batches
    std::uint64_t lost = 0;        ///< ranges that the store was told
    std::uint64_t duplicates = 0;  ///< dropped by readers
    std::uint64_t debts = 0;       ///< of earlier runs, that a later one found in its spill
    std::uint64_t twins = 0;       ///< runs that began while the one before lived
    std::uint64_t fenced = 0;      ///< of those, told so by the store
    std::uint64_t takeovers = 0;   ///< a member became active
    std::uint64_t wipes = 0;       ///< of the store
};

/// Publishers of one or two sources, a store, the members of a durable group, and a reader that
/// begins live, on a manual clock: ring, feed, splice and ack batcher, a model of the store, and
/// links that delay, fall silent and break. Each party is killed and started again; a run may pay
/// what the one before left in its spill, or live on as its twin; the store may refuse a source,
/// and is wiped now and then; acks come in any order; then all that stops. Returns what went wrong:
/// - messages of a run given out of order or twice, or a hole that no gap covers;
/// - a gap over messages that the ring or the store holds, told by a reader that waits for both;
/// - a confirm of what is not in the store;
/// - a store with a hole, or with two contents for a position;
/// - anything stored that a group in the end was neither given nor told of;
/// - a run that is published, and that a reader does not come to;
/// - an ack that is not in the store after all is quiet, also when that was replaced;
/// - a twin that was not told that it is fenced.
std::optional<std::string> run_durable_schedule(std::uint64_t seed, planted bug = planted::nothing,
                                                sights* seen = nullptr);

}  // namespace cairn::test
