#include "store/support/small_disk.hpp"
#include "store_fixture.hpp"
#include "support/eventually.hpp"

#include <cairn/node.hpp>
#include <cairn/publisher.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string_view>

// A store in this process whose disk does not answer, or is full.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;

/// What the store wrote into its log.
class StoreWithALog : public StoreFixture {
protected:
    StoreWithALog() {
        options_.network.log = [this](log_level, std::string_view line) {
            const std::lock_guard hold(mutex_);
            lines_.emplace_back(line);
        };
    }
    ~StoreWithALog() override { store_.reset(); }

    std::size_t lines_with(std::string_view part) {
        const std::lock_guard hold(mutex_);
        return static_cast<std::size_t>(
            std::count_if(lines_.begin(), lines_.end(),
                          [&](const auto& line) { return line.find(part) != std::string::npos; }));
    }
    bool says(std::string_view part) {
        return eventually([&] { return lines_with(part) != 0; }, 30s);
    }

private:
    std::mutex mutex_;
    std::vector<std::string> lines_;  // guarded by mutex_
};

TEST_F(StoreWithALog, SaysOnceWhyItTakesNothingOfAPublisher) {
    options_.topic_defaults.retention = {.messages_max = 5,
                                         .when_full = store::full_policy::refuse};
    restart();
    const auto publisher = peer();
    ASSERT_TRUE(publisher->open(1, "quakes", "usgs", 7));
    publisher->append(1, 1, 5);
    ASSERT_TRUE(publisher->confirmed(5));
    for (int i = 0; i != 3; ++i) {
        publisher->append(1, 6, 5);
        const auto told = publisher->raw().hear<wire::append_refused>(wire::kind::append_refused);
        ASSERT_TRUE(told);
        EXPECT_EQ(told->code, errc::store_full);
    }
    EXPECT_EQ(lines_with("cannot store on quakes as source usgs: the quota"), 1U);
}

class StoreOnAFailingDisk : public StoreWithALog {
protected:
    void SetUp() override {
        ::setenv("CAIRN_TEST_EIO", broken_.c_str(), 1);
        StoreFixture::SetUp();
    }
    void TearDown() override { std::filesystem::remove(broken_); }

    const std::filesystem::path broken_ = directory_ / "broken";
};

TEST_F(StoreOnAFailingDisk, SaysSoOnceAndGoesOnServingWhatItHas) {
    const auto publisher = peer();
    ASSERT_TRUE(publisher->open(1, "quakes", "usgs", 7));
    publisher->append(1, 1, 5);
    ASSERT_TRUE(publisher->confirmed(5));
    std::ofstream(broken_) << "";
    for (int i = 0; i != 3; ++i) {
        publisher->append(1, 6, 5);
        const auto refused =
            publisher->raw().hear<wire::append_refused>(wire::kind::append_refused);
        ASSERT_TRUE(refused);
        EXPECT_EQ(refused->code, errc::store_failed);
    }
    EXPECT_TRUE(says("failed in a write or a sync"));
    EXPECT_TRUE(store_->stats().storage.failed);
    const auto reader = peer();
    reader->subscribe("quakes", std::uint64_t{1} << 20);
    EXPECT_EQ(reader->read(5), std::vector<std::string>{"usgs 7:1-5"});
    store_->close();
    EXPECT_EQ(lines_with("failed in a write or a sync"), 1U);

    std::filesystem::remove(broken_);
    restart();
    EXPECT_FALSE(store_->stats().storage.failed);
}

class StoreOnAHangingDisk : public StoreFixture {
protected:
    void SetUp() override {
        ::setenv("CAIRN_TEST_HANG", hang_.c_str(), 1);
        StoreFixture::SetUp();
        publisher_ = peer();
        ASSERT_TRUE(publisher_->open(1, "quakes", "usgs", 7));
        publisher_->append(1, 1, 5);
        ASSERT_TRUE(publisher_->confirmed(5));
    }
    void TearDown() override { go_on(); }

    void hang() const { std::ofstream(hang_) << ""; }
    void go_on() const { std::filesystem::remove(hang_); }
    /// The committer waits for the disk with these.
    void get_stuck_with(std::uint64_t first, std::uint32_t count) {
        hang();
        publisher_->append(1, first, count);
        ASSERT_TRUE(
            eventually([&] { return std::filesystem::exists(hang_.string() + ".held"); }, 30s));
    }

