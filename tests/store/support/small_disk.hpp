#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

/// A file system in memory that is as large as a test wants, seen by this process alone: a mount
/// namespace of its own, as root or where a user may have one.
///
/// Threads: one at a time; the first call before the process has other threads.
namespace cairn::test {

/// Mounts it; empty, or why that cannot be done here.
std::string mount_small_disk(const std::filesystem::path& where, std::size_t bytes);
void unmount_small_disk(const std::filesystem::path& where);

}  // namespace cairn::test
