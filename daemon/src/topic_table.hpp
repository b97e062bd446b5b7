#pragma once

#include <cairn/ids.hpp>
#include <cairn/store/ids.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cairn::daemon {

/// The present run of a source, and what is confirmed of it.
struct known_source {
    store::source_id id;
    std::string name;
    cairn::epoch epoch;
    sequence last;
    bool changed = false;  ///< and so in the topic's list
};

/// What the loop knows of a topic: everything that changed since it was first asked for.
struct known_topic {
    store::topic_id id;
    std::string name;
    std::unordered_map<std::uint32_t, known_source> sources;  // by number
    std::unordered_map<std::string, std::uint32_t> numbers;   // by name
    std::vector<std::uint32_t> changed;  ///< sources, since topic_watcher::topic_changed()
    bool runs_changed = false;           ///< a source or a run is new

    const known_source* find(std::string_view source) const {
        const auto found = numbers.find(std::string(source));
        return found == numbers.end() ? nullptr : &sources.at(found->second);
    }
};

/// Told what was committed. Threads: loop.
class topic_watcher {
public:
    virtual void topic_appeared(known_topic&) {}
    /// The sources in `changed` have more, or a new run.
    virtual void topic_changed(known_topic&) {}
    virtual void topic_removed(known_topic&) {}

protected:
    ~topic_watcher() = default;
};

/// The topics that somebody appends to or reads, with the ends of their sources. The store changes
/// through this process alone, so it is right from the first look on.
///
/// Owns:    known_topic objects, which stay where they are.
/// Threads: loop.
/// Limits:  topics_max of the store.
class topic_table {
public:
    void add(topic_watcher& w) { watchers_.push_back(&w); }

    known_topic* find(std::string_view name);
    known_topic* find(store::topic_id id);
    known_topic& find_or_add(store::topic_id id, std::string_view name);
    /// What a reader or a reply said; older news than ours have no effect.
    void note(known_topic& topic, store::source_id id, std::string_view source, cairn::epoch epoch,
              sequence last);
    /// Tells the watchers what changed since the last call.
    void tell();
    void remove(known_topic& topic);

    template <typename F>
    void each(F&& f) {
        for (auto& [id, t] : topics_) f(*t);
    }

private:
    std::unordered_map<std::uint32_t, std::unique_ptr<known_topic>> topics_;
    std::unordered_map<std::string, known_topic*> names_;
    std::vector<topic_watcher*> watchers_;
    std::vector<known_topic*> appeared_;
    std::vector<known_topic*> changed_;
};

}  // namespace cairn::daemon
