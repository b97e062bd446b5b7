#include <cairn/store/reader.hpp>

#include "database_impl.hpp"
#include "run_index.hpp"

#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <utility>

namespace cairn::store {

namespace {

constexpr std::size_t entries_max = 1'024;
constexpr std::size_t rows_max = 1'024;

}  // namespace

/// A read transaction that exists all the time and has a snapshot during a call only.
struct reader::impl {
    explicit impl(const database::impl& source)
        : db(source), txn(*source.env, lmdb::transaction::mode::read) {
        txn.reset();
    }

    /// Runs `f` with a snapshot. Damage and failures of the disk become codes.
    template <typename F>
    auto look(F&& f) -> decltype(f()) {
        if (db.forked()) return errc::forked;
        try {
            if (db.fate_of_file() == database::impl::file_fate::cut_short)
                throw damaged{"a file that was cut short"};
            txn.renew();
            const struct release {
                lmdb::transaction& txn;
                ~release() { txn.reset(); }
            } at_end{txn};
            return f();
        } catch (const damaged&) {
            return errc::store_damaged;
        } catch (const lmdb::failure& what) {
            return what.code() > 0 ? errc::store_failed : errc::store_damaged;
        }
    }

    std::optional<bytes> get(bytes k) const {
        const auto value = txn.get(db.dbs.state, k);
        if (!value) return std::nullopt;
        return unsealed(k, *value);
    }

    /// Nothing when there is no such record. Throws damaged when it does not decode.
    template <typename Decode>
    auto record(const key& k, Decode&& decode) const -> decltype(decode(bytes())) {
        const auto value = get(k);
        if (!value) return std::nullopt;
        auto r = decode(*value);
        if (!r) throw damaged{"a record"};
        return r;
    }

    std::optional<topic_record> topic(topic_id t) const {
        auto r = record(topic_key(t), decode_topic);
        if (r && r->deleted) r.reset();
        return r;
    }

    result<std::uint32_t> number(const key& k, errc unknown) const {
        const auto value = get(k);
        if (!value) return unknown;
        unpacker in(*value);
        return in.number<std::uint32_t>();
    }

    /// Calls f(rest of the key, value) for the keys behind `after` that share its first bytes.
    template <typename F>
    void each(const key& from, std::size_t prefix, F&& f) const {
        lmdb::cursor walk(txn, db.dbs.state);
        for (auto item = walk.seek(from); item && same_prefix(item->key, from, prefix);
             item = walk.next())
            if (!f(item->key.subspan(prefix), unsealed(item->key, item->value))) return;
    }

    /// The same, and damage of a value is f's: it gets its key and the value with its seal.
    template <typename F>
    void each_sealed(const key& from, std::size_t prefix, F&& f) const {
        lmdb::cursor walk(txn, db.dbs.state);
        for (auto item = walk.seek(from); item && same_prefix(item->key, from, prefix);
             item = walk.next())
            if (!f(item->key.subspan(prefix), *item)) return;
    }

    /// The name that leads to a number. Throws damaged when none does.
    std::string name_of(const key& names, std::uint32_t number) const {
        std::optional<std::string> found;
        each_sealed(names, state_prefix_bytes, [&](bytes rest, const lmdb::item& item) {
            if (item.value.size() == sizeof number + seal_bytes &&
                load_be<std::uint32_t>(item.value.data()) == number)
                found = text_of(rest);
            return !found;
        });
        if (!found) throw damaged{"a name"};
        return *found;
    }

    topic_info info_of(topic_id t, const topic_record& r) const;
    group_info info_of(topic_id t, const topic_record& topic, group_id g,
                       const group_record& r) const;
    std::vector<offset_range> pending(topic_id t, const topic_record& topic, group_id g,
                                      const group_record& r, offset from,
                                      std::size_t ranges_max) const;
    /// Throws damaged when a group's chunks do not hold as many acks as its record says: one that
    /// is found under another key is missing where it belongs, and its acks with it.
    void check_acks(topic_id t, group_id g, const group_record& r) const;

