#include "store_fixture.hpp"
#include "support/child_process.hpp"
#include "support/rounds.hpp"

#include <cairn/store/reader.hpp>
#include <cairn/wire/limits.hpp>

#include <atomic>
#include <csignal>
#include <map>
#include <mutex>
#include <thread>

#include <sys/resource.h>

namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using wire::kind;

class Appends : public StoreFixture {
protected:
    wire::append_refused refused(party& by) {
        const auto told = by.raw().hear<wire::append_refused>(kind::append_refused);
        EXPECT_TRUE(told);
        return told.value_or(wire::append_refused{});
    }
    std::uint64_t messages() const { return store_->stats().storage.stored_messages; }

    std::unique_ptr<party> publisher_;
    void SetUp() override {
        StoreFixture::SetUp();
        publisher_ = peer();
    }
};

TEST_F(Appends, OfOneSourceTooManyAreRefusedAndTheLogSaysWhichLimitItIs) {
    std::mutex mutex;
    std::string log;
    publisher_.reset();
    options_.storage.sources_per_topic_max = 2;
    options_.network.log = [&](log_level, std::string_view line) {
        const std::lock_guard hold(mutex);
        log += line;
    };
    restart();
    publisher_ = peer();
    EXPECT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    EXPECT_TRUE(publisher_->open(2, "quakes", "emsc", 7));
    EXPECT_FALSE(publisher_->open(3, "quakes", "gfz", 7));
    {
        const std::lock_guard hold(mutex);
        EXPECT_NE(log.find("on quakes as source gfz: topics_max or sources_per_topic_max"),
                  std::string::npos)
            << log;
    }
    store_.reset();  // it logs to what is here
}

TEST_F(Appends, AreConfirmedCumulativelyAndFlushed) {
    const auto opened = publisher_->open(1, "quakes", "usgs", 7);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->last, sequence{0});
    EXPECT_GE(opened->granted, std::uint64_t{64} << 10);
    for (std::uint64_t first = 1; first <= 91; first += 10) publisher_->append(1, first, 10);
    EXPECT_TRUE(publisher_->confirmed(100));
    EXPECT_EQ(messages(), 100U);
    EXPECT_EQ(store_->stats().appends, 10U);
    EXPECT_LE(store_->stats().confirms, 10U);
}

TEST_F(Appends, GoOnBehindWhatIsStoredAfterARestartOfTheStore) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 5));
    const auto before = publisher_->open(2, "quakes", "usgs", 7);
    publisher_.reset();
    restart();
    publisher_ = peer();
    const auto opened = publisher_->open(1, "quakes", "usgs", 7);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->last, sequence{5});
    EXPECT_EQ(opened->generation, before->generation);
}

TEST_F(Appends, ToAWipedStoreMeetAnotherGeneration) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 5));
    const auto before = publisher_->open(2, "quakes", "usgs", 7);
    publisher_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_ / "data");
    start();
    publisher_ = peer();
    const auto opened = publisher_->open(1, "quakes", "usgs", 7);
    EXPECT_EQ(opened->last, sequence{0});
    EXPECT_NE(opened->generation, before->generation);
}

TEST_F(Appends, ThatRepeatAreConfirmedAndNotStoredTwice) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 5));
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 5);
    EXPECT_TRUE(publisher_->confirmed(5));
    publisher_->append(1, 4, 4);
    EXPECT_TRUE(publisher_->confirmed(7));
    EXPECT_EQ(messages(), 7U);
}

TEST_F(Appends, WithAHoleAreAnsweredOnceUntilItIsFilled) {
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 2);
    ASSERT_TRUE(publisher_->confirmed(2));
    for (std::uint64_t first = 4; first != 20; first += 2) publisher_->append(1, first, 2);
    const auto told = refused(*publisher_);
    EXPECT_EQ(told.code, errc::hole);
    EXPECT_EQ(told.next, sequence{3});
    publisher_->append(1, 3, 7);
    EXPECT_TRUE(publisher_->confirmed(9));
    EXPECT_EQ(store_->stats().network.frames_malformed, 0U);
    // Whatever was dropped gave its credit back, and was not answered.
    publisher_->append(1, 20, 1);
    EXPECT_EQ(refused(*publisher_).next, sequence{10});
}

