#pragma once

#include <cairn/store_server.hpp>

#include <chrono>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::daemon {

/// How long cairnd waits, when it is told to leave, for a disk that does not answer. Less than the
/// 10 s after which container runtimes kill.
inline constexpr std::chrono::milliseconds close_deadline_default = std::chrono::seconds(8);

/// What cairnd was told to be.
struct settings {
    store_server_options store{};
    std::filesystem::path ports_file{};  ///< gets the endpoints, one a line; empty: none
    std::string key_file{};
    std::chrono::milliseconds close_deadline = close_deadline_default;  ///< 0: none
    std::string log_level = "info";
};

/// A setting that cannot be used. The text says which, where it came from, and what would be right.
struct settings_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// One name for flag, environment and file: `store.quota` is `--store-quota`, CAIRND_STORE_QUOTA,
/// and `quota` in the table `store` of the file.
struct setting {
    std::string_view name;
    std::string_view value;  ///< what is written for it in the help
    std::string_view meaning;
    bool list = false;      ///< several values; in the environment separated by commas
    bool reloaded = false;  ///< counts after SIGHUP
    void (*read)(settings& to, const std::vector<std::string>& values) = nullptr;
    std::string (*show)(const settings& from) = nullptr;  ///< as TOML
};

const std::vector<setting>& all_settings();

std::string flag_of(const setting& s);
std::string variable_of(const setting& s);

/// A rule, and where in the file its parts stand: FILE:LINE:COLUMN; empty where they are left out.
struct given_rule {
    access_rule rule{};
    std::string key_at{};
    std::string topics_at{};
};

/// Values by name, with where they came from.
struct given_values {
    struct value {
        std::vector<std::string> values{};
        std::string origin{};
        std::vector<std::string> places{};  ///< of each in a list of the file, as origin
    };
    std::map<std::string, value, std::less<>> by_name;
    std::vector<given_rule> access;
};

/// What a file says. Throws settings_error: FILE:LINE:COLUMN: what is wrong.
given_values read_file(const std::filesystem::path& file);
/// What CAIRND_… variables say. Throws settings_error for an unknown one.
given_values read_environment();

/// The first of `sources` that names a setting wins; then the default. Reads the key file.
settings settle(const std::vector<const given_values*>& sources);

/// What can be used, and is likely not meant: which, where it came from, and what would be right.
std::vector<std::string> warnings(const settings& chosen,
                                  const std::vector<const given_values*>& sources);

/// Where a setting's value came from; "default" when none of `sources` names it.
std::string origin_of(std::string_view name, const std::vector<const given_values*>& sources);

/// Of what the store says about its options: which settings they are, and where those came from.
/// Begins with "; ", or is empty.
std::string settings_named_in(std::string_view text,
                              const std::vector<const given_values*>& sources);

/// The settings as a file that cairnd reads, each with where it came from.
std::string print(const settings& chosen, const std::vector<const given_values*>& sources);

/// Where data goes unless told otherwise: $STATE_DIRECTORY (systemd), /var/lib/cairnd for root,
/// $XDG_STATE_HOME/cairnd or ~/.local/state/cairnd.
std::filesystem::path default_data();
/// Where other processes of this machine find the store: in $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR or
/// the data.
std::string default_ipc(const std::filesystem::path& data);

/// Connections, unless told otherwise: more than a node's, since all publishers and readers meet
/// here.
inline constexpr std::size_t peers_max_default = 10'000;

inline constexpr std::string_view default_tcp = "tcp://127.0.0.1:7700";

}  // namespace cairn::daemon
