#include "support/rounds.hpp"
#include "support/split_network.hpp"
#include "torture.hpp"

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

// Store, publisher and subscribers on machines of their own, between which the network is cut and
// slow.
namespace cairn::test {
namespace {

// Longer than silence_max: links are given up.
constexpr auto long_cut = 4'500ms;

class ProcessesOnANetwork : public Torture {
protected:
    static constexpr std::size_t store_machine = 0;
    static constexpr std::size_t publisher_machine = 1;
    static constexpr std::size_t alarms_machine = 2;
    static constexpr std::size_t archive_machine = 3;
    static constexpr std::size_t machines = 4;

    void SetUp() override {
        try {
            network_ = std::make_unique<split_network>(machines);
        } catch (const std::system_error& e) {
            GTEST_SKIP() << "no network of its own can be made here: " << e.what();
        }
        all_[store_machine] = on(store_machine, {"store", file("data"), kept_at_, store_});
        start_publisher("0", ring_bytes());
        for (const std::size_t m : {alarms_machine, archive_machine}) {
            const std::string& group = groups_[m - alarms_machine];
            all_[m] = on(m, {"subscriber", group, kept_at_, file(group + ".log"), home_});
        }
        ASSERT_TRUE(all_go_on());
    }
    process on(std::size_t machine, const std::vector<std::string>& words) {
        process made;
        network_->on(machine, [&] { made = start(words); });
        return made;
    }
    /// Of the publisher that runs until the end.
    virtual std::string ring_bytes() const { return "65536"; }
    void start_publisher(const std::string& messages, const std::string& ring_bytes) {
        all_[publisher_machine].reset();
        all_[publisher_machine] =
            on(publisher_machine, {"publisher", "publisher", home_, kept_at_, file("state"),
                                   file("publisher.log"), "spill", messages, ring_bytes});
    }
    bool all_go_on() { return confirmed_.grows(100) && alarms_.grows(100) && archive_.grows(100); }
    /// As DurableProcesses: the publisher's last run ends, and with it all.
    void come_to_an_end() {
        network_->heal();
        start_publisher("500", "65536");
        for (const std::size_t m : {publisher_machine, alarms_machine, archive_machine})
            EXPECT_EQ(all_[m]->wait(120s), 0) << all_[m]->output();
        check();
    }

