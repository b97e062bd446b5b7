#pragma once

#include <cairn/access.hpp>
#include <cairn/security.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

enum class log_level : std::uint8_t { debug, info, warning, error };

/// Called with one line without a line end. Runs on any thread, must return quickly, and must
/// neither throw nor call the node that it belongs to. Lines of one cause are limited to ten a
/// second. For people: what a program acts on is in node_stats, failures in its `endpoints`.
using log_sink = std::function<void(log_level, std::string_view)>;

struct node_options {
    /// Name for logs and peers, and the default source of the node's publishers and pushers. A
    /// publisher that must keep its identity over restarts needs a stable one. Empty: a random
    /// name.
    std::string name{};
    std::vector<std::string> bind{};     ///< endpoints to listen on from the start
    std::vector<std::string> connect{};  ///< endpoints to connect to from the start
    /// Endpoint of the store that the node's publishers and subscribers use unless they name
    /// another one. The node connects to it; it need not be there yet. Empty: none.
    std::string store{};
    security_options security{};
    /// What peers may do here, by their keys; none: everybody who may connect, everything. Holds on
    /// every link, whichever side connected, but for what comes from the node's own stores. A
    /// reader without the right to publish cannot stop an older run of a source: it reads the newer
    /// one, and the older learns of it from a store, or a peer that may.
    std::vector<access_rule> access{};
    /// Directory in which the last epoch of each source is kept, so that a restart takes a higher
    /// one even if the clock went back, and what full_ring::spill puts aside. Empty: epochs come
    /// from the clock alone.
    std::filesystem::path state_directory{};
    std::size_t peers_max = 1'024;             ///< connections accepted; one more is refused
    std::size_t topics_per_peer_max = 65'536;  ///< streams that one peer may follow or offer
    std::size_t subscriptions_per_peer_max = 1'024;
    std::size_t body_bytes_max = std::size_t{64} << 20;  ///< largest message body, sent or taken
    std::chrono::milliseconds heartbeat = std::chrono::seconds(1);  ///< silence is broken so often
    std::chrono::milliseconds silence_max =
        std::chrono::milliseconds(3'500);  ///< then a peer is lost
    std::chrono::milliseconds reconnect_min = std::chrono::milliseconds(100);
    std::chrono::milliseconds reconnect_max = std::chrono::seconds(5);
    log_sink log{};
};

}  // namespace cairn
