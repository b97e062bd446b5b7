#pragma once

#include "output.hpp"

#include <cairn/admin.hpp>
#include <cairn/error.hpp>
#include <cairn/node.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

namespace cairn::tools {

/// What all verbs that use the network take.
struct common_options {
    bool json = false;
    std::string store{};  ///< as said on the command line; empty: see store_endpoint()
    std::string key_file{};
    std::string server_key{};  ///< a key, or a file with one
    std::chrono::milliseconds patience = std::chrono::seconds(5);
};

/// What verbs that meet publishers and subscribers take besides.
struct peer_options {
    std::vector<std::string> connect{};
    std::vector<std::string> bind{};
    std::vector<std::string> allowed_keys{};
    bool insecure = false;

    bool any() const noexcept { return !connect.empty() || !bind.empty(); }
};

inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_missing = 3;  ///< all that there is was read, and some is missing

/// Something did not work. The text says what, and what would mend it.
class failure : public std::runtime_error {
public:
    failure(errc code, const std::string& text, int exit = exit_failed)
        : std::runtime_error(text), code_(code), exit_(exit) {}

    errc code() const noexcept { return code_; }
    int exit() const noexcept { return exit_; }

private:
    errc code_;
    int exit_;
};

/// The store to use: what was said, CAIRN_STORE, or where a cairnd of this user listens.
std::string store_endpoint(const common_options& options);

/// A node for these options; it meets nobody yet.
node_options options_of(const common_options& common, const peer_options& peers = {});
/// Connects and listens; says on standard error where.
void meet(node& at, const peer_options& peers);

/// Waits until the node has greeted a peer; false when we were told to stop. Throws error:
/// timed_out when none came within the patience, and what the store's side says when it turns us
/// away again and again.
bool wait_for_store(node& at, const common_options& options);

/// Of each endpoint where something failed and no peer is now: which, and what.
std::vector<std::string> endpoint_problems(const node& at);

/// The node's and the store's part of a verb that asks and prints.
struct store_session {
    /// Throws as wait_for_store().
    explicit store_session(const common_options& options)
        : at(with_store(options)), store(at, {.patience = options.patience}) {
        static_cast<void>(wait_for_store(at, options));
    }

    cairn::node at;
    cairn::admin store;
    printer out{};

private:
    static node_options with_store(const common_options& options);
};

/// What a node's log said last that was a warning or an error; empty: nothing.
std::string last_problem();
/// From now on such lines go to standard error as they come.
void show_problems() noexcept;

/// What failed, why, and what would mend it; in one line.
std::string explained(const error& e);

/// SIGINT and SIGTERM no longer end the process: stopped() tells of them.
void catch_signals();
bool stopped() noexcept;

/// How long a wait lasts before stopped() and a closed output are looked at.
inline constexpr std::chrono::milliseconds look_around = std::chrono::milliseconds(100);

}  // namespace cairn::tools
