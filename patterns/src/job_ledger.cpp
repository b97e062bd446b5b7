#include "job_ledger.hpp"

#include <algorithm>
#include <utility>

namespace cairn::patterns {

void job_ledger::hold(std::uint32_t stream, sequence_range range, std::uint64_t bytes,
                      std::uint64_t delivery, time_point until) {
    // Delivered again while it was held: the lease was over. What it cost then is free now.
    finished_work before = end_held(stream, range, 0, [&](sequence_range) {
        void_up_to_.store(delivery - 1, std::memory_order_relaxed);
        return true;
    });
    before.worked = false;
    finish(before);
    streams_.insert(stream);
    held_.insert_or_assign({stream, range.first}, run{range.last, bytes, delivery, until});
    held_messages_ += range.size();
}

void job_ledger::forget(std::uint32_t stream) {
    const auto end = held_.lower_bound({stream + 1, sequence{0}});
    for (auto it = held_.lower_bound({stream, sequence{0}}); it != end; it = held_.erase(it))
        held_messages_ -= it->second.last - it->first.second + 1;
    streams_.erase(stream);
    std::erase_if(verbs_, [=](const job_verb& v) { return v.stream == stream; });
    std::erase_if(finished_, [=](const finished_work& f) { return f.stream == stream; });
    std::erase_if(released_, [=](const auto& r) { return r.second.stream == stream; });
}

std::uint64_t job_ledger::apply(const job_verb& verb) {
    std::uint64_t messages = 0;
    finish(end_held(verb.stream, verb.range, verb.delivery, [&](sequence_range part) {
        messages += part.size();
        note(verb, part);
        return verb.what != job_verb::kind::extend && verb.what != job_verb::kind::begun;
    }));
    return messages;
}

void job_ledger::note_begun(std::uint64_t delivery, sequence last) {
    for (const auto& [at, r] : held_) {
        if (r.delivery > delivery) continue;
        const sequence_range part{at.second,
                                  r.delivery < delivery ? r.last : std::min(r.last, last)};
        if (!part.empty()) note({job_verb::kind::begun, at.first, part, {}, {}, r.delivery}, part);
    }
}

time_point job_ledger::release_waiting(std::uint64_t delivery, sequence last, time_point now) {
    time_point next = time_point::max();
    std::vector<job_verb> over;
    for (const auto& [at, r] : held_) {
        if (r.delivery < delivery) continue;
        const sequence first = r.delivery > delivery ? at.second : std::max(at.second, last + 1);
        if (first > r.last) continue;
        if (now < r.until)
            next = std::min(next, r.until);
        else
            over.push_back(
                {job_verb::kind::release, at.first, {first, r.last}, {}, {}, r.delivery});
    }
    for (const job_verb& v : over) {
        const finished_work cost =
            end_held(v.stream, v.range, v.delivery, [&](sequence_range part) {
                note(v, part);
                return true;
            });
        finished_work& all = released_.try_emplace(v.delivery, v.stream, 0, 0, false).first->second;
        all.messages += cost.messages;
        all.bytes += cost.bytes;
        void_up_to_.store(std::max(void_up_to(), v.delivery), std::memory_order_relaxed);
    }
    return next;
}

bool job_ledger::pass(std::uint64_t delivery) {
    const auto found = released_.find(delivery);
    if (found == released_.end()) return false;
    finish(found->second);
    released_.erase(found);
    return true;
}

template <typename Ends>
finished_work job_ledger::end_held(std::uint32_t stream, sequence_range range,
                                   std::uint64_t delivery, Ends&& ends) {
    finished_work cost{stream};
    auto it = held_.upper_bound({stream, range.first});
    if (it != held_.begin() && std::prev(it)->first.first == stream &&
        std::prev(it)->second.last >= range.first)
        --it;
    while (it != held_.end() && it->first.first == stream && it->first.second <= range.last) {
        const sequence_range whole{it->first.second, it->second.last};
        const sequence_range part{std::max(whole.first, range.first),
                                  std::min(whole.last, range.last)};
        if ((delivery != 0 && it->second.delivery != delivery) || !ends(part)) {
            ++it;
            continue;
        }
        // Bytes are shared out by count; the last part of a batch takes what is left, so that no
        // byte of credit is ever lost to rounding.
        const std::uint64_t each = it->second.bytes / whole.size();
        std::uint64_t left = it->second.bytes;
        const std::uint64_t number = it->second.delivery;
        const time_point until = it->second.until;
        const std::uint64_t before = part.first - whole.first;
        const std::uint64_t after = whole.last - part.last;
        it = held_.erase(it);
        if (after != 0) {
            it = held_.insert_or_assign(it, {stream, part.last + 1},
                                        run{whole.last, each * after, number, until});
            left -= each * after;
        }
        if (before != 0) {
            held_.insert_or_assign({stream, whole.first},
                                   run{part.first - 1, each * before, number, until});
            left -= each * before;
        }
        held_messages_ -= part.size();
        cost.messages += part.size();
        cost.bytes += left;
    }
    return cost;
}

void job_ledger::note(const job_verb& verb, sequence_range part) {
    if (!verbs_.empty()) {
        job_verb& last = verbs_.back();
        // Neighbours with the same fate travel as one range.
        if (last.what == verb.what && last.stream == verb.stream && last.time == verb.time &&
            last.reason == verb.reason && last.range.last + 1 == part.first) {
            last.range.last = part.last;
            return;
        }
    }
    verbs_.push_back({verb.what, verb.stream, part, verb.time, verb.reason});
}

void job_ledger::finish(const finished_work& what) {
    if (what.messages == 0) return;
    const bool new_one = finished_.empty() || finished_.back().stream != what.stream ||
                         finished_.back().worked != what.worked;
    if (new_one) finished_.push_back({what.stream, 0, 0, what.worked});
    finished_.back().messages += what.messages;
    finished_.back().bytes += what.bytes;
}

bool job_ledger::is_void(std::uint32_t stream, sequence which, std::uint64_t delivery) const {
    if (!streams_.contains(stream)) return false;
    auto it = held_.upper_bound({stream, which});
    if (it == held_.begin()) return true;
    --it;
    return it->first.first != stream || it->second.last < which || it->second.delivery != delivery;
}

std::vector<job_verb> job_ledger::take_verbs() { return std::exchange(verbs_, {}); }

std::vector<finished_work> job_ledger::take_finished() { return std::exchange(finished_, {}); }

}  // namespace cairn::patterns
