#pragma once

#include "settings.hpp"

#include <string>
#include <vector>

/// The file that tells whoever started cairnd where it listens.
namespace cairn::daemon {

/// Throws settings_error, with where the setting came from, when write_ports_file() would fail.
/// Leaves nothing there.
void check_ports_file(const settings& chosen, const std::vector<const given_values*>& sources);

/// Whoever waits for the file finds it whole. It takes the place of a file, and of nothing else: a
/// pipe, a device or a symbolic link stays, and throws settings_error.
void write_ports_file(const std::filesystem::path& file, const std::vector<std::string>& endpoints);

}  // namespace cairn::daemon
