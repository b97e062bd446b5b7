#pragma once

#include <cairn/ids.hpp>
#include <cairn/runtime/ipc_lock.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace cairn::runtime {

/// The last epoch of each (topic, source) of a node, kept in one file of its state directory so
/// that a restart takes a higher one even if the clock went back.
///
/// Owns:    the directory's lock, as long as it lives: a second node there is refused.
/// Threads: thread-safe.
/// Fails:   construction throws error (address_in_use, permission_denied, malformed when the file
///          is damaged: the text says which file and what to do); take() throws error
///          (permission_denied, limit_exceeded, full) and then has taken nothing.
/// Limits:  entries_max sources; topics and sources up to wire::topic_bytes_max.
class saved_epochs {
public:
    static constexpr std::size_t entries_max = 65'536;

    /// Makes the directory (mode 0700) when it is missing.
    explicit saved_epochs(const std::filesystem::path& directory);
    saved_epochs(const saved_epochs&) = delete;
    saved_epochs& operator=(const saved_epochs&) = delete;

    /// The epoch of a new run: above the saved one and not below the clock's milliseconds. It is on
    /// disk when the call returns. Blocks for a sync.
    epoch take(std::string_view topic, std::string_view source, wall_time now);

    std::optional<epoch> last(std::string_view topic, std::string_view source) const;

private:
    using table = std::map<std::pair<std::string, std::string>, epoch>;

    static table load(const std::filesystem::path& file);
    void store(const table& entries) const;

    std::filesystem::path directory_;
    ipc_lock lock_;
    mutable std::mutex mutex_;
    table entries_;
};

/// The epoch of a new run that saves nothing: the clock's milliseconds.
epoch epoch_of(wall_time now) noexcept;

}  // namespace cairn::runtime
