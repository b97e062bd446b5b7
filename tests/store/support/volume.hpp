#pragma once

#include "unit/protocol/random.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

/// All that changes under one directory, whoever asks for it: the program that links volume.cpp
/// defines the calls that make, write, size, sync, rename and remove files itself. Each is a step,
/// at which the process can end or the call fail. Those that open what is there, read it with
/// pread() or map it are looks, and can fail.
///
/// Threads: one directory at a time; started and stopped while nothing else runs.
namespace cairn::test::volume {

enum class fate {
    done,
    io_error,
    no_space,
    no_quota,
    read_only,
    interrupted,
    cut_short,     ///< a write: half of it; others are done
    killed,        ///< the process is killed in front of the call
    killed_in_it,  ///< behind it; a write has come half the way
};

struct event {
    enum class kind {
        name,  ///< `path` leads to `file` from now on; no_file: to nothing
        make_dir,
        write,
        size,
        sync,      ///< of a file
        sync_dir,  ///< of `path`
        confirm,
    };
    kind what = kind::write;
    std::string path;  ///< below the directory; "" is itself
    std::uint64_t file = 0;
    std::uint64_t offset = 0;  ///< size: the new one
    std::vector<std::byte> bytes;
    bool synced = false;      ///< a write on a descriptor with O_DSYNC
    std::uint64_t token = 0;  ///< confirm: the caller's
};
inline constexpr std::uint64_t no_file = 0;

/// Looks at that directory, which is empty, from now on, and keeps what happens.
void start(const std::filesystem::path& directory);
/// The calls from now on are counted from 0: number `at` meets that fate, or all from it on do.
void plan(fate what, std::uint64_t at, bool lasting);
/// The same for looks, which fail with an error of input and output.
void plan_looks(std::uint64_t at, bool lasting);
/// How many there were since plan(), plan_looks() or start().
std::uint64_t looks();
/// No call meets another fate any more. Returns how many there were since plan() or start().
std::uint64_t unplan();
/// Calls that met their fate since plan().
std::uint64_t strikes();
void confirm(std::uint64_t token);
std::vector<event> stop();

/// What a power cut at event `at` leaves, made below `target`. On the disk is: of a file what was
/// written before its last sync, or on a descriptor with O_DSYNC; of a name what it was at the last
/// sync of its directory. Of the rest each sector of 512 bytes is there or not, and a name is what
/// it was at any moment since: `percent` says how often something later has arrived.
void leave_after_cut(const std::vector<event>& events, std::size_t at, std::uint64_t percent,
                     dice& random, const std::filesystem::path& target);

}  // namespace cairn::test::volume