    const std::filesystem::path hang_ = directory_ / "hang";
    std::unique_ptr<party> publisher_;
};

TEST_F(StoreOnAHangingDisk, SaysAtTheDeadlineWhatItDidNotConfirm) {
    get_stuck_with(6, 5);
    publisher_->append(1, 11, 5);
    ASSERT_TRUE(publisher_->raw().answered());
    const store_closing left = store_->close(10ms);
    EXPECT_FALSE(left.closed);
    EXPECT_EQ(left.unconfirmed, 2U);
    const auto told = publisher_->raw().hear_any({wire::kind::confirm, wire::kind::bye});
    ASSERT_TRUE(told);
    EXPECT_TRUE(std::holds_alternative<wire::bye>(*told)) << "and it says so to its peers";
    EXPECT_FALSE(store_->close(10ms).closed);
}

TEST_F(StoreOnAHangingDisk, ClosesInGoodOrderWhenTheDiskAnswersAfterTheDeadline) {
    get_stuck_with(6, 5);
    EXPECT_FALSE(store_->close(10ms).closed);
    go_on();
    const store_closing left = store_->close(30s);
    EXPECT_TRUE(left.closed);
    EXPECT_EQ(left.unconfirmed, 0U);
    restart();
    EXPECT_TRUE(store_->opened().clean);
    const auto opened = peer()->open(1, "quakes", "usgs", 7);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->last, sequence{10});
}

TEST_F(StoreOnAHangingDisk, AppliesNoAckOfBeforeASeekBehindIt) {
    const auto member = peer();
    ASSERT_TRUE(member->attach(1, "quakes", "a"));
    member->ack(1, "usgs", 7, {{{1}, {6}}});  // the last of them is not stored yet
    ASSERT_TRUE(member->raw().answered());
    get_stuck_with(6, 1);
    const auto tool = peer();
    tool->raw().say(wire::seek_group{9, "quakes", "a", wire::place::first, 0});
    // It looks for the place on another thread, and has no answer before the disk has one.
    for (int n = 0; n != 100; ++n) ASSERT_TRUE(tool->raw().answered());
    go_on();
    ASSERT_TRUE(tool->raw().hear(wire::kind::done));
    EXPECT_EQ(member->raw().refusal(wire::kind::error), errc::sought);
    const auto again = member->attach(2, "quakes", "a");
    ASSERT_TRUE(again);
    EXPECT_EQ(party::points(again->points), "usgs 7:1");
    EXPECT_EQ(party::done(again->done), "");
}

