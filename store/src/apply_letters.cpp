#include "apply.hpp"
#include "groups.hpp"

#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>

namespace cairn::store {

namespace {

// The store's own names begin with @, which commands may not use.
constexpr std::string_view letters_source = "@letters";
constexpr std::string_view redrive_source = "@redrive";
constexpr std::string_view letters_group = "@letters";
constexpr epoch own_epoch{1};
constexpr std::uint64_t redrive_max = 10'000;
constexpr std::size_t redrive_bytes_max = std::size_t{64} << 20;
// Leaves that one changes where it goes: of log and index, of its key and of its source.
constexpr std::uint64_t pages_of_letter = 4;

struct single_message {
    batch_record header;  // of a batch of one
    std::vector<std::byte> body;
    std::size_t bytes_read = 0;  // for it
    source_id source;
    epoch from;
    sequence at;
};

single_message message_at(changes& c, topic_id t, offset o) {
    const auto batch = find_offset(c.txn(), c.dbs(), t, o);
    if (!batch) throw damaged{"a batch"};
    const std::vector<std::byte> all = body_of(c.txn(), c.dbs(), t, *batch);
    const bytes from =
        bytes(all).subspan(wire::prefix_bytes(all, static_cast<std::uint32_t>(o - batch->first)));
    const bytes one = from.first(wire::prefix_bytes(from, 1));
    single_message m;
    m.body.assign(one.begin(), one.end());
    m.bytes_read = all.size();
    m.header.count = 1;
    m.header.time = batch->header.time;
    m.header.checksum = wire::checksum(m.body);
    m.source = batch->header.source;
    m.from = batch->header.epoch;
    m.at = batch->sequence_of(o);
    return m;
}

}  // namespace

source_id applier::own_source(topic_id t, std::string_view name) {
    source_id s{c_.number_at(source_name_key(t, name))};
    if (s == source_id{}) s = make_source(t, name, {});
    c_.change(t, s).epoch = own_epoch;
    return s;
}

reply applier::on(const dead_letter& w) {
    if (w.reason.size() > wire::text_bytes_max) return {errc::invalid_argument, {}};
    if (const errc problem = check_unfinished(w.topic, w.group, w.message); problem != errc::ok)
        return {problem, {}};
    if (const errc problem = check_topic_name(w.to); problem != errc::ok) return {problem, {}};
    topic_id to{c_.number_at(topic_name_key(w.to))};
    if (to == w.topic) return {errc::invalid_argument, {}};
    if (to == topic_id{}) {
        if (const errc problem = check_new_topic(); problem != errc::ok) return {problem, {}};
    } else if (c_.topic(to) == nullptr || !c_.topic(to)->letters) {
        return {errc::topic_exists, {}};
    }
    if (refusal_ != errc::ok) return {refusal_, {}};
    take_attempts(w.topic, w.group, 1);
    single_message m = message_at(c_, w.topic, w.message);
    take(m.bytes_read);
    const source_record* const source = c_.source(w.topic, m.source);
    if (source == nullptr) return {errc::store_damaged, {}};
    story_record story{c_.topic(w.topic)->name,
                       c_.group(w.topic, w.group)->name,
                       source->name,
                       m.from,
                       m.at,
                       w.message,
                       w.attempts,
                       w.cause,
                       w.reason,
                       c_.counters().time};
    std::vector<std::byte> value;
    encode(story, value);
    const std::uint64_t story_cost = small_record_cost(story_key_bytes, value.size() + seal_bytes);
    const std::uint64_t cost = cost_of(m.body.size()) + story_cost;
    if (to == topic_id{}) {
        if (!store_has_room(c_, limits_, cost, 1)) return {errc::store_full, {}};
        topic_config config;
        config.retention.until_acked = true;  // a letter goes when it is redriven
        to = make_topic(w.to, config, true);
        make_group(to, letters_group, {}, {});
    } else if (const errc problem = room_for(to, cost, 1); problem != errc::ok) {
        return {problem, {}};
    }
    const source_id own = own_source(to, letters_source);
    m.header.epoch = own_epoch;
    m.header.first = c_.source(to, own)->last + 1;
    const appended at = store(to, own, m.header, m.body);
    charge(to, story_cost);
    c_.put(story_key(to, at.first), value);
    follow_trims(c_, w.topic, w.group);
    ack_range(c_, w.topic, w.group, w.message, w.message);
    return {errc::ok, moved{to, at.first}};
}

reply applier::on(const redrive& w) {
    const topic_record* const from = c_.topic(w.topic);
    if (from == nullptr) return {errc::topic_unknown, {}};
    if (!from->letters) return {errc::not_supported, {}};
    if (w.range.empty() || w.range.last >= from->next) return {errc::not_stored, {}};
    if (w.range.size() > redrive_max) return {errc::limit_exceeded, {}};
    if (refusal_ != errc::ok) return {refusal_, {}};
    const group_id g{c_.number_at(group_name_key(w.topic, letters_group))};
    if (c_.group(w.topic, g) == nullptr) return {errc::store_damaged, {}};

    struct letter {
        offset at;
        topic_id to;
        single_message message;
    };
    std::vector<letter> letters;
    std::map<topic_id, std::pair<std::uint64_t, std::uint64_t>> needed;  // cost, messages
    std::size_t size = 0;
    for (offset o = std::max(w.range.first, from->first); o <= w.range.last; o = o + 1) {
        if (is_acked(c_, w.topic, g, o)) continue;
        const auto value = c_.get(story_key(w.topic, o));
        if (!value) continue;  // somebody appended it there: it comes from nowhere else
        const auto story = decode_story(*value);
        if (!story) return {errc::store_damaged, {}};
        const topic_id to{c_.number_at(topic_name_key(story->topic))};
        if (c_.topic(to) == nullptr) return {errc::topic_unknown, {}};
        letters.push_back({o, to, message_at(c_, w.topic, o)});
        const std::size_t body = letters.back().message.body.size();
        size += body;
        if (size > redrive_bytes_max) return {errc::limit_exceeded, {}};
        needed[to].first += cost_of(body) + keys_in(to, letters.back().message.body).cost;
        ++needed[to].second;
    }
    take(size);
    take_pages(pages_of_letter * letters.size() + size / piece_bytes_max);
    const std::uint64_t before = c_.counters().messages;
    for (const auto& [to, room] : needed)
        if (const errc problem = room_for(to, room.first, room.second); problem != errc::ok) {
            if (c_.counters().messages != before) throw half_applied{problem};
            return {problem, {}};
        }
    follow_trims(c_, w.topic, g);
    for (letter& one : letters) {
        const source_id own = own_source(one.to, redrive_source);
        one.message.header.epoch = own_epoch;
        one.message.header.first = c_.source(one.to, own)->last + 1;
        store(one.to, own, one.message.header, one.message.body);
        ack_range(c_, w.topic, g, one.at, one.at);
    }
    return {errc::ok, counted{letters.size()}};
}

}  // namespace cairn::store
