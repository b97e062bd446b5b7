#include "changes.hpp"

#include <algorithm>
#include <utility>

namespace cairn::store {

namespace {

// Records that stay known from one transaction to the next.
constexpr std::size_t known_max = 4'096;

// Reads a record once; `decode` takes it without its seal.
template <typename Record, typename Decode>
auto& loaded(slots<Record>& of, const member_key& which, const changes& from, const key& k,
             Decode&& decode, const char* what) {
    const auto found = of.all.lower_bound(which);
    if (found != of.all.end() && found->first == which) return *found;
    slot<Record> fresh;
    if (const auto value = from.get(k)) {
        fresh.record = decode(*value);
        if (!fresh.record) throw damaged{what};
    }
    return *of.all.emplace_hint(found, which, std::move(fresh));
}

template <typename Entry>
const auto* record_of(const Entry& one) {
    return one.second.record ? &*one.second.record : nullptr;
}

template <typename Record>
void forget(slots<Record>& of, const member_key& first, const member_key& last) {
    std::erase_if(of.dirty,
                  [&](const auto* one) { return first <= one->first && one->first <= last; });
    of.all.erase(of.all.lower_bound(first), of.all.upper_bound(last));
}

template <typename Record>
void mark(slots<Record>& of, typename slots<Record>::entry& one) {
    if (!std::exchange(one.second.dirty, true)) of.dirty.push_back(&one);
}

void encode(const ack_chunk& c, std::vector<std::byte>& out) { c.encode(out); }

}  // namespace

changes::entry<topic_record>& changes::topic_slot(topic_id t) {
    return loaded(known_.topics, {t, 0, 0}, *this, topic_key(t), decode_topic, "a topic's record");
}

changes::entry<source_record>& changes::source_slot(topic_id t, source_id s) {
    return loaded(known_.sources, {t, s.value, 0}, *this, source_key(t, s), decode_source,
                  "a source's record");
}

changes::entry<group_record>& changes::group_slot(topic_id t, group_id g) {
    return loaded(known_.groups, {t, g.value, 0}, *this, group_key(t, g), decode_group,
                  "a group's record");
}

changes::entry<ack_chunk>& changes::chunk_slot(topic_id t, group_id g, std::uint64_t n) {
    return loaded(chunks_, {t, g.value, n}, *this, chunk_key(t, g, n), ack_chunk::decode,
                  "a group's acks");
}

template <typename Record>
Record& changes::dirtied(slots<Record>& of, entry<Record>& one) {
    mark(of, one);
    ++steps_;
    return *one.second.record;
}

template <typename Record>
void changes::replace(slots<Record>& of, const member_key& which, std::optional<Record> by) {
    entry<Record>& one = *of.all.try_emplace(which).first;
    one.second.record = std::move(by);
    mark(of, one);
    ++steps_;
}

const topic_record* changes::topic(topic_id t) {
    const topic_record* const found = record_of(topic_slot(t));
    return found != nullptr && !found->deleted ? found : nullptr;
}

const topic_record* changes::deleted_topic(topic_id t) {
    const topic_record* const found = record_of(topic_slot(t));
    return found != nullptr && found->deleted ? found : nullptr;
}

const source_record* changes::source(topic_id t, source_id s) {
    return record_of(source_slot(t, s));
}
const group_record* changes::group(topic_id t, group_id g) { return record_of(group_slot(t, g)); }
const ack_chunk* changes::chunk(topic_id t, group_id g, std::uint64_t n) {
    return record_of(chunk_slot(t, g, n));
}

topic_record& changes::change(topic_id t) {
    due_.insert(t);
    return dirtied(known_.topics, topic_slot(t));
}
source_record& changes::change(topic_id t, source_id s) {
    return dirtied(known_.sources, source_slot(t, s));
}
group_record& changes::change(topic_id t, group_id g) {
    due_.insert(t);
    return dirtied(known_.groups, group_slot(t, g));
}
ack_chunk& changes::change_chunk(topic_id t, group_id g, std::uint64_t n) {
    auto& one = chunk_slot(t, g, n);
    if (!one.second.record) one.second.record.emplace();
    return dirtied(chunks_, one);
}

void changes::add(topic_id t, topic_record r) {
    replace(known_.topics, {t, 0, 0}, std::optional(std::move(r)));
    due_.insert(t);
}
void changes::add(topic_id t, source_id s, source_record r) {
    replace(known_.sources, {t, s.value, 0}, std::optional(std::move(r)));
}
void changes::add(topic_id t, group_id g, group_record r) {
    replace(known_.groups, {t, g.value, 0}, std::optional(std::move(r)));
    readers_.erase(t);
    due_.insert(t);
}
void changes::remove(topic_id t) { replace(known_.topics, {t, 0, 0}, {}); }
void changes::remove(topic_id t, group_id g) {
    replace(known_.groups, {t, g.value, 0}, {});
    readers_.erase(t);
    due_.insert(t);
}
void changes::forget_members(topic_id t) {
    const member_key first{t, 0, 0};
    const member_key last{t, ~std::uint32_t{0}, ~std::uint64_t{0}};
    forget(known_.sources, first, last);
    forget(known_.groups, first, last);
    forget(chunks_, first, last);
    readers_.erase(t);
}
void changes::remove_chunk(topic_id t, group_id g, std::uint64_t n) {
    replace(chunks_, {t, g.value, n}, {});
}

void changes::remove_chunks(topic_id t, group_id g) {
    forget(chunks_, {t, g.value, 0}, {t, g.value, ~std::uint64_t{0}});
    const key own = chunk_key(t, g, 0);
    for (;;) {
        key found;
        {
            lmdb::cursor walk(txn_, dbs_.state);
            const auto item = walk.seek(own);
            if (!item || !same_prefix(item->key, own, state_prefix_bytes + sizeof g.value)) return;
            found = copy_of(item->key);
        }
        erase_found(found);
    }
}

std::optional<bytes> changes::get(bytes k) const {
    const auto value = txn_.get(dbs_.state, k);
    if (!value) return std::nullopt;
    return unsealed(k, *value);
}

void changes::put(const key& k, const std::vector<std::byte>& content) {
    std::vector<std::byte> value = content;
    add_seal(k, value);
    txn_.put(dbs_.state, k, value);
    ++steps_;
}

bool changes::erase(const key& k) {
    const bool was = txn_.erase(dbs_.state, k);
    steps_ += was ? 1 : 0;
    return was;
}

void changes::erase_found(const key& k) {
    if (!erase(k)) throw damaged{"a key out of its place"};
}

std::uint32_t changes::number_at(const key& k) const {
    const auto value = get(k);
    if (!value) return 0;
    unpacker in(*value);
    return in.number<std::uint32_t>();
}

void changes::for_chunks(topic_id t, group_id g, std::uint64_t from,
                         const std::function<bool(std::uint64_t, const ack_chunk&)>& f) {
    // What is changed lies over what is stored.
    auto changed = chunks_.all.lower_bound({t, g.value, from});
    const auto changed_here = [&] {
        return changed != chunks_.all.end() && changed->first.topic == t &&
               changed->first.number == g.value;
    };
    lmdb::cursor stored(txn_, dbs_.state);
    const std::size_t prefix = state_prefix_bytes + sizeof g.value;
    const key first = chunk_key(t, g, from);
    auto item = stored.seek(first);
    for (;;) {
        if (item && !same_prefix(item->key, first, prefix)) item.reset();
        if (item && item->key.size() != bytes(first).size()) throw damaged{"a group's acks"};
        const std::uint64_t at =
            item ? load_be<std::uint64_t>(item->key.data() + prefix) : ~std::uint64_t{0};
        if (changed_here() && changed->first.chunk <= at) {
            if (changed->first.chunk == at && item) item = stored.next();
            const std::uint64_t n = changed->first.chunk;
            const auto& record = changed->second.record;
            ++changed;
            if (record && !f(n, *record)) return;
            continue;
        }
        if (!item) return;
        const auto chunk = ack_chunk::decode(unsealed(item->key, item->value));
        if (!chunk) throw damaged{"a group's acks"};
        if (!f(at, *chunk)) return;
        item = stored.next();
    }
}

void changes::for_groups(topic_id t, const std::function<void(group_id, const group_record&)>& f) {
    const auto& all = known_.groups.all;
    for (auto known = all.lower_bound({t, 0, 0}); known != all.end() && known->first.topic == t;
         ++known)
        if (known->second.record) f({known->first.number}, *known->second.record);
    lmdb::cursor stored(txn_, dbs_.state);
    const key first = group_key(t, {0});
    for (auto item = stored.seek(first); item && same_prefix(item->key, first, state_prefix_bytes);
         item = stored.next()) {
        const bytes rest = item->key.subspan(state_prefix_bytes);
        if (rest.size() != sizeof(std::uint32_t)) throw damaged{"a group's record"};
        const group_id id{load_be<std::uint32_t>(rest.data())};
        if (all.contains({t, id.value, 0})) continue;
        const auto group = decode_group(unsealed(item->key, item->value));
        if (!group) throw damaged{"a group's record"};
        f(id, *group);
    }
}

topic_readers& changes::readers(topic_id t) {
    const auto found = readers_.find(t);
    if (found != readers_.end()) return found->second;
    topic_readers all;
    try {
        for_groups(t, [&](group_id g, const group_record& r) {
            if (r.name.front() != '@') all.groups.push_back({.id = g});
        });
        for (topic_readers::group& one : all.groups) one.record = group(t, one.id);
    } catch (const damaged&) {
        all.groups.clear();
    }
    return readers_[t] = std::move(all);
}

void changes::forget_noted(topic_id t, group_id g) {
    const auto known = readers_.find(t);
    if (known == readers_.end()) return;
    for (topic_readers::group& one : known->second.groups)
        if (one.id == g) one.acked = {{1}, {0}};
    for (const auto& [s, noted] : known->second.of_source) forget_noted(t, g, s);
}

void changes::forget_noted(topic_id t, group_id g, source_id s) {
    const auto known = readers_.find(t);
    if (known == readers_.end()) return;
    const auto of_source = known->second.of_source.find(s);
    if (of_source == known->second.of_source.end()) return;
    const auto& groups = known->second.groups;
    for (std::size_t i = 0; i < groups.size(); ++i)
        if (groups[i].id == g) of_source->second.groups[i] = false;
}

template <typename Record, typename Key>
void changes::write(slots<Record>& of, const Key& key_of) {
    std::ranges::sort(of.dirty, {}, [](const auto* one) { return one->first; });
    std::vector<std::byte> value;
    for (auto* const changed : of.dirty) {
        auto& [which, one] = *changed;
        one.dirty = false;
        const key k = key_of(which);
        if (!one.record) {
            txn_.erase(dbs_.state, k);
        } else {
            value.clear();
            encode(*one.record, value);
            add_seal(k, value);
            txn_.put(dbs_.state, k, value);
        }
    }
    of.dirty.clear();
}

void changes::flush() {
    write(known_.topics, [](const member_key& m) { return topic_key(m.topic); });
    write(known_.sources, [](const member_key& m) { return source_key(m.topic, {m.number}); });
    write(known_.groups, [](const member_key& m) { return group_key(m.topic, {m.number}); });
    write(chunks_, [](const member_key& m) { return chunk_key(m.topic, {m.number}, m.chunk); });
    std::vector<std::byte> value;
    encode(counters_, value);
    put(counters_key(), value);
}

void changes::settle() noexcept { settled_ = known_.size() <= known_max; }

}  // namespace cairn::store
