#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::runtime {

enum class scheme : std::uint8_t { tcp, ipc, inproc, ws };

/// What an endpoint is for decides what it may be: only a bound one may leave address or port to
/// the system, only a tap may be a WebSocket.
enum class purpose : std::uint8_t { bind, connect, tap };

/// Longest file of an ipc endpoint: what sockaddr_un holds.
inline constexpr std::size_t ipc_path_bytes_max = 107;
inline constexpr std::size_t inproc_name_bytes_max = 255;

/// One parsed endpoint in canonical form: two spellings of one endpoint compare equal, and text()
/// is the same for both. Host names are lower case, numeric addresses as inet_ntop writes them
/// (an IPv4 address mapped into IPv6 is an IPv4 address), ports without leading zeros, paths
/// without empty and `.` parts.
///
/// Threads: a value.
struct endpoint {
    runtime::scheme scheme = scheme::tcp;
    std::string host{};      ///< tcp, ws: `*`, a numeric address without brackets, or a host name
    std::uint16_t port = 0;  ///< tcp, ws: 0 lets the system choose (bind and tap only)
    std::string name{};      ///< ipc: an absolute path or @NAME; inproc: the name

    bool operator==(const endpoint&) const = default;

    std::string text() const;

    /// True when no other machine can reach it: ipc, inproc, 127.0.0.0/8, ::1 and `localhost`. An
    /// unresolved name other than `localhost` is not.
    bool is_loopback() const;

    /// ipc with a file, not @NAME.
    bool is_file() const { return scheme == scheme::ipc && !name.starts_with('@'); }
    bool is_network() const { return scheme == scheme::tcp || scheme == scheme::ws; }
};

/// Reads an endpoint. Throws error (address_invalid) whose text says which part is wrong and what
/// would be right: "connect tcp://host: no port; write tcp://host:5556". Asks nobody: host names
/// are not looked up. `operation` is what the text calls the caller's doing, where that is not the
/// purpose itself.
endpoint parse_endpoint(std::string_view text, purpose why, std::string_view operation = {});

/// The same endpoint with each numeric address that its host has, IPv4 first; never empty. What
/// needs no resolving (numeric, `*`, ipc, inproc) comes back alone and unchanged. Blocks as long as
/// the system's resolver does, so never call it on the loop. Throws error (host_unknown) when
/// the name has no address now.
std::vector<endpoint> resolve(const endpoint& where, purpose why, std::string_view operation = {});

/// A bound endpoint as others can connect to it: `*` becomes the address of this machine's first
/// interface that is up and not loopback, or 127.0.0.1.
endpoint connectable(const endpoint& bound);

/// Throws error (insecure_refused), whose text holds the commands that mend it, when a listener
/// at `where` would be open to other machines without keys and `insecure` was not said.
void require_secure(const endpoint& where, bool has_keys, bool insecure);

}  // namespace cairn::runtime