TEST_F(Appends, WithAWrongChecksumAreRefusedAndSentAgain) {
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 2);
    publisher_->append(1, 3, 2, records_from(3, 2), false);
    publisher_->append(1, 5, 2);
    const auto told = refused(*publisher_);
    EXPECT_EQ(told.code, errc::checksum_mismatch);
    EXPECT_EQ(told.next, sequence{3});
    publisher_->append(1, 3, 4);
    EXPECT_TRUE(publisher_->confirmed(6));
    EXPECT_EQ(messages(), 6U);
}

TEST_F(Appends, ThatContradictWhatIsStoredAreAConflict) {
    ASSERT_TRUE(publisher_->store("quakes", "usgs", 7, 1, 2));
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 2, records_from(11, 1) + records_from(12, 1));
    EXPECT_EQ(refused(*publisher_).code, errc::conflict);
}

TEST_F(Appends, WhoseRecordsDoNotAddUpAreMalformed) {
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 3, records_from(1, 2));
    EXPECT_EQ(refused(*publisher_).code, errc::malformed);
}

TEST_F(Appends, OfAnOlderRunAreFencedOnce) {
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 1);
    ASSERT_TRUE(publisher_->confirmed(1));
    const auto twin = peer();
    ASSERT_TRUE(twin->open(1, "quakes", "usgs", 8));
    publisher_->append(1, 2, 1);
    publisher_->append(1, 3, 1);
    const auto told = publisher_->raw().hear<wire::fenced>(kind::fenced);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->newer, epoch{8});
    EXPECT_TRUE(publisher_->raw().answered());
    EXPECT_FALSE(publisher_->open(2, "quakes", "usgs", 7));
    EXPECT_EQ(messages(), 1U);
}

TEST_F(Appends, DeclaredLostAreConfirmedInTheirPlace) {
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->lose(1, 1, 10);
    publisher_->append(1, 11, 2);
    EXPECT_TRUE(publisher_->confirmed(12));
    EXPECT_EQ(messages(), 2U);
}

TEST_F(Appends, NeedAnOpenSourceAndItsName) {
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    wire::append_header forged;
    forged.channel = 1;
    forged.topic = "quakes";
    forged.source = "emsc";
    forged.epoch = epoch{7};
    forged.first = sequence{1};
    forged.count = 1;
    publisher_->raw().say(forged, records_from(1, 1));
    EXPECT_EQ(publisher_->raw().refusal(kind::error), errc::malformed);
    forged.source = "usgs";
    forged.channel = 9;
    publisher_->raw().say(forged, records_from(1, 1));
    EXPECT_EQ(publisher_->raw().refusal(kind::error), errc::unknown_subscription);
    publisher_->raw().say(wire::open_source{1, "quakes", "usgs", epoch{7}});
    EXPECT_EQ(publisher_->raw().refusal(kind::error), errc::invalid_argument);
    publisher_->raw().say(wire::open_source{2, "quakes*", "usgs", epoch{7}});
    EXPECT_EQ(publisher_->raw().refusal(kind::error), errc::topic_invalid);
    for (const std::uint64_t none : {std::uint64_t{0}, ~std::uint64_t{0}}) {
        publisher_->raw().say(wire::open_source{3, "quakes", "emsc", epoch{none}});
        EXPECT_EQ(publisher_->raw().refusal(kind::error), errc::malformed);
    }
    publisher_->raw().say(wire::open_source{3, "quakes", "@usgs", epoch{7}});
    EXPECT_EQ(publisher_->raw().refusal(kind::error), errc::invalid_argument);
}

TEST_F(Appends, BeforeTheyAreGrantedAreDropped) {
    // The answer to OPEN_SOURCE takes a sync; some at least of these come before it.
    for (wire::channel channel = 1; channel != 50; ++channel) {
        wire::append_header early;
        early.channel = channel;
        early.topic = "quakes";
        early.source = "usgs";
        early.epoch = epoch{7};
        early.first = sequence{1};
        early.count = 1;
        publisher_->raw().say(wire::open_source{channel, "quakes", "usgs", epoch{7}});
        publisher_->raw().say(early, records_from(1, 1));
    }
    EXPECT_EQ(publisher_->raw().refusal(kind::error), errc::credit_exceeded);
}

