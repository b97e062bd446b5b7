#include <cairn/protocol/store_feed.hpp>

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "random.hpp"
#include "store_model.hpp"
#include "values.hpp"

namespace cairn::test {
namespace {

using namespace protocol;

struct timed_batch : plain_batch {
    time_point published_;
    time_point published() const { return published_; }
};
using feed = store_feed<timed_batch>;
using ring_type = ring<timed_batch>;
using kind = feed::step::kind;
using room = feed::room;

const generation one{{std::byte{1}}};
const generation two{{std::byte{2}}};
constexpr std::uint64_t plenty = 1 << 20;

/// A publisher of batches of ten bytes with a ring of thirty, and its feed.
class StoreFeed : public testing::Test {
protected:
    void with(full_ring policy, delivery mode = delivery::parallel) {
        feed_.emplace(ring_, mode, policy, 30, now_);
    }
    room publish(std::uint64_t messages = 1) {
        const feed::answer answer = feed_->admit(10, now_);
        if (answer.what != room::yes) return answer.what;
        const timed_batch batch{{ring_.last() + 1, ring_.last() + messages, 10}, now_};
        ring_.push(batch);
        feed_->pushed(batch);
        return room::yes;
    }
    sequence_range send(kind expected) {
        const feed::step step = feed_->next(now_);
        EXPECT_EQ(step.what, expected);
        if (step.what == kind::lost)
            feed_->told_lost(step.range.last, now_);
        else if (step.what != kind::nothing)
            feed_->sent(10, now_);
        return step.range;
    }
    void open(std::uint64_t stored = 0, const generation& which = one) {
        feed_->opened(which, seq(stored), plenty, now_);
    }
    bool confirm(std::uint64_t up_to) { return feed_->confirmed(seq(up_to), plenty, now_); }