    /// By chance, for 20 s.
    void cut_about() {
        const auto time = std::chrono::seconds(long_test() ? 300 : sanitized ? 8 : 20);
        const auto end = std::chrono::steady_clock::now() + time;
        while (std::chrono::steady_clock::now() < end) {
            const std::size_t one = random_() % machines;
            const std::size_t other = random_() % machines;
            switch (random_() % 5) {
                case 0:
                    network_->cut_off(one);
                    break;
                case 1:
                    network_->cut(one, other);
                    break;
                case 2:
                    network_->cut_one_way(one, other);
                    break;
                case 3:
                    network_->delay(std::chrono::milliseconds(random_() % 200));
                    break;
                default:
                    network_->heal();
            }
            pass(random_() % 5 == 0 ? long_cut : std::chrono::milliseconds(random_() % 1'000));
        }
    }

    const std::string kept_at_ = "tcp://" + split_network::address(store_machine) + ":7700";
    const std::string home_ = "tcp://" + split_network::address(publisher_machine) + ":7701";
    std::unique_ptr<split_network> network_;
    std::vector<process> all_ = std::vector<process>(machines);
    followed confirmed_{file("publisher.log"), fact::kind::durable};
    followed alarms_{file("alarms.log"), fact::kind::given};
    followed archive_{file("archive.log"), fact::kind::given};
};

/// A reader that is so far behind that only the store has what it needs cannot go on without it:
/// here the publisher holds all.
class ProcessesOnANetworkWithALargeRing : public ProcessesOnANetwork {
    std::string ring_bytes() const override { return std::to_string(std::size_t{1} << 30); }
};

TEST_F(ProcessesOnANetworkWithALargeRing, GoOnLiveWhileTheStoreIsCutOffAndAreConfirmedLater) {
    network_->cut_off(store_machine);
    // What was under way may still be told.
    EXPECT_TRUE(eventually(
        [&] {
            const std::uint64_t before = confirmed_.count();
            return throughout(200ms, [&] { return confirmed_.count() == before; });
        },
        patience));
    const std::uint64_t before = confirmed_.count();
    EXPECT_TRUE(alarms_.grows(1'000));
    pass(long_cut);
    EXPECT_TRUE(archive_.grows(1'000));
    EXPECT_EQ(confirmed_.count(), before);
    network_->heal();
    EXPECT_TRUE(all_go_on());
    come_to_an_end();
}

TEST_F(ProcessesOnANetwork, ReadFromTheStoreWhileTheirPublisherIsOutOfReach) {
    network_->cut(publisher_machine, alarms_machine);
    pass(long_cut);
    EXPECT_TRUE(alarms_.grows(1'000)) << "by way of the store";
    EXPECT_TRUE(archive_.grows(1'000)) << "live";
    network_->heal();
    EXPECT_TRUE(all_go_on());
    come_to_an_end();
}

TEST_F(ProcessesOnANetwork, NoticeALinkThatIsOpenInOneDirectionAlone) {
    network_->cut_one_way(publisher_machine, alarms_machine);
    const auto begin = std::chrono::steady_clock::now();
    // What was under way may still be given.
    EXPECT_TRUE(eventually(
        [&] {
            const std::uint64_t before = alarms_.count();
            return throughout(300ms, [&] { return alarms_.count() == before; });
        },
        patience));
    EXPECT_TRUE(alarms_.grows(100)) << "by way of the store";
    if (!sanitized) {
        EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    }
    // What its publisher sent meanwhile comes late, on a link that is over.
    network_->heal();
    EXPECT_TRUE(all_go_on());
    come_to_an_end();
}

TEST_F(ProcessesOnANetwork, GoOnWhenAllLinksBreakOneByOneAndComeBackInAnyOrder) {
    SCOPED_TRACE(seed_);
    std::vector<std::pair<std::size_t, std::size_t>> links;
    for (std::size_t one = 0; one != machines; ++one)
        for (std::size_t other = 0; other != one; ++other) links.emplace_back(one, other);
    for (int round = 0; round != (long_test() ? 100 : sanitized ? 3 : 10); ++round) {
        const auto in_any_order = [&](auto&& what) {
            std::shuffle(links.begin(), links.end(), random_);
            for (const auto& [one, other] : links) {
                what(one, other);
                pass(std::chrono::milliseconds(random_() % 100));
            }
        };
        in_any_order([&](std::size_t one, std::size_t other) { network_->cut(one, other); });
        in_any_order([&](std::size_t one, std::size_t other) { network_->mend(one, other); });
        EXPECT_TRUE(all_go_on()) << "after round " << round;
    }
    come_to_an_end();
}

TEST_F(ProcessesOnANetwork, CatchUpWhenTheyWereCutOff) {
    network_->cut_off(alarms_machine);
    EXPECT_TRUE(archive_.grows(1'000)) << "nobody waits for it";
    pass(long_cut);
    EXPECT_TRUE(archive_.grows(1'000));
    network_->heal();
    EXPECT_TRUE(all_go_on());
    come_to_an_end();
}

TEST_F(ProcessesOnANetwork, GoOnOverALongWay) {
    network_->delay(100ms);
    EXPECT_TRUE(all_go_on());
    pass(1s);
    EXPECT_TRUE(all_go_on());
    come_to_an_end();
}

TEST_F(ProcessesOnANetwork, LoseNothingThatWasConfirmedHoweverItIsCut) {
    SCOPED_TRACE(seed_);
    cut_about();
    come_to_an_end();
}

/// The same again, since each run is another one.
class ProcessesOnANetworkAgain : public ProcessesOnANetwork,
                                 public testing::WithParamInterface<int> {};

TEST_P(ProcessesOnANetworkAgain, LoseNothingThatWasConfirmedHoweverItIsCut) {
    SCOPED_TRACE(seed_);
    cut_about();
    come_to_an_end();
}

INSTANTIATE_TEST_SUITE_P(Run, ProcessesOnANetworkAgain, testing::Range(2, sanitized ? 3 : 7));

}  // namespace
}  // namespace cairn::test
