#include "lease_model.hpp"
#include "random.hpp"

#include <cairn/protocol/lease_table.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace cairn::protocol::test {
namespace {

using namespace std::chrono_literals;
using state = lease_model::state;

constexpr std::uint64_t batch_messages = 7;

std::uint64_t bytes_of(std::uint64_t s) { return 1 + s * 7919 % 50; }

fitted fit(const fit_request& asked) {
    const std::uint64_t first = asked.range.first.value;
    if (bytes_of(first) > asked.body_bytes_max) return {0, bytes_of(first)};
    const std::uint64_t batch_last = (first - 1) / batch_messages * batch_messages + 7;
    fitted taken{1, bytes_of(first)};
    for (std::uint64_t s = first + 1; s <= std::min(asked.range.last.value, batch_last); ++s) {
        if (taken.bytes + bytes_of(s) > asked.bytes || bytes_of(s) > asked.body_bytes_max) break;
        taken.bytes += bytes_of(s);
        ++taken.count;
    }
    return taken;
}

/// One table and one model that go through the same random life.
class schedule {
public:
    schedule(std::uint64_t seed, bool by_key)
        : random_(seed), model_(options(by_key)), table_(model_.options) {}

    void live() {
        const std::uint64_t steps = 20 + below(100);
        for (std::uint64_t i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
            step();
            compare();
        }
    }