    ring_type ring_{30, 100ms};
    std::optional<feed> feed_;
    time_point now_ = at(0s);
};

TEST_F(StoreFeed, SendsNothingBeforeTheSourceIsOpen) {
    with(full_ring::block);
    ASSERT_EQ(publish(), room::yes);
    send(kind::nothing);
    open();
    EXPECT_EQ(send(kind::batch), range(1, 1));
    send(kind::nothing);
}

TEST_F(StoreFeed, ConfirmsAreCumulativeAndNeverGoBack) {
    with(full_ring::block);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(publish(), room::yes);
    open();
    for (int i = 0; i < 3; ++i) send(kind::batch);
    EXPECT_TRUE(confirm(2));
    EXPECT_FALSE(confirm(1));
    EXPECT_EQ(feed_->durable(), seq(2));
    EXPECT_EQ(feed_->debt(now_).bytes, 10u);
    EXPECT_EQ(feed_->debt(now_).messages, 1u);
}

TEST_F(StoreFeed, BelievesNoConfirmOfWhatWasNotSent) {
    with(full_ring::block);
    ASSERT_EQ(publish(), room::yes);
    open();
    EXPECT_FALSE(confirm(1));
    EXPECT_EQ(feed_->durable(), seq(0));
}

TEST_F(StoreFeed, TellsTheAgeOfTheOldestThatIsNotDurable) {
    with(full_ring::block);
    ASSERT_EQ(publish(), room::yes);
    now_ += 3s;
    ASSERT_EQ(publish(), room::yes);
    EXPECT_EQ(feed_->debt(now_).age, 3s);
    open(1);
    EXPECT_EQ(feed_->debt(now_).age, 0s);
}

TEST_F(StoreFeed, GoesOnBehindWhatAReturningStoreHas) {
    with(full_ring::block);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(publish(), room::yes);
    open();
    for (int i = 0; i < 3; ++i) send(kind::batch);
    feed_->link_lost();
    send(kind::nothing);
    open(1);
    EXPECT_EQ(send(kind::batch), range(2, 2));
}

TEST_F(StoreFeed, SendsAWipedStoreAllThatIsHeldAndNamesTheRest) {
    with(full_ring::block);
    open();
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(publish(), room::yes);
        send(kind::batch);
        confirm(ring_.last().value);
    }
    feed_->link_lost();
    open(0, two);
    EXPECT_TRUE(feed_->generation_changed());
    EXPECT_EQ(send(kind::lost), range(1, 2));
    EXPECT_EQ(send(kind::batch), range(3, 3));
    EXPECT_EQ(feed_->durable(), seq(5)) << "a position was taken back";
    EXPECT_EQ(feed_->debt(now_).messages, 5u);
}

TEST_F(StoreFeed, GoesBackAtOnceToWhatAStoreMisses) {
    with(full_ring::block);
    open();
    for (int i = 0; i < 3; ++i) ASSERT_EQ(publish(), room::yes);
    for (int i = 0; i < 3; ++i) send(kind::batch);
    feed_->refused(errc::hole, seq(2), now_);
    EXPECT_EQ(send(kind::batch), range(2, 2));
    EXPECT_EQ(send(kind::batch), range(3, 3));
}

TEST_F(StoreFeed, OffersAgainAfterAPauseWhatWasRefusedForNow) {
    for (const errc why : {errc::disk_full, errc::closed}) {
        with(full_ring::block);
        open();
        ASSERT_EQ(publish(), room::yes);
        const auto sent = send(kind::batch);
        feed_->refused(why, sent.first, now_);
        send(kind::nothing);
        now_ = feed_->paused_until();
        EXPECT_EQ(send(kind::batch), sent) << name(why);
    }
}

TEST_F(StoreFeed, StopsForGoodAtAConflictOrAFence) {
    with(full_ring::block);
    open();
    ASSERT_EQ(publish(), room::yes);
    send(kind::batch);
    feed_->refused(errc::conflict, seq(1), now_);
    EXPECT_EQ(feed_->standing(), feed::state::conflict);
    EXPECT_EQ(feed_->why(), errc::conflict);
    open();
    send(kind::nothing);
    with(full_ring::block);
    feed_->fenced();
    open();
    EXPECT_EQ(feed_->standing(), feed::state::fenced);
}

TEST_F(StoreFeed, StopsWhenAStoreHasWhatWasNeverPublished) {
    with(full_ring::block);
    ASSERT_EQ(publish(), room::yes);
    open(2);
    EXPECT_EQ(feed_->standing(), feed::state::conflict);
}

TEST_F(StoreFeed, SendsNoMoreThanWasGranted) {
    with(full_ring::block);
    for (int i = 0; i < 2; ++i) ASSERT_EQ(publish(), room::yes);
    feed_->opened(one, seq(0), 1, now_);
    send(kind::batch);
    send(kind::nothing);
    EXPECT_TRUE(feed_->confirmed(seq(1), 10 + wire::batch_charge_bytes + 1, now_));
    send(kind::batch);
}

TEST_F(StoreFeed, OwesWhatIsWrittenUntilItIsFlushed) {
    with(full_ring::block);
    for (int i = 0; i < 2; ++i) ASSERT_EQ(publish(), room::yes);
    feed_->opened(one, seq(0), 1, now_);
    send(kind::batch);
    EXPECT_TRUE(feed_->written(10 + wire::batch_charge_bytes + 1));
    EXPECT_EQ(feed_->durable(), seq(0));
    EXPECT_EQ(feed_->debt(now_).messages, 2U);
    EXPECT_EQ(send(kind::batch), range(2, 2)) << "its credit counts";
    EXPECT_FALSE(feed_->written(10 + wire::batch_charge_bytes + 1));
    feed_->refused(errc::store_failed, seq(1), now_);
    now_ = feed_->paused_until();
    feed_->confirmed(seq(0), plenty, now_);
    EXPECT_EQ(send(kind::batch), range(1, 1)) << "what is taken back is sent again";
}

TEST_F(StoreFeed, BlocksOrRefusesWhenTheRingIsFullOfWhatTheStoreLacks) {
    for (const auto& [policy, expected] :
         {std::pair{full_ring::block, room::wait}, std::pair{full_ring::refuse, room::full}}) {
        feed_.reset();
        ring_ = ring_type(30, 100ms);
        with(policy);
        for (int i = 0; i < 3; ++i) ASSERT_EQ(publish(), room::yes);
        EXPECT_EQ(publish(), expected);
        open(1);
        EXPECT_EQ(publish(), room::yes);
    }
}

TEST_F(StoreFeed, SpillsTheOldestAndServesTheStoreFromThere) {
    with(full_ring::spill);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(publish(2), room::yes);
    ASSERT_EQ(publish(), room::spill);
    EXPECT_EQ(feed_->oldest()->first(), seq(1));
    feed_->spilled(now_);
    ASSERT_EQ(publish(), room::yes);
    open();
    EXPECT_EQ(send(kind::spilled), range(1, 2));
    EXPECT_EQ(send(kind::batch), range(3, 4));
    EXPECT_EQ(feed_->in_spill(), range(1, 2));
    confirm(1);
    EXPECT_EQ(feed_->in_spill(), range(2, 2));
    confirm(4);
    EXPECT_EQ(feed_->in_spill(), std::nullopt);
}

TEST_F(StoreFeed, ForwardsTheSpillOfARunBeforeWithoutItsRing) {
    feed_.emplace(ring_, delivery::parallel, full_ring::spill, 30, now_, range(4, 9));
    open(2);
    EXPECT_EQ(send(kind::lost), range(3, 3));
    EXPECT_EQ(send(kind::spilled), range(4, 9));
    send(kind::nothing);
    EXPECT_TRUE(confirm(9));
    EXPECT_EQ(feed_->debt(now_).messages, 0u);
}

TEST_F(StoreFeed, DropsHistoryAndTellsTheStore) {
    with(full_ring::drop_history);
    for (int i = 0; i < 5; ++i) ASSERT_EQ(publish(), room::yes);
    open();
    EXPECT_EQ(send(kind::lost), range(1, 2));
    EXPECT_EQ(send(kind::batch), range(3, 3));
}

TEST_F(StoreFeed, CountsAsLostWhatNeverWasDurableWhenTheStoreConfirmedThatItWasTold) {
    with(full_ring::drop_history);
    for (int i = 0; i < 5; ++i) ASSERT_EQ(publish(), room::yes);
    open();
    send(kind::lost);
    send(kind::batch);
    EXPECT_EQ(feed_->lost(), 0u);
    feed_->link_lost();
    open();
    EXPECT_EQ(send(kind::lost), range(1, 2)) << "the store had not heard of it";
    confirm(2);
    EXPECT_EQ(feed_->durable(), seq(2));
    EXPECT_EQ(feed_->lost(), 2u);
    send(kind::batch);
    confirm(3);
    EXPECT_EQ(feed_->lost(), 2u);
    // Of a store that was wiped it is told again, with what was durable before.
    feed_->link_lost();
    ASSERT_EQ(publish(), room::yes);
    open(0, two);
    EXPECT_EQ(send(kind::lost), range(1, 3));
    confirm(3);
    EXPECT_EQ(feed_->lost(), 2u);
}

TEST_F(StoreFeed, CountsWhatWasToldAsLostOfAStoreThatHasItWhenItIsBack) {
    with(full_ring::drop_history);
    for (int i = 0; i < 5; ++i) ASSERT_EQ(publish(), room::yes);
    open();
    send(kind::lost);
    send(kind::batch);
    feed_->link_lost();
    open(3);
    EXPECT_EQ(feed_->lost(), 2u);
}

TEST_F(StoreFeed, CountsNothingAsLostThatAFullStoreRefusedToNote) {
    with(full_ring::drop_history);
    for (int i = 0; i < 5; ++i) ASSERT_EQ(publish(), room::yes);
    open();
    EXPECT_EQ(send(kind::lost), range(1, 2));
    feed_->refused(errc::store_full, seq(1), now_);
    now_ = feed_->paused_until();
    EXPECT_EQ(send(kind::lost), range(1, 2));
    confirm(2);
    EXPECT_EQ(feed_->lost(), 2u) << "once";
}

TEST_F(StoreFeed, ShowsPeersOnlyWhatIsDurableWhenTheStoreComesFirst) {
    with(full_ring::block, delivery::store_first);
    ASSERT_EQ(publish(), room::yes);
    EXPECT_FALSE(feed_->may_show(seq(1)));
    open();
    send(kind::batch);
    confirm(1);
    EXPECT_TRUE(feed_->may_show(seq(1)));
    feed_->link_lost();
    open(0, two);
    EXPECT_TRUE(feed_->may_show(seq(1)));
}

/// One publisher and one store, a link that breaks, crashes, refusals and wipes; then quiet.
class schedule {
public:
    explicit schedule(std::uint64_t seed)
        : random_(seed),
          policy_(static_cast<full_ring>(random_.below(4))),
          bytes_max_(random_.between(20, 200)),
          ring_(bytes_max_, std::chrono::milliseconds(random_.below(50))),
          feed_(ring_, delivery::parallel, policy_, bytes_max_, now_) {}

