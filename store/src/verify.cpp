#include "changes.hpp"
#include "directory.hpp"
#include "structure.hpp"

#include <cairn/store/maintenance.hpp>
#include <cairn/wire/records.hpp>

#include <map>

namespace cairn::store {

namespace fs = std::filesystem;

namespace {

using mode = lmdb::transaction::mode;

constexpr std::size_t findings_max = 1'024;

/// Walks the content of a database whose trees are sound.
class verifier {
public:
    verifier(const lmdb::transaction& txn, const databases& dbs, verify_report& report)
        : txn_(txn), dbs_(dbs), report_(report) {}

    void run();

private:
    void found(std::string what, topic_id t = {}, offset_range offsets = {{1}, {0}}) {
        ++report_.found;
        if (report_.findings.size() < findings_max)
            report_.findings.push_back({std::move(what), t, offsets});
    }
    void check_topic(topic_id t, const topic_record& r);
    void check_log(topic_id t, const topic_record& r);
    void check_index_of(topic_id t, source_id source, epoch e, sequence first, offset at,
                        part_kind kind, std::uint32_t number);
    void check_groups(topic_id t, const topic_record& r);
    void check_sources(topic_id t, const topic_record& r);
    void check_messages(topic_id t, const topic_record& r);
    void check_all_sealed();
    void check_no_strangers();
    template <typename F>
    void each(const key& from, std::size_t prefix, F&& f);

