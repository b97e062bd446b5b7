#include "changes.hpp"
#include "directory.hpp"
#include "record_names.hpp"
#include "recount.hpp"
#include "run_index.hpp"
#include "structure.hpp"

#include <cairn/store/maintenance.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <map>
#include <system_error>

namespace cairn::store {

namespace fs = std::filesystem;

namespace {

using mode = lmdb::transaction::mode;

constexpr std::size_t findings_max = 1'024;
constexpr offset_range no_offsets{{1}, {0}};

void note(verify_report& report, remedy helps, finding what) {
    ++report.found;
    report.helps = std::max(report.helps, helps);
    if (report.findings.size() < findings_max) report.findings.push_back(std::move(what));
}

/// Walks the content of a database whose trees are sound.
class verifier {
public:
    verifier(const lmdb::transaction& txn, const databases& dbs, verify_report& report)
        : txn_(txn), dbs_(dbs), report_(report) {}

    void run();

private:
    void found(std::string what, topic_id t = {}, offset_range offsets = no_offsets) {
        note(report_, remedy::leave_out, {std::move(what), t, offsets});
    }
    void check_topic(topic_id t, const topic_record& r);
    void check_log(topic_id t, const topic_record& r);
    struct run_state;
    void check_stretch(topic_id t, run_state& run, const found_batch& batch);
    void check_mark(topic_id t, run_state& run, const mark_record& m, offset at,
                    std::uint32_t number);
    void check_last_stretch(topic_id t, run_state& run, const std::optional<index_entry>& tail);
    bool has_entry(topic_id t, source_id source, epoch e, const index_entry& wanted);
    void check_groups(topic_id t, const topic_record& r);
    void check_sources(topic_id t, const topic_record& r);
    void check_messages(topic_id t, const topic_record& r);
    std::uint64_t cost_of_small_records(topic_id t, offset kept);
    std::uint32_t number_at(const key& name) const;
    void check_all_sealed();
    void check_no_strangers();
    void check_counters();
    template <typename F>
    void each(const key& from, std::size_t prefix, F&& f);