TEST_F(StoreOnAHangingDisk, TakesNoEndOfAcksOfARunThatIsOver) {
    const auto member = peer();
    ASSERT_TRUE(member->attach(1, "quakes", "a"));
    ASSERT_TRUE(publisher_->open(2, "quakes", "usgs", 8));
    hang();
    publisher_->append(2, 1, 1);
    ASSERT_TRUE(eventually([&] { return std::filesystem::exists(hang_.string() + ".held"); }, 30s));
    const std::vector<sequence_range> ranges(1'000, {{1}, {1}});
    member->ack(1, "usgs", 7, ranges);
    EXPECT_TRUE(member->raw().answered_without_refusal());
    member->ack(1, "usgs", 7, ranges);
    EXPECT_EQ(member->raw().refusal(wire::kind::error), errc::limit_exceeded);
}

TEST_F(StoreOnAHangingDisk, TakesNoEndOfAcksOfWhatIsStored) {
    const auto member = peer();
    ASSERT_TRUE(member->attach(1, "quakes", "a"));
    get_stuck_with(6, 1);
    const std::vector<sequence_range> ranges(512, {{1}, {1}});
    for (int i = 0; i != 2; ++i) member->ack(1, "usgs", 7, ranges);
    EXPECT_TRUE(member->raw().answered_without_refusal()) << "a flight of cairn's members";
    member->ack(1, "usgs", 7, {{{1}, {1}}});
    EXPECT_EQ(member->raw().refusal(wire::kind::error), errc::limit_exceeded);
}

TEST_F(StoreOnAHangingDisk, TakesNoEndOfAcksOfManyAttachmentsOfALink) {
    const auto member = peer();
    constexpr wire::channel attachments = 64;
    for (wire::channel c = 1; c <= attachments + 1; ++c)
        ASSERT_TRUE(member->attach(c, "quakes", "a"));
    get_stuck_with(6, 1);
    const std::vector<sequence_range> ranges(1'024, {{1}, {1}});
    for (wire::channel c = 1; c <= attachments; ++c) member->ack(c, "usgs", 7, ranges);
    EXPECT_TRUE(member->raw().answered_without_refusal());
    member->ack(attachments + 1, "usgs", 7, {{{1}, {1}}});
    EXPECT_EQ(member->raw().refusal(wire::kind::error), errc::limit_exceeded);
    go_on();
    for (wire::channel c = 1; c <= attachments; ++c)
        ASSERT_TRUE(member->raw().hear(wire::kind::acked));
    member->ack(1, "usgs", 7, ranges);
    EXPECT_TRUE(member->raw().answered_without_refusal()) << "what was counted leaves room";
}

TEST_F(StoreOnAHangingDisk, GoesOnServingWhatItHas) {
    get_stuck_with(6, 5);
    const auto reader = peer();
    reader->subscribe("quakes", std::uint64_t{1} << 20);
    EXPECT_EQ(reader->read(5), std::vector<std::string>{"usgs 7:1-5"});
    go_on();
    EXPECT_EQ(reader->read(5), std::vector<std::string>{"usgs 7:6-10"});
    EXPECT_TRUE(publisher_->confirmed(10));
}

/// With room for a megabyte of appends, of which nothing is left.
class CrowdedStoreOnAHangingDisk : public StoreOnAHangingDisk {
protected:
    CrowdedStoreOnAHangingDisk() {
        options_.append_window_bytes = window;
        options_.append_bytes_max = std::size_t{1} << 20;
    }
    void fill() {
        get_stuck_with(6, 1);
        publisher_->append(1, 7, 1, one_record(options_.append_bytes_max));
        ASSERT_TRUE(publisher_->raw().answered());
    }
    /// Opens a source, with a first message of that size that is refused.
    static void be_refused(party& by, wire::channel channel, std::size_t bytes) {
        by.append(channel, 1, 1, one_record(bytes));
        const auto told = by.raw().hear<wire::append_refused>(wire::kind::append_refused);
        ASSERT_TRUE(told);
        EXPECT_EQ(told->code, errc::limit_exceeded);
        EXPECT_EQ(told->next, sequence{1});
    }
    static std::string one_record(std::size_t bytes) {
        const std::string body(bytes, 'x');
        std::vector<std::byte> record(wire::record_bytes(0, body.size()));
        wire::write_record(record.data(), {}, std::as_bytes(std::span(body)));
        return {reinterpret_cast<const char*>(record.data()), record.size()};
    }

    static constexpr std::size_t window = std::size_t{64} << 10;
};

// A hundred sources of one client and one of another: by turns of sources it would wait for half a
// second a hundred times.
TEST_F(CrowdedStoreOnAHangingDisk, KeepsRoomForNobodyLongAndLetsLinksInByTurns) {
    const auto idle = peer();
    const auto honest = peer();
    constexpr wire::channel sources = 100;
    for (wire::channel c = 1; c <= sources; ++c)
        ASSERT_TRUE(idle->open(c, "idle", "s" + std::to_string(c), 7));
    const auto opened = honest->open(1, "honest", "friend", 7);
    ASSERT_TRUE(opened);
    fill();
    constexpr std::size_t half = std::size_t{512} << 10;
    for (wire::channel c = 1; c <= sources; ++c) be_refused(*idle, c, half);
    be_refused(*honest, 1, half);
    go_on();
    for (std::uint64_t granted = 0; granted <= half;) {
        const auto told = honest->raw().hear<wire::confirm>(wire::kind::confirm);
        ASSERT_TRUE(told);
        granted = told->granted;
    }
    honest->append(1, 1, 1, one_record(half));
    EXPECT_TRUE(honest->confirmed(1));
    EXPECT_TRUE(publisher_->confirmed(7));
}

TEST_F(CrowdedStoreOnAHangingDisk, GrantsNothingToWhoComesUntilThereIsRoom) {
    const auto late = peer();
    ASSERT_TRUE(late->open(1, "quakes", "late", 7));
    fill();
    // What opens a source waits for the disk too.
    late->raw().say(wire::open_source{2, "quakes", "later", epoch{7}});
    be_refused(*late, 1, 2 * window);
    late->append(1, 1, 1, one_record(2 * window));
    EXPECT_EQ(late->raw().refusal(wire::kind::error), errc::credit_exceeded);
    go_on();
    EXPECT_TRUE(late->raw().hear(wire::kind::source_opened));
    EXPECT_TRUE(late->raw().hear(wire::kind::confirm));
    late->append(1, 1, 1, one_record(2 * window));
    EXPECT_TRUE(late->confirmed(1));
}

TEST_F(CrowdedStoreOnAHangingDisk, LosesNothingOfPublishersThatItHadNoRoomFor) {
    node_options options;
    options.store = endpoint_;
    node home(options);
    std::vector<std::unique_ptr<publisher>> all;
    for (int i = 0; i != 20; ++i)
        all.push_back(std::make_unique<publisher>(
            home, "quakes", publisher_options{.source = "p" + std::to_string(i)}));
    for (const auto& p : all) {
        p->publish("first");
        ASSERT_EQ(p->flush(30s), 0U);
    }
    hang();
    const std::string large(std::size_t{256} << 10, 'x');
    for (const auto& p : all) p->publish(large);
    ASSERT_TRUE(eventually([&] { return store_->stats().appends_refused >= 10; }, 30s));
    EXPECT_LE(store_->stats().waiting_bytes,
              options_.append_bytes_max + large.size() + (std::size_t{64} << 10));
    // Of all sizes, while the disk goes on and hangs again.
    constexpr std::size_t more = 20;
    for (std::size_t n = 0; n != more; ++n) {
        if (n % 4 == 0) go_on();
        if (n % 4 == 2) hang();
        for (std::size_t i = 0; i != all.size(); ++i)
            all[i]->publish(
                std::string_view(large).substr(0, (n * 7'919 + i * 104'729) % large.size()));
    }
    go_on();
    for (const auto& p : all) EXPECT_EQ(p->flush(60s), 0U);
    EXPECT_EQ(store_->stats().storage.stored_messages, 5U + (2 + more) * all.size());
}

class StoreOnASmallDisk : public StoreWithALog {
protected:
    void SetUp() override {
        if (const auto why = mount_small_disk(directory_.path(), std::size_t{32} << 20);
            !why.empty())
            GTEST_SKIP() << "no file system can be mounted here: " << why;
        options_.storage.ballast_bytes = std::size_t{4} << 20;
        StoreFixture::SetUp();
    }
    void TearDown() override {
        store_.reset();
        unmount_small_disk(directory_.path());
    }
    void fill() const {
        std::ofstream filler(filler_, std::ios::binary);
        const std::string block(std::size_t{64} << 10, 'f');
        while (filler.write(block.data(), std::ssize(block)).flush()) {
        }
    }

    const std::filesystem::path filler_ = directory_ / "filler";
};

TEST_F(StoreOnASmallDisk, RefusesAppendsWithTheErrorOfAFullDisk) {
    const auto publisher = peer();
    ASSERT_TRUE(publisher->open(1, "quakes", "usgs", 7));
    fill();
    constexpr std::uint32_t count = 5'000;
    std::optional<wire::append_refused> refused;
    std::uint64_t first = 1;
    for (; !refused && first < 1'000'000; first += count) {
        publisher->append(1, first, count);
        const auto told =
            publisher->raw().hear_any({wire::kind::confirm, wire::kind::append_refused});
        ASSERT_TRUE(told);
        if (const auto* no = std::get_if<wire::append_refused>(&*told)) refused = *no;
    }
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, errc::disk_full);
    EXPECT_EQ(refused->next.value, first - count);
    EXPECT_TRUE(store_->stats().storage.disk_full);
    EXPECT_FALSE(store_->stats().storage.failed);
    EXPECT_TRUE(says("is full: appends are refused"));

    std::filesystem::remove(filler_);
    publisher->append(1, first - count, count);
    EXPECT_TRUE(publisher->confirmed(first - 1));
    EXPECT_FALSE(store_->stats().storage.disk_full);
    EXPECT_TRUE(says("has room again"));
}

}  // namespace