    const lmdb::transaction& txn_;
    const databases& dbs_;
    verify_report& report_;
    std::map<topic_id, topic_record> topics_;
    std::uint64_t index_entries_ = 0;                          // that the log asks for
    std::map<std::pair<source_id, epoch>, sequence> entries_;  // the last one of each, of a topic
    std::uint64_t bytes_ = 0;
    std::uint64_t messages_ = 0;
};

// What fails its seal is told by check_all_sealed.
template <typename F>
void verifier::each(const key& from, std::size_t prefix, F&& f) {
    lmdb::cursor walk(txn_, dbs_.state);
    for (auto item = walk.seek(from); item && same_prefix(item->key, from, prefix);
         item = walk.next()) {
        try {
            f(item->key.subspan(prefix), unsealed(item->key, item->value));
        } catch (const damaged&) {
        }
    }
}

void verifier::check_all_sealed() {
    const auto look = [&](MDB_dbi dbi, const std::string& name) {
        lmdb::cursor walk(txn_, dbi);
        for (auto item = walk.first(); item; item = walk.next()) {
            const topic_id t{item->key.size() < 4 ? 0 : load_be<std::uint32_t>(item->key.data())};
            try {
                unsealed(item->key, item->value);
            } catch (const damaged&) {
                found("a value of " + name + " fails its seal", t);
            }
        }
    };
    look(dbs_.state, "state");
    look(dbs_.index, "index");
}

void verifier::check_index_of(topic_id t, source_id source, epoch e, sequence first, offset at,
                              part_kind kind, std::uint32_t number) {
    try {
        const auto entry = index_before(txn_, dbs_, t, source, e, first);
        if (!entry) return found("a position is not in the index", t, {at, at});
        auto& known = entries_[{source, e}];
        if (known != entry->first) ++index_entries_;
        known = entry->first;
        if (entry->at_of(first) != at || entry->kind != kind || entry->number != number)
            found("the index leads elsewhere", t, {at, at});
    } catch (const damaged&) {
        ++index_entries_;
    }
}

void verifier::check_log(topic_id t, const topic_record& r) {
    std::map<std::pair<source_id, epoch>, sequence> last;
    std::vector<std::byte> body;
    offset expected_at = r.first;
    wall_time stored = wall_time::min();
    std::uint64_t bytes_of_topic = 0;
    bool damage = false;
    const auto damaged_to = [&](offset behind) {
        if (behind <= expected_at) return;
        found("messages are damaged", t, {expected_at, behind - 1});
        expected_at = behind;
        damage = true;
    };
    const auto follows = [&](source_id s, epoch e, sequence first, sequence end, offset at) {
        const auto known = last.find({s, e});
        if (known != last.end() && first != known->second + 1 && !damage)
            found("the sequences of a source have a hole", t, {at, at});
        last[{s, e}] = end;
    };
    entries_.clear();
    log_walk walk(txn_, dbs_, t);
    for (walk.start({0}); walk.here() != log_walk::kind::end; walk.next()) {
        if (walk.here() == log_walk::kind::damaged) {
            found("an entry cannot be read", t);
            damage = true;
            continue;
        }
        if (walk.at() >= r.first) damaged_to(walk.at());
        if (walk.here() == log_walk::kind::mark) {
            const mark_record& m = walk.mark();
            bytes_of_topic += mark_cost;
            if (walk.at() >= r.first) follows(m.source, m.epoch, m.first, m.last, walk.at());
            check_index_of(t, m.source, m.epoch, m.first, walk.at(), part_kind::mark,
                           walk.mark_number());
            continue;
        }
        const found_batch batch = walk.batch();
        ++report_.batches;
        report_.messages += batch.header.count;
        report_.bytes += batch.header.body_bytes;
        bytes_of_topic += cost_of(batch.header.body_bytes);
        body.resize(batch.header.body_bytes);
        const bool sound = walk.copy_body(body.data()) &&
                           wire::check_records(body, batch.header.count) == errc::ok;
        if (sound)
            expected_at = std::max(expected_at, batch.last() + 1);
        else
            damaged_to(batch.last() + 1);
        if (batch.header.stored < stored)
            found("stored times go back", t, {batch.first, batch.first});
        stored = batch.header.stored;
        // A purge takes the marks behind the last batch away before what is in front of them.
        if (batch.last() >= r.first)
            follows(batch.header.source, batch.header.epoch, batch.header.first,
                    batch.header.last(), batch.first);
        check_index_of(t, batch.header.source, batch.header.epoch, batch.header.first, batch.first,
                       part_kind::piece, 0);
    }
    if (r.deleted) return;
    damaged_to(r.next);
    if (expected_at != r.next) found("the log goes beyond its topic's end", t);
    if (!damage && bytes_of_topic != r.bytes) found("the bytes of a topic are miscounted", t);
    each(source_key(t, {0}), state_prefix_bytes, [&](bytes rest, bytes value) {
        const auto s = decode_source(value);
        if (!s || rest.size() != 4) return found("a source cannot be read", t);
        const auto known = last.find({source_id{load_be<std::uint32_t>(rest.data())}, s->epoch});
        if (known != last.end() && known->second != s->last && !damage)
            found("a source's last sequence differs from its log", t);
    });
}

void verifier::check_groups(topic_id t, const topic_record& r) {
    each(group_key(t, {0}), state_prefix_bytes, [&](bytes rest, bytes value) {
        const auto g = decode_group(value);
        if (!g || rest.size() != 4) return found("a group cannot be read", t);
        const group_id id{load_be<std::uint32_t>(rest.data())};
        if (g->floor >= r.next) found("a group's floor lies beyond the end", t);
        std::uint64_t acked = 0;
        each(chunk_key(t, id, 0), state_prefix_bytes + 4, [&](bytes n, bytes chunk_value) {
            const auto chunk = ack_chunk::decode(chunk_value);
            if (!chunk || n.size() != 8) return found("a group's acks cannot be read", t);
            const std::uint64_t base = load_be<std::uint64_t>(n.data()) * chunk_offsets;
            const std::uint64_t begin = (g->floor + 1).value;
            if (base + chunk_offsets <= begin) return found("acks lie below their floor", t);
            acked += chunk->count(begin > base ? begin - base : 0, chunk_offsets - 1);
            for (auto at = chunk->find(0, true); at < chunk_offsets;
                 at = chunk->find(at + 1, true)) {
                if (base + at >= r.next.value) return found("acks lie beyond the end", t);
                if (at + 1 == chunk_offsets) break;
            }
        });
        if (acked != g->acked) found("a group's acks are miscounted", t);
        std::uint64_t attempts = 0;
        each(attempt_key(t, id, {0}), state_prefix_bytes + 4, [&](bytes, bytes attempt) {
            ++attempts;
            if (!decode_attempt(attempt)) found("an attempt cannot be read", t);
        });
        if (attempts != g->attempts) found("a group's attempts are miscounted", t);
        each(untold_key(t, id, {0}), state_prefix_bytes + 4, [&](bytes source, bytes untold) {
            if (!decode_untold(untold) || source.size() != 4 ||
                load_be<std::uint32_t>(source.data()) >= r.next_source)
                found("what a group was not told of cannot be read", t);
        });
        const auto named = txn_.get(dbs_.state, group_name_key(t, g->name));
        if (!named || load_be<std::uint32_t>(named->data()) != id.value)
            found("a group is not found by its name", t);
    });
}

void verifier::check_sources(topic_id t, const topic_record& r) {
    std::map<source_id, source_record> known;
    each(source_key(t, {0}), state_prefix_bytes, [&](bytes rest, bytes value) {
        auto s = decode_source(value);
        if (!s || rest.size() != 4) return;  // told with the log
        const source_id id{load_be<std::uint32_t>(rest.data())};
        const auto named = txn_.get(dbs_.state, source_name_key(t, s->name));
        if (!named || load_be<std::uint32_t>(named->data()) != id.value)
            found("a source is not found by its name", t);
        if (id.value >= r.next_source) found("a source has a number of later", t);
        known.emplace(id, std::move(*s));
    });
    each(source_name_key(t, {}), state_prefix_bytes, [&](bytes rest, bytes value) {
        const auto s = known.find({value.size() != 4 ? 0 : load_be<std::uint32_t>(value.data())});
        if (s == known.end() || s->second.name != text_of(rest))
            found("a source's name leads nowhere", t);
    });
    each(state_key(t, 'R'), state_prefix_bytes, [&](bytes rest, bytes value) {
        const auto s = known.find({rest.size() != 12 ? 0 : load_be<std::uint32_t>(rest.data())});
        if (s == known.end() || value.size() != 8 ||
            load_be<std::uint64_t>(rest.data() + 4) >= s->second.epoch.value)
            found("an ended run is of no source", t);
    });
}

void verifier::check_messages(topic_id t, const topic_record& r) {
    each(last_of_key_key(t, {}), state_prefix_bytes, [&](bytes, bytes value) {
        if (value.size() != 8 || load_be<std::uint64_t>(value.data()) >= r.next.value ||
            !r.config.last_per_key)
            found("a key's last message is none", t);
    });
    each(story_key(t, {0}), state_prefix_bytes, [&](bytes rest, bytes value) {
        if (rest.size() != 8 || load_be<std::uint64_t>(rest.data()) >= r.next.value || !r.letters ||
            !decode_story(value))
            found("the story of a letter cannot be read, or is of none", t);
    });
}

void verifier::check_topic(topic_id t, const topic_record& r) {
    if (!r.deleted) {
        ++report_.topics;
        messages_ += r.next - r.first;
        if (r.first > r.next || r.kept > r.first) found("a topic's offsets are out of order", t);
        const auto named = txn_.get(dbs_.state, topic_name_key(r.name));
        if (!named || load_be<std::uint32_t>(named->data()) != t.value)
            found("a topic is not found by its name", t);
    }
    bytes_ += r.bytes;
    check_log(t, r);
    if (r.deleted) return;  // its small records go one after another
    check_groups(t, r);
    check_sources(t, r);
    check_messages(t, r);
}

void verifier::check_no_strangers() {
    std::uint64_t entries = 0;
    topic_id before{};
    lmdb::cursor index(txn_, dbs_.index);
    for (auto item = index.first(); item; item = index.next()) ++entries;
    if (entries != index_entries_ && report_.sound())
        found("the index has entries that lead nowhere");
    lmdb::cursor log(txn_, dbs_.log);
    for (auto item = log.first(); item;) {
        const log_place place = parse_log_key(item->key);
        if (place.topic != before && !topics_.contains(place.topic))
            found("the log has entries of no topic", place.topic);
        before = place.topic;
        item = log.seek(log_key({place.topic.value + 1}, {0}, part_kind::mark, 0));
    }
}

void verifier::run() {
    check_all_sealed();
    lmdb::cursor walk(txn_, dbs_.state);
    for (topic_id t{1};;) {
        const auto item = walk.seek(state_key(t, 0));
        if (!item || item->key.size() < sizeof t.value) break;
        t = {load_be<std::uint32_t>(item->key.data())};
        try {
            const auto value = txn_.get(dbs_.state, topic_key(t));
            const auto r = value ? decode_topic(unsealed(topic_key(t), *value)) : std::nullopt;
            if (r)
                topics_.emplace(t, *r);
            else
                found("a topic's record is missing", t);
        } catch (const damaged&) {
            topics_.emplace(t, topic_record{});
        }
        if (t.value == ~std::uint32_t{0}) break;
        ++t.value;
    }
    for (const auto& [t, r] : topics_)
        if (r.next_source > 1 || !r.name.empty() || r.deleted) check_topic(t, r);
    check_no_strangers();
    const auto value = txn_.get(dbs_.state, counters_key());
    const auto counters = value ? decode_counters(unsealed(counters_key(), *value)) : std::nullopt;
    if (!counters) return found("the counters are missing");
    if (!report_.sound()) return;
    if (counters->bytes != bytes_ || counters->messages != messages_ ||
        counters->topics != report_.topics)
        found("the counters differ from what is stored");
}

}  // namespace

verify_report verify(const fs::path& directory) {
    const unique_fd lock = lock_directory("verify", directory, true, false);
    verify_report report;
    const structure_report trees = check_structure(directory / data_name);
    report.pages = trees.pages;
    for (const std::string& problem : trees.problems) {
        report.findings.push_back({problem, {}, {{1}, {0}}});
        ++report.found;
    }
    if (!report.sound()) return report;
    try {
        lmdb::environment env(directory, {.map_bytes = std::size_t{1} << 40, .flags = MDB_RDONLY});
        databases dbs;
        {
            lmdb::transaction txn(env, mode::read);
            dbs = open_databases(txn, false);
            txn.commit();
        }
        const lmdb::transaction txn(env, mode::read);
        read_meta(txn, dbs, directory);
        verifier(txn, dbs, report).run();
    } catch (const lmdb::failure& what) {
        throw_failure("verify", directory, what);
    } catch (const damaged& what) {
        report.findings.push_back({what.what, {}, {{1}, {0}}});
        ++report.found;
    }
    return report;
}

}  // namespace cairn::store