    /// Everybody but one leaves, and that one works until nothing is left.
    void quiet() {
        while (!model_.members.empty()) leave(model_.members.begin()->first);
        join({UINT32_MAX, UINT32_MAX});
        for (int turn = 0; model_.unfinished() != 0 && !::testing::Test::HasFailure(); ++turn) {
            ASSERT_LT(turn, 1'000) << "something is never delivered";
            now_ += 1s;
            expire();
            while (next()) {
            }
            verb(model_.members.begin()->first, {{1}, {model_.last()}}, 0);
            compare();
        }
        forget({{0}, {UINT64_MAX}});
        EXPECT_EQ(table_.floor(), table_.last());
        EXPECT_EQ(table_.unfinished(), 0u);
        EXPECT_EQ(table_.runs(), 0u);
    }

private:
    std::uint64_t below(std::uint64_t n) { return random_.below(n); }

    lease_options options(bool by_key) {
        lease_options chosen;
        chosen.ack_wait = 10ms;
        chosen.deliveries_max = static_cast<std::uint32_t>(below(5));
        chosen.ordered_by_key = by_key;
        for (std::uint64_t n = below(3); n > 0; --n) chosen.backoff.push_back(below(8) * 1ms);
        return chosen;
    }

    void step() {
        switch (below(16)) {
            case 0:
            case 1:
                return add(1 + below(12));
            case 2:
                return join({below(15), below(400)}, below(3) == 0 ? 5 + below(50) : UINT64_MAX);
            case 3:
                return grant(any_member());
            case 4:
                return pause(any_member());
            case 5:
                return below(4) == 0 ? leave(any_member()) : void();
            case 6:
                return forget(any_range());
            case 7:
                return expire();
            case 8:
                now_ += below(6) * 1ms;
                return;
            case 9:
            case 10:
            case 11:
            case 12:
                next();
                return;
            default:
                return verb(any_member(), any_range(), below(8));
        }
    }

    /// Now and then one that left, or never was.
    member_id any_member() {
        if (model_.members.empty() || below(10) == 0) return member_id{below(joined_ + 2)};
        return std::next(model_.members.begin(), below(model_.members.size()))->first;
    }

    sequence_range any_range() {
        if (below(20) == 0) return {{below(5)}, {UINT64_MAX - below(2)}};
        const std::uint64_t first = model_.floor() + below(model_.last() - model_.floor() + 3);
        return {{first}, {first + below(6)}};
    }

    void add(std::uint64_t count) {
        const sequence first{model_.last() + 1};
        std::vector<std::uint64_t> keys;
        for (std::uint64_t i = 0; i < count; ++i) {
            keys.push_back(model_.options.ordered_by_key ? below(4) : 0);
            model_.add(keys.back(), bytes_of(model_.last() + 1));
        }
        if (model_.options.ordered_by_key) {
            table_.add(first, keys);
        } else {
            table_.add({first, first + (count - 1)});
        }
    }

    void join(lease_credit credit, std::uint64_t body_bytes_max = UINT64_MAX) {
        const member_id id = table_.join(credit, body_bytes_max);
        ++joined_;
        ASSERT_TRUE(model_.members.try_emplace(id).second) << "a member's number came twice";
        model_.members[id].granted = credit;
        model_.members[id].body_bytes_max = body_bytes_max;
    }

    void grant(member_id id) {
        const lease_credit more{below(40), below(1'000)};
        table_.grant(id, more);
        if (!model_.members.contains(id)) return;
        lease_credit& granted = model_.members[id].granted;
        granted.messages = std::max(granted.messages, more.messages);
        granted.bytes = std::max(granted.bytes, more.bytes);
    }

    void pause(member_id id) {
        const bool on = below(2) == 0;
        on ? table_.pause(id) : table_.resume(id);
        if (model_.members.contains(id)) model_.members[id].paused = on;
    }

    void leave(member_id id) {
        const auto how = below(2) == 0 ? departure::orderly : departure::failed;
        table_.leave(id, how, now_, "gone");
        for (std::uint64_t s = 1; s <= model_.last(); ++s) {
            if (!model_.holds(id, s)) continue;
            if (how == departure::orderly && !model_.at(s).begun) {
                model_.give_back(s);
            } else {
                model_.fail(s, {}, now_, "gone");
            }
        }
        if (model_.members.contains(id)) model_.leave(id, now_);
    }

    void expire() {
        table_.expire(now_);
        model_.expire(now_);
    }

    void forget(sequence_range range) {
        table_.forget(range);
        const std::uint64_t last = std::min(range.last.value, model_.last());
        for (std::uint64_t s = std::max<std::uint64_t>(range.first.value, 1); s <= last; ++s) {
            if (model_.at(s).is == state::given_up) model_.finish(s);
        }
    }

    bool next() {
        const auto expected = model_.choose(now_);
        const auto lent = table_.next(now_, fit);
        EXPECT_EQ(lent.has_value(), expected.has_value());
        if (!lent || !expected) return false;
        EXPECT_EQ(lent->member, expected->to);
        EXPECT_EQ(lent->range.first.value, expected->first);
        EXPECT_EQ(lent->attempt, model_.at(expected->first).attempt);
        EXPECT_EQ(lent->deadline, now_ + model_.options.ack_wait);
        if (expected->single) {
            EXPECT_EQ(lent->range.size(), 1u);
            EXPECT_EQ(lent->bytes, bytes_of(expected->first));
        } else {
            check_run(*lent);
        }
        if (::testing::Test::HasFailure()) return false;
        model_.lend(*lent, now_);
        return true;
    }

    bool continues(const assignment& a, std::uint64_t s) {
        return s <= model_.last() && model_.ready(s) && model_.at(s).attempt == a.attempt &&
               model_.at(s).fresh == model_.at(a.range.first.value).fresh;
    }

    void check_run(const assignment& a) {
        const lease_model::member& m = model_.members.at(a.member);
        const std::uint64_t first = a.range.first.value;
        const std::uint64_t last = a.range.last.value;
        std::uint64_t bytes = 0;
        ASSERT_LE(last, model_.last());
        for (std::uint64_t s = first; s <= last; ++s) {
            EXPECT_TRUE(continues(a, s)) << "message " << s << " is no part of this run";
            EXPECT_LE(bytes_of(s), m.body_bytes_max);
            bytes += bytes_of(s);
        }
        EXPECT_EQ(a.bytes, bytes);
        const std::uint64_t messages_left = m.granted.messages - m.lent.messages;
        const std::uint64_t bytes_left = m.granted.bytes - m.lent.bytes;
        EXPECT_LE(a.range.size(), messages_left);
        EXPECT_TRUE(bytes <= bytes_left || first == last) << bytes << " of " << bytes_left;
        EXPECT_EQ((first - 1) / batch_messages, (last - 1) / batch_messages);

        const bool could_be_longer = continues(a, last + 1) && last % batch_messages != 0 &&
                                     bytes + bytes_of(last + 1) <= bytes_left &&
                                     bytes_of(last + 1) <= m.body_bytes_max &&
                                     a.range.size() < messages_left;
        if (!could_be_longer) return;
        const auto servable = static_cast<std::uint64_t>(std::ranges::count_if(
            model_.members, [&](const auto& entry) { return model_.servable(entry.first); }));
        EXPECT_GE(a.range.size(), (model_.ready_count() + servable - 1) / servable);
        EXPECT_GE(a.range.size(), model_.out_of(a.member));
    }

    void verb(member_id id, sequence_range range, std::uint64_t which) {
        const duration time = below(7) * 1ms;
        std::vector<sequence_range> stale;
        std::vector<std::uint64_t> held;
        for (std::uint64_t s = 1; s <= model_.last(); ++s) {
            if (range.first.value <= s && s <= range.last.value && model_.holds(id, s)) {
                held.push_back(s);
            }
        }
        std::uint64_t taken = 0;
        switch (which) {
            case 0:
            case 1:
            case 2:
                taken = table_.ack(id, range, stale);
                for (const std::uint64_t s : held) model_.finish(s);
                break;
            case 3:
                taken = table_.nack(id, range, time, now_, stale);
                for (const std::uint64_t s : held) model_.fail(s, time, now_, "nacked");
                break;
            case 4:
                taken = table_.reject(id, range, "no", stale);
                for (const std::uint64_t s : held) model_.give_up(s, errc::rejected, "no");
                break;
            case 5:
                taken = table_.release(id, range, stale);
                for (const std::uint64_t s : held) model_.give_back(s);
                break;
            case 6:
                taken = table_.note_begun(id, range, stale);
                for (const std::uint64_t s : held) model_.at(s).begun = true;
                break;
            default:
                taken = table_.extend(id, range, time, now_, stale);
                for (const std::uint64_t s : held) model_.at(s).time = now_ + time;
        }
        EXPECT_EQ(taken, held.size());
        check_stale(range, held, stale);
    }

    /// What was refused is exactly what was not held, in order, in as few ranges as can be.
    void check_stale(sequence_range range, const std::vector<std::uint64_t>& held,
                     const std::vector<sequence_range>& stale) {
        std::vector<sequence_range> expected;
        bool past_end = range.empty();
        for (const std::uint64_t s : held) {
            if (range.first.value < s) expected.push_back({range.first, {s - 1}});
            past_end = s == range.last.value;
            range.first = {s + 1};
        }
        if (!past_end) expected.push_back(range);
        EXPECT_EQ(stale, expected);
    }

    void compare() {
        EXPECT_EQ(table_.floor().value, model_.floor());
        EXPECT_EQ(table_.last().value, model_.last());
        EXPECT_EQ(table_.unfinished(), model_.unfinished());
        EXPECT_EQ(table_.ready(), model_.ready_count());
        EXPECT_EQ(table_.next_deadline(), model_.next_deadline());
        EXPECT_EQ(table_.members(), model_.members.size());
        EXPECT_LE(table_.runs(), model_.last());
        compare_members();
        compare_ends();
    }

    void compare_members() {
        std::uint64_t out = 0;
        for (const auto& [id, m] : model_.members) {
            const auto status = table_.status(id, now_);
            ASSERT_TRUE(status);
            EXPECT_EQ(status->messages_out, model_.out_of(id));
            EXPECT_EQ(status->credit_messages, m.granted.messages - m.lent.messages);
            EXPECT_EQ(status->credit_bytes,
                      m.granted.bytes - std::min(m.granted.bytes, m.lent.bytes));
            duration oldest{};
            for (std::uint64_t s = 1; s <= model_.last(); ++s) {
                if (model_.holds(id, s)) oldest = std::max(oldest, now_ - model_.at(s).since);
            }
            EXPECT_GE(status->oldest_lease, oldest);
            out += status->messages_out;
        }
        EXPECT_EQ(table_.out(), out);
    }

    void compare_ends() {
        std::vector<lease_model::end> ends;
        for (const given_up& g : table_.take_given_up()) {
            for (std::uint64_t s = g.range.first.value; s <= g.range.last.value; ++s) {
                ends.push_back({s, g.cause, g.attempts, g.reason});
            }
            EXPECT_TRUE(model_.options.deliveries_max == 0 ||
                        g.attempts <= model_.options.deliveries_max);
        }
        // What ends in one step has no order of its own in the model.
        std::ranges::sort(ends, {}, &lease_model::end::sequence);
        std::ranges::sort(model_.ends, {}, &lease_model::end::sequence);
        EXPECT_TRUE(ends == model_.ends);
        model_.ends.clear();
    }

    cairn::test::dice random_;
    lease_model model_;
    lease_table table_;
    time_point now_{1h};
    std::uint64_t joined_ = 0;
};

void play(bool by_key) {
    cairn::test::expect_no_failure(10'000, [by_key](std::uint64_t seed) {
        schedule one(seed, by_key);
        one.live();
        one.quiet();
        return ::testing::Test::HasFailure() ? std::optional<std::string>("see above")
                                             : std::nullopt;
    });
}

TEST(LeaseSchedules, EndAsThePlainModelSays) { play(false); }

TEST(LeaseSchedules, KeepTheOrderOfEachKey) { play(true); }

}  // namespace
}  // namespace cairn::protocol::test
