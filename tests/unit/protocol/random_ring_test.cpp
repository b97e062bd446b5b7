#include "random.hpp"
#include "values.hpp"

#include <cairn/protocol/ring.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

namespace cairn::test {
namespace {

using protocol::admission;
using protocol::reader;
using ring = protocol::ring<plain_batch>;
using kind = ring::step::kind;

/// What the ring says it does, with loops over everything: each reader's stall is counted by hand.
class obvious_ring {
public:
    obvious_ring(std::size_t bytes_max, duration patience)
        : bytes_max_(bytes_max), patience_(patience) {}

    struct state {
        sequence next;
        bool left_behind = false;
        duration stalled{};  // the publisher waited so long while this reader took nothing
    };

    sequence first_held() const { return batches_.empty() ? last_ + 1 : batches_.front().first_; }
    sequence last() const { return last_; }
    std::size_t bytes() const {
        std::size_t sum = 0;
        for (const plain_batch& b : batches_) sum += b.bytes_;
        return sum;
    }
    std::map<reader, state>& readers() { return readers_; }

    void pass_time(duration passed) {
        if (!blocked_) return;
        for (auto& [id, r] : readers_) {
            if (r.next <= last_) r.stalled += passed;
        }
    }

    admission admit(std::size_t bytes, time_point now) {
        blocked_ = false;
        while (!batches_.empty() && this->bytes() + bytes > bytes_max_) {
            const auto holds = [&](const state& r) {
                return r.next >= first_held() && r.next <= batches_.front().last_;
            };
            duration left{};
            for (auto& [id, r] : readers_) {
                if (holds(r)) left = std::max(left, patience_ - r.stalled);
            }
            if (left > duration::zero()) {
                blocked_ = true;
                return {.admitted = false, .wait_until = now + left};
            }
            for (auto& [id, r] : readers_) {
                if (holds(r)) r.left_behind = true;
            }
            batches_.erase(batches_.begin());
        }
        return {.admitted = true, .wait_until = now};
    }

    void push(plain_batch batch) {
        for (auto& [id, r] : readers_) {
            if (r.next > last_) r.stalled = {};
        }
        last_ = batch.last_;
        batches_.push_back(batch);
    }

    void move(reader id, sequence next) {
        readers_[id] = {.next = std::clamp(next, sequence{1}, last_ + 1)};
    }

    ring::step step(reader id) const {
        const state& r = readers_.at(id);
        if (r.next > last_) return {};
        if (r.next < first_held()) {
            return {.what = kind::gone, .batch = nullptr, .gone = {r.next, first_held() - 1}};
        }
        for (const plain_batch& b : batches_) {
            if (r.next <= b.last_) return {.what = kind::batch, .batch = &b, .gone = {}};
        }
        return {};
    }

private:
    std::size_t bytes_max_;
    duration patience_;
    sequence last_;
    std::vector<plain_batch> batches_;
    std::map<reader, state> readers_;
    bool blocked_ = false;
};

/// A ring and its obvious twin, driven alike.
class twins {
public:
    explicit twins(std::uint64_t seed)
        : random_(seed),
          patience_(random_.chance(20) ? 0 : random_.between(1, 100)),
          bytes_max_(random_.below(120)),
          ring_(bytes_max_, patience_),
          obvious_(bytes_max_, patience_) {}

    std::optional<std::string> run() {
        for (int step = 0; step < 120; ++step) {
            act();
            if (failure_.empty()) compare();
            if (!failure_.empty()) return failure_ + " in step " + std::to_string(step);
        }
        return std::nullopt;
    }

private:
    void expect(bool holds, const char* what) {
        if (!holds && failure_.empty()) failure_ = what;
    }

    reader any_reader() {
        auto i = obvious_.readers().begin();
        std::advance(i, static_cast<std::ptrdiff_t>(random_.below(obvious_.readers().size())));
        return i->first;
    }

    sequence any_sequence() {
        if (random_.chance(5)) return {~0ULL};
        return {random_.below(obvious_.last().value + 4)};
    }

    void act() {
        const duration passed = std::chrono::milliseconds(random_.below(30));
        now_ += passed;
        obvious_.pass_time(passed);
        const std::uint64_t choice = random_.below(100);
        if (choice < 35) return publish();
        if (choice < 45 && obvious_.readers().size() < 6) return join();
        if (obvious_.readers().empty()) return;
        const reader r = any_reader();
        if (choice < 48) {
            ring_.remove(r);
            obvious_.readers().erase(r);
            shown_.erase(r);
        } else if (choice < 55) {
            const sequence next = any_sequence();
            ring_.rewind(r, next, now_);
            obvious_.move(r, next);
            shown_.erase(r);
        } else if (choice < 60) {
            ring_.note_progress(r, now_);
            obvious_.readers()[r].stalled = {};
        } else if (choice < 80) {
            show(r);
        } else {
            if (!shown_.contains(r)) show(r);
            pass(r);
        }
    }