    std::optional<std::string> run() {
        const std::uint64_t steps = random_.between(50, 200);
        for (std::uint64_t i = 0; i < steps && failure_.empty(); ++i) {
            now_ += std::chrono::milliseconds(random_.below(20));
            if (random_.chance(60)) publish();
            if (random_.chance(5)) disturb();
            exchange(random_.chance(5));
        }
        for (int i = 0; i < 1'000 && failure_.empty(); ++i) {
            now_ += 100ms;
            exchange(false);
        }
        if (failure_.empty() && store_.last_durable(run_) != ring_.last())
            fail("after quiet the store lacks something");
        if (failure_.empty() && feed_.debt(now_).bytes != 0) fail("a debt remains");
        if (!store_.whole()) fail("the store has a hole");
        return failure_.empty() ? std::nullopt : std::optional(failure_);
    }

private:
    void fail(const char* what) {
        if (failure_.empty()) failure_ = what;
    }

    void publish() {
        const std::size_t bytes = random_.between(1, 30);
        feed::answer answer = feed_.admit(bytes, now_);
        while (answer.what == room::spill) {
            if (in_spill_.empty() || feed_.oldest()->first() > in_spill_.last)
                in_spill_ = in_spill_.empty() || !feed_.in_spill()
                                ? sequence_range{feed_.oldest()->first(), feed_.oldest()->last()}
                                : sequence_range{in_spill_.first, feed_.oldest()->last()};
            feed_.spilled(now_);
            answer = feed_.admit(bytes, now_);
        }
        if (answer.what != room::yes) return;
        const timed_batch batch{{ring_.last() + 1, ring_.last() + random_.between(1, 4), bytes},
                                now_};
        ring_.push(batch);
        feed_.pushed(batch);
        if (ring_.bytes() > bytes_max_ && ring_.batches() > 1) fail("the ring is too large");
    }

