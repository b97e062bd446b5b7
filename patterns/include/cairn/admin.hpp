#pragma once

#include <cairn/ids.hpp>
#include <cairn/node.hpp>
#include <cairn/subscriber.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn {

/// How a store keeps a topic. 0 means no limit.
struct topic_settings {
    std::chrono::milliseconds age_max{0};  ///< since messages were stored
    std::uint64_t bytes_max = 0;           ///< as stored_topic::bytes counts them
    std::uint64_t messages_max = 0;
    /// Messages go when all groups have acked them; they are kept while there is no group.
    bool until_acked = false;
    /// At a limit in bytes or messages appends are refused; otherwise the oldest messages go.
    bool refuse_when_full = false;
    /// Appends are confirmed once more, as written, before the sync that follows at once: for
    /// publishers that speak the wire themselves and can lose what is confirmed so when the store
    /// or its host dies in between. publisher::durable() waits for the sync.
    bool confirm_written = false;
    /// An index of the last message of each key. Cannot be altered.
    bool last_per_key = false;

    bool operator==(const topic_settings&) const = default;
};

/// A topic as a store holds it.
struct stored_topic {
    std::string name;
    topic_settings settings;
    std::uint64_t first = 1;  ///< lowest offset that is stored
    std::uint64_t end = 1;    ///< one behind the last offset
    std::uint64_t bytes = 0;
    std::uint32_t sources = 0;
    std::uint32_t groups = 0;
    bool dead_letters = false;  ///< holds messages that workers gave up
    bool damaged = false;       ///< its record fails its checksum: only the name is known
};

/// A source as a store knows it.
struct stored_source {
    std::string name;
    cairn::epoch epoch;    ///< of its newest run
    sequence last;         ///< of that run all up to here is stored
    bool damaged = false;  ///< its record fails its checksum: only the name is known
};

/// A durable group.
struct durable_group {
    std::string name;
    std::uint64_t next = 1;     ///< all offsets before are done
    std::uint64_t done = 0;     ///< messages after `next` that are done, out of order
    std::uint64_t pending = 0;  ///< messages stored and not done
    std::uint32_t members = 0;  ///< attached now
    bool damaged = false;       ///< its record fails its checksum: only name and members are known
};

/// What a store says of itself.
struct store_figures {
    cairn::generation generation;  ///< names what the store holds
    /// Counters and gauges by name, such as "stored_bytes" and "transactions".
    std::vector<std::pair<std::string, std::uint64_t>> values;

    /// 0 when there is none of that name.
    std::uint64_t value(std::string_view name) const noexcept {
        for (const auto& [known, v] : values)
            if (known == name) return v;
        return 0;
    }
};

struct admin_options {
    /// Endpoint of the store. Empty: node_options::store.
    std::string store{};
    /// How long a call waits for the store's answer, connecting included.
    std::chrono::milliseconds patience = std::chrono::seconds(5);
};

/// Looks into a store and changes what it keeps: topics, groups, figures. For tools and set-up, not
/// for the path of messages.
///
/// Owns:    its requests. The node must outlive it.
/// Threads: thread-safe.
/// Fails:   construction throws error (invalid_argument, closed, and what node::connect throws).
///          Calls throw error: timed_out (no answer within the patience: what was asked for may
///          still happen), closed, topic_invalid, not_authorised, not_supported (the peer is no
///          store), store_failed, store_damaged, disk_full, limit_exceeded, and as each says.
/// Limits:  topic and group 255 bytes; requests_max calls at once.
class admin {
public:
    static constexpr std::size_t requests_max = 64;

    explicit admin(node& owner, admin_options options = {});
    ~admin();
    admin(const admin&) = delete;
    admin& operator=(const admin&) = delete;

    /// Topics whose names match, in order; those that this node has a right to.
    std::vector<stored_topic> topics(std::string_view pattern = "*");
    /// Throws error topic_unknown.
    stored_topic topic(std::string_view name);
    /// Throws error topic_unknown.
    std::vector<stored_source> sources(std::string_view topic);
    std::vector<durable_group> groups(std::string_view topic);
    store_figures figures();

    /// Does nothing when it exists with the same settings; throws error topic_exists when with
    /// others.
    void create_topic(std::string_view name, const topic_settings& settings = {});
    /// Throws error topic_unknown, or not_supported (last_per_key).
    void alter_topic(std::string_view name, const topic_settings& settings);
    /// What it holds goes, and with it its groups and settings. Publishers that go on make it anew,
    /// as the store's new topics are, with what their rings still hold of it; purge() empties a
    /// topic that is in use.
    void delete_topic(std::string_view name);
    /// All before that place goes; from::live(): everything stored. Returns how many messages.
    /// from::after() does not go with it.
    std::uint64_t trim(std::string_view topic, const from& place);
    /// All goes that is stored; offsets and sequences go on. Returns how many messages.
    std::uint64_t purge(std::string_view topic);

    /// All before `start` counts as done. Does nothing when it exists.
    void create_group(std::string_view topic, std::string_view group,
                      const from& start = from::earliest());
    /// From now on all before `to` counts as done and nothing else; its members go there.
    /// Throws error group_unknown.
    void seek_group(std::string_view topic, std::string_view group, const from& to);
    /// Throws error group_unknown.
    void delete_group(std::string_view topic, std::string_view group);

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace cairn
