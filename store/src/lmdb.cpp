#include "lmdb.hpp"

#include "sabotage.hpp"

#include <cerrno>

namespace cairn::store::lmdb {

namespace {

constexpr std::size_t map_bytes_least = std::size_t{256} << 20;

// A database file needs its directory to be writable by us alone.
constexpr mdb_mode_t file_mode = 0600;

int open_with(MDB_env*& env, const std::filesystem::path& directory, const settings& chosen,
              std::size_t map_bytes) {
    expect_success("mdb_env_create", mdb_env_create(&env));
    int code = mdb_env_set_mapsize(env, map_bytes);
    if (code == 0) code = mdb_env_set_maxreaders(env, chosen.readers_max);
    if (code == 0) code = mdb_env_set_maxdbs(env, 8);
    const unsigned flags = chosen.flags | (sabotaged("no-sync") ? MDB_NOSYNC : 0U);
    if (code == 0) code = mdb_env_open(env, directory.c_str(), flags | MDB_NOTLS, file_mode);
    if (code == 0) return 0;
    mdb_env_close(env);
    env = nullptr;
    return code;
}

}  // namespace

environment::environment(const std::filesystem::path& directory, const settings& chosen) {
    // Address space may be limited (ulimit -v, containers, sanitizers): take what there is.
    std::size_t map_bytes = chosen.map_bytes;
    int code = open_with(env_, directory, chosen, map_bytes);
    while (code == ENOMEM && map_bytes / 2 >= map_bytes_least) {
        map_bytes /= 2;
        code = open_with(env_, directory, chosen, map_bytes);
    }
    expect_success("mdb_env_open", code);
}

std::size_t environment::map_bytes() const {
    MDB_envinfo info{};
    expect_success("mdb_env_info", mdb_env_info(env_, &info));
    return info.me_mapsize;
}

std::uint64_t environment::pages() const {
    MDB_envinfo info{};
    expect_success("mdb_env_info", mdb_env_info(env_, &info));
    return info.me_last_pgno + 1;
}

std::uint32_t environment::page_bytes() const {
    MDB_stat stat{};
    expect_success("mdb_env_stat", mdb_env_stat(env_, &stat));
    return stat.ms_psize;
}

std::uint64_t environment::clear_stale_readers() {
    int dead = 0;
    expect_success("mdb_reader_check", mdb_reader_check(env_, &dead));
    return static_cast<std::uint64_t>(dead);
}

}  // namespace cairn::store::lmdb