TEST_F(Appends, AreRefusedWhileTheStoreIsFullAndGoOnWhenItHasRoom) {
    options_.storage.quota_bytes = 64 << 10;
    restart();
    publisher_ = peer();
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    std::uint64_t next = 1;
    std::optional<wire::append_refused> full;
    while (!full && next < 100'000) {
        publisher_->append(1, next, 100);
        const auto answer = publisher_->raw().hear_any({kind::confirm, kind::append_refused});
        ASSERT_TRUE(answer);
        if (const auto* told = std::get_if<wire::append_refused>(&*answer))
            full = *told;
        else
            next += 100;
    }
    ASSERT_TRUE(full);
    EXPECT_EQ(full->code, errc::store_full);
    EXPECT_EQ(full->next, sequence{next});
    // Room is made: more of the disk is allowed.
    publisher_.reset();
    options_.storage.quota_bytes = 1 << 20;
    restart();
    publisher_ = peer();
    const auto opened = publisher_->open(1, "quakes", "usgs", 7);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->last, sequence{next - 1});
    publisher_->append(1, next, 100);
    EXPECT_TRUE(publisher_->confirmed(next + 99));
}

TEST_F(Appends, ThatWereConfirmedSurviveTheDeathOfTheProcess) {
    store_.reset();
    std::uint64_t confirmed = 0;
    for (int kill = 0; kill != 3; ++kill) {
        child_process program({CAIRN_STORE_PROGRAM, (directory_ / "data").string()});
        ASSERT_TRUE(program.wait_for_output(" .\n", 30s));
        const std::string& said = program.output();
        party publisher(said.substr(3, said.find(" .") - 3));
        const auto opened = publisher.open(1, "quakes", "usgs", 7);
        ASSERT_TRUE(opened);
        EXPECT_GE(opened->last.value, confirmed);
        std::uint64_t next = opened->last.value + 1;
        for (int batch = 0; batch != 20; ++batch, next += 50) publisher.append(1, next, 50);
        // At some confirm or other, with more under way.
        ASSERT_TRUE(publisher.confirmed(opened->last.value + 50 * (kill + 1)));
        confirmed = opened->last.value + 50 * (static_cast<std::uint64_t>(kill) + 1);
        program.signal(SIGKILL);
        EXPECT_EQ(program.wait(30s), 128 + SIGKILL);
    }
    start();
    const auto reader = peer();
    reader->subscribe("quakes", 8 << 20);
    EXPECT_EQ(reader->next_head("usgs").substr(0, 4), "7:1-");
    const auto all = reader->read(confirmed);
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all.front().substr(0, 9), "usgs 7:1-");
}

TEST_F(Appends, OfAllSourcesAreGrantedTheirBoundAndOneBatchEach) {
    constexpr std::uint64_t window = 64 << 10;
    constexpr wire::channel sources = 100;
    options_.append_window_bytes = window;
    options_.append_bytes_max = 16 * window;
    restart();
    publisher_ = peer();
    std::uint64_t granted = 0;
    for (wire::channel channel = 1; channel <= sources; ++channel) {
        const auto opened = publisher_->open(channel, "quakes", "s" + std::to_string(channel), 7);
        ASSERT_TRUE(opened);
        EXPECT_GE(opened->granted, 1U);
        granted += opened->granted;
    }
    EXPECT_LE(granted, options_.append_bytes_max + sources);
    const auto last_grant = [&](std::uint64_t up_to) {
        publisher_->append(sources, up_to, 1);
        const auto told = publisher_->raw().hear<wire::confirm>(kind::confirm);
        EXPECT_TRUE(told && told->up_to == sequence{up_to});
        return told ? told->granted : 0;
    };
    const std::uint64_t charge = records_from(1, 1).size() + wire::batch_charge_bytes;
    EXPECT_EQ(last_grant(1), charge + 1);
    EXPECT_EQ(last_grant(2), 2 * charge + 1);
    // What a source that is closed had is there for the others.
    publisher_->raw().say(wire::close_source{1});
    EXPECT_GT(last_grant(3), 3 * charge + window / 2);
}

