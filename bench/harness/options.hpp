#pragma once

#include "harness/role.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cairn::bench {

/// What the user asked for.
struct options {
    std::string scenario;
    std::optional<std::size_t> size;
    std::optional<std::size_t> peers;
    std::optional<std::size_t> topics;
    std::optional<std::uint64_t> messages;
    std::optional<std::uint64_t> rate;
    std::string directory;  ///< where databases are made; empty: where temporary files go
    std::string transport = "tcp";
    double flush_ms = 0;     ///< that each flush takes longer than the disk does: emulated
    double seconds = 16;     ///< that the whole scenario takes, about
    std::size_t rounds = 0;  ///< 0: the scenario's own number
    bool only_cairn = false;
    bool only_baseline = false;
    bool json = false;
    bool list = false;
};

/// What a process is told that the harness started: hidden arguments of the same program.
struct role_options {
    std::vector<std::string> roles;  ///< NAME:LANE; several run as threads of one process
    std::string endpoint;
    bench::traffic traffic;
    std::size_t lanes = 0;
    int board_fd = -1;
    int report_fd = -1;
};

struct command_line {
    bench::options options;
    role_options role;
};

/// Reads the arguments. When there is nothing to run (help, or a mistake, which it explains on
/// standard error), returns nothing and sets `exit_code`.
std::optional<command_line> parse(int argc, char** argv, int& exit_code);

/// The arguments that make parse() return `role`; the report descriptor is added by child_process.
std::vector<std::string> arguments_for(const role_options& role);

}  // namespace cairn::bench
