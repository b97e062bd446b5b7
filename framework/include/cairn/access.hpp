#pragma once

#include <string>
#include <vector>

namespace cairn {

/// What a peer may do with a topic: with what a store keeps of it, and with the publishers,
/// readers, pushers and pullers of a node.
struct rights {
    /// Append; send messages and work to this node's readers and pullers; and tell this node's
    /// publishers and pushers that a newer run of their source exists, which stops them.
    bool publish = false;
    bool subscribe = false;  ///< read: of a store also what it keeps
    bool consume = false;    ///< pull work, and read as a member of a group
    bool admin = false;      ///< create, configure, trim and delete; asked of stores alone

    bool operator==(const rights&) const = default;
};

/// Gives rights to a peer. What no rule gives is refused; without any rule everything is given to
/// every peer that may connect. A pattern has to lie within what is given: who may read `open.*`
/// is refused `*` as a whole.
///
/// Threads: a value.
struct access_rule {
    std::string key{"*"};     ///< public key of the peer in Z85; `*`: everybody
    std::string topics{"*"};  ///< a topic, or the beginning of topics followed by one `*`
    rights may{};

    bool operator==(const access_rule&) const = default;
};

}  // namespace cairn