TEST_F(Appends, OfATopicThatConfirmsBeforeTheSyncAreConfirmedAgainAfterIt) {
    options_.topic_defaults.confirm = store::durability::written;
    restart();
    publisher_ = peer();
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 5);
    const auto early = publisher_->raw().hear<wire::confirm>(kind::confirm);
    ASSERT_TRUE(early);
    EXPECT_EQ(early->level, wire::durability::written);
    EXPECT_EQ(early->up_to, sequence{5});
    const auto late = publisher_->raw().hear<wire::confirm>(kind::confirm);
    ASSERT_TRUE(late);
    EXPECT_EQ(late->level, wire::durability::flushed);
    EXPECT_EQ(late->up_to, sequence{5});
    EXPECT_EQ(messages(), 5U);
}

/// While it lives, this process can write to no file.
class no_writes {
public:
    no_writes() : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        getrlimit(RLIMIT_FSIZE, &before_);
        rlimit none = before_;
        none.rlim_cur = 0;
        setrlimit(RLIMIT_FSIZE, &none);
    }
    ~no_writes() {
        setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }
    no_writes(const no_writes&) = delete;
    no_writes& operator=(const no_writes&) = delete;

private:
    void (*handler_)(int);
    rlimit before_{};
};

TEST_F(Appends, WhoseSyncFailsAfterTheirConfirmAreTakenBack) {
    options_.topic_defaults.confirm = store::durability::written;
    restart();
    publisher_ = peer();
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 5);
    ASSERT_TRUE(publisher_->raw().hear(kind::confirm));
    ASSERT_TRUE(publisher_->raw().hear(kind::confirm));
    {
        const no_writes disk;
        publisher_->append(1, 6, 5);
        const auto told = refused(*publisher_);
        EXPECT_EQ(told.code, errc::store_failed);
        EXPECT_EQ(told.next, sequence{6});
    }
    const auto still = publisher_->raw().hear<wire::confirm>(kind::confirm);
    ASSERT_TRUE(still);
    EXPECT_EQ(still->level, wire::durability::flushed);
    EXPECT_EQ(still->up_to, sequence{5});
    EXPECT_EQ(messages(), 5U);
}

TEST_F(Appends, OfALinkThatIsLostAreKept) {
    ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
    publisher_->append(1, 1, 5);
    ASSERT_TRUE(publisher_->confirmed(5));
    publisher_.reset();
    publisher_ = peer();
    EXPECT_EQ(publisher_->open(1, "quakes", "usgs", 7)->last, sequence{5});
}

// Up to eight of them connect at a time; those that are alive and all come back at once are in
// tests/durable.
TEST_F(Appends, OfManyClientsGoOnAfterEachRestartOfTheStore) {
    constexpr std::size_t clients = sanitized ? 40 : 200;
    constexpr std::size_t threads = 8;
    const std::uint64_t restarts = sanitized && !long_test() ? 2 : 20;
    for (std::uint64_t i = 0; i <= restarts; ++i) {
        restart();
        std::atomic<std::size_t> served = 0;
        std::vector<std::thread> all;
        for (std::size_t t = 0; t != threads; ++t)
            all.emplace_back([&, t] {
                std::vector<std::unique_ptr<party>> mine;
                for (std::size_t c = t; c < clients; c += threads) {
                    mine.push_back(peer());
                    const std::string name = "s" + std::to_string(c);
                    served += mine.back()->store("quakes", name, 7, i * 5 + 1, 5) ? 1 : 0;
                }
            });
        for (std::thread& t : all) t.join();
        EXPECT_EQ(served, clients) << "after restart " << i;
    }
    const auto reader = peer();
    reader->subscribe("quakes", std::uint64_t{64} << 20);
    const std::uint64_t stored = clients * 5 * (restarts + 1);
    std::map<std::string, std::uint64_t> ends;
    std::uint64_t messages = 0;
    while (messages < stored) {
        ASSERT_TRUE(reader->raw().hear_either(kind::batch, kind::gone));
        const auto batch = reader->raw().last_batch();
        ASSERT_TRUE(batch);
        std::uint64_t& end = ends[std::string(batch->source)];
        EXPECT_EQ(batch->first.value, end + 1) << batch->source;
        end = batch->last().value;
        messages += batch->count;
    }
    EXPECT_EQ(ends.size(), clients);
}

}  // namespace
