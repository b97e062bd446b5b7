#include "apply.hpp"
#include "groups.hpp"
#include "run_index.hpp"
#include "untold.hpp"

#include <cairn/wire/limits.hpp>

#include <algorithm>

namespace cairn::store {

namespace {

// Everything up to the returned offset is acked when reading begins at `start`.
offset floor_for(const topic_record& r, offset start) {
    return std::clamp(start, r.first, r.next) - 1;
}

// An attempt with the longest reason, and a chunk of acks: what it takes to delete them.
constexpr std::uint64_t attempt_bytes = 1'280;
constexpr std::uint64_t chunk_bytes = 1'280;

// Positions for which a page each is charged rather than looked up how far they are apart.
constexpr std::uint64_t chunks_not_looked_up = 16;

}  // namespace

void applier::take_attempts(topic_id t, group_id g, std::uint64_t messages) {
    const group_record& r = *c_.group(t, g);
    const std::uint64_t trimmed = c_.topic(t)->first - std::min(c_.topic(t)->first, r.floor + 1);
    take(std::min(r.attempts, std::min(messages, r.attempts) + trimmed) * attempt_bytes);
}

void applier::take_chunks(topic_id t, group_id g, std::uint64_t chunks) {
    const offset floor = c_.group(t, g)->floor;
    const offset end = c_.topic(t)->next;
    take_pages(std::min(chunks, chunk_of(end.value) - chunk_of(std::min(floor, end).value) + 1));
}

void applier::take_group(topic_id t, group_id g) {
    const group_record& r = *c_.group(t, g);
    const offset end = c_.topic(t)->next;
    const std::uint64_t chunks = chunk_of(end - std::min(end, r.floor)) + 1;
    take(r.attempts * attempt_bytes + std::min(r.acked, chunks) * chunk_bytes);
}

group_id applier::make_group(topic_id t, std::string_view name, std::string_view settings,
                             offset floor) {
    const group_id g{c_.change(t).next_group++};
    c_.add(t, g, group_record{std::string(name), std::string(settings), floor});
    std::vector<std::byte> number;
    packer(number).number(g.value);
    c_.put(group_name_key(t, name), number);
    return g;
}

reply applier::on(const create_group& w) {
    const topic_record* const topic = c_.topic(w.topic);
    if (topic == nullptr) return {errc::topic_unknown, {}};
    if (w.name.empty() || w.name.size() > group_name_bytes_max || w.name.front() == '@' ||
        w.settings.size() > settings_bytes_max)
        return {errc::invalid_argument, {}};
    if (const std::uint32_t known = c_.number_at(group_name_key(w.topic, w.name)); known != 0) {
        const group_record* const r = c_.group(w.topic, {known});
        if (r == nullptr) return {errc::store_damaged, {}};
        if (r->settings != w.settings) return {errc::group_exists, {}};
        take_attempts(w.topic, {known}, 0);
        follow_trims(c_, w.topic, {known});
        return {errc::ok, group_created{{known}, r->floor}};
    }
    // Numbers are not used again: only when so many were given it matters how many are left.
    if (topic->next_group > limits_.groups_per_topic_max) {
        std::uint32_t groups = 0;
        c_.for_groups(w.topic, [&](group_id, const group_record&) { ++groups; });
        if (groups >= limits_.groups_per_topic_max) return {errc::limit_exceeded, {}};
    }
    const offset floor = floor_for(*topic, w.start);
    return {errc::ok, group_created{make_group(w.topic, w.name, w.settings, floor), floor}};
}

errc applier::check_group(topic_id t, group_id g) {
    if (c_.topic(t) == nullptr) return errc::topic_unknown;
    if (c_.group(t, g) == nullptr) return errc::group_unknown;
    return errc::ok;
}

reply applier::on(const alter_group& w) {
    if (const errc problem = check_group(w.topic, w.group); problem != errc::ok)
        return {problem, {}};
    if (w.settings.size() > settings_bytes_max) return {errc::invalid_argument, {}};
    c_.change(w.topic, w.group).settings = w.settings;
    return {};
}

reply applier::on(const delete_group& w) {
    if (const errc problem = check_group(w.topic, w.group); problem != errc::ok)
        return {problem, {}};
    if (c_.group(w.topic, w.group)->name.front() == '@') return {errc::not_supported, {}};
    take_group(w.topic, w.group);
    erase_group(c_, w.topic, w.group);
    return {};
}

reply applier::on(const seek_group& w) {
    if (const errc problem = check_group(w.topic, w.group); problem != errc::ok)
        return {problem, {}};
    take_group(w.topic, w.group);
    forget_acks(c_, w.topic, w.group);
    const offset floor = floor_for(*c_.topic(w.topic), w.next);
    group_record& r = c_.change(w.topic, w.group);
    r.floor = floor;
    ++r.moves;
    return {errc::ok, acked{0, floor}};
}

reply applier::on(const ack& w) {
    if (const errc problem = check_group(w.topic, w.group); problem != errc::ok)
        return {problem, {}};
    if (w.ranges.size() > ack_ranges_max) return {errc::limit_exceeded, {}};
    const topic_record& topic = *c_.topic(w.topic);
    const offset floor = std::max(c_.group(w.topic, w.group)->floor, topic.first - 1);
    std::uint64_t messages = 0;
    std::uint64_t scattered = 0;  // of them above the floor
    std::uint64_t chunks = 0;     // of acks that may change
    std::uint64_t counted = ~std::uint64_t{0};
    for (const offset_range& range : w.ranges) {
        if (range.empty()) return {errc::invalid_argument, {}};
        if (range.last >= topic.next) return {errc::not_stored, {}};
        if (range.first > floor + 1) scattered += range.size();
        if (scattered > ack_range_max) return {errc::limit_exceeded, {}};
        messages += std::min(range.size(), attempts_max);
        if (range.last <= floor) continue;
        const std::uint64_t first = chunk_of(std::max(range.first, floor + 1).value);
        const std::uint64_t last = chunk_of(range.last.value);
        chunks += last - first + (first != counted ? 1 : 0);  // mostly they rise
        counted = last;
    }
    take_chunks(w.topic, w.group, chunks);
    take_attempts(w.topic, w.group, messages);
    follow_trims(c_, w.topic, w.group);
    std::uint64_t added = 0;
    for (const offset_range& range : w.ranges)
        added += ack_range(c_, w.topic, w.group, range.first, range.last);
    return {errc::ok, acked{added, c_.group(w.topic, w.group)->floor}};
}

reply applier::on(const ack_positions& w) {
    if (const errc problem = check_group(w.topic, w.group); problem != errc::ok)
        return {problem, {}};
    const source_record* const source = c_.source(w.topic, w.source);
    if (source == nullptr) return {errc::source_unknown, {}};
    if (w.ranges.size() > ack_ranges_max) return {errc::limit_exceeded, {}};
    const auto last = last_of_run(c_, w.topic, w.source, w.epoch);
    // What lies behind the end of an ended run will never be stored.
    const bool ended = w.epoch < source->epoch;
    std::vector<sequence_range> ranges = w.ranges;
    std::uint64_t messages = 0;
    std::uint64_t chunks = 0;  // at most
    for (sequence_range& range : ranges) {
        if (range.empty() || range.first.value == 0) return {errc::invalid_argument, {}};
        if (ended && last && range.first <= *last) range.last = std::min(range.last, *last);
        if (!last || range.last > *last) return {errc::not_stored, {}};
        messages += std::min(range.size(), attempts_max);
        chunks += chunks_of(w, range);
    }
    std::sort(ranges.begin(), ranges.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    take_chunks(w.topic, w.group, chunks);
    take_attempts(w.topic, w.group, messages);
    follow_trims(c_, w.topic, w.group);
    settle_untold(c_, w.topic, w.group, w.source, w.epoch, ranges);
    std::vector<offset_range> all;
    ack_budget left;
    sequence next;
    for (const sequence_range& range : ranges) {
        next = offsets_of(w, range, left, all);
        if (next.value != 0) break;
    }
    std::uint64_t added = 0;
    for (const offset_range& range : all)
        added += ack_range(c_, w.topic, w.group, range.first, range.last);
    return {errc::ok, acked{added, c_.group(w.topic, w.group)->floor, next}};
}

std::uint64_t applier::chunks_of(const ack_positions& w, sequence_range range) {
    const std::uint64_t most = std::min<std::uint64_t>(range.size(), ack_batches_max);
    if (most <= chunks_not_looked_up) return most;
    const run_index run(c_.txn(), c_.dbs(), w.topic, w.source, w.epoch,
                        *c_.source(w.topic, w.source));
    const auto open = run.first_behind(c_.group(w.topic, w.group)->floor + 1);
    if (!open || *open > range.last) return 1;
    const auto place = [&](sequence s) -> std::optional<offset> {
        const found_position found = run.find(s);
        if (found.batch) return found.batch->offset_of(s);
        return found.mark ? std::optional(found.mark_at) : std::nullopt;
    };
    const auto first = place(std::max(range.first, *open));
    const auto last = place(range.last);
    if (!first || !last) return most;
    return std::min(most, chunk_of(last->value) - chunk_of(first->value) + 1);
}

sequence applier::offsets_of(const ack_positions& w, sequence_range range, ack_budget& left,
                             std::vector<offset_range>& out) {
    run_index run(c_.txn(), c_.dbs(), w.topic, w.source, w.epoch, *c_.source(w.topic, w.source));
    const auto open = run.first_behind(c_.group(w.topic, w.group)->floor + 1);
    if (!open) return {};
    const std::size_t begun = out.size();
    for (sequence at = std::max(range.first, *open); at <= range.last;) {
        if (left.batches == 0) return at;
        --left.batches;
        const found_position found = run.find(at);
        left.batches -=
            static_cast<std::uint32_t>(std::min<std::uint64_t>(left.batches, run.take_looked_at()));
        if (found.mark) {
            at = found.mark->last + 1;
        } else if (found.batch) {
            const sequence to = std::min(found.batch->header.last(), range.last);
            const std::uint64_t messages = sequence_range{at, to}.size();
            if (messages > left.messages) return at;
            left.messages -= messages;
            const offset first = found.batch->offset_of(at);
            const offset last = found.batch->offset_of(to);
            if (out.size() > begun && out.back().last + 1 == first)
                out.back().last = last;
            else
                out.push_back({first, last});
            at = to + 1;
        } else {
            // Trimmed: go on where this run's stored part begins.
            const auto next = run.held_from(at);
            if (!next) break;
            at = next->position;
        }
    }
    return {};
}

errc applier::check_unfinished(topic_id t, group_id g, offset message) {
    if (const errc problem = check_group(t, g); problem != errc::ok) return problem;
    const topic_record& topic = *c_.topic(t);
    if (message >= topic.next) return errc::not_stored;
    if (message < topic.first || is_acked(c_, t, g, message)) return errc::gone;
    return errc::ok;
}

reply applier::on(const note_attempts& w) {
    if (w.reason.size() > wire::text_bytes_max) return {errc::invalid_argument, {}};
    if (const errc problem = check_unfinished(w.topic, w.group, w.message); problem != errc::ok)
        return {problem, {}};
    const key k = attempt_key(w.topic, w.group, w.message);
    const bool is_new = !c_.get(k);
    const group_record& r = *c_.group(w.topic, w.group);
    // What was trimmed takes its attempts with it, below.
    const bool is_behind = r.floor + 1 < c_.topic(w.topic)->first;
    if (is_new && r.attempts >= attempts_max && !is_behind) return {errc::limit_exceeded, {}};
    take_attempts(w.topic, w.group, 0);
    follow_trims(c_, w.topic, w.group);
    if (is_new) ++c_.change(w.topic, w.group).attempts;
    std::vector<std::byte> value;
    encode(attempt_record{w.attempts, w.not_before, w.reason}, value);
    c_.put(k, value);
    return {};
}

}  // namespace cairn::store
