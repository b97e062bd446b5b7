#pragma once

#include <filesystem>

/// What cairnd does with data instead of serving it. Each prints what it found or did, and throws
/// error as the functions of <cairn/store/maintenance.hpp> do.
namespace cairn::daemon {

/// Walks everything that is stored. False: something is damaged, and was told.
bool verify_data(const std::filesystem::path& data);
/// Gives room that is free inside the file back to the disk.
void compact_data(const std::filesystem::path& data);
/// Copies the data of a cairnd that runs, or of none, to `target`.
void back_up_data(const std::filesystem::path& data, const std::filesystem::path& target);

}  // namespace cairn::daemon
