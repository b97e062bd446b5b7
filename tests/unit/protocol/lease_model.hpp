#pragma once

#include <cairn/protocol/lease_table.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace cairn::protocol::test {

/// What the lease table promises, kept message by message and found by walking over all of them:
/// too slow to use and too plain to be wrong in the same way.
class lease_model {
public:
    enum class state : std::uint8_t { ready, large, out, delayed, given_up, done };

    struct message {
        state is = state::ready;
        bool fresh = true;   // never lent, never held back
        bool begun = false;  // as its owner says
        std::uint64_t key = 0;
        std::uint32_t attempt = 1;
        std::uint64_t body_bytes = 0;
        member_id owner{};
        time_point time{};
        time_point since{};
    };

    struct member {
        lease_credit granted;
        lease_credit lent;
        std::uint64_t body_bytes_max = UINT64_MAX;
        std::uint64_t turn = 0;
        bool paused = false;
    };

    /// What is lent next, at least.
    struct pick {
        member_id to;
        std::uint64_t first;
        bool single;  // and no more
    };

    struct end {
        std::uint64_t sequence;
        errc cause;
        std::uint32_t attempts;
        std::string reason;
        bool operator==(const end&) const = default;
    };

    explicit lease_model(lease_options given) : options(std::move(given)) {}

    message& at(std::uint64_t s) { return messages[s - 1]; }
    std::uint64_t last() const { return messages.size(); }

    bool blocked(std::uint64_t s) {
        if (!options.ordered_by_key || at(s).key == 0) return false;
        for (std::uint64_t earlier = 1; earlier < s; ++earlier) {
            const message& m = at(earlier);
            if (m.key == at(s).key && m.is != state::done && m.is != state::given_up) return true;
        }
        return false;
    }

    bool is_last_delivery(std::uint64_t s) {
        return at(s).attempt > 1 && options.deliveries_max != 0 &&
               at(s).attempt >= options.deliveries_max;
    }

    bool ready(std::uint64_t s) {
        return at(s).is == state::ready && !is_last_delivery(s) && !blocked(s);
    }
    bool alone(std::uint64_t s) { return at(s).is == state::ready && is_last_delivery(s); }

    void add(std::uint64_t key, std::uint64_t body_bytes) {
        messages.emplace_back().key = key;
        messages.back().body_bytes = body_bytes;
        at(last()).fresh = !blocked(last());
    }

    std::uint64_t out_of(member_id id) {
        return count([&](const message& m) { return m.is == state::out && m.owner == id; });
    }

    bool servable(member_id id) {
        const member& m = members.at(id);
        bool keeps_alone = draining == id && out_of(id) != 0;
        for (std::uint64_t s = 1; s <= last(); ++s)
            keeps_alone = keeps_alone || (holds(id, s) && is_last_delivery(s));
        return !m.paused && !keeps_alone && m.granted.messages > m.lent.messages &&
               m.granted.bytes > m.lent.bytes;
    }

    bool takes(member_id id, std::uint64_t s) {
        return members.at(id).body_bytes_max >= at(s).body_bytes;
    }

    /// Whose turn it is: nothing out, most messages, most bytes, longest ago.
    std::optional<member_id> first_in_line() {
        std::optional<member_id> best;
        for (const auto& [id, m] : members) {
            if (servable(id) && (!best || rank(id) < rank(*best))) best = id;
        }
        return best;
    }

    /// For a message that is large, alone, or both; who has least to do for one that is alone.
    std::optional<member_id> taker_of(std::uint64_t s) {
        std::optional<member_id> best;
        const auto order = [&](member_id id) {
            return std::pair(is_last_delivery(s) ? out_of(id) : 0, rank(id));
        };
        for (const auto& [id, m] : members) {
            const bool may = servable(id) && (at(s).is != state::large || takes(id, s));
            if (may && (!best || order(id) < order(*best))) best = id;
        }
        if (!best || !is_last_delivery(s) || out_of(*best) == 0) return best;
        if (!draining) draining = best;
        return std::nullopt;
    }

    std::optional<std::uint64_t> smallest_large() {
        std::optional<std::uint64_t> best;
        for (std::uint64_t s = 1; s <= last(); ++s) {
            if (at(s).is == state::large && (!best || at(s).body_bytes < at(*best).body_bytes))
                best = s;
        }
        return best;
    }

    std::optional<std::uint64_t> first_alone() {
        for (std::uint64_t s = 1; s <= last(); ++s)
            if (alone(s)) return s;
        return std::nullopt;
    }

    /// Sets aside what its taker does not take, as long as there is such a message.
    std::optional<pick> choose(time_point now) {
        for (;;) {
            std::optional<pick> found;
            if (const auto s = smallest_large())
                if (const auto to = taker_of(*s)) found = {*to, *s, true};
            if (!found)
                if (const auto s = first_alone())
                    if (const auto to = taker_of(*s)) found = {*to, *s, true};
            if (!found) {
                const auto to = first_in_line();
                const auto s = next_in_line();
                if (to && s) found = {*to, *s, false};
            }
            if (!found || takes(found->to, found->first)) return found;
            message& m = at(found->first);
            m.is = state::large;
            m.fresh = false;
            m.time = now + options.ack_wait;
        }
    }