    const lmdb::transaction& txn_;
    const databases& dbs_;
    verify_report& report_;
    std::map<topic_id, topic_record> topics_;
    std::uint64_t index_entries_ = 0;  // that the log asks for
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

// 0: none.
std::uint32_t verifier::number_at(const key& name) const {
    const auto value = txn_.get(dbs_.state, name);
    return value ? unpacker(*value).number<std::uint32_t>() : 0;
}

void verifier::check_all_sealed() {
    const auto look = [&](MDB_dbi dbi, std::string (*name_of)(bytes)) {
        lmdb::cursor walk(txn_, dbi);
        for (auto item = walk.first(); item; item = walk.next()) {
            const topic_id t{item->key.size() < 4 ? 0 : load_be<std::uint32_t>(item->key.data())};
            try {
                unsealed(item->key, item->value);
            } catch (const damaged&) {
                found(name_of(item->key) + ": its value fails its seal", t);
            }
        }
    };
    look(dbs_.state, name_of_state);
    look(dbs_.index, name_of_index);
}

/// What the walk through a topic's log has seen of a run.
struct verifier::run_state {
    sequence next;                       // that goes on with the stretch
    offset behind;                       // where it would
    std::optional<index_entry> stretch;  // the last one
    bool indexed = false;                // that one
    int unindexed = 0;                   // stretches in a row
};

bool verifier::has_entry(topic_id t, source_id source, epoch e, const index_entry& wanted) {
    const key k = index_key(t, source, e, wanted.first);
    const auto value = txn_.get(dbs_.index, k);
    if (!value) return false;
    ++index_entries_;
    try {
        const index_entry entry = decode_index(k, *value);
        if (entry.at != wanted.at || entry.kind != wanted.kind || entry.number != wanted.number)
            found("the index leads elsewhere", t, {wanted.at, wanted.at});
    } catch (const damaged&) {  // told by check_all_sealed
    }
    return true;
}

// `tail`: where the source's record leads.
void verifier::check_last_stretch(topic_id t, run_state& run,
                                  const std::optional<index_entry>& tail) {
    if (!run.stretch || run.indexed) return;
    if (!tail || tail->at != run.stretch->at || tail->first != run.stretch->first)
        found("a position is not found", t, {run.stretch->at, run.stretch->at});
}

void verifier::check_mark(topic_id t, run_state& run, const mark_record& m, offset at,
                          std::uint32_t number) {
    check_last_stretch(t, run, {});
    if (!has_entry(t, m.source, m.epoch, {m.first, at, part_kind::mark, number}))
        found("a loss is not in the index", t, {at, at});
    run = {};
}

void verifier::check_stretch(topic_id t, run_state& run, const found_batch& batch) {
    const batch_record& h = batch.header;
    const bool goes_on = run.stretch && run.behind == batch.first && run.next == h.first;
    const bool own = has_entry(t, h.source, h.epoch, {h.first, batch.first});
    run.behind = batch.last() + 1;
    run.next = h.last() + 1;
    if (goes_on && !own) return;
    if (run.stretch && !run.indexed && batch.first - run.stretch->at != h.back)
        check_last_stretch(t, run, {});
    if (!run.stretch && !own) {
        // Its stretch may have lost its begin: the entry stays.
        const key k = index_key(t, h.source, h.epoch, h.first);
        lmdb::cursor index(txn_, dbs_.index);
        const auto item = index.before(k);
        if (item && same_prefix(item->key, k, index_key_bytes - sizeof(std::uint64_t))) {
            const index_entry entry = decode_index(item->key, item->value);
            run.indexed = entry.kind == part_kind::piece && entry.at_of(h.first) == batch.first;
            if (run.indexed) ++index_entries_;
        }
    } else {
        run.indexed = own;
    }
    run.stretch = index_entry{h.first, batch.first};
    run.unindexed = run.indexed ? 0 : run.unindexed + 1;
    if (run.unindexed >= stretches_linked_max)
        found("too many links follow each other", t, {batch.first, batch.first});
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
    std::map<std::pair<source_id, epoch>, run_state> runs;
    log_walk walk(txn_, dbs_, t);
    for (walk.start({0}); walk.here() != log_walk::kind::end; walk.next()) {
        if (walk.here() == log_walk::kind::damaged) {
            found("an entry cannot be read", t);
            damage = true;
            runs.clear();  // links around it are not followed
            continue;
        }
        if (walk.at() >= r.first) damaged_to(walk.at());
        if (walk.here() == log_walk::kind::mark) {
            const mark_record& m = walk.mark();
            bytes_of_topic += mark_cost;
            if (walk.at() >= r.first) follows(m.source, m.epoch, m.first, m.last, walk.at());
            check_mark(t, runs[{m.source, m.epoch}], m, walk.at(), walk.mark_number());
            continue;
        }
        const found_batch batch = walk.batch();
        ++report_.batches;
        if (batch.last() >= r.first)
            report_.messages += batch.last() - std::max(batch.first, r.first) + 1;
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
        try {
            check_stretch(t, runs[{batch.header.source, batch.header.epoch}], batch);
        } catch (const damaged&) {  // told by check_all_sealed
        }
    }
    if (r.deleted) return;
    damaged_to(r.next);
    if (expected_at != r.next) found("the log goes beyond its topic's end", t);
    if (!damage && bytes_of_topic + cost_of_small_records(t, r.kept) != r.bytes)
        found("the bytes of a topic are miscounted", t);
    each(source_key(t, {0}), state_prefix_bytes, [&](bytes rest, bytes value) {
        const auto s = decode_source(value);
        if (!s || rest.size() != 4) return found("a source cannot be read", t);
        const auto known = last.find({source_id{load_be<std::uint32_t>(rest.data())}, s->epoch});
        if (known != last.end() && known->second != s->last && !damage)
            found("a source's last sequence differs from its log", t);
        const auto run = runs.find({source_id{load_be<std::uint32_t>(rest.data())}, s->epoch});
        if (run == runs.end()) return;
        check_last_stretch(t, run->second, index_entry{s->tail.first, s->tail.at});
        runs.erase(run);
    });
    for (auto& [which, run] : runs) check_last_stretch(t, run, {});
}

// Without what damaged batches have left behind, which leads nowhere.
std::uint64_t verifier::cost_of_small_records(topic_id t, offset kept) {
    std::uint64_t cost = 0;
    const auto add = [&](bytes k, bytes content, std::uint64_t at) {
        if (at >= kept.value) cost += small_record_cost(k.size(), content.size() + seal_bytes);
    };
    each(last_of_key_key(t, {}), state_prefix_bytes, [&](bytes rest, bytes value) {
        if (value.size() == 8)
            add(last_of_key_key(t, text_of(rest)), value, load_be<std::uint64_t>(value.data()));
    });
    each(story_key(t, {0}), state_prefix_bytes, [&](bytes rest, bytes value) {
        if (rest.size() == 8) add(story_key(t, {0}), value, load_be<std::uint64_t>(rest.data()));
    });
    return cost;
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
        if (number_at(group_name_key(t, g->name)) != id.value)
            found("a group is not found by its name", t);
    });
}

void verifier::check_sources(topic_id t, const topic_record& r) {
    std::map<source_id, source_record> known;
    each(source_key(t, {0}), state_prefix_bytes, [&](bytes rest, bytes value) {
        auto s = decode_source(value);
        if (!s || rest.size() != 4) return;  // told with the log
        const source_id id{load_be<std::uint32_t>(rest.data())};
        if (number_at(source_name_key(t, s->name)) != id.value)
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
        if (number_at(topic_name_key(r.name)) != t.value)
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
        if (!place.valid) {
            found("the log has a key that is none");
            item = log.next();
            continue;
        }
        if (place.topic != before && !topics_.contains(place.topic))
            found("the log has entries of no topic", place.topic);
        before = place.topic;
        if (place.topic.value == ~std::uint32_t{0}) break;
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
    report_.content_walked = true;
    check_counters();
}

void verifier::check_counters() {
    counters_record counters;
    try {
        counters = read_counters(txn_, dbs_);
    } catch (const damaged& what) {
        note(report_, remedy::compact, {what.what, {}, no_offsets});
        require_whole_meta_by_free_pages(txn_);
        return;
    }
    require_whole_meta(counters, txn_.id());
    if (!report_.sound()) return;
    if (counters.bytes != bytes_ || counters.messages != messages_ ||
        counters.topics != report_.topics)
        found("the counters differ from what is stored");
}

}  // namespace

verify_report verify(const fs::path& directory) {
    std::error_code ignored;
    const unique_fd lock =
        lock_directory("verify", directory, true, fs::exists(directory / data_name, ignored));
    verify_report report;
    const structure_report trees = check_structure(directory / data_name);
    report.pages = trees.pages;
    for (const std::string& problem : trees.problems)
        note(report, remedy::restore, {problem, {}, no_offsets});
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
        note(report, remedy::restore, {what.what, {}, no_offsets});
    }
    return report;
}

}  // namespace cairn::store
