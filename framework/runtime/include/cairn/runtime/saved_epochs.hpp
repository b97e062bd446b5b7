#pragma once

#include <cairn/ids.hpp>
#include <cairn/runtime/ipc_lock.hpp>

#include <cstdint>
#include <filesystem>
#include <mutex>

namespace cairn::runtime {

/// Gives out epochs that rise over restarts even when the clock goes back. One number in one file
/// of a node's state directory serves all its topics and sources: an epoch has to be above the last
/// one of its own source, and this one is above all that the directory ever gave.
///
/// The file holds the end of a range of epochs_ahead epochs, so that most calls write nothing; a
/// restart begins behind the range.
///
/// Owns:    the directory's lock, as long as it lives: a second node there is refused.
/// Threads: thread-safe.
/// Fails:   construction throws error (address_in_use, permission_denied, address_invalid;
///          malformed when the file is damaged: the text says which file and what to do). take()
///          throws error (permission_denied, full, limit_exceeded) and then gives nothing out.
/// Limits:  one file below 128 bytes; at most one sync in epochs_ahead calls or milliseconds.
class saved_epochs {
public:
    static constexpr std::uint64_t epochs_ahead = 1'000;

    /// Makes the directory (mode 0700) when it is missing, but not its parent.
    explicit saved_epochs(std::filesystem::path directory);
    saved_epochs(const saved_epochs&) = delete;
    saved_epochs& operator=(const saved_epochs&) = delete;

    /// The epoch of a new run of any source: above all earlier ones and not below the clock's
    /// milliseconds. What makes that true after a crash is on disk when the call returns; may block
    /// for a sync.
    epoch take(wall_time now);

private:
    std::filesystem::path directory_;
    ipc_lock lock_;
    std::mutex mutex_;
    std::uint64_t last_;   // given out, or possibly given out before a restart
    std::uint64_t saved_;  // no epoch above it may be given out
};

/// The epoch of a new run without a state directory: above all that this process gave out so, and
/// not below the clock's milliseconds. Thread-safe.
epoch epoch_of(wall_time now) noexcept;

}  // namespace cairn::runtime
