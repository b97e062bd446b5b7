#pragma once

namespace cairn::runtime {

// Two threads each store something, and then load what the other stored: one of them at least has
// to see it. Who does so all the time may leave the fence to who seldom does (Dice, Huang and Yang,
// "Asymmetric Dekker Synchronization", 2001; membarrier(2)).

/// Whether fence_all_threads() works here. If not, both have to fence themselves. Always the same.
bool can_fence_all_threads() noexcept;

/// Every other thread of the process has by its end done what it stored before, and does what it
/// loads after. A forked child may have to register anew. False: it has not worked, since the
/// process took the right to ask away from itself.
bool fence_all_threads() noexcept;

}  // namespace cairn::runtime
