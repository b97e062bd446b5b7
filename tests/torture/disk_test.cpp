#include "store/support/small_disk.hpp"
#include "torture.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>

// A store whose disk is full, or does not answer.
namespace cairn::test {
namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// A store on a disk of 48 MiB, a publisher of messages of 10 kB, and one who reads them live.
class StoreOnAFullDisk : public Torture {
protected:
    void SetUp() override {
        std::filesystem::create_directory(disk_);
        if (const auto why = mount_small_disk(disk_, 48 * mebibyte); !why.empty())
            GTEST_SKIP() << "no file system can be mounted here: " << why;
        start();
        node_options o = with_store("home");
        o.log = noted();
        home_ = std::make_unique<node>(o);
    }
    void TearDown() override {
        running_.reset();
        unmount_small_disk(disk_);
    }
    void start() {
        running_.reset();
        running_ = Torture::start({"store", (disk_ / "data").string(), store_});
    }
    void fill() const {
        std::ofstream filler(filler_, std::ios::binary);
        const std::string block(mebibyte / 16, 'f');
        while (filler.write(block.data(), std::ssize(block)).flush()) {
        }
    }
    void make_room() const { std::filesystem::remove(filler_); }

    static std::string text_of(int n) { return std::to_string(n) + std::string(10'000, ' '); }
    void publish_next(publisher& to) { to.publish(text_of(++published_)); }
    /// Fills the disk, and publishes until the store takes no more.
    void publish_until_refused(publisher& to) {
        publish_next(to);
        ASSERT_EQ(to.flush(patience), 0U) << "the store has begun";
        fill();
        const auto refused = [&] { return logged(describe(errc::disk_full)); };
        while (!refused()) {
            publish_next(to);
            ASSERT_TRUE(eventually([&] { return to.flush(0ms) == 0 || refused(); }, patience));
            ASSERT_LT(published_, 5'000) << "more than the disk holds";
        }
    }
    std::uint64_t count_stored() const {
        std::uint64_t n = 0;
        for (const std::string& text : stored())
            if (text != text_of(static_cast<int>(++n))) ADD_FAILURE() << "message " << n;
        return n;
    }

    const std::filesystem::path disk_ = directory_ / "disk";
    const std::filesystem::path filler_ = disk_ / "filler";
    process running_;
    std::unique_ptr<node> home_;
    int published_ = 0;
};

TEST_F(StoreOnAFullDisk, ConfirmsNothingUntilThereIsRoomAndLosesNothing) {
    cairn::publisher sender(*home_, "torture");
    cairn::subscriber live(*home_, "torture");
    ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
    publish_until_refused(sender);
    const sequence confirmed = sender.durable();

    for (int n = 0; n != 100; ++n) publish_next(sender);
    for (int n = 1; n <= published_; ++n) {
        const auto m = live.receive_for(patience);
        ASSERT_TRUE(m) << "live goes on";
        EXPECT_EQ(m->sequence().value, static_cast<std::uint64_t>(n));
    }
    EXPECT_EQ(sender.flush(50ms), static_cast<std::uint64_t>(published_) - confirmed.value);
    EXPECT_EQ(sender.durable(), confirmed);
    EXPECT_GT(sender.stats().owed_messages, 100U);
    EXPECT_EQ(count_stored(), confirmed.value) << "what it has can be read";

    make_room();
    EXPECT_EQ(sender.flush(patience), 0U) << "by itself";
    EXPECT_EQ(sender.stats().lost_to_store, 0U);
    EXPECT_EQ(count_stored(), static_cast<std::uint64_t>(published_));
}

TEST_F(StoreOnAFullDisk, TakesAcks) {
    cairn::publisher sender(*home_, "torture");
    cairn::subscriber reader(*home_, "torture", in_group("alarms"));
    publish_until_refused(sender);
    for (std::uint64_t n = 1; n <= sender.durable().value; ++n)
        ASSERT_TRUE(reader.receive_for(patience));
    EXPECT_EQ(reader.flush(patience), 0U);
}

TEST_F(StoreOnAFullDisk, HoldsWhatItConfirmedWhenItIsKilledAndStartsAgain) {
    cairn::publisher sender(*home_, "torture");
    publish_until_refused(sender);
    const sequence confirmed = sender.durable();
    running_->signal(SIGKILL);
    start();
    EXPECT_EQ(count_stored(), confirmed.value);
    EXPECT_EQ(sender.durable(), confirmed);
    make_room();
    EXPECT_EQ(sender.flush(patience), 0U);
}

TEST_F(StoreOnAFullDisk, IsToldToAPublisherWhoseRingIsFull) {
    publisher_options small;
    small.ring_bytes_max = mebibyte;
    small.when_full = full_ring::refuse;
    cairn::publisher sender(*home_, "torture", small);
    publish_until_refused(sender);
    const auto offer = [&] { return sender.try_publish(text_of(published_ + 1)).status; };
    ASSERT_TRUE(eventually([&] {
        const send_status told = offer();
        if (told == send_status::accepted) ++published_;
        return told == send_status::full;
    }));
    EXPECT_THROW(publish_next(sender), error);
    --published_;
    make_room();
    EXPECT_TRUE(eventually([&] { return offer() == send_status::accepted; }, patience));
    ++published_;
    EXPECT_EQ(sender.flush(patience), 0U);
    EXPECT_EQ(count_stored(), static_cast<std::uint64_t>(published_));
}

/// What a publisher and its live reader see of a store that was taken away.
class StoreTakenAway : public Torture {
protected:
    process store_on_hanging_disk() const {
        return std::make_unique<child_process>(
            std::vector<std::string>{"/usr/bin/env", "CAIRN_TEST_HANG=" + file("hang"),
                                     CAIRN_TORTURE_PARTY, "store", file("data"), store_});
    }
    void hang() const { std::ofstream(file("hang")) << ""; }
    void go_on() const { std::filesystem::remove(file("hang")); }
    bool held() const {
        return eventually([&] { return std::filesystem::exists(file("hang.held")); }, patience);
    }

    /// Without the store from `away` to `back`: what a publisher is told, in words.
    std::vector<std::string> seen(full_ring policy, const std::function<void()>& away,
                                  const std::function<void()>& back) {
        std::vector<std::string> all;
        const auto note = [&](const std::string& what, auto value) {
            all.push_back(what + " " + std::to_string(value));
        };
        node_options o = with_store("home");
        o.state_directory = file("state");
        o.log = noted();
        log_.clear();
        node home(o);
        publisher_options small;
        small.ring_bytes_max = 64 << 10;
        small.when_full = policy;
        cairn::publisher sender(home, "torture", small);
        cairn::subscriber live(home, "torture", {.use_store = false});
        EXPECT_TRUE(sender.wait_for_subscribers(1, patience));
        std::uint64_t accepted = 0;
        std::uint64_t received = 0;
        const auto receive = [&] {
            const auto m = live.try_receive();
            if (m && m->sequence().value == received + 1) ++received;
            return received == accepted;
        };
        // One after the other, so that the ring is full of the same each time. Behind what fills it
        // some more is accepted, and waits.
        const auto offer = [&] {
            const send_status told = sender.try_publish(std::string(1'000, 'x')).status;
            if (told != send_status::accepted) return told;
            ++accepted;
            EXPECT_TRUE(eventually([&] { return receive() || logged("the ring is full"); }));
            return told;
        };
        for (int n = 0; n != 10; ++n) EXPECT_EQ(offer(), send_status::accepted);
        EXPECT_EQ(sender.flush(patience), 0U);

        away();
        const std::uint64_t before = accepted;
        send_status told = send_status::accepted;
        for (int n = 0; n != 2'000 && told == send_status::accepted; ++n) told = offer();
        note("accepted", accepted - before);
        note("received live", received - before);
        note("the next is told", static_cast<int>(told));
        note("durable", sender.durable().value);
        note("not flushed", sender.flush(50ms));
        note("owed", sender.stats().owed_messages);
        std::future<void> waiting;
        if (policy == full_ring::block) {
            waiting =
                std::async(std::launch::async, [&] { sender.publish(std::string(1'000, 'x')); });
            note("waits", waiting.wait_for(50ms) == std::future_status::timeout);
        }

        back();
        if (waiting.valid()) {
            waiting.get();
            ++accepted;
        }
        // How much is lost depends on what was under way: it is told in any case.
        const std::uint64_t later = sender.flush(patience);
        const std::uint64_t lost = sender.stats().lost_to_store;
        EXPECT_TRUE(lost == 0 || policy == full_ring::drop_history);
        note("not flushed later, nor lost", later - lost);
        EXPECT_TRUE(eventually(receive, patience));
        note("accepted later", static_cast<int>(offer()));
        EXPECT_EQ(sender.close(patience), lost);
        return all;
    }
};

class StoreTakenAwayWithPolicy : public StoreTakenAway,
                                 public testing::WithParamInterface<full_ring> {};

TEST_P(StoreTakenAwayWithPolicy, IsTheSameWhetherItIsKilledOrStoppedOrItsDiskHangs) {
    process running = store_on_hanging_disk();
    const auto killed = seen(
        GetParam(), [&] { running.reset(); }, [&] { running = store_on_hanging_disk(); });
    const auto stopped = seen(
        GetParam(), [&] { running->signal(SIGSTOP); }, [&] { running->signal(SIGCONT); });
    const auto hung = seen(
        GetParam(),
        [&] {
            hang();
            // Whatever comes first is stuck; here a publisher of another topic.
            node other(with_store("other"));
            cairn::publisher first(other, "other");
            first.publish("stuck");
            EXPECT_TRUE(held());
        },
        [&] { go_on(); });
    EXPECT_EQ(stopped, killed);
    EXPECT_EQ(hung, killed);
}

INSTANTIATE_TEST_SUITE_P(WithPolicy, StoreTakenAwayWithPolicy,
                         testing::Values(full_ring::block, full_ring::refuse, full_ring::spill,
                                         full_ring::drop_history),
                         [](const auto& policy) {
                             return policy.param == full_ring::block    ? "block"
                                    : policy.param == full_ring::refuse ? "refuse"
                                    : policy.param == full_ring::spill  ? "spill"
                                                                        : "drop_history";
                         });

}  // namespace
}  // namespace cairn::test