    void disturb() {
        const std::uint64_t what = random_.below(10);
        linked_ = false;
        feed_.link_lost();
        if (what < 4) store_.crash();
        if (what != 0) return;
        store_.wipe();
        ++generation_;
        wiped_ = true;
    }

    void exchange(bool refuse) {
        if (!linked_ && random_.chance(30)) {
            linked_ = true;
            dropping_ = false;
            if (!store_.open(run_)) fail("the store fences its only run");
            store_.sync();
            granted_ = random_.between(1, 400);
            taken_ = 0;
            feed_.opened(generation{{static_cast<std::byte>(generation_)}},
                         store_.last_durable(run_), granted_, now_);
            check_lost();
        }
        if (!linked_) return;
        for (std::uint64_t n = random_.below(4); n != 0; --n) offer(refuse);
        if (random_.chance(60)) {
            store_.sync();
            const sequence before = feed_.durable();
            feed_.confirmed(store_.last_durable(run_), granted_ = taken_ + 400, now_);
            if (feed_.durable() < before) fail("the durable mark went back");
            check_lost();
        }
    }

    // What became durable, or was told as lost: nothing else is either.
    void check_lost() {
        for (; counted_ < feed_.durable(); ++counted_)
            if (!store_.holds(run_, {counted_ + 1, counted_ + 1})) ++lost_;
        if (feed_.lost() != lost_) fail("what is lost passes for durable");
    }

    void offer(bool refuse) {
        const feed::step step = feed_.next(now_);
        if (step.what == kind::nothing) return;
        if (step.range.empty()) return fail("an empty step");
        if (step.what == kind::spilled &&
            (step.range.first < in_spill_.first || step.range.last > in_spill_.last))
            return fail("asked of the spill what was not spilled");
        if (step.what == kind::lost && policy_ != full_ring::drop_history && !wiped_)
            return fail("something was lost although nobody permitted it");
        const bool lost = step.what == kind::lost;
        sequence_range part = step.range;
        if (step.what == kind::spilled) part.last = part.first + random_.below(part.size());
        const std::size_t bytes = step.what == kind::batch ? step.batch->bytes_ : lost ? 0 : 10;
        if (lost)
            feed_.told_lost(part.last, now_);
        else
            feed_.sent(bytes, now_, part.last);
        taken_ += bytes + wire::batch_charge_bytes;
        if (refuse) dropping_ = false;
        if (refuse || (!dropping_ && part.first > store_.last(run_) + 1)) {
            if (std::exchange(dropping_, true)) return;
            const bool hole = part.first > store_.last(run_) + 1;
            if (hole) fail("a hole without a loss");
            return feed_.refused(random_.chance(50) ? errc::disk_full : errc::checksum_mismatch,
                                 store_.last(run_) + 1, now_);
        }
        if (dropping_ && part.first > store_.last(run_) + 1) return;
        dropping_ = false;
        if (store_.append(run_, part, lost) == store_model::taken::hole) fail("a hole");
    }

    dice random_;
    full_ring policy_;
    std::size_t bytes_max_;
    time_point now_ = at(0s);
    ring_type ring_;
    feed feed_;
    store_model store_;
    cairn::epoch run_{7};
    sequence_range in_spill_{{1}, {0}};
    std::uint64_t granted_ = 0;
    std::uint64_t taken_ = 0;
    int generation_ = 1;
    bool linked_ = false;
    bool dropping_ = false;
    bool wiped_ = false;
    sequence counted_;
    std::uint64_t lost_ = 0;
    std::string failure_;
};

TEST(RandomStoreFeed, PaysItsDebtInOrderWhateverTheStoreDoes) {
    expect_no_failure(10'000, [](std::uint64_t seed) { return schedule(seed).run(); });
}

}  // namespace
}  // namespace cairn::test
