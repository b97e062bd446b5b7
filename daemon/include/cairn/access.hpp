#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cairn {

/// What a client may do with a topic of a store.
struct rights {
    bool publish = false;    ///< append
    bool subscribe = false;  ///< read, also what is stored
    bool consume = false;    ///< read, as a member of a group
    bool admin = false;      ///< create, configure, trim and delete
};

/// Gives rights to a client. What no rule gives is refused; without any rule everything is given
/// to every client that may connect.
///
/// Threads: a value.
struct access_rule {
    std::string key{"*"};     ///< public key of the client in Z85; `*`: everybody
    std::string topics{"*"};  ///< a topic, or the beginning of topics followed by one `*`
    rights may{};
};

}  // namespace cairn
