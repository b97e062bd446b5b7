#include "topic_table.hpp"

#include <tuple>
#include <utility>

namespace cairn::daemon {

known_topic* topic_table::find(std::string_view name) {
    const auto found = names_.find(std::string(name));
    return found == names_.end() ? nullptr : found->second;
}

known_topic* topic_table::find(store::topic_id id) {
    const auto found = topics_.find(id.value);
    return found == topics_.end() ? nullptr : found->second.get();
}

known_topic& topic_table::find_or_add(store::topic_id id, std::string_view name) {
    auto& slot = topics_[id.value];
    if (!slot) {
        slot = std::make_unique<known_topic>();
        slot->id = id;
        slot->name = name;
        names_[slot->name] = slot.get();
        appeared_.push_back(slot.get());
    }
    return *slot;
}

void topic_table::note(known_topic& topic, store::source_id id, std::string_view source,
                       cairn::epoch epoch, sequence last) {
    auto [at, fresh] = topic.sources.try_emplace(id.value);
    known_source& s = at->second;
    if (fresh) {
        s.id = id;
        s.name = source;
        topic.numbers.emplace(s.name, id.value);
    } else if (std::tie(epoch, last) <= std::tie(s.epoch, s.last)) {
        return;
    }
    if (fresh || epoch > s.epoch) topic.runs_changed = true;
    s.epoch = epoch;
    s.last = last;
    if (std::exchange(s.changed, true)) return;
    if (topic.changed.empty()) changed_.push_back(&topic);
    topic.changed.push_back(id.value);
}

void topic_table::tell() {
    while (!appeared_.empty() || !changed_.empty()) {
        std::vector<known_topic*> appeared;
        appeared.swap(appeared_);
        for (known_topic* t : appeared)
            for (topic_watcher* w : watchers_) w->topic_appeared(*t);
        std::vector<known_topic*> changed;
        changed.swap(changed_);
        for (known_topic* t : changed) {
            for (topic_watcher* w : watchers_) w->topic_changed(*t);
            for (const std::uint32_t id : t->changed) t->sources.at(id).changed = false;
            t->changed.clear();
            t->runs_changed = false;
        }
    }
}

void topic_table::remove(known_topic& topic) {
    for (topic_watcher* w : watchers_) w->topic_removed(topic);
    std::erase(appeared_, &topic);
    std::erase(changed_, &topic);
    names_.erase(topic.name);
    topics_.erase(topic.id.value);
}

}  // namespace cairn::daemon
