#pragma once

#include "unique_fd.hpp"

#include <cairn/error.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

namespace cairn::runtime {

/// Throws error: "OPERATION PATH: reason".
[[noreturn]] inline void throw_file_error(std::string_view operation,
                                          const std::filesystem::path& path, int fault) {
    throw error(errc_of(fault),
                std::string(operation) + " " + path.string() + ": " + std::strerror(fault));
}

/// What was made, renamed or removed in a directory is so after a crash as well. False: see errno.
inline bool sync_directory(const std::filesystem::path& directory) {
    const unique_fd opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return opened && ::fsync(opened.get()) == 0;
}

/// Makes the directory unless it is there, for its user alone. It is there after a crash as well,
/// as far as its parent may be read. Throws error: "OPERATION PATH: reason".
inline void make_directory(std::string_view operation, const std::filesystem::path& directory) {
    const bool made = ::mkdir(directory.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) throw_file_error(operation, directory, errno);
    // Who made it before may have crashed behind that.
    const auto parent = std::filesystem::absolute(directory).parent_path();
    if (!sync_directory(parent) && made && errno != EACCES) throw_file_error("sync", parent, errno);
}

}  // namespace cairn::runtime
