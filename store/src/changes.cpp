#include "changes.hpp"

#include <utility>

namespace cairn::store {

namespace {

// Reads a record once; `decode` takes it without its seal.
template <typename Slots, typename Decode>
auto& loaded(Slots& all, const member_key& which, const changes& from, const key& k,
             Decode&& decode, const char* what) {
    const auto found = all.find(which);
    if (found != all.end()) return found->second;
    typename Slots::mapped_type fresh;
    if (const auto value = from.get(k)) {
        fresh.record = decode(*value);
        if (!fresh.record) throw damaged{what};
    }
    return all.emplace(which, std::move(fresh)).first->second;
}

template <typename Slot>
auto* record_of(Slot& s) {
    return s.record ? &*s.record : nullptr;
}

void encode(const ack_chunk& c, std::vector<std::byte>& out) { c.encode(out); }

}  // namespace

changes::slot<topic_record>& changes::topic_slot(topic_id t) {
    return loaded(topics_, {t, 0, 0}, *this, topic_key(t), decode_topic, "a topic's record");
}

changes::slot<source_record>& changes::source_slot(topic_id t, source_id s) {
    return loaded(sources_, {t, s.value, 0}, *this, source_key(t, s), decode_source,
                  "a source's record");
}

changes::slot<group_record>& changes::group_slot(topic_id t, group_id g) {
    return loaded(groups_, {t, g.value, 0}, *this, group_key(t, g), decode_group,
                  "a group's record");
}

changes::slot<ack_chunk>& changes::chunk_slot(topic_id t, group_id g, std::uint64_t n) {
    return loaded(chunks_, {t, g.value, n}, *this, chunk_key(t, g, n), ack_chunk::decode,
                  "a group's acks");
}

topic_record* changes::topic(topic_id t) {
    topic_record* const found = record_of(topic_slot(t));
    return found != nullptr && !found->deleted ? found : nullptr;
}

topic_record* changes::deleted_topic(topic_id t) {
    topic_record* const found = record_of(topic_slot(t));
    return found != nullptr && found->deleted ? found : nullptr;
}

source_record* changes::source(topic_id t, source_id s) { return record_of(source_slot(t, s)); }
group_record* changes::group(topic_id t, group_id g) { return record_of(group_slot(t, g)); }
ack_chunk* changes::chunk(topic_id t, group_id g, std::uint64_t n) {
    return record_of(chunk_slot(t, g, n));
}

topic_record& changes::change(topic_id t) {
    due_.insert(t);
    return dirtied(topic_slot(t));
}
source_record& changes::change(topic_id t, source_id s) { return dirtied(source_slot(t, s)); }
group_record& changes::change(topic_id t, group_id g) {
    due_.insert(t);
    return dirtied(group_slot(t, g));
}
ack_chunk& changes::change_chunk(topic_id t, group_id g, std::uint64_t n) {
    auto& loaded_chunk = chunk_slot(t, g, n);
    if (!loaded_chunk.record) loaded_chunk.record.emplace();
    return dirtied(loaded_chunk);
}

void changes::add(topic_id t, topic_record r) {
    topics_[{t, 0, 0}] = {std::move(r), true};
    ++steps_;
    due_.insert(t);
}
void changes::add(topic_id t, source_id s, source_record r) {
    sources_[{t, s.value, 0}] = {std::move(r), true};
    ++steps_;
}
void changes::add(topic_id t, group_id g, group_record r) {
    groups_[{t, g.value, 0}] = {std::move(r), true};
    ++steps_;
    due_.insert(t);
}
void changes::remove(topic_id t) {
    topics_[{t, 0, 0}] = {std::nullopt, true};
    ++steps_;
}
void changes::remove(topic_id t, group_id g) {
    groups_[{t, g.value, 0}] = {std::nullopt, true};
    ++steps_;
    due_.insert(t);
}
void changes::forget_members(topic_id t) {
    const auto of_topic = [t](const auto& one) { return one.first.topic == t; };
    std::erase_if(sources_, of_topic);
    std::erase_if(groups_, of_topic);
    std::erase_if(chunks_, of_topic);
}
void changes::remove_chunk(topic_id t, group_id g, std::uint64_t n) {
    chunks_[{t, g.value, n}] = {std::nullopt, true};
    ++steps_;
}

void changes::remove_chunks(topic_id t, group_id g) {
    std::erase_if(chunks_, [&](const auto& one) {
        return one.first.topic == t && one.first.number == g.value;
    });
    const key own = chunk_key(t, g, 0);
    for (;;) {
        key found;
        {
            lmdb::cursor walk(txn_, dbs_.state);
            const auto item = walk.seek(own);
            if (!item || !same_prefix(item->key, own, state_prefix_bytes + sizeof g.value)) return;
            found.text(text_of(item->key));
        }
        erase(found);
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

std::uint32_t changes::number_at(const key& k) const {
    const auto value = get(k);
    if (!value) return 0;
    unpacker in(*value);
    return in.number<std::uint32_t>();
}

void changes::for_chunks(topic_id t, group_id g, std::uint64_t from,
                         const std::function<bool(std::uint64_t, const ack_chunk&)>& f) {
    // What is changed lies over what is stored.
    auto changed = chunks_.lower_bound({t, g.value, from});
    const auto changed_here = [&] {
        return changed != chunks_.end() && changed->first.topic == t &&
               changed->first.number == g.value;
    };
    lmdb::cursor stored(txn_, dbs_.state);
    const std::size_t prefix = state_prefix_bytes + sizeof g.value;
    const key first = chunk_key(t, g, from);
    auto item = stored.seek(first);
    for (;;) {
        if (item && !same_prefix(item->key, first, prefix)) item.reset();
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
    for (auto known = groups_.lower_bound({t, 0, 0});
         known != groups_.end() && known->first.topic == t; ++known)
        if (known->second.record) f({known->first.number}, *known->second.record);
    lmdb::cursor stored(txn_, dbs_.state);
    const key first = group_key(t, {0});
    for (auto item = stored.seek(first); item && same_prefix(item->key, first, state_prefix_bytes);
         item = stored.next()) {
        const bytes rest = item->key.subspan(state_prefix_bytes);
        if (rest.size() != sizeof(std::uint32_t)) throw damaged{"a group's record"};
        const group_id id{load_be<std::uint32_t>(rest.data())};
        if (groups_.contains({t, id.value, 0})) continue;
        const auto group = decode_group(unsealed(item->key, item->value));
        if (!group) throw damaged{"a group's record"};
        f(id, *group);
    }
}

template <typename Record, typename Key>
void changes::write(slots<Record>& all, const Key& key_of) {
    std::vector<std::byte> value;
    for (auto& [which, one] : all) {
        if (!one.dirty) continue;
        const key k = key_of(which);
        if (!one.record) {
            txn_.erase(dbs_.state, k);
        } else {
            value.clear();
            encode(*one.record, value);
            add_seal(k, value);
            txn_.put(dbs_.state, k, value);
        }
        one.dirty = false;
    }
}

void changes::flush() {
    write(topics_, [](const member_key& m) { return topic_key(m.topic); });
    write(sources_, [](const member_key& m) { return source_key(m.topic, {m.number}); });
    write(groups_, [](const member_key& m) { return group_key(m.topic, {m.number}); });
    write(chunks_, [](const member_key& m) { return chunk_key(m.topic, {m.number}, m.chunk); });
    std::vector<std::byte> value;
    encode(counters_, value);
    put(counters_key(), value);
}

}  // namespace cairn::store
