#include "made.hpp"
#include "model.hpp"

#include <cairn/store/reader.hpp>

#include <algorithm>
#include <chrono>
#include <sstream>

namespace cairn::test {

using namespace store;

namespace {

/// Compares topic by topic, and keeps the first difference.
class comparison {
public:
    comparison(const database& db, const model& expected) : from_(db), expected_(expected) {}

    std::optional<std::string> run() {
        const auto listed = from_.topics();
        expect(listed.has_value(), "the topics cannot be listed");
        if (failure_) return failure_;
        expect(listed->size() == expected_.topics.size(), "another number of topics");
        for (const topic_info& info : *listed) {
            const auto known = expected_.topics.find(info.id.value);
            expect(known != expected_.topics.end(), "a topic too many: " + info.name);
            if (failure_) return failure_;
            topic_ = info.name;
            compare(info, known->second);
        }
        return failure_;
    }

private:
    static constexpr std::size_t positions_max = 16;  // of a source, that are compared

    template <typename... Parts>
    void expect(bool holds, const Parts&... parts) {
        if (holds || failure_) return;
        std::ostringstream text;
        text << topic_ << ": ";
        (text << ... << parts);
        failure_ = text.str();
    }

    void compare(const topic_info& info, const model::topic& t) {
        expect(info.name == t.name, "another name");
        expect(info.first.value == t.first, "first is ", info.first.value, ", not ", t.first);
        expect(info.end.value == t.next, "end is ", info.end.value, ", not ", t.next);
        expect(info.bytes == t.bytes(), info.bytes, " bytes, not ", t.bytes());
        expect(info.dead_letters == t.letters, "dead letters or not");
        expect(t.letters || info.config == t.config, "another configuration");
        if (!failure_) compare_log(info.id, t);
        if (!failure_) compare_places(info.id, t);
        if (!failure_ && expected_.exact_times) compare_times(info.id, t);
        if (!failure_) compare_sources(info.id, t);
        if (!failure_) compare_groups(info.id, t);
        if (!failure_ && t.config.last_per_key) compare_keys(info.id, t);
    }