    void publish() {
        const std::size_t bytes = random_.below(50);
        const admission answer = ring_.admit(bytes, now_);
        const admission expected = obvious_.admit(bytes, now_);
        expect(answer.admitted == expected.admitted, "admitted otherwise");
        expect(answer.wait_until == expected.wait_until, "waits for another time");
        if (!answer) return;
        const plain_batch batch{ring_.last() + 1, ring_.last() + random_.between(1, 4), bytes};
        ring_.push(batch);
        obvious_.push(batch);
        expect(ring_.bytes() <= bytes_max_ || ring_.batches() == 1, "holds too much");
    }

    void join() {
        const sequence next = any_sequence();
        obvious_.move(ring_.add(next, now_), next);
    }

    void show(reader r) {
        const ring::step step = ring_.next(r);
        const ring::step expected = obvious_.step(r);
        expect(step.what == expected.what, "another step");
        if (!failure_.empty() || step.what == kind::nothing) return;
        if (step.what == kind::gone) {
            expect(step.gone == expected.gone, "another gone range");
            shown_[r] = expected.gone.last;
        } else {
            expect(step.batch->first() == expected.batch->first(), "another batch");
            shown_[r] = expected.batch->last();
        }
    }

    void pass(reader r) {
        const auto shown = shown_.find(r);
        if (shown == shown_.end()) return;
        ring_.passed(r, now_);
        obvious_.move(r, shown->second + 1);
        shown_.erase(shown);
    }

    void compare() {
        expect(ring_.first_held() == obvious_.first_held(), "holds from another sequence");
        expect(ring_.last() == obvious_.last(), "another last sequence");
        expect(ring_.bytes() == obvious_.bytes(), "other bytes");
        std::size_t pending = 0;
        for (const auto& [id, r] : obvious_.readers()) {
            expect(ring_.wanted(id) == r.next, "a cursor is elsewhere");
            expect(ring_.left_behind(id) == r.left_behind, "others are left behind");
            expect(ring_.lag(id) == obvious_.last() + 1 - r.next, "another lag");
            pending += r.next <= obvious_.last() ? 1 : 0;
        }
        ring_.for_each_pending([&](reader id) {
            expect(obvious_.readers()[id].next <= obvious_.last(), "an idle reader is pending");
            --pending;
        });
        expect(pending == 0, "not each pending reader was visited once");
    }

    dice random_;
    std::chrono::milliseconds patience_;
    std::size_t bytes_max_;
    ring ring_;
    obvious_ring obvious_;
    std::map<reader, sequence> shown_;
    time_point now_ = at(0s);
    std::string failure_;
};

TEST(RandomRing, DoesWhatAnObviousOneDoes) {
    expect_no_failure(10'000, [](std::uint64_t seed) { return twins(seed).run(); });
}

/// Some readers never take anything, others always do at once: how long does it hold up the
/// publisher in all?
std::optional<std::string> publish_past_stuck_readers(std::uint64_t seed) {
    dice random(seed);
    const std::chrono::milliseconds patience(random.below(200));
    ring under_test(random.between(20, 400), patience);
    time_point now = at(0s);
    duration waited{};
    std::vector<reader> moving;
    const auto publish = [&](std::size_t bytes) {
        for (admission answer; !(answer = under_test.admit(bytes, now));) {
            const time_point tried = now + std::chrono::milliseconds(random.between(1, 50));
            waited += std::min(tried, answer.wait_until) - now;
            now = std::min(tried, answer.wait_until);
        }
        under_test.push({under_test.last() + 1, under_test.last() + 1, bytes});
        for (const reader r : moving) {
            while (under_test.next(r).what != kind::nothing) under_test.passed(r, now);
        }
        now += std::chrono::milliseconds(random.below(20));
    };

    const std::uint64_t stuck = random.between(1, 5);
    for (std::uint64_t i = 0; i < stuck; ++i) {
        publish(1);
        (void)under_test.add(under_test.last(), now);
        moving.push_back(under_test.add(under_test.last(), now));
    }
    publish(1);  // the last that joined takes what it found, before anybody waits
    for (int i = 0; i < 100; ++i) publish(random.between(1, 60));
    if (waited > patience) return "the publisher waited longer than its patience";
    if (under_test.left_behind_total() != stuck) return "others than the stuck were left behind";
    return std::nullopt;
}

TEST(RandomRing, WaitsForStuckReadersForItsPatienceInAll) {
    expect_no_failure(10'000, publish_past_stuck_readers);
}

}  // namespace
}  // namespace cairn::test
