#pragma once

#include <cairn/store/commands.hpp>
#include <cairn/store/database.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace cairn::test {

/// What a database should hold, in plain containers, one message at a time: the store without any
/// of its cleverness. Full disks are not in it.
class model {
public:
    struct message {
        store::source_id source;
        cairn::epoch epoch;
        cairn::sequence sequence;
        std::string text;
        bool operator==(const message&) const = default;
    };
    struct lost {
        store::source_id source;
        cairn::epoch epoch;
        sequence_range range;
        errc cause;
        bool operator==(const lost&) const = default;
    };
    struct source {
        std::string name;
        std::string owner;
        cairn::epoch epoch;
        sequence last;
        // Where each position went; 0: lost.
        std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> where;
        std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> lost_at;

        /// Highest sequence that was stored of a run; 0: nothing.
        std::uint64_t last_of(cairn::epoch e) const;
    };
    struct group {
        std::string name;
        std::string settings;
        std::uint64_t floor = 0;
        std::set<std::uint64_t> acked;  // above the floor
        std::map<std::uint64_t, std::pair<std::uint32_t, std::string>> attempts;
        // Trimmed before they were acked, and not acked since: (source, (epoch, sequence)).
        std::map<std::uint32_t, std::set<std::pair<std::uint64_t, std::uint64_t>>> untold;
    };
    /// What takes room, as the store counts it.
    struct stored_batch {
        std::uint64_t last = 0;
        std::uint64_t cost = 0;
        wall_time stored;
        std::vector<std::string> keys;
        std::uint64_t story_cost = 0;
    };
    struct topic {
        std::string name;
        store::topic_config config;
        bool letters = false;
        std::uint64_t first = 1;
        std::uint64_t next = 1;
        std::map<std::uint64_t, message> messages;      // by offset
        std::map<std::uint64_t, stored_batch> batches;  // by first offset; trimmed ones for a while
        std::map<std::uint64_t, std::uint64_t> marks;   // how many are stored in front of an offset
        std::vector<std::pair<std::uint64_t, lost>> losses;
        std::map<std::uint32_t, source> sources;
        std::map<std::uint32_t, group> groups;
        std::map<std::string, std::uint32_t> source_names;
        std::map<std::string, std::uint32_t> group_names;
        std::map<std::uint64_t, store::dead_letter> stories;
        std::map<std::uint64_t, std::string> origins;  // name of the topic of a letter
        std::uint32_t next_source = 1;
        std::uint32_t next_group = 1;

        std::uint64_t bytes() const;
    };
    /// Of the whole store; 0: none. With one of them a commit has one command: the store applies
    /// appends topic by topic, and which is refused depends on that.
    struct limits {
        std::uint64_t messages_max = 0;
        std::uint64_t bytes_max = 0;
        store::full_policy when_full = store::full_policy::refuse;
        std::chrono::milliseconds age_max{0};
    };

    void begin_commit(wall_time now) { time = std::max(time, now); }
    /// What the store should answer. Generations are not compared.
    store::reply apply(const store::command& wanted);
    /// What every commit does besides: topics kept until acked are trimmed, limits are kept.
    void end_commit();

    std::map<std::uint32_t, topic> topics;
    std::map<std::string, std::uint32_t> names;
    std::uint32_t next_topic = 1;
    limits of_store;
    wall_time time = wall_time::min();
    /// Commits that changed nothing have not set the time that later ones get: it is compared.
    bool exact_times = false;

private:
    store::reply on(const store::open_source& w);
    store::reply on(const store::append& w);
    store::reply on(const store::declare_lost& w);
    store::reply on(const store::create_topic& w);
    store::reply on(const store::alter_topic& w);
    store::reply on(const store::delete_topic& w);
    store::reply on(const store::trim& w);
    store::reply on(const store::purge& w);
    store::reply on(const store::create_group& w);
    store::reply on(const store::alter_group& w);
    store::reply on(const store::delete_group& w);
    store::reply on(const store::seek_group& w);
    store::reply on(const store::ack& w);
    store::reply on(const store::ack_positions& w);
    store::reply on(const store::note_attempts& w);
    store::reply on(const store::dead_letter& w);
    store::reply on(const store::redrive& w);

    topic* find(store::topic_id t);
    std::uint32_t make_topic(const std::string& name, const store::topic_config& config,
                             bool letters);
    std::uint32_t own_source(topic& t, const std::string& name);
    void store_message(topic& t, std::uint32_t s, const std::string& text);
    static std::uint64_t trim_to(topic& t, std::uint64_t last);
    /// What a message's key takes that no stored one has.
    static std::uint64_t cost_of_key(const topic& t, const std::string& text);
    static void drop_trimmed(topic& t);
    static bool drop_oldest(topic& t, bool last_stays);
    bool is_over(std::uint64_t cost, std::uint64_t messages) const;
    /// ok, or store_full, and then nothing was dropped.
    errc make_room(topic& t, std::uint64_t cost, std::uint64_t messages);
    errc drop_for(topic& t, std::uint64_t cost, std::uint64_t messages);
    std::uint64_t deleted_bytes_ = 0;  // until the commit ends
    static std::uint64_t ack_one(group& g, std::uint64_t offset);
    static void settle(group& g);
    static bool done(const topic& t, const group& g, std::uint64_t offset);
};

/// What differs between a database and what it should hold; nothing when nothing does. Reads
/// everything through the public readers.
std::optional<std::string> difference(const store::database& db, const model& expected);

}  // namespace cairn::test