    void compare_log(topic_id id, const model::topic& t) {
        std::vector<std::byte> buffer;
        page found;
        std::uint64_t messages = 0;
        std::vector<model::lost> losses;
        for (offset at{t.first}; !failure_;) {
            const errc code = from_.read(id, at, 4'000, buffer, found);
            expect(code == errc::ok, "reading from ", at.value, ": ", name(code));
            for (const entry& e : found.entries) {
                if (e.what == entry::kind::lost) {
                    // Those behind the last message come with each reading from there.
                    if (e.offsets.first != found.end || at == found.end)
                        losses.push_back({e.source, e.epoch, e.sequences, e.cause});
                    continue;
                }
                expect(e.what == entry::kind::batch, "damage from ", e.offsets.first.value);
                if (failure_) return;
                const auto texts = texts_of(e.body);
                for (std::size_t i = 0; i < texts.size(); ++i) {
                    const std::uint64_t o = e.offsets.first.value + i;
                    if (o < t.first) continue;
                    const auto known = t.messages.find(o);
                    const model::message m{e.source, e.epoch, e.sequences.first + i, texts[i]};
                    expect(known != t.messages.end() && known->second == m, "offset ", o,
                           " holds something else");
                    ++messages;
                }
            }
            if (at == found.end) break;
            expect(found.next > at, "the log ends early");
            at = found.next;
        }
        expect(messages == t.messages.size(), messages, " messages, not ", t.messages.size());
        std::vector<model::lost> expected_losses;
        for (const auto& [at, loss] : t.losses)
            if (at >= t.first) expected_losses.push_back(loss);
        expect(losses == expected_losses, losses.size(), " lost ranges, not ",
               expected_losses.size());
    }

    void compare_sources(topic_id id, const model::topic& t) {
        const auto listed = from_.sources(id);
        expect(listed && listed->size() == t.sources.size(), "another number of sources");
        if (failure_) return;
        for (const source_info& info : *listed) {
            const auto known = t.sources.find(info.id.value);
            expect(known != t.sources.end() && known->second.name == info.name &&
                       known->second.epoch == info.epoch && known->second.last == info.last &&
                       known->second.owner == info.owner,
                   "source ", info.name, " differs");
            if (failure_) return;
            // The last position of each source, and a part of the others.
            const auto& all = known->second.where;
            if (info.last.value != 0)
                compare_position(id, t, known->second, info,
                                 *all.find({info.epoch.value, info.last.value}));
            const std::size_t apart = 1 + all.size() / positions_max;
            std::size_t n = 0;
            for (const auto& one : all)
                if (n++ % apart == 0) compare_position(id, t, known->second, info, one);
        }
    }

    void compare_position(
        topic_id id, const model::topic& t, const model::source& s, const source_info& info,
        const std::pair<const std::pair<std::uint64_t, std::uint64_t>, std::uint64_t>& one) {
        const auto& [position, where] = one;
        const auto at = from_.offset_of(id, info.id, {position.first}, {position.second});
        // Of a former run the store knows what is there, not what there was.
        const bool gone = at.error() == errc::gone ||
                          (position.first < info.epoch.value && at.error() == errc::not_stored);
        if (where == 0)
            expect(at.error() == errc::lost || (gone && s.lost_at.at(position) < t.first),
                   "a lost position is not lost");
        else if (where < t.first)
            expect(gone, "a trimmed position is not gone");
        else
            expect(at && at->value == where, "a position is elsewhere");
    }

    void compare_places(topic_id id, const model::topic& t) {
        const auto found = from_.positions(id, {{t.first}, {t.next - 1}});
        expect(found.has_value(), "places cannot be read");
        if (failure_) return;
        auto m = t.messages.begin();
        for (const placed& one : *found)
            for (std::uint64_t i = 0; i < one.offsets.size(); ++i, ++m) {
                expect(m != t.messages.end() && m->first == one.offsets.first.value + i &&
                           m->second.source == one.source && m->second.epoch == one.epoch &&
                           m->second.sequence == one.first + i,
                       "another position lies at ", one.offsets.first.value + i);
                if (failure_) return;
            }
        expect(m == t.messages.end() || found->size() >= 1'024, "places are missing");
    }

    // Where the first, the last and one in the middle was stored, and where nothing was any more.
    void compare_times(topic_id id, const model::topic& t) {
        std::vector<std::pair<std::uint64_t, wall_time>> batches;
        for (const auto& [first, b] : t.batches)
            if (b.last >= t.first) batches.emplace_back(std::max(first, t.first), b.stored);
        const auto behind = from_.offset_at(id, expected_.time + std::chrono::nanoseconds(1));
        expect(behind && behind->value == t.next, "something is of later");
        for (const std::size_t i : {std::size_t{0}, batches.size() / 2, batches.size() - 1}) {
            if (i >= batches.size()) continue;
            const auto first = std::find_if(batches.begin(), batches.end(), [&](const auto& b) {
                return b.second >= batches[i].second;
            });
            const auto at = from_.offset_at(id, batches[i].second);
            expect(at && at->value == first->first, "a time is elsewhere");
        }
    }

    void compare_groups(topic_id id, const model::topic& t) {
        const auto listed = from_.groups(id);
        expect(listed && listed->size() == t.groups.size(), "another number of groups");
        if (failure_) return;
        for (const group_info& info : *listed) {
            const auto known = t.groups.find(info.id.value);
            expect(known != t.groups.end() && known->second.name == info.name &&
                       known->second.settings == info.settings,
                   "group ", info.name, " differs");
            if (failure_) return;
            const model::group& g = known->second;
            std::vector<offset_range> open;
            std::uint64_t pending = 0;
            for (const auto& [o, m] : t.messages) {
                if (o <= g.floor || g.acked.contains(o)) continue;
                ++pending;
                if (!open.empty() && open.back().last.value + 1 == o)
                    open.back().last = {o};
                else
                    open.push_back({{o}, {o}});
            }
            expect(info.pending == pending, "group ", info.name, ": ", info.pending,
                   " pending, not ", pending);
            const auto found = from_.pending(id, info.id, {0}, 100'000);
            expect(found && *found == open, "group ", info.name, ": other messages are pending");
            std::map<std::uint64_t, std::pair<std::uint32_t, std::string>> attempts;
            const auto noted = from_.attempts(id, info.id, {0});
            expect(noted.has_value(), "attempts cannot be read");
            if (failure_) return;
            for (const attempt_info& a : *noted) attempts[a.message.value] = {a.attempts, a.reason};
            auto kept = g.attempts;
            kept.erase(kept.begin(), kept.lower_bound(t.first));
            expect(attempts == kept, "group ", info.name, ": other attempts");
            if (info.name.front() != '@') compare_positions(id, info, t, g);
        }
        for (const auto& [o, letter] : t.stories) {
            if (o < t.first) continue;
            const auto story = from_.story(id, {o});
            expect(story && story->reason == letter.reason && story->at == letter.message &&
                       story->attempts == letter.attempts && story->topic == t.origins.at(o),
                   "the story of letter ", o, " differs");
        }
    }

    // A reader begins in front of all that is not acked, and of what was trimmed before it was;
    // what is acked behind that, up to the floor, it is told.
    void compare_positions(topic_id id, const group_info& info, const model::topic& t,
                           const model::group& g) {
        for (const auto& [number, s] : t.sources) {
            const auto at = from_.position_of(id, info.id, {number});
            expect(at.has_value(), "group ", info.name, " has no position");
            if (failure_) return;
            const std::pair position(at->next.epoch.value, at->next.sequence.value);
            const auto untold = g.untold.find(number);
            if (untold != g.untold.end() && !untold->second.empty())
                expect(position <= *untold->second.begin(), "group ", info.name,
                       " passes over what was trimmed");
            for (const auto& [o, m] : t.messages) {
                if (m.source.value != number) continue;
                const std::pair one(m.epoch.value, m.sequence.value);
                bool done = one < position;
                for (const range_of_run& acked : at->done)
                    done |= acked.epoch == m.epoch && acked.range.first <= m.sequence &&
                            m.sequence <= acked.range.last;
                if (o <= g.floor)
                    expect(done, "group ", info.name, " comes back to offset ", o);
                else if (!g.acked.contains(o))
                    expect(!done, "group ", info.name, " passes over offset ", o);
            }
        }
    }

    void compare_keys(topic_id id, const model::topic& t) {
        std::map<std::string, std::uint64_t> last;
        for (const auto& [o, m] : t.messages) last[m.text.substr(0, 2)] = o;
        const auto found = from_.last_per_key(id, {});
        expect(found.has_value(), "keys cannot be read");
        if (failure_) return;
        std::map<std::string, std::uint64_t> listed;
        for (const auto& [key, at] : *found) listed[key] = at.value;
        expect(listed == last, "other last messages of keys");
    }

    reader from_;
    const model& expected_;
    std::string topic_ = "store";
    std::optional<std::string> failure_;
};

}  // namespace

std::optional<std::string> difference(const database& db, const model& expected) {
    return comparison(db, expected).run();
}

}  // namespace cairn::test
