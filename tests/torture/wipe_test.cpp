#include "torture.hpp"

#include <filesystem>
#include <mutex>

// A store whose directory is deleted while it is down: it comes back under another generation and
// knows nothing. Who lives goes on, and what is lost is told.
namespace cairn::test {
namespace {

class WipedStore : public Torture {
protected:
    void wipe() {
        store_process_.reset();
        std::filesystem::remove_all(directory_ / "data");
    }
    void start() { store_process_ = store(); }

    process store_process_;
};

TEST_F(WipedStore, LosesNothingThatItsPublisherStillHolds) {
    start();
    node home(with_store("home"));
    cairn::publisher sender(home, "torture");
    cairn::subscriber reader(home, "torture", in_group("alarms"));
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_numbers(sender, 1, 100);
    ASSERT_EQ(sender.flush(patience), 0U);
    EXPECT_EQ(told(reader, 100), numbers(1, 100));

    wipe();
    publish_numbers(sender, 101, 150);
    EXPECT_EQ(told(reader, 50), numbers(101, 150)) << "live goes on";
    EXPECT_EQ(sender.durable(), sequence{100}) << "it is never taken back";
    start();

    EXPECT_EQ(sender.flush(patience), 0U);
    EXPECT_EQ(reader.flush(patience), 0U) << "the group is made again, with its acks";
    EXPECT_EQ(sender.stats().lost_to_store, 0U);
    EXPECT_EQ(stored(), numbers(1, 150));
    node away(with_store("away"));
    cairn::subscriber late(away, "torture", in_group("archive"));
    EXPECT_EQ(told(late, 150), numbers(1, 150));
}

TEST_F(WipedStore, IsToldWhatItsPublisherNoLongerHolds) {
    start();
    node home(with_store("home"));
    publisher_options small;
    small.ring_bytes_max = 64 << 10;
    std::mutex mutex;
    std::uint64_t lost_up_to = 0;
    small.on_lost = [&](epoch, sequence_range range, errc) {
        const std::lock_guard hold(mutex);
        EXPECT_EQ(range.first.value, lost_up_to + 1);
        lost_up_to = range.last.value;
    };
    cairn::publisher sender(home, "torture", small);
    cairn::subscriber reader(home, "torture");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_numbers(sender, 1, 20'000);
    ASSERT_EQ(sender.flush(patience), 0U);
    EXPECT_EQ(told(reader, 20'000), numbers(1, 20'000));

    wipe();
    publish_numbers(sender, 20'001, 20'100);
    start();

    EXPECT_EQ(sender.flush(patience), 0U);
    EXPECT_EQ(told(reader, 100), numbers(20'001, 20'100)) << "who was live had all";
    const std::lock_guard hold(mutex);
    ASSERT_GT(lost_up_to, 0U);
    ASSERT_LT(lost_up_to, 20'000U);
    EXPECT_EQ(sender.stats().lost_to_store, lost_up_to);
    const auto rest = numbers(static_cast<int>(lost_up_to) + 1, 20'100);
    EXPECT_EQ(stored(), rest);
    std::vector<std::string> expected{"gap 1-" + std::to_string(lost_up_to) + " lost"};
    expected.insert(expected.end(), rest.begin(), rest.end());
    node away(with_store("away"));
    cairn::subscriber late(away, "torture", in_group("archive"));
    EXPECT_EQ(told(late, expected.size()), expected);
}

TEST_F(WipedStore, LeavesAReaderThatWasBehindWithAGapAndTheRest) {
    start();
    node home(with_store("home"));
    const std::string at = home.bind("tcp://127.0.0.1:0");
    publisher_options small;
    small.ring_bytes_max = 64 << 10;
    cairn::publisher sender(home, "torture", small);
    publish_numbers(sender, 1, 20'000);
    ASSERT_EQ(sender.flush(patience), 0U);
    node away(with_store("away"));
    subscriber_options slow = in_group("alarms");
    slow.credit_bytes = 4'000;
    cairn::subscriber reader(away, "torture", slow);
    EXPECT_EQ(told(reader, 10), numbers(1, 10));

    wipe();
    start();
    ASSERT_EQ(sender.flush(patience), 0U);
    ASSERT_TRUE(eventually([&] { return sender.stats().lost_to_store != 0; }, patience));
    away.connect(at);

    // What it had before is not given again, and what nobody has is one gap or a few.
    std::uint64_t next = 11;
    std::uint64_t gone = 0;
    while (next <= 20'000) {
        const auto e = reader.next_event(patience);
        ASSERT_TRUE(e) << "nothing comes after " << next;
        if (const auto* g = std::get_if<gap>(&*e)) {
            ASSERT_EQ(g->range.first.value, next);
            next = g->range.last.value + 1;
            gone += g->range.size();
        } else if (const auto* m = std::get_if<message>(&*e)) {
            ASSERT_EQ(m->sequence().value, next);
            ++next;
        }
    }
    EXPECT_GT(gone, 0U);
    EXPECT_LT(gone, 20'000U);
    sender.publish("last");
    EXPECT_EQ(told(reader, 1), std::vector<std::string>{"last"});
}

// Who was told of a gap and died before it came back for more may have done nothing about it.
TEST_F(WipedStore, TellsTheNextMemberOfAGroupOfTheGapThatTheOneBeforeDiedWith) {
    start();
    node home(with_store("home"));
    publisher_options small;
    small.ring_bytes_max = 64 << 10;
    cairn::publisher sender(home, "torture", small);
    publish_numbers(sender, 1, 20'000);
    ASSERT_EQ(sender.flush(patience), 0U);
    auto away = std::make_unique<node>(with_store("away"));
    subscriber_options slow = in_group("alarms");
    slow.credit_bytes = 4'000;
    auto reader = std::make_unique<subscriber>(*away, "torture", slow);
    EXPECT_EQ(told(*reader, 10), numbers(1, 10));

    wipe();
    start();
    ASSERT_EQ(sender.flush(patience), 0U);
    std::optional<gap> first_told;
    while (!first_told) {
        const auto e = reader->next_event(patience);
        ASSERT_TRUE(e);
        if (const auto* g = std::get_if<gap>(&*e)) first_told = *g;
    }
    ASSERT_EQ(reader->flush(patience), 0U);
    reader.reset();
    away.reset();

    away = std::make_unique<node>(with_store("away"));
    subscriber next_member(*away, "torture", in_group("alarms"));
    std::uint64_t next = first_told->range.first.value;
    while (next <= 20'000) {
        const auto e = next_member.next_event(patience);
        ASSERT_TRUE(e) << "nothing comes after " << next;
        if (const auto* g = std::get_if<gap>(&*e)) {
            ASSERT_LE(g->range.first.value, next);
            next = g->range.last.value + 1;
        } else if (const auto* m = std::get_if<message>(&*e)) {
            ASSERT_EQ(m->sequence().value, next) << "nothing is left out";
            ++next;
        }
    }
}

}  // namespace
}  // namespace cairn::test
