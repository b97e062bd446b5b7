#include "model.hpp"

#include "made.hpp"

#include <cairn/store/reader.hpp>

#include "../../../store/src/records.hpp"

#include <algorithm>
#include <iterator>

namespace cairn::test {

using namespace store;

model::topic* model::find(topic_id t) {
    const auto found = topics.find(t.value);
    return found == topics.end() ? nullptr : &found->second;
}

reply model::apply(const command& wanted) {
    return std::visit([this](const auto& w) { return on(w); }, wanted);
}

std::uint32_t model::make_topic(const std::string& name, const topic_config& config, bool letters) {
    const std::uint32_t number = next_topic++;
    topic& t = topics[number];
    t.name = name;
    t.config = config;
    t.letters = letters;
    names[name] = number;
    return number;
}

reply model::on(const create_topic& w) {
    if (const auto known = names.find(w.name); known != names.end()) {
        if (topics.at(known->second).config != w.config) return {errc::topic_exists, {}};
        return {errc::ok, topic_created{{known->second}}};
    }
    if (w.name.empty() || w.name.size() > 255) return {errc::topic_invalid, {}};
    return {errc::ok, topic_created{{make_topic(w.name, w.config, false)}, true}};
}

reply model::on(const alter_topic& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (t->config.last_per_key != w.config.last_per_key) return {errc::not_supported, {}};
    t->config = w.config;
    return {};
}

reply model::on(const delete_topic& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    const std::uint64_t messages = t->next - t->first;
    deleted_bytes_ += t->bytes();
    names.erase(t->name);
    topics.erase(w.topic.value);
    return {errc::ok, counted{messages}};
}

std::uint64_t model::trim_to(topic& t, std::uint64_t last) {
    if (last < t.first) return 0;
    const std::uint64_t messages = last - t.first + 1;
    t.first = last + 1;
    const auto kept = t.messages.lower_bound(t.first);
    for (auto& [number, g] : t.groups)
        for (auto one = t.messages.begin(); one != kept; ++one)
            if (one->first > g.floor && !g.acked.contains(one->first))
                g.untold[one->second.source.value].insert(
                    {one->second.epoch.value, one->second.sequence.value});
    t.messages.erase(t.messages.begin(), kept);
    return messages;
}

reply model::on(const trim& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (w.last.value >= t->next) return {errc::not_stored, {}};
    return {errc::ok, counted{trim_to(*t, w.last.value)}};
}

reply model::on(const purge& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    std::erase_if(t->losses, [&](const auto& loss) { return loss.first == t->next; });
    t->marks.erase(t->next);
    for (auto& [number, s] : t->sources)
        for (auto& [position, at] : s.lost_at)
            if (at == t->next) at = 0;
    return {errc::ok, counted{trim_to(*t, t->next - 1)}};
}

reply model::on(const open_source& w) {
    if (w.source.empty() || w.source.size() > 255 || w.source[0] == '@' || w.owner.size() > 64 ||
        w.epoch.value == 0 || w.epoch.value + 1 == 0)
        return {errc::invalid_argument, {}};
    if (w.topic.empty() || w.topic.size() > 255) return {errc::topic_invalid, {}};
    std::uint32_t number = 0;
    const auto topic_known = names.find(w.topic);
    const bool makes_topic = topic_known == names.end();
    if (!makes_topic) {
        number = topic_known->second;
    } else {
        if (!w.create_topic) return {errc::topic_unknown, {}};
        number = make_topic(w.topic, w.config, false);
    }
    topic& t = topics.at(number);
    if (!t.source_names.contains(w.source)) {
        t.source_names[w.source] = t.next_source;
        t.sources[t.next_source++] = {w.source, w.owner, {}, {}, {}, {}};
    }
    const std::uint32_t s = t.source_names.at(w.source);
    source& known = t.sources.at(s);
    if (!w.owner.empty() && !known.owner.empty() && known.owner != w.owner)
        return {errc::not_authorised, {}};
    if (w.epoch < known.epoch) return {errc::fenced, fenced_by{known.epoch}};
    if (known.owner.empty()) known.owner = w.owner;
    if (w.epoch > known.epoch) {
        known.epoch = w.epoch;
        known.last = {};
    }
    return {errc::ok, source_opened{{number}, {s}, known.last, {}, makes_topic}};
}

reply model::on(const append& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    const auto found = t->sources.find(w.source.value);
    if (found == t->sources.end()) return {errc::source_unknown, {}};
    source& s = found->second;
    if (w.epoch < s.epoch) return {errc::fenced, fenced_by{s.epoch}};
    if (w.epoch > s.epoch) return {errc::source_unknown, {}};
    if (w.count == 0 || w.first.value == 0) return {errc::invalid_argument, {}};
    if (w.first > s.last + 1) return {errc::hole, expected{s.last + 1}};
    if (wire::checksum(w.body.bytes) != w.checksum) return {errc::checksum_mismatch, {}};
    if (const errc code = wire::check_records(w.body.bytes, w.count); code != errc::ok)
        return {code, {}};
    const auto texts = texts_of(w.body.bytes);
    std::optional<std::uint64_t> first_known;
    std::uint64_t last_known = 0;
    bool some_gone = false;
    std::uint32_t stored = 0;
    for (; stored < w.count && w.first + stored <= s.last; ++stored) {
        const std::uint64_t at = s.where.at({w.epoch.value, w.first.value + stored});
        if (at == 0) {
            if (s.lost_at.at({w.epoch.value, w.first.value + stored}) >= t->first)
                return {errc::lost, {}};
            some_gone = true;
            continue;
        }
        const auto held = t->messages.find(at);
        if (held == t->messages.end()) {
            some_gone = true;
            continue;
        }
        if (held->second.text != texts[stored]) return {errc::conflict, {}};
        if (!first_known) first_known = at;
        last_known = at;
    }
    if (stored == w.count) {
        appended a{.first = {},
                   .last = {},
                   .up_to = s.last,
                   .repeated = true,
                   .level = durability::flushed};
        if (first_known && !some_gone) a.first = {*first_known}, a.last = {last_known};
        return {errc::ok, a};
    }
    const std::uint64_t first = t->next;
    const std::uint64_t cost =
        cost_of(w.body.bytes.size() - wire::prefix_bytes(w.body.bytes, stored));
    std::uint64_t key_costs = 0;
    for (std::uint32_t i = stored; i < w.count; ++i) key_costs += cost_of_key(*t, texts[i]);
    if (const errc full = make_room(*t, cost + key_costs, w.count - stored); full != errc::ok)
        return {full, {}};
    auto& kept = t->batches[first] = {first + (w.count - stored) - 1, cost, time, {}, 0};
    for (; stored < w.count; ++stored) {
        s.last = w.first + stored;
        s.where[{w.epoch.value, s.last.value}] = t->next;
        kept.keys.push_back(texts[stored].substr(0, 2));
        t->messages[t->next++] = {w.source, w.epoch, s.last, texts[stored]};
    }
    return {errc::ok, appended{{first}, {t->next - 1}, s.last, false, t->config.confirm}};
}

reply model::on(const declare_lost& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    const auto found = t->sources.find(w.source.value);
    if (found == t->sources.end()) return {errc::source_unknown, {}};
    source& s = found->second;
    if (w.epoch < s.epoch) return {errc::fenced, fenced_by{s.epoch}};
    if (w.epoch > s.epoch) return {errc::source_unknown, {}};
    if (w.range.empty() || w.range.first.value == 0) return {errc::invalid_argument, {}};
    if (w.range.first > s.last + 1) return {errc::hole, expected{s.last + 1}};
    const bool repeated = w.range.last < s.last;
    if (w.range.last > s.last) {
        const lost fresh{w.source, w.epoch, {s.last + 1, w.range.last}, w.cause};
        const auto before = std::find_if(t->losses.begin(), t->losses.end(), [&](const auto& one) {
            const lost& l = one.second;
            return one.first == t->next && l.source == fresh.source && l.epoch == fresh.epoch &&
                   l.cause == fresh.cause && l.range.last == s.last;
        });
        if (before != t->losses.end()) {
            before->second.range.last = fresh.range.last;
        } else {
            if (const errc full = make_room(*t, mark_cost, 0); full != errc::ok) return {full, {}};
            t->losses.emplace_back(t->next, fresh);
            ++t->marks[t->next];
        }
        while (s.last < w.range.last) {
            s.where[{w.epoch.value, (++s.last).value}] = 0;
            s.lost_at[{w.epoch.value, s.last.value}] = t->next;
        }
    }
    return {errc::ok, appended{{t->next}, {t->next - 1}, s.last, repeated, durability::flushed}};
}

reply model::on(const create_group& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (w.name.empty() || w.name.size() > 255 || w.name[0] == '@' || w.settings.size() > 1'024)
        return {errc::invalid_argument, {}};
    if (const auto known = t->group_names.find(w.name); known != t->group_names.end()) {
        group& g = t->groups.at(known->second);
        if (g.settings != w.settings) return {errc::group_exists, {}};
        g.floor = std::max(g.floor, t->first - 1);
        settle(g);
        return {errc::ok, group_created{{known->second}, {g.floor}}};
    }
    const std::uint64_t floor = std::clamp(w.start.value, t->first, t->next) - 1;
    const std::uint32_t number = t->next_group++;
    t->group_names[w.name] = number;
    t->groups[number] = {w.name, w.settings, floor, {}, {}, {}};
    return {errc::ok, group_created{{number}, {floor}}};
}

reply model::on(const alter_group& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (!t->groups.contains(w.group.value)) return {errc::group_unknown, {}};
    if (w.settings.size() > 1'024) return {errc::invalid_argument, {}};
    t->groups.at(w.group.value).settings = w.settings;
    return {};
}

reply model::on(const delete_group& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (!t->groups.contains(w.group.value)) return {errc::group_unknown, {}};
    if (t->groups.at(w.group.value).name[0] == '@') return {errc::not_supported, {}};
    t->group_names.erase(t->groups.at(w.group.value).name);
    t->groups.erase(w.group.value);
    return {};
}

reply model::on(const seek_group& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (!t->groups.contains(w.group.value)) return {errc::group_unknown, {}};
    group& g = t->groups.at(w.group.value);
    g.acked.clear();
    g.attempts.clear();
    g.untold.clear();
    g.floor = std::clamp(w.next.value, t->first, t->next) - 1;
    return {errc::ok, acked{0, {g.floor}}};
}

std::uint64_t model::ack_one(group& g, std::uint64_t offset) {
    if (offset <= g.floor || !g.acked.insert(offset).second) return 0;
    g.attempts.erase(offset);
    return 1;
}

void model::settle(group& g) {
    while (!g.acked.empty() && *g.acked.begin() <= g.floor + 1) {
        g.floor = std::max(g.floor, *g.acked.begin());
        g.acked.erase(g.acked.begin());
    }
    g.attempts.erase(g.attempts.begin(), g.attempts.upper_bound(g.floor));
}

bool model::done(const topic& t, const group& g, std::uint64_t offset) {
    return offset < t.first || offset <= g.floor || g.acked.contains(offset);
}

reply model::on(const ack& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (!t->groups.contains(w.group.value)) return {errc::group_unknown, {}};
    group& g = t->groups.at(w.group.value);
    for (const offset_range& r : w.ranges) {
        if (r.empty()) return {errc::invalid_argument, {}};
        if (r.last.value >= t->next) return {errc::not_stored, {}};
    }
    g.floor = std::max(g.floor, t->first - 1);
    settle(g);
    std::uint64_t added = 0;
    for (const offset_range& r : w.ranges)
        for (std::uint64_t o = std::max(r.first.value, g.floor + 1); o <= r.last.value; ++o)
            added += ack_one(g, o);
    settle(g);
    return {errc::ok, acked{added, {g.floor}}};
}

std::uint64_t model::source::last_of(cairn::epoch e) const {
    if (e == epoch) return last.value;
    const auto behind = where.lower_bound({e.value + 1, 0});
    if (behind == where.begin() || std::prev(behind)->first.first != e.value) return 0;
    return std::prev(behind)->first.second;
}

reply model::on(const ack_positions& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (!t->groups.contains(w.group.value)) return {errc::group_unknown, {}};
    const auto found = t->sources.find(w.source.value);
    if (found == t->sources.end()) return {errc::source_unknown, {}};
    const source& s = found->second;
    group& g = t->groups.at(w.group.value);
    const sequence last{s.last_of(w.epoch)};
    std::vector<sequence_range> ranges = w.ranges;
    for (sequence_range& r : ranges) {
        if (r.empty() || r.first.value == 0) return {errc::invalid_argument, {}};
        // What lies behind the end of a former run will never come.
        if (w.epoch < s.epoch && r.first <= last) r.last = std::min(r.last, last);
        if (w.epoch > s.epoch || r.last > last) return {errc::not_stored, {}};
    }
    g.floor = std::max(g.floor, t->first - 1);
    settle(g);
    std::uint64_t added = 0;
    for (const sequence_range& r : ranges)
        for (sequence at = r.first; at <= r.last; ++at) {
            const std::uint64_t o = s.where.at({w.epoch.value, at.value});
            if (o >= t->first) added += ack_one(g, o);
            g.untold[w.source.value].erase({w.epoch.value, at.value});
        }
    settle(g);
    return {errc::ok, acked{added, {g.floor}}};
}

reply model::on(const note_attempts& w) {
    if (w.reason.size() > 1'024) return {errc::invalid_argument, {}};
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (!t->groups.contains(w.group.value)) return {errc::group_unknown, {}};
    group& g = t->groups.at(w.group.value);
    if (w.message.value >= t->next) return {errc::not_stored, {}};
    if (done(*t, g, w.message.value)) return {errc::gone, {}};
    g.floor = std::max(g.floor, t->first - 1);
    settle(g);
    g.attempts[w.message.value] = {w.attempts, w.reason};
    return {};
}

std::uint32_t model::own_source(topic& t, const std::string& name) {
    if (!t.source_names.contains(name)) {
        t.source_names[name] = t.next_source;
        t.sources[t.next_source++] = {name, {}, {1}, {}, {}, {}};
    }
    return t.source_names.at(name);
}

namespace {

std::uint64_t cost_of_one(const std::string& text) {
    body_bytes body;
    add_record(body, text, text.substr(0, 2));
    return cost_of(body.size());
}

std::uint64_t cost_of_story(const std::string& topic, const std::string& group,
                            const std::string& source, const std::string& reason) {
    story_record r;
    r.topic = topic;
    r.group = group;
    r.source = source;
    r.reason = reason;
    std::vector<std::byte> value;
    encode(r, value);
    return small_record_cost(13, value.size() + seal_bytes);
}

}  // namespace

void model::store_message(topic& t, std::uint32_t s, const std::string& text) {
    source& from = t.sources.at(s);
    ++from.last;
    t.batches[t.next] = {t.next, cost_of_one(text), time, {text.substr(0, 2)}, 0};
    from.where[{1, from.last.value}] = t.next;
    t.messages[t.next++] = {{s}, {1}, from.last, text};
}

reply model::on(const dead_letter& w) {
    if (w.reason.size() > 1'024) return {errc::invalid_argument, {}};
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (!t->groups.contains(w.group.value)) return {errc::group_unknown, {}};
    group& g = t->groups.at(w.group.value);
    if (w.message.value >= t->next) return {errc::not_stored, {}};
    if (done(*t, g, w.message.value)) return {errc::gone, {}};
    if (w.to.empty() || w.to.size() > 255) return {errc::topic_invalid, {}};
    const auto known = names.find(w.to);
    std::uint32_t to = known == names.end() ? 0 : known->second;
    if (to == w.topic.value) return {errc::invalid_argument, {}};
    if (to != 0 && !topics.at(to).letters) return {errc::topic_exists, {}};
    const message m = t->messages.at(w.message.value);
    const std::uint64_t story_cost = cost_of_story(topics.at(w.topic.value).name, g.name,
                                                   t->sources.at(m.source.value).name, w.reason);
    const std::uint64_t cost = cost_of_one(m.text) + story_cost;
    if (to == 0 && is_over(cost, 1)) return {errc::store_full, {}};
    if (to != 0)
        if (const errc full = make_room(topics.at(to), cost, 1); full != errc::ok)
            return {full, {}};
    if (to == 0) {
        to = make_topic(w.to, {}, true);
        topics.at(to).group_names["@letters"] = 1;
        topics.at(to).groups[1].name = "@letters";
        topics.at(to).next_group = 2;
    }
    topic& letters = topics.at(to);
    const std::uint64_t at = letters.next;
    store_message(letters, own_source(letters, "@letters"), m.text);
    letters.batches[at].story_cost = story_cost;
    letters.stories[at] = w;
    letters.origins[at] = topics.at(w.topic.value).name;
    group& again = topics.at(w.topic.value).groups.at(w.group.value);
    again.floor = std::max(again.floor, topics.at(w.topic.value).first - 1);
    settle(again);
    ack_one(again, w.message.value);
    settle(again);
    return {errc::ok, moved{{to}, {at}}};
}

reply model::on(const redrive& w) {
    topic* const t = find(w.topic);
    if (t == nullptr) return {errc::topic_unknown, {}};
    if (!t->letters) return {errc::not_supported, {}};
    if (w.range.empty() || w.range.last.value >= t->next) return {errc::not_stored, {}};
    group& g = t->groups.at(1);
    std::vector<std::uint64_t> letters;
    for (auto o = std::max(w.range.first.value, t->first); o <= w.range.last.value; ++o) {
        if (done(*t, g, o) || !t->origins.contains(o)) continue;
        if (!names.contains(t->origins.at(o))) return {errc::topic_unknown, {}};
        letters.push_back(o);
    }
    std::map<std::uint32_t, std::pair<std::uint64_t, std::uint64_t>> needed;
    for (const std::uint64_t o : letters) {
        auto& [cost, messages] = needed[names.at(t->origins.at(o))];
        const std::string& text = t->messages.at(o).text;
        cost += cost_of_one(text) + cost_of_key(topics.at(names.at(t->origins.at(o))), text);
        ++messages;
    }
    const model before = *this;
    for (const auto& [to, room] : needed)
        if (const errc full = make_room(topics.at(to), room.first, room.second); full != errc::ok)
            return *this = before, reply{full, {}};
    for (const std::uint64_t o : letters) {
        topic& origin = topics.at(names.at(t->origins.at(o)));
        store_message(origin, own_source(origin, "@redrive"), t->messages.at(o).text);
        ack_one(g, o);
    }
    g.floor = std::max(g.floor, t->first - 1);
    settle(g);
    return {errc::ok, counted{letters.size()}};
}

// --- Limits -------------------------------------------------------------------------------------

std::uint64_t model::topic::bytes() const {
    std::uint64_t sum = 0;
    std::set<std::string> keys;
    for (const auto& [first, b] : batches) {
        sum += b.cost + b.story_cost;
        keys.insert(b.keys.begin(), b.keys.end());
    }
    for (const std::string& k : keys) sum += config.last_per_key ? key_cost(k) : 0;
    for (const auto& [at, n] : marks) sum += n * mark_cost;
    return sum;
}

std::uint64_t model::cost_of_key(const topic& t, const std::string& text) {
    const std::string k = text.substr(0, 2);
    if (!t.config.last_per_key) return 0;
    for (const auto& [first, b] : t.batches)
        if (std::find(b.keys.begin(), b.keys.end(), k) != b.keys.end()) return 0;
    return key_cost(k);
}

bool model::drop_oldest(topic& t, bool last_stays) {
    if (t.batches.empty()) return false;
    const std::uint64_t last = t.batches.begin()->second.last;
    if (last_stays && last + 1 == t.next && t.first < t.next) return false;
    t.batches.erase(t.batches.begin());
    t.marks.erase(t.marks.begin(), t.marks.upper_bound(last));
    trim_to(t, last);
    return true;
}

void model::drop_trimmed(topic& t) {
    while (!t.batches.empty() && t.batches.begin()->second.last < t.first) drop_oldest(t, false);
}

bool model::is_over(std::uint64_t cost, std::uint64_t messages) const {
    std::uint64_t bytes = deleted_bytes_ + cost;
    for (const auto& [number, t] : topics) {
        bytes += t.bytes();
        messages += t.next - t.first;
    }
    return (of_store.bytes_max > 0 && bytes > of_store.bytes_max) ||
           (of_store.messages_max > 0 && messages > of_store.messages_max);
}

errc model::make_room(topic& t, std::uint64_t cost, std::uint64_t messages) {
    const retention& keep = t.config.retention;
    const bool limited = keep.bytes_max > 0 || keep.messages_max > 0 || of_store.bytes_max > 0 ||
                         of_store.messages_max > 0;
    if (!limited) return errc::ok;
    const auto before = topics;
    const errc problem = drop_for(t, cost, messages);
    if (problem != errc::ok) topics = before;
    return problem;
}

errc model::drop_for(topic& t, std::uint64_t cost, std::uint64_t messages) {
    const retention& keep = t.config.retention;
    const auto over_bytes = [&] { return keep.bytes_max > 0 && t.bytes() + cost > keep.bytes_max; };
    const std::uint64_t wanted = t.next - t.first + messages;
    const bool over_messages = keep.messages_max > 0 && wanted > keep.messages_max;
    if (over_bytes() || over_messages) {
        drop_trimmed(t);
        if (keep.when_full == full_policy::refuse) {
            if ((over_bytes() || over_messages) && !t.batches.empty()) return errc::store_full;
        } else {
            if (over_messages)
                trim_to(t, std::min(t.first + (wanted - keep.messages_max), t.next) - 1);
            while (over_bytes() && drop_oldest(t, messages == 0)) {
            }
        }
    }
    if (!is_over(cost, messages)) return errc::ok;
    drop_trimmed(t);
    if ((of_store.bytes_max > 0 && cost > of_store.bytes_max) ||
        (of_store.messages_max > 0 && messages > of_store.messages_max))
        return errc::store_full;
    while (is_over(cost, messages) && of_store.when_full == full_policy::drop_oldest) {
        topic* oldest = nullptr;
        for (auto& [number, one] : topics)
            if (one.first < one.next &&
                (oldest == nullptr ||
                 one.batches.begin()->second.stored < oldest->batches.begin()->second.stored))
                oldest = &one;
        if (oldest == nullptr) break;
        drop_oldest(*oldest, false);
    }
    return is_over(cost, messages) ? errc::store_full : errc::ok;
}

void model::end_commit() {
    deleted_bytes_ = 0;
    for (auto& [number, t] : topics) {
        const retention& keep = t.config.retention;
        if ((t.letters || keep.until_acked) && !t.groups.empty()) {
            std::uint64_t slowest = t.next;
            for (const auto& [n, g] : t.groups) slowest = std::min(slowest, g.floor);
            trim_to(t, slowest);
        }
        const bool drops = keep.when_full == full_policy::drop_oldest;
        if (drops && keep.messages_max > 0 && t.next - t.first > keep.messages_max)
            trim_to(t, t.next - keep.messages_max - 1);
        drop_trimmed(t);
        while (drops && keep.bytes_max > 0 && t.bytes() > keep.bytes_max && drop_oldest(t, true)) {
        }
        auto age = keep.age_max;
        if (of_store.age_max.count() > 0 && (age.count() == 0 || of_store.age_max < age))
            age = of_store.age_max;
        while (age.count() > 0 && !t.batches.empty() &&
               time - t.batches.begin()->second.stored > age)
            drop_oldest(t, false);
    }
}

}  // namespace cairn::test