    /// Highest sequence that was stored of a run; 0: nothing.
    sequence last_of(topic_id t, source_id s, const source_record& r, epoch e) const;
    /// What of a run lies at `from` or behind it.
    run_info run_behind(topic_id t, source_id s, const source_record& r, epoch e, offset from,
                        offset end) const;
    /// The first run of which something lies at `from` or behind it, or the present one.
    result<run_info> run_at(topic_id t, source_id s, offset from, offset end) const;
    /// In front of the losses that end right in front of `at`, whatever runs they are of.
    position_of_source before_losses(topic_id t, source_id s, const source_record& r,
                                     position_of_source at) const;
    /// What can be read of a source's messages up to a group's floor, from a run on.
    std::vector<range_of_run> acked_from(topic_id t, const topic_record& topic, source_id s,
                                         epoch from, offset floor) const;

    const database::impl& db;
    lmdb::transaction txn;
};

reader::reader(const database& source) {
    if (source.impl_->forked())
        throw error(errc::forked, "read " + source.directory().string() + ": in a forked child");
    try {
        impl_ = std::make_unique<impl>(*source.impl_);
    } catch (const lmdb::failure& what) {
        throw error(what.code() == MDB_READERS_FULL ? errc::limit_exceeded : errc::store_failed,
                    std::string("read ") + source.directory().string() + ": " + what.what());
    }
}

reader::~reader() {
    if (impl_->db.forked()) (void)impl_.release();  // its slot in the table is the parent's
}

errc reader::read(topic_id topic, offset from, std::size_t bytes_max,
                  std::vector<std::byte>& buffer, page& out) {
    out.entries.clear();
    return impl_->look([&]() -> errc {
        const auto r = impl_->topic(topic);
        if (!r) return errc::topic_unknown;
        out.first = r->first;
        out.end = r->next;
        out.next = std::clamp(from, r->first, r->next);
        std::size_t used = 0;
        std::vector<std::size_t> begins;
        // Offsets are dense: what the walk leaves out is damaged.
        offset expected_at = out.next;
        const auto damaged_to = [&](offset behind) {
            if (behind <= expected_at) return;
            entry e;
            e.what = entry::kind::damaged;
            e.offsets = {expected_at, behind - 1};
            e.cause = errc::store_damaged;
            out.entries.push_back(e);
            begins.push_back(0);
            expected_at = behind;
        };
        log_walk walk(impl_->txn, impl_->db.dbs, topic);
        walk.start(out.next);
        for (;; walk.next()) {
            if (walk.here() == log_walk::kind::end) {
                damaged_to(r->next);
                break;
            }
            if (walk.here() == log_walk::kind::damaged)
                continue;  // the next good one tells how far
            if (walk.at() > expected_at) damaged_to(std::min(walk.at(), r->next));
            // Marks have no offset to read on from: the last of them is told with the first.
            const bool amid_marks = !out.entries.empty() &&
                                    out.entries.back().what == entry::kind::lost &&
                                    out.entries.back().offsets.first == walk.at();
            if (!amid_marks && (out.entries.size() >= entries_max || used >= bytes_max)) break;
            entry e;
            if (walk.here() == log_walk::kind::mark) {
                const mark_record& mark = walk.mark();
                e.what = entry::kind::lost;
                e.offsets = {walk.at(), walk.at() - 1};
                e.source = mark.source;
                e.epoch = mark.epoch;
                e.sequences = {mark.first, mark.last};
                e.stored = mark.stored;
                e.cause = mark.cause;
                out.entries.push_back(e);
                begins.push_back(0);
                continue;
            }
            const found_batch& batch = walk.batch();
            if (batch.last() < expected_at) continue;
            const std::size_t size = batch.header.body_bytes;
            if (used > 0 && used + size > bytes_max) {
                // Marks come with the batch that they stand in front of, once.
                while (out.entries.back().what == entry::kind::lost) out.entries.pop_back();
                break;
            }
            if (buffer.size() < used + size) buffer.resize(std::max(used + size, bytes_max));
            if (!walk.copy_body(buffer.data() + used)) {
                damaged_to(batch.last() + 1);
                continue;
            }
            e.offsets = {batch.first, batch.last()};
            e.source = batch.header.source;
            e.epoch = batch.header.epoch;
            e.sequences = {batch.header.first, batch.header.last()};
            e.time = batch.header.time;
            e.stored = batch.header.stored;
            e.checksum = batch.header.checksum;
            e.body = {buffer.data(), size};
            out.entries.push_back(e);
            begins.push_back(used);
            used += size;
            expected_at = batch.last() + 1;
        }
        begins.resize(out.entries.size());
        for (std::size_t i = 0; i < begins.size(); ++i)
            if (!out.entries[i].body.empty())
                out.entries[i].body = {buffer.data() + begins[i], out.entries[i].body.size()};
        out.next = expected_at;
        impl_->db.has_read(used);
        return errc::ok;
    });
}

result<offset> reader::offset_of(topic_id topic, source_id source, epoch e, sequence s) {
    return impl_->look([&]() -> result<offset> {
        const auto r = impl_->topic(topic);
        if (!r) return errc::topic_unknown;
        const auto known = impl_->record(source_key(topic, source), decode_source);
        if (!known) return errc::source_unknown;
        if (s.value == 0 || s.value > number_max || e > known->epoch ||
            (e == known->epoch && s > known->last))
            return errc::not_stored;
        const run_index run(impl_->txn, impl_->db.dbs, topic, source, e, *known);
        const found_position found = run.find(s);
        if (found.mark) return errc::lost;
        if (found.batch) {
            const offset at = found.batch->offset_of(s);
            if (at < r->first) return errc::gone;
            return at;
        }
        // Of a former run we know what is stored, not what there was.
        return e < known->epoch && run.before(s) && !run.held_from(s) ? errc::not_stored
                                                                      : errc::gone;
    });
}

result<offset> reader::offset_from(topic_id topic, source_id source, epoch e, sequence s) {
    return impl_->look([&]() -> result<offset> {
        const auto r = impl_->topic(topic);
        if (!r) return errc::topic_unknown;
        const auto known = impl_->record(source_key(topic, source), decode_source);
        if (!known) return errc::source_unknown;
        const run_index run(impl_->txn, impl_->db.dbs, topic, source, e, *known);
        const auto first = run.first_behind(r->first);
        const auto held = first ? run.held_from(std::max(s, *first)) : std::nullopt;
        return held ? std::max(held->at, r->first) : r->next;
    });
}

sequence reader::impl::last_of(topic_id t, source_id s, const source_record& r, epoch e) const {
    if (e == r.epoch) return r.last;
    const auto value = get(ended_run_key(t, s, e));
    if (!value) return {};
    unpacker in(*value);
    return {in.number<std::uint64_t>()};
}

run_info reader::impl::run_behind(topic_id t, source_id s, const source_record& r, epoch e,
                                  offset from, offset end) const {
    run_info run{e, {}, last_of(t, s, r, e), end, e < r.epoch};
    run.first_held = run.last + 1;
    const run_index index(txn, db.dbs, t, s, e, r);
    const auto first = index.first_behind(from);
    const auto held = first ? index.held_from(*first) : std::nullopt;
    if (!held) return run;
    run.first_held = held->position;
    run.at = held->at;
    return run;
}

result<run_info> reader::impl::run_at(topic_id t, source_id s, offset from, offset end) const {
    const auto known = record(source_key(t, s), decode_source);
    if (!known) return errc::source_unknown;
    if (from < end) {
        for (epoch at{0}; at <= known->epoch; at = {at.value + 1}) {
            at = first_run_from(txn, db.dbs, t, s, at, *known);
            if (at.value == 0 || at > known->epoch) break;
            const run_info run = run_behind(t, s, *known, at, from, end);
            if (run.first_held <= run.last) return run;
            if (at == known->epoch) break;  // the next one may wrap to 0
        }
    }
    return run_info{known->epoch, known->last + 1, known->last, end, false};
}

position_of_source reader::impl::before_losses(topic_id t, source_id s, const source_record& r,
                                               position_of_source at) const {
    const auto front = run_index(txn, db.dbs, t, s, at.epoch, r).before({at.sequence.value - 1});
    if (front && front->kind != part_kind::mark) return at;
    // From here on all has its entry: what is in front of marks, and at the ends of former runs.
    lmdb::cursor walk(txn, db.dbs.index);
    const key wanted = index_key(t, s, at.epoch, at.sequence);
    for (auto item = walk.before(wanted);
         item && same_prefix(item->key, wanted, sizeof t.value + sizeof s.value);
         item = walk.previous()) {
        const index_entry entry = decode_index(item->key, item->value);
        if (entry.kind != part_kind::mark) break;
        at = {epoch_of_index(item->key), entry.first};
    }
    return at;
}

std::vector<range_of_run> reader::impl::acked_from(topic_id t, const topic_record& topic,
                                                   source_id s, epoch from, offset floor) const {
    std::vector<range_of_run> all;
    const auto known = record(source_key(t, s), decode_source);
    if (!known) return all;
    for (epoch e = first_run_from(txn, db.dbs, t, s, from, *known);
         e.value != 0 && e <= known->epoch;
         e = first_run_from(txn, db.dbs, t, s, {e.value + 1}, *known)) {
        const sequence first = run_behind(t, s, *known, e, topic.first, topic.next).first_held;
        const run_info open = run_behind(t, s, *known, e, floor + 1, topic.next);
        const position_of_source behind = before_losses(t, s, *known, {e, open.first_held});
        if (behind.epoch == e && first < behind.sequence)
            all.push_back({e, {first, behind.sequence - 1}});
        if (open.first_held <= open.last || e == known->epoch) break;
    }
    return all;
}

result<run_info> reader::run_from(topic_id topic, source_id source, epoch e) {
    return impl_->look([&]() -> result<run_info> {
        const auto r = impl_->topic(topic);
        if (!r) return errc::topic_unknown;
        const auto known = impl_->record(source_key(topic, source), decode_source);
        if (!known || e > known->epoch) return errc::source_unknown;
        epoch found = known->epoch;
        impl_->each(ended_run_key(topic, source, e), state_prefix_bytes + sizeof source.value,
                    [&](bytes rest, bytes) {
                        if (rest.size() == sizeof e.value)
                            found = {load_be<std::uint64_t>(rest.data())};
                        return false;
                    });
        return impl_->run_behind(topic, source, *known, found, r->first, r->next);
    });
}

result<run_info> reader::held_run_from(topic_id topic, source_id source, epoch e) {
    return impl_->look([&]() -> result<run_info> {
        const auto r = impl_->topic(topic);
        if (!r) return errc::topic_unknown;
        const auto known = impl_->record(source_key(topic, source), decode_source);
        if (!known || e > known->epoch) return errc::source_unknown;
        for (epoch at = e; at < known->epoch; at = {at.value + 1}) {
            at = first_run_from(impl_->txn, impl_->db.dbs, topic, source, at, *known);
            if (at.value == 0 || at >= known->epoch) break;
            const run_info run = impl_->run_behind(topic, source, *known, at, r->first, r->next);
            if (run.first_held <= run.last) return run;
        }
        return impl_->run_behind(topic, source, *known, known->epoch, r->first, r->next);
    });
}

result<position_of_source> reader::position_at(topic_id topic, source_id source, offset from) {
    return impl_->look([&]() -> result<position_of_source> {
        const auto r = impl_->topic(topic);
        if (!r) return errc::topic_unknown;
        const auto run = impl_->run_at(topic, source, std::max(from, r->first), r->next);
        if (!run) return run.error();
        return position_of_source{run->epoch, run->first_held};
    });
}

result<std::vector<placed>> reader::positions(topic_id topic, offset_range range) {
    return impl_->look([&]() -> result<std::vector<placed>> {
        const auto r = impl_->topic(topic);
        if (!r) return errc::topic_unknown;
        std::vector<placed> all;
        const offset begin = std::max(range.first, r->first);
        log_walk walk(impl_->txn, impl_->db.dbs, topic);
        for (walk.start(begin); walk.here() != log_walk::kind::end && all.size() < rows_max;
             walk.next()) {
            if (walk.at() > range.last) break;
            if (walk.here() != log_walk::kind::batch) continue;
            const found_batch& batch = walk.batch();
            if (batch.last() < begin) continue;
            const offset first = std::max(batch.first, begin);
            all.push_back({{first, std::min(batch.last(), range.last)},
                           batch.header.source,
                           batch.header.epoch,
                           batch.sequence_of(first)});
        }
        return all;
    });
}

result<offset> reader::offset_at(topic_id topic, wall_time stored) {
    return impl_->look([&]() -> result<offset> {
        const auto r = impl_->topic(topic);
        if (!r) return errc::topic_unknown;
        // Stored times never go back: halving over offsets.
        offset low = r->first;
        offset high = r->next;
        while (low < high) {
            const offset middle = low + (high - low) / 2;
            // What is damaged there has the time of what lies behind it, or none.
            log_walk walk(impl_->txn, impl_->db.dbs, topic);
            walk.start(middle);
            while (walk.here() == log_walk::kind::mark || walk.here() == log_walk::kind::damaged)
                walk.next();
            const bool found = walk.here() == log_walk::kind::batch && walk.at() < high;
            if (found && walk.batch().header.stored < stored)
                low = std::min(walk.batch().last() + 1, high);
            else
                high = found && walk.at() <= middle ? std::max(walk.at(), low) : middle;
        }
        return low;
    });
}

result<offset> reader::last_of_key(topic_id topic, std::string_view name) {
    return impl_->look([&]() -> result<offset> {
        const auto r = impl_->topic(topic);
        if (!r) return errc::topic_unknown;
        if (!r->config.last_per_key) return errc::not_supported;
        if (name.empty() || name.size() > wire::key_bytes_max) return errc::gone;
        const auto value = impl_->get(last_of_key_key(topic, name));
        if (!value) return errc::gone;
        unpacker in(*value);
        const offset at{in.number<std::uint64_t>()};
        if (at < r->first) return errc::gone;
        return at;
    });
}

result<std::vector<std::pair<std::string, offset>>> reader::last_per_key(topic_id topic,
                                                                         std::string_view after) {
    using rows = std::vector<std::pair<std::string, offset>>;
    return impl_->look([&]() -> result<rows> {
        const auto r = impl_->topic(topic);
        if (!r) return errc::topic_unknown;
        if (!r->config.last_per_key) return errc::not_supported;
        if (after.size() > wire::key_bytes_max) return errc::invalid_argument;
        rows all;
        impl_->each(last_of_key_key(topic, after), state_prefix_bytes,
                    [&](bytes rest, bytes value) {
                        unpacker in(value);
                        const offset at{in.number<std::uint64_t>()};
                        if (text_of(rest) > after && at >= r->first)
                            all.emplace_back(text_of(rest), at);
                        return all.size() < rows_max;
                    });
        return all;
    });
}

topic_info reader::impl::info_of(topic_id t, const topic_record& r) const {
    topic_info i;
    i.id = t;
    i.name = r.name;
    i.config = r.config;
    i.first = r.first;
    i.end = r.next;
    i.bytes = r.bytes;
    i.sources = r.next_source - 1;  // none of them ever goes
    lmdb::cursor walk(txn, db.dbs.state);
    const key first = group_key(t, {0});
    for (auto item = walk.seek(first); item && same_prefix(item->key, first, state_prefix_bytes);
         item = walk.next())
        ++i.groups;
    i.dead_letters = r.letters;
    return i;
}

result<topic_id> reader::find_topic(std::string_view name) {
    return impl_->look([&]() -> result<topic_id> {
        if (name.size() > wire::topic_bytes_max) return errc::topic_unknown;
        const auto n = impl_->number(topic_name_key(name), errc::topic_unknown);
        if (!n) return n.error();
        return topic_id{*n};
    });
}

result<std::vector<topic_info>> reader::topics(std::string_view after) {
    return impl_->look([&]() -> result<std::vector<topic_info>> {
        if (after.size() > wire::topic_bytes_max) return errc::invalid_argument;
        std::vector<topic_info> all;
        const auto row = [&](bytes rest, const lmdb::item& item) {
            if (text_of(rest) <= after) return true;
            topic_id t{};
            try {
                unpacker in(unsealed(item.key, item.value));
                t = {in.number<std::uint32_t>()};
                if (const auto r = impl_->topic(t)) all.push_back(impl_->info_of(t, *r));
            } catch (const damaged&) {
                topic_info& told = all.emplace_back();
                told.id = t;
                told.name = text_of(rest);
                told.damaged = true;
            }
            return all.size() < rows_max;
        };
        impl_->each_sealed(topic_name_key(after), state_prefix_bytes, row);
        return all;
    });
}

result<topic_info> reader::topic(topic_id id) {
    return impl_->look([&]() -> result<topic_info> {
        const auto r = impl_->topic(id);
        if (!r) return errc::topic_unknown;
        return impl_->info_of(id, *r);
    });
}

result<std::vector<source_info>> reader::sources(topic_id topic) {
    return impl_->look([&]() -> result<std::vector<source_info>> {
        if (!impl_->topic(topic)) return errc::topic_unknown;
        std::vector<source_info> all;
        const auto row = [&](bytes rest, const lmdb::item& item) {
            if (rest.size() != 4) throw damaged{"a source's record"};
            source_info& told = all.emplace_back();
            told.id = {load_be<std::uint32_t>(rest.data())};
            try {
                const auto r = decode_source(unsealed(item.key, item.value));
                if (!r) throw damaged{"a source's record"};
                told = {told.id, r->name, r->epoch, r->last, r->owner};
            } catch (const damaged&) {
                told.name = impl_->name_of(source_name_key(topic, {}), told.id.value);
                told.damaged = true;
            }
            return true;
        };
        impl_->each_sealed(source_key(topic, {0}), state_prefix_bytes, row);
        return all;
    });
}

result<source_info> reader::source(topic_id topic, source_id source) {
    return impl_->look([&]() -> result<source_info> {
        if (!impl_->topic(topic)) return errc::topic_unknown;
        const auto r = impl_->record(source_key(topic, source), decode_source);
        if (!r) return errc::source_unknown;
        return source_info{source, r->name, r->epoch, r->last, r->owner};
    });
}

group_info reader::impl::info_of(topic_id t, const topic_record& topic, group_id g,
                                 const group_record& r) const {
    group_info i;
    i.id = g;
    i.name = r.name;
    i.settings = r.settings;
    i.floor = std::max(r.floor, topic.first - 1);
    i.acked = r.acked;
    i.moves = r.moves;
    if (i.floor > r.floor && r.acked > 0) {
        // The floor follows trims with the group's next change only; until then it is counted here.
        i.acked = 0;
        const std::uint64_t begin = i.floor.value + 1;
        const key from = chunk_key(t, g, chunk_of(begin));
        each(from, state_prefix_bytes + 4, [&](bytes rest, bytes value) {
            const auto chunk = ack_chunk::decode(value);
            if (!chunk || rest.size() != 8) throw damaged{"a group's acks"};
            const auto n = load_be<std::uint64_t>(rest.data());
            i.acked +=
                chunk->count(n == chunk_of(begin) ? begin % chunk_offsets : 0, chunk_offsets - 1);
            return true;
        });
    }
    i.pending = topic.next - i.floor - 1 - i.acked;
    return i;
}

result<std::vector<group_info>> reader::groups(topic_id topic) {
    return impl_->look([&]() -> result<std::vector<group_info>> {
        const auto t = impl_->topic(topic);
        if (!t) return errc::topic_unknown;
        std::vector<group_info> all;
        const auto row = [&](bytes rest, const lmdb::item& item) {
            if (rest.size() != 4) throw damaged{"a group's record"};
            group_info& told = all.emplace_back();
            told.id = {load_be<std::uint32_t>(rest.data())};
            try {
                const auto r = decode_group(unsealed(item.key, item.value));
                if (!r) throw damaged{"a group's record"};
                told = impl_->info_of(topic, *t, told.id, *r);
            } catch (const damaged&) {
                told.name = impl_->name_of(group_name_key(topic, {}), told.id.value);
                told.damaged = true;
            }
            return true;
        };
        impl_->each_sealed(group_key(topic, {0}), state_prefix_bytes, row);
        return all;
    });
}

result<group_info> reader::group(topic_id topic, group_id group) {
    return impl_->look([&]() -> result<group_info> {
        const auto t = impl_->topic(topic);
        if (!t) return errc::topic_unknown;
        const auto r = impl_->record(group_key(topic, group), decode_group);
        if (!r) return errc::group_unknown;
        impl_->check_acks(topic, group, *r);
        return impl_->info_of(topic, *t, group, *r);
    });
}

result<position_of_group> reader::position_of(topic_id topic, group_id group, source_id source) {
    return impl_->look([&]() -> result<position_of_group> {
        const auto t = impl_->topic(topic);
        if (!t) return errc::topic_unknown;
        const auto r = impl_->record(group_key(topic, group), decode_group);
        if (!r) return errc::group_unknown;
        if (const auto untold = impl_->record(untold_key(topic, group, source), decode_untold))
            return position_of_group{{untold->epoch, untold->first},
                                     impl_->acked_from(topic, *t, source, untold->epoch, r->floor)};
        for (offset from = r->floor + 1;;) {
            const auto run = impl_->run_at(topic, source, from, t->next);
            if (!run) return run.error();
            // What is trimmed and still there counts, for nobody noted it; what is acked does not.
            if (run->at < t->first) {
                const auto open = impl_->pending(topic, *t, group, *r, run->at, 1);
                from = open.empty() ? t->first : std::min(open.front().first, t->first);
                if (from > run->at) continue;
            }
            const auto known = impl_->record(source_key(topic, source), decode_source);
            if (!known) return errc::source_unknown;
            return position_of_group{
                impl_->before_losses(topic, source, *known, {run->epoch, run->first_held}), {}};
        }
    });
}

result<group_id> reader::find_group(topic_id topic, std::string_view name) {
    return impl_->look([&]() -> result<group_id> {
        if (!impl_->topic(topic)) return errc::topic_unknown;
        if (name.size() > group_name_bytes_max) return errc::group_unknown;
        const auto n = impl_->number(group_name_key(topic, name), errc::group_unknown);
        if (!n) return n.error();
        return group_id{*n};
    });
}

void reader::impl::check_acks(topic_id t, group_id g, const group_record& r) const {
    const std::uint64_t begin = (r.floor + 1).value;
    std::uint64_t acked = 0;
    if (r.acked != 0)
        each(chunk_key(t, g, chunk_of(begin)), state_prefix_bytes + 4,
             [&](bytes rest, bytes value) {
                 const auto chunk = ack_chunk::decode(value);
                 if (!chunk || rest.size() != 8) throw damaged{"a group's acks"};
                 const std::uint64_t base = load_be<std::uint64_t>(rest.data()) * chunk_offsets;
                 acked += chunk->count(begin > base ? begin - base : 0, chunk_offsets - 1);
                 return acked <= r.acked;
             });
    if (acked != r.acked) throw damaged{"a group's acks"};
}

std::vector<offset_range> reader::impl::pending(topic_id t, const topic_record& topic, group_id g,
                                                const group_record& r, offset from,
                                                std::size_t ranges_max) const {
    std::vector<offset_range> all;
    offset at = std::max(from, r.floor + 1);
    // Open until something acked is met.
    const auto open_to = [&](offset behind) {
        const offset last = std::min(behind, topic.next);
        if (at < last && all.size() < ranges_max) {
            if (!all.empty() && all.back().last + 1 == at)
                all.back().last = last - 1;
            else
                all.push_back({at, last - 1});
        }
        at = std::max(at, behind);
    };
    if (r.acked > 0) {
        each(chunk_key(t, g, chunk_of(at.value)), state_prefix_bytes + 4,
             [&](bytes rest, bytes value) {
                 const auto chunk = ack_chunk::decode(value);
                 if (!chunk || rest.size() != 8) throw damaged{"a group's acks"};
                 const offset base{load_be<std::uint64_t>(rest.data()) * chunk_offsets};
                 for (std::uint64_t i = at > base ? at - base : 0; i < chunk_offsets;) {
                     const std::uint64_t acked = chunk->find(i, true);
                     if (acked == chunk_offsets) break;
                     open_to(base + acked);
                     i = chunk->find(acked, false);
                     at = base + i;
                 }
                 return all.size() < ranges_max && at < topic.next;
             });
    }
    if (all.size() < ranges_max) open_to(topic.next);
    return all;
}

result<std::vector<offset_range>> reader::pending(topic_id topic, group_id group, offset from,
                                                  std::size_t ranges_max) {
    return impl_->look([&]() -> result<std::vector<offset_range>> {
        const auto t = impl_->topic(topic);
        if (!t) return errc::topic_unknown;
        const auto r = impl_->record(group_key(topic, group), decode_group);
        if (!r) return errc::group_unknown;
        if (from <= std::max(t->first, r->floor + 1)) impl_->check_acks(topic, group, *r);
        return impl_->pending(topic, *t, group, *r, std::max(from, t->first), ranges_max);
    });
}

result<std::vector<attempt_info>> reader::attempts(topic_id topic, group_id group, offset from) {
    return impl_->look([&]() -> result<std::vector<attempt_info>> {
        const auto t = impl_->topic(topic);
        if (!t) return errc::topic_unknown;
        if (!impl_->get(group_key(topic, group))) return errc::group_unknown;
        std::vector<attempt_info> all;
        const offset begin = std::max(from, t->first);
        impl_->each(
            attempt_key(topic, group, begin), state_prefix_bytes + 4, [&](bytes rest, bytes value) {
                const auto r = decode_attempt(value);
                if (!r || rest.size() != 8) throw damaged{"an attempt"};
                all.push_back(
                    {{load_be<std::uint64_t>(rest.data())}, r->attempts, r->not_before, r->reason});
                return all.size() < rows_max;
            });
        return all;
    });
}

result<letter_story> reader::story(topic_id topic, offset letter) {
    return impl_->look([&]() -> result<letter_story> {
        const auto t = impl_->topic(topic);
        if (!t) return errc::topic_unknown;
        if (!t->letters) return errc::not_supported;
        if (letter >= t->next) return errc::not_stored;
        const auto r = impl_->record(story_key(topic, letter), decode_story);
        if (!r || letter < t->first) return errc::gone;
        return letter_story{r->topic, r->group,    r->source, r->epoch,  r->sequence,
                            r->at,    r->attempts, r->cause,  r->reason, r->moved};
    });
}

}  // namespace cairn::store
