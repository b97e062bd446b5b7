#include "apply.hpp"

#include "bounds.hpp"
#include "command_bytes.hpp"
#include "run_index.hpp"
#include "sabotage.hpp"

#include <cairn/wire/attributes.hpp>
#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>

namespace cairn::store {

namespace {

// Leaves that a command changes, whatever it brings: of log, index, and two records.
constexpr std::uint64_t pages_of_command = 4;
// A key's leaf, and those of two that leave the log for it.
constexpr std::uint64_t pages_of_key = 3;

}  // namespace

reply applier::apply(const command& wanted) {
    const std::uint64_t before = c_.steps();
    bytes_before_ = bytes_taken_;
    pages_before_ = pages_taken_;
    try {
        take(body_bytes(wanted));
        take_pages(pages_of_command + body_bytes(wanted) / piece_bytes_max);
        return std::visit([this](const auto& w) { return on(w); }, wanted);
    } catch (const damaged&) {
        if (c_.steps() != before) throw half_applied{errc::store_damaged};
        return {errc::store_damaged, {}};
    }
}

void applier::take(std::uint64_t bytes) {
    if (bytes_before_ > 0 && bytes_taken_ + bytes > bytes_max_) throw transaction_full{};
    bytes_taken_ += bytes;
}

void applier::take_pages(std::uint64_t pages) {
    if (pages_before_ > 0 && pages_taken_ + pages > known_bounds().transaction_pages_max)
        throw transaction_full{};
    pages_taken_ += pages;
}

errc applier::room_for(topic_id t, std::uint64_t cost, std::uint64_t messages) {
    const std::uint64_t before = c_.counters().messages;
    const errc problem = make_room(c_, limits_, t, cost, messages, budget_);
    if (problem != errc::ok && c_.counters().messages != before) throw half_applied{problem};
    return problem;
}

// --- Topics -------------------------------------------------------------------------------------

reply applier::on(const create_topic& w) {
    if (const errc problem = check_topic_name(w.name); problem != errc::ok) return {problem, {}};
    if (const std::uint32_t known = c_.number_at(topic_name_key(w.name)); known != 0) {
        const topic_record* const r = c_.topic({known});
        if (r == nullptr) return {errc::store_damaged, {}};
        if (r->config != w.config) return {errc::topic_exists, {}};
        return {errc::ok, topic_created{{known}}};
    }
    if (const errc problem = check_new_topic(); problem != errc::ok) return {problem, {}};
    return {errc::ok, topic_created{make_topic(w.name, w.config, false), true}};
}

reply applier::on(const alter_topic& w) {
    const topic_record* const r = c_.topic(w.topic);
    if (r == nullptr) return {errc::topic_unknown, {}};
    if (r->config.last_per_key != w.config.last_per_key) return {errc::not_supported, {}};
    if (r->config != w.config) c_.change(w.topic).config = w.config;
    return {};
}

reply applier::on(const delete_topic& w) {
    const topic_record* const known = c_.topic(w.topic);
    if (known == nullptr) return {errc::topic_unknown, {}};
    c_.erase(topic_name_key(known->name));
    topic_record& r = c_.change(w.topic);
    const std::uint64_t messages = r.next - r.first;
    c_.counters().messages -= std::min(c_.counters().messages, messages);
    --c_.counters().topics;
    r.deleted = true;
    return {errc::ok, counted{messages}};
}

reply applier::on(const trim& w) {
    const topic_record* const r = c_.topic(w.topic);
    if (r == nullptr) return {errc::topic_unknown, {}};
    if (w.last >= r->next) return {errc::not_stored, {}};
    if (w.last < r->first) return {errc::ok, counted{0}};
    return {errc::ok, counted{trim_to(c_, w.topic, w.last)}};
}

reply applier::on(const purge& w) {
    const topic_record* const r = c_.topic(w.topic);
    if (r == nullptr) return {errc::topic_unknown, {}};
    erase_last_marks(c_, w.topic);
    if (r->first == r->next) return {errc::ok, counted{0}};
    return {errc::ok, counted{trim_to(c_, w.topic, r->next - 1)}};
}

errc applier::check_topic_name(std::string_view name) {
    return name.empty() || name.size() > wire::topic_bytes_max ? errc::topic_invalid : errc::ok;
}

errc applier::check_new_topic() {
    if (c_.counters().topics >= limits_.topics_max) return errc::limit_exceeded;
    if (c_.counters().next_topic == ~std::uint32_t{0}) return errc::limit_exceeded;
    return errc::ok;
}

topic_id applier::make_topic(std::string_view name, const topic_config& config, bool letters) {
    const topic_id t{c_.counters().next_topic++};
    ++c_.counters().topics;
    topic_record r;
    r.name = name;
    r.config = config;
    r.letters = letters;
    c_.add(t, std::move(r));
    std::vector<std::byte> number;
    packer(number).number(t.value);
    c_.put(topic_name_key(name), number);
    return t;
}

// --- Sources and messages -----------------------------------------------------------------------

source_id applier::make_source(topic_id t, std::string_view name, std::string_view owner) {
    const source_id s{c_.change(t).next_source++};
    source_record r;
    r.name = name;
    r.owner = owner;
    c_.add(t, s, std::move(r));
    std::vector<std::byte> number;
    packer(number).number(s.value);
    c_.put(source_name_key(t, name), number);
    return s;
}

// A run of which something is stored stays known, whatever their number. Two for each that comes:
// so their number sinks when what was stored of them has gone.
void applier::forget_oldest_runs(topic_id t, source_id s) {
    std::vector<epoch> oldest;
    std::uint32_t known = 0;
    {
        const key own = ended_run_key(t, s, {0});
        constexpr std::size_t prefix = state_prefix_bytes + sizeof s.value;
        lmdb::cursor walk(c_.txn(), c_.dbs().state);
        for (auto item = walk.seek(own); item && same_prefix(item->key, own, prefix);
             item = walk.next()) {
            if (item->key.size() != prefix + sizeof(epoch::value)) throw damaged{"a run's key"};
            if (oldest.size() < 2)
                oldest.push_back({load_be<std::uint64_t>(item->key.data() + prefix)});
            if (++known == ended_runs_max + 2) break;
        }
    }
    const auto is_held = [&](epoch e) {
        try {
            return run_index(c_.txn(), c_.dbs(), t, s, e, *c_.source(t, s)).from({1}).has_value();
        } catch (const damaged&) {
            return true;  // something is
        }
    };
    for (const epoch e : oldest) {
        if (known-- <= ended_runs_max || is_held(e)) return;
        c_.erase(ended_run_key(t, s, e));
    }
}

reply applier::on(const open_source& w) {
    // Names with @ in front are the store's own.
    if (w.source.empty() || w.source.size() > wire::source_bytes_max || w.source.front() == '@' ||
        w.owner.size() > owner_bytes_max || w.epoch.value == 0 || w.epoch.value + 1 == 0)
        return {errc::invalid_argument, {}};
    if (const errc problem = check_topic_name(w.topic); problem != errc::ok) return {problem, {}};
    topic_id t{c_.number_at(topic_name_key(w.topic))};
    source_id s{};
    const bool makes_topic = t == topic_id{};
    if (makes_topic) {
        if (!w.create_topic) return {errc::topic_unknown, {}};
        if (const errc problem = check_new_topic(); problem != errc::ok) return {problem, {}};
        t = make_topic(w.topic, w.config, false);
    } else {
        if (c_.topic(t) == nullptr) return {errc::store_damaged, {}};
        s = {c_.number_at(source_name_key(t, w.source))};
        if (s == source_id{} && c_.topic(t)->next_source > limits_.sources_per_topic_max)
            return {errc::limit_exceeded, {}};
    }
    if (s == source_id{}) s = make_source(t, w.source, w.owner);
    const source_record* const r = c_.source(t, s);
    if (r == nullptr) return {errc::store_damaged, {}};
    if (!w.owner.empty() && !r->owner.empty() && r->owner != w.owner)
        return {errc::not_authorised, {}};
    if (w.epoch < r->epoch) return {errc::fenced, fenced_by{r->epoch}};
    if (r->owner.empty() && !w.owner.empty()) c_.change(t, s).owner = w.owner;
    if (w.epoch > r->epoch) {
        if (r->last.value != 0) {
            std::vector<std::byte> last;
            packer(last).number(r->last.value);
            c_.put(ended_run_key(t, s, r->epoch), last);
            forget_oldest_runs(t, s);
        }
        source_record& changed = c_.change(t, s);
        close_stretches(c_.txn(), c_.dbs(), t, s, changed, c_.topic(t)->kept);
        changed.epoch = w.epoch;
        changed.last = {};
        // Sources that take turns do not all reach the index in one commit.
        changed.unindexed = static_cast<std::uint8_t>(s.value % stretches_linked_max);
    }
    return {errc::ok, source_opened{t, s, r->last, generation_, makes_topic}};
}

reply applier::check_run(topic_id t, source_id s, epoch e, const topic_record*& topic,
                         const source_record*& source) {
    topic = c_.topic(t);
    if (topic == nullptr) return {errc::topic_unknown, {}};
    source = c_.source(t, s);
    if (source == nullptr) return {errc::source_unknown, {}};
    if (e < source->epoch) return {errc::fenced, fenced_by{source->epoch}};
    if (e > source->epoch) return {errc::source_unknown, {}};
    return {};
}

reply applier::on(const append& w) {
    const topic_record* topic = nullptr;
    const source_record* source = nullptr;
    if (reply problem = check_run(w.topic, w.source, w.epoch, topic, source); !problem.ok())
        return problem;
    const bytes body = w.body.bytes;
    if (w.count == 0 || w.count > wire::batch_messages_max || w.first.value == 0 ||
        w.first.value > number_max - w.count || topic->next.value > number_max - w.count)
        return {errc::invalid_argument, {}};
    if (body.size() > wire::batch_bytes_max) return {errc::too_large, {}};
    const sequence last = w.first + (w.count - 1);
    if (w.first > source->last + 1 && !sabotaged("accept-hole"))
        return {errc::hole, expected{source->last + 1}};
    if (!sabotaged("no-checksum") && wire::checksum(body) != w.checksum)
        return {errc::checksum_mismatch, {}};
    if (const errc problem = wire::check_records(body, w.count); problem != errc::ok)
        return {problem, {}};

    std::uint32_t stored = 0;  // messages at the batch's begin that are stored already
    if (w.first <= source->last && !sabotaged("no-duplicate-check")) {
        const sequence known = std::min(last, source->last);
        reply before = repeated(w, known);
        if (!before.ok()) return before;
        if (known == last) {
            ++repeats_;
            auto& value = std::get<appended>(before.value);
            value.up_to = source->last;
            return before;
        }
        stored = static_cast<std::uint32_t>(known - w.first + 1);
    }
    if (refusal_ != errc::ok) return {refusal_, {}};
    const bytes fresh = body.subspan(wire::prefix_bytes(body, stored));
    const keys_found keys = keys_in(w.topic, fresh);
    take_pages(keys.count * pages_of_key);
    budget_.pieces += 2 * keys.count;  // as for what else comes
    const std::uint64_t cost = cost_of(fresh.size()) + keys.cost;
    if (const errc problem = room_for(w.topic, cost, w.count - stored); problem != errc::ok)
        return {problem, {}};
    batch_record header;
    header.count = w.count - stored;
    header.epoch = w.epoch;
    header.first = w.first + stored;
    header.time = w.time;
    header.checksum = stored == 0 ? w.checksum : wire::checksum(fresh);
    return {errc::ok, store(w.topic, w.source, header, fresh)};
}

appended applier::store(topic_id t, source_id s, batch_record header, bytes body) {
    topic_record& topic = c_.change(t);
    source_record& source = c_.change(t, s);
    header.source = s;
    header.body_bytes = static_cast<std::uint32_t>(body.size());
    header.stored = c_.counters().time;
    const offset first = topic.next;
    const bool goes_on = topic.last_source == s && topic.last_epoch == header.epoch &&
                         header.first == source.last + 1;
    if (!goes_on)
        header.back =
            begin_stretch(c_.txn(), c_.dbs(), t, s, source, topic.kept, header.first, first);
    write_batch(c_.txn(), c_.dbs(), t, first, header, body);
    topic.last_source = s;
    topic.last_epoch = header.epoch;
    topic.next = topic.next + header.count;
    source.last = header.last();
    charge(t, cost_of(body.size()));
    c_.counters().messages += header.count;
    if (topic.config.last_per_key) remember_keys(t, first, body);
    return {first, topic.next - 1, source.last, false, topic.config.confirm};
}

namespace {

// f(offset, key) for the messages that have one.
template <typename F>
void for_keys(offset first, bytes body, F&& f) {
    offset at = first;
    for (wire::record_reader records(body); !records.done(); at = at + 1) {
        const wire::record one = records.next();
        if (one.attributes.empty()) continue;
        const std::string_view name = wire::key_of(one.attributes);
        if (!name.empty()) f(at, name);
    }
}

}  // namespace

void applier::remember_keys(topic_id t, offset first, bytes body) {
    std::vector<std::byte> value;
    for_keys(first, body, [&](offset at, std::string_view name) {
        const key k = last_of_key_key(t, name);
        if (!is_counted(t, k)) charge(t, key_cost(name));
        value.clear();
        packer(value).number(at.value);
        c_.put(k, value);
    });
}

// What a damaged batch has left behind is counted no more.
bool applier::is_counted(topic_id t, const key& k) {
    const auto value = c_.txn().get(c_.dbs().state, k);
    return value && value->size() >= sizeof(std::uint64_t) &&
           load_be<std::uint64_t>(value->data()) >= c_.topic(t)->kept.value;
}

applier::keys_found applier::keys_in(topic_id t, bytes body) {
    keys_found all;
    if (c_.topic(t)->config.last_per_key)
        for_keys({}, body, [&](offset, std::string_view name) {
            ++all.count;
            if (!is_counted(t, last_of_key_key(t, name))) all.cost += key_cost(name);
        });
    return all;
}

void applier::charge(topic_id t, std::uint64_t cost) {
    c_.change(t).bytes += cost;
    c_.counters().bytes += cost;
}

reply applier::repeated(const append& w, sequence last_stored) {
    const run_index run(c_.txn(), c_.dbs(), w.topic, w.source, w.epoch,
                        *c_.source(w.topic, w.source));
    appended answer{
        .first = {}, .last = {}, .up_to = {}, .repeated = true, .level = durability::flushed};
    const offset kept = c_.topic(w.topic)->first;
    bool some_gone = false;
    sequence at = w.first;
    bytes rest = w.body.bytes;
    while (at <= last_stored) {
        const found_position found = run.find(at);
        if (found.mark) {
            if (found.mark_at >= kept) return {errc::lost, {}};
            const sequence next = std::min(last_stored, found.mark->last) + 1;
            rest = rest.subspan(wire::prefix_bytes(rest, static_cast<std::uint32_t>(next - at)));
            at = next;
            some_gone = true;
            continue;
        }
        if (!found.batch) {
            // Trimmed: what was confirmed once is confirmed again. Later ones may still be there.
            const auto next = run.held_from(at);
            if (!next || next->position > last_stored) break;
            rest = rest.subspan(
                wire::prefix_bytes(rest, static_cast<std::uint32_t>(next->position - at)));
            at = next->position;
            some_gone = true;
            continue;
        }
        const found_batch& batch = *found.batch;
        const sequence to = std::min(last_stored, batch.header.last());
        if (batch.offset_of(at) < kept) {  // trimmed, though its bytes may still be there
            const sequence next = std::min(to + 1, batch.sequence_of(kept));
            rest = rest.subspan(wire::prefix_bytes(rest, static_cast<std::uint32_t>(next - at)));
            at = next;
            some_gone = true;
            continue;
        }
        if (at == w.first && batch.header.first == at && batch.header.count == w.count) {
            if (batch.header.checksum != w.checksum) return {errc::conflict, {}};
            answer.first = batch.first;
            answer.last = batch.last();
            return {errc::ok, answer};
        }
        // Cut otherwise than the first time: the bytes themselves are compared.
        const std::vector<std::byte> body = body_of(c_.txn(), c_.dbs(), w.topic, batch);
        const auto before = static_cast<std::uint32_t>(at - batch.header.first);
        const auto count = static_cast<std::uint32_t>(to - at + 1);
        const bytes theirs = bytes(body).subspan(wire::prefix_bytes(body, before));
        const std::size_t size = wire::prefix_bytes(theirs, count);
        if (wire::prefix_bytes(rest, count) != size ||
            std::memcmp(theirs.data(), rest.data(), size) != 0)
            return {errc::conflict, {}};
        if (answer.first == offset{}) answer.first = batch.offset_of(at);
        answer.last = batch.offset_of(to);
        rest = rest.subspan(size);
        at = to + 1;
    }
    if (some_gone || at <= last_stored) answer.first = answer.last = {};
    return {errc::ok, answer};
}

reply applier::on(const declare_lost& w) {
    const topic_record* topic = nullptr;
    const source_record* source = nullptr;
    if (reply problem = check_run(w.topic, w.source, w.epoch, topic, source); !problem.ok())
        return problem;
    if (w.range.empty() || w.range.first.value == 0 || w.range.last.value >= number_max)
        return {errc::invalid_argument, {}};
    if (w.range.first > source->last + 1) return {errc::hole, expected{source->last + 1}};
    if (refusal_ != errc::ok) return {refusal_, {}};
    if (w.range.last > source->last) {
        const mark_record mark{w.cause,          w.source,     w.epoch,
                               source->last + 1, w.range.last, c_.counters().time};
        if (!extend_mark(c_.txn(), c_.dbs(), w.topic, topic->next, mark)) {
            if (marks_at(c_.txn(), c_.dbs(), w.topic, topic->next) >= marks_max)
                return {errc::store_full, {}};
            if (const errc problem = room_for(w.topic, mark_cost, 0); problem != errc::ok)
                return {problem, {}};
            close_stretches(c_.txn(), c_.dbs(), w.topic, w.source, c_.change(w.topic, w.source),
                            topic->kept);
            write_mark(c_.txn(), c_.dbs(), w.topic, topic->next, mark);
            charge(w.topic, mark_cost);
        }
        c_.change(w.topic, w.source).last = w.range.last;
        if (topic->last_source == w.source) c_.change(w.topic).last_source = {};
    }
    return {errc::ok, appended{topic->next, topic->next - 1, source->last,
                               w.range.last < source->last, durability::flushed}};
}

}  // namespace cairn::store
