#include "delivery.hpp"

#include "made.hpp"

#include <cairn/store/reader.hpp>

namespace cairn::test {

using namespace store;

std::optional<std::string> wrong_delivery(const database& db, const model& known, judged what) {
    reader from(db);
    std::vector<std::byte> buffer;
    page found;
    for (const auto& [number, t] : known.topics) {
        std::uint64_t next = t.first;  // all before was given or told
        bool refused = false;
        const auto passed_over = [&, &messages = t.messages](std::uint64_t up_to) {
            const auto m = messages.lower_bound(next);
            return m != messages.end() && m->first < up_to;
        };
        for (offset at{1};;) {
            refused = from.read({number}, at, 10'000, buffer, found) != errc::ok;
            if (refused) break;
            for (const entry& e : found.entries) {
                if (!e.offsets.empty() && what == judged::all && passed_over(e.offsets.first.value))
                    return t.name + ": nothing is said of offset " + std::to_string(next);
                if (!e.offsets.empty()) next = std::max(next, e.offsets.last.value + 1);
                if (e.what != entry::kind::batch) continue;
                const auto texts = texts_of(e.body);
                for (std::size_t i = 0; i < texts.size(); ++i) {
                    const auto m = t.messages.find(e.offsets.first.value + i);
                    if (m != t.messages.end() && m->second.text != texts[i])
                        return t.name + ": offset " + std::to_string(m->first) + " is wrong";
                    if (m == t.messages.end() && e.offsets.first.value + i >= t.first)
                        return t.name + ": a message that never was";
                }
            }
            if (found.next <= at) break;
            at = found.next;
        }
        if (what == judged::content) continue;
        if (!refused && passed_over(t.next))
            return t.name + ": nothing is said of the end, from offset " + std::to_string(next);
        for (const auto& [g, group] : t.groups) {
            const auto info = from.group({number}, {g});
            if (info && info->name != group.name) return t.name + ": a wrong group";
            std::uint64_t unacked = 0;
            for (const auto& [o, m] : t.messages)
                unacked += o > group.floor && !group.acked.contains(o) ? 1U : 0U;
            if (info && info->pending != unacked) return t.name + ": another number is pending";
            const auto open = from.pending({number}, {g}, {0}, 100'000);
            if (!open) continue;
            std::uint64_t listed = 0;
            for (const offset_range& range : *open)
                for (offset o = range.first; o <= range.last; o = o + 1, ++listed)
                    if (group.acked.contains(o.value)) return t.name + ": what was acked is open";
            if (listed != unacked) return t.name + ": others are pending";
        }
    }
    return std::nullopt;
}

}  // namespace cairn::test
