#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace cairn {

/// A CURVE key pair, each key 40 characters of Z85 (ZeroMQ RFC 32).
struct key_pair {
    std::string public_key;
    std::string secret_key;
};

/// Makes a new random pair. Throws error (not_supported) when libzmq was built without CURVE.
key_pair generate_keys();

/// Reads a key file in the CZMQ form ("curve" section with public-key and, in a secret file,
/// secret-key). Throws error (key_invalid, permission_denied): a file with a secret key must be a
/// regular file of the caller's with no rights for group and others.
key_pair load_keys(const std::filesystem::path& file);

/// Writes `file` (public key only) and `file`_secret (both keys, mode 0600). Neither may exist.
/// Throws error (address_in_use when one exists, permission_denied).
void save_keys(const key_pair& keys, const std::filesystem::path& file);

/// How to connect to one endpoint.
struct connect_options {
    /// Public key that the node there must hold; empty: security_options::server_key.
    std::string server_key{};
};

/// Keys of a node. With keys every connection of the node is encrypted and authenticated.
struct security_options {
    key_pair keys{};  ///< the node's own pair; empty: no security
    /// Public key that the nodes we connect to must hold, unless connect() names another one
    /// (connect_options). Needed to connect when `keys` is set.
    std::string server_key{};
    /// Public key that the store must hold: node_options::store, and what a handle names as its own
    /// store. Where the node connects already, that connection and its key stay. Empty: server_key.
    std::string store_key{};
    /// Public keys that may connect to us. Empty with `keys` set: nobody may.
    std::vector<std::string> allowed_keys{};
    /// Lets every key connect; the link is encrypted, but strangers are not kept out. Not together
    /// with `allowed_keys`.
    bool allow_any_key = false;
    /// Permits listening beyond loopback without keys. Strangers can then read the process's memory
    /// (a weakness of unencrypted libzmq 4.3.4) and publish anything.
    bool insecure = false;
};

}  // namespace cairn
