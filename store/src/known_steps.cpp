#include "upgrade.hpp"

#include <algorithm>
#include <iterator>

namespace cairn::store {

namespace {

// An entry of the index for each batch, as in format 1, or for each stretch, as in format 2, is
// what later formats may have too.
void leave_as_it_is(lmdb::transaction&, const databases&) {}

constexpr upgrade_step steps_known[] = {{1, leave_as_it_is, "0.1.0"}, {2, leave_as_it_is, "0.1.0"}};
static_assert(std::all_of(std::begin(steps_known), std::end(steps_known),
                          [](const upgrade_step& one) { return !one.needs.empty(); }));

}  // namespace

std::span<const upgrade_step> known_steps() { return steps_known; }

}  // namespace cairn::store
