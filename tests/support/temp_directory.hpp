#pragma once

#include <filesystem>
#include <string_view>

namespace cairn::test {

/// A directory of the test's own, new and empty.
///
/// Owns:    the directory and all in it: both are gone with the object.
/// Threads: one at a time.
/// Fails:   construction throws std::system_error; removal that fails is left to the system.
/// Limits:  the path is short enough for an ipc endpoint in it (107 bytes).
class temp_directory {
public:
    temp_directory();
    ~temp_directory();
    temp_directory(const temp_directory&) = delete;
    temp_directory& operator=(const temp_directory&) = delete;

    const std::filesystem::path& path() const noexcept { return path_; }
    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

}  // namespace cairn::test