    /// The first message that must go: what came back before what is new.
    std::optional<std::uint64_t> next_in_line() {
        std::optional<std::uint64_t> new_one;
        for (std::uint64_t s = 1; s <= last(); ++s) {
            if (!ready(s)) continue;
            if (!at(s).fresh) return s;
            if (!new_one) new_one = s;
        }
        return new_one;
    }

    void lend(const assignment& a, time_point now) {
        member& m = members.at(a.member);
        m.lent.messages += a.range.size();
        m.lent.bytes += a.bytes;
        m.turn = ++turns;
        for (std::uint64_t s = a.range.first.value; s <= a.range.last.value; ++s) {
            message& lent = at(s);
            lent.is = state::out;
            lent.owner = a.member;
            lent.fresh = false;
            lent.begun = false;
            lent.since = now;
            lent.time = now + options.ack_wait;
        }
        if (is_last_delivery(a.range.first.value)) draining.reset();
    }

    void leave(member_id id, time_point now) {
        for (message& m : messages) {
            if (m.is == state::large && m.body_bytes <= members.at(id).body_bytes_max)
                m.time = now + options.ack_wait;
        }
        if (draining == id) draining.reset();
        members.erase(id);
    }

    bool holds(member_id id, std::uint64_t s) {
        return s >= 1 && s <= last() && at(s).is == state::out && at(s).owner == id;
    }

    void fail(std::uint64_t s, duration delay, time_point now, const std::string& reason) {
        message& m = at(s);
        if (options.deliveries_max != 0 && m.attempt >= options.deliveries_max) {
            return give_up(s, errc::deliveries_exceeded, reason);
        }
        if (delay == duration::zero() && !options.backoff.empty()) {
            delay = options.backoff[std::min<std::size_t>(m.attempt, options.backoff.size()) - 1];
        }
        ++m.attempt;
        m.is = delay > duration::zero() ? state::delayed : state::ready;
        m.time = now + delay;
    }

    void give_up(std::uint64_t s, errc cause, const std::string& reason) {
        at(s).is = state::given_up;
        ends.push_back({s, cause, at(s).attempt - (cause == errc::too_large ? 1 : 0), reason});
    }

    void finish(std::uint64_t s) { at(s).is = state::done; }

    void give_back(std::uint64_t s) { at(s).is = state::ready; }

    void expire(time_point now) {
        for (std::uint64_t s = 1; s <= last(); ++s) {
            message& m = at(s);
            if (m.time > now) continue;
            if (m.is == state::out) {
                fail(s, {}, now, "the ack wait ended");
            } else if (m.is == state::delayed) {
                m.is = state::ready;
            } else if (m.is == state::large) {
                if (somebody_takes(s)) {
                    m.time = now + options.ack_wait;
                } else {
                    give_up(s, errc::too_large, "no worker takes a body of that size");
                }
            }
        }
    }

    bool somebody_takes(std::uint64_t s) {
        return std::ranges::any_of(members, [&](const auto& m) { return takes(m.first, s); });
    }

    std::optional<time_point> next_deadline() {
        std::optional<time_point> soonest;
        for (const message& m : messages) {
            const bool timed = m.is == state::out || m.is == state::delayed || m.is == state::large;
            if (timed && (!soonest || m.time < *soonest)) soonest = m.time;
        }
        return soonest;
    }

    std::uint64_t floor() {
        for (std::uint64_t s = 1; s <= last(); ++s) {
            if (at(s).is != state::done) return s - 1;
        }
        return last();
    }

    std::uint64_t unfinished() {
        return count(
            [](const message& m) { return m.is != state::done && m.is != state::given_up; });
    }

    std::uint64_t ready_count() {
        std::uint64_t found = 0;
        for (std::uint64_t s = 1; s <= last(); ++s) found += ready(s);
        return found;
    }

    template <typename Is>
    std::uint64_t count(Is is) {
        return static_cast<std::uint64_t>(std::count_if(messages.begin(), messages.end(), is));
    }

    lease_options options;
    std::vector<message> messages;
    std::map<member_id, member> members;
    std::vector<end> ends;
    std::uint64_t turns = 0;
    std::optional<member_id> draining;  // gets nothing until it holds nothing

private:
    std::tuple<bool, std::uint64_t, std::uint64_t, std::uint64_t> rank(member_id id) {
        const member& m = members.at(id);
        return {out_of(id) != 0, ~(m.granted.messages - m.lent.messages),
                ~(m.granted.bytes - m.lent.bytes), m.turn};
    }
};

}  // namespace cairn::protocol::test
