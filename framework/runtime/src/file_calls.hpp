#pragma once

#include "unique_fd.hpp"

#include <cairn/error.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include <fcntl.h>
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

}  // namespace cairn::runtime
