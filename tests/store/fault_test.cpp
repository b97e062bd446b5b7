#include "store/support/delivery.hpp"
#include "store/support/disk.hpp"
#include "store/support/fixture.hpp"
#include "store/support/lowered_bounds.hpp"
#include "store/support/workload.hpp"
#include "support/rounds.hpp"
#include "support/temp_directory.hpp"

#include <cairn/store/maintenance.hpp>
#include <cairn/store/reader.hpp>

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using namespace store;

constexpr std::uint64_t script_seed = 20'240'101;
constexpr int script_commits = 14;

/// What a commit makes of its commands: one transaction, or one for each.
enum class parts { one, each };

/// Plays one script on a fresh database, with a fault, and follows it with a model.
class faulty_run {
public:
    explicit faulty_run(parts which)
        : parts_(which), bounds_(which == parts::each ? commands_apart : bounds{}) {}

    void play(disk::fault what, std::uint64_t at, bool lasting) {
        db_ = std::make_unique<database>(directory_ / "db", small_options());
        disk::start_faults(directory_ / "db" / "data.mdb", what, at, lasting);
        std::vector<reply> expected;
        for (int i = 0; i < script_commits && failure_.empty(); ++i) {
            model trial = known_;
            const auto commands = work_.next_commit(trial, expected);
            db_->commit(commands, at_ms(1'000), replies_);
            follow(commands);
        }
    }

    /// After the fault is over, in the same process and after opening anew.
    /// Returns how many calls the script made.
    std::uint64_t check() {
        const std::uint64_t calls = disk::stop_faults();
        failed_ = db_->stats().failed;
        if (failure_.empty() && !unknown_) compare(*db_);
        if (failure_.empty() && !db_->stats().failed) {
            // It goes on by itself.
            const std::vector<command> one{open_source{"after", "s", {1}, "", true}};
            db_->commit(one, at_ms(2'000), replies_);
            if (!replies_[0].ok()) failure_ = "does not go on";
            (void)known_.apply(one[0]);
        }
        db_.reset();
        const verify_report report = verify(directory_ / "db");
        if (!report.sound() && failure_.empty()) failure_ = "verify: " + report.findings[0].what;
        db_ = std::make_unique<database>(directory_ / "db", small_options());
        compare(*db_);
        return calls;
    }

    const std::string& failure() const { return failure_; }
    /// Whether the database said, when the script was over, that it writes no more.
    bool failed() const { return failed_; }
    /// Whether a commit failed of which something had been confirmed.
    bool failed_in_part() const { return failed_in_part_; }

private:
    void follow(const std::vector<command>& commands) {
        const model before = known_;
        const std::vector<std::size_t> order = applied_order(commands);
        for (std::size_t n = 0; n < order.size(); ++n) {
            const std::size_t i = order[n];
            const errc code = replies_[i].code;
            if (code == errc::store_failed) {
                if (!unknown_) doubt(before, commands, n);
                unknown_ = true;
                continue;
            }
            if (unknown_) failure_ = "answers again after a failed write";
            if (code == errc::disk_full) continue;
            reply wanted = known_.apply(commands[i]);
            if (parts_ == parts::each) known_.end_commit();
            if (wanted.code != code && failure_.empty())
                failure_ = "answers " + std::string(name(code)) + ", not " +
                           std::string(name(wanted.code));
        }
        known_.end_commit();
    }

    // The transaction that failed was not confirmed, and may be there all the same; none behind it.
    void doubt(const model& before, const std::vector<command>& commands, std::size_t confirmed) {
        failed_in_part_ = confirmed > 0;
        if (parts_ == parts::one && failed_in_part_) failure_ = "failed in part";
        model m = parts_ == parts::each ? known_ : before;
        const auto order = applied_order(commands);
        const std::size_t end = parts_ == parts::each ? confirmed + 1 : order.size();
        for (std::size_t n = confirmed; n < end; ++n) (void)m.apply(commands[order[n]]);
        m.end_commit();
        maybe_ = std::move(m);
    }

    void compare(const database& db) {
        if (!failure_.empty()) return;
        const auto found = difference(db, known_);
        if (found && !(unknown_ && !difference(db, maybe_))) failure_ = *found;
    }

    const parts parts_;
    const lowered_bounds bounds_;
    temp_directory directory_;
    workload work_{script_seed, "", 3'000, {.apart = parts_ == parts::each}};
    std::unique_ptr<database> db_;
    model known_;
    model maybe_;
    bool unknown_ = false;
    bool failed_in_part_ = false;
    std::vector<reply> replies_;
    std::string failure_;
    bool failed_ = false;
};

void fail_at_every_call(disk::fault what, bool lasting, parts of_commits = parts::one) {
    faulty_run undisturbed(of_commits);
    undisturbed.play(disk::fault::none, 0, false);
    const std::uint64_t calls = undisturbed.check();
    ASSERT_EQ(undisturbed.failure(), "");
    // A failed write leaves doubt about what is on the disk, and is not tried again. A full disk
    // leaves none, unless it is LMDB's meta page that finds no room.
    const bool is_full = what == disk::fault::no_space || what == disk::fault::no_quota;
    std::uint64_t stopped = 0;
    std::uint64_t in_part = 0;
    for (std::uint64_t at = 0; at < calls; ++at) {
        faulty_run run(of_commits);
        run.play(what, at, lasting);
        EXPECT_GE(run.check(), at + 1);
        ASSERT_EQ(run.failure(), "") << "call " << at << " of " << calls;
        if (!is_full) {
            ASSERT_EQ(run.failed(), disk::struck()) << "call " << at << " of " << calls;
        }
        stopped += run.failed() ? 1 : 0;
        in_part += run.failed_in_part() ? 1 : 0;
    }
    if (of_commits == parts::each) {
        EXPECT_GT(in_part, is_full ? 0U : 10U) << "hardly any later transaction was disturbed";
    }
    if (is_full)
        EXPECT_LT(stopped, calls) << "it never goes on";
    else
        EXPECT_GT(stopped, 10U) << "hardly any call was disturbed";
    EXPECT_GT(calls, 30U) << "the script has become too short to prove anything";
}

TEST(Fault, StopsWritingWhenAWriteOrSyncFails) { fail_at_every_call(disk::fault::io_error, false); }

TEST(Fault, StopsWritingWhileTheDiskKeepsFailing) {
    fail_at_every_call(disk::fault::io_error, true);
}

TEST(Fault, StopsWritingWhenAWriteIsCutShort) {
    fail_at_every_call(disk::fault::short_write, false);
}

TEST(Fault, RefusesAppendsAloneWhenTheDiskIsFullForAMoment) {
    fail_at_every_call(disk::fault::no_space, false);
}

TEST(Fault, StopsWritingWhenTheDiskBecomesReadOnly) {
    fail_at_every_call(disk::fault::read_only, true);
}

TEST(Fault, GoesOnByItselfWhenTheDiskHasRoomAgain) {
    fail_at_every_call(disk::fault::no_space, true);
}

TEST(Fault, TakesAnExhaustedQuotaAsAFullDisk) { fail_at_every_call(disk::fault::no_quota, true); }

// What was confirmed in front of it stays so; it is there or not, and nothing behind it.
TEST(Fault, InALaterTransactionOfACommitLeavesThoseBeforeIt) {
    fail_at_every_call(disk::fault::io_error, false, parts::each);
}

TEST(Fault, ThatLastsFromALaterTransactionOfACommitOnLeavesThoseBeforeIt) {
    fail_at_every_call(disk::fault::io_error, true, parts::each);
}

TEST(Fault, RefusesAppendsAloneWhenTheDiskIsFullForALaterTransactionOfACommit) {
    fail_at_every_call(disk::fault::no_space, false, parts::each);
}

// LMDB calls both an error of input and output.
TEST_F(Database, TellsAFailedSyncFromAFullDiskWhenTheDiskIsFullToo) {
    const auto s = opened("quakes", "a");
    const auto append_with = [&](disk::fault what) {
        disk::pretend_full(true);
        disk::start_faults(directory_ / "db" / "data.mdb", what, 0, true);
        const errc code = append_to(s, 1, {"one"}).code;
        disk::stop_faults();
        disk::pretend_full(false);
        return code;
    };
    EXPECT_EQ(append_with(disk::fault::short_write), errc::disk_full);
    EXPECT_FALSE(db_->stats().failed);
    EXPECT_EQ(append_with(disk::fault::io_error), errc::store_failed);
    EXPECT_TRUE(db_->stats().failed);
}

// Each answer would make the next commit dearer.
TEST_F(Database, AsksNobodyForTheTimesOfItsFileWhenItCommits) {
    const auto s = opened("quakes", "a");
    disk::start_counting_times(directory_ / "db" / "data.mdb");
    for (std::uint64_t i = 1; i <= 3; ++i) {
        now_ += std::chrono::minutes(1);  // so that what is done now and then is done as well
        ASSERT_TRUE(append_to(s, i, {"x"}).ok());
    }
    EXPECT_EQ(disk::stop_counting_times(), 0U);
}

// The sync of LMDB's that finds no room is told, and its descriptor for the meta page and the
// store's own are not yet.
TEST_F(Database, GoesOnWhenAFullDiskWasToldToOneDescriptorOfThree) {
    const auto s = opened("quakes", "a");
    const auto file = directory_ / "db" / "data.mdb";
    disk::fail_writeback(file, ENOSPC, ENOSPC);
    EXPECT_EQ(append_to(s, 1, {"one"}).code, errc::disk_full);
    EXPECT_EQ(append_to(s, 1, {"one"}).code, errc::ok);
    disk::fail_writeback(file, EDQUOT, EDQUOT);
    EXPECT_EQ(append_to(s, 2, {"two"}).code, errc::disk_full);
    disk::pretend_full(true);
    disk::start_faults(file, disk::fault::short_write, 0, true);
    EXPECT_EQ(append_to(s, 2, {"two"}).code, errc::disk_full);
    disk::stop_faults();
    disk::pretend_full(false);
    EXPECT_EQ(append_to(s, 2, {"two"}).code, errc::ok);
    disk::fail_writeback(file, 0, 0);
    EXPECT_EQ(texts("quakes"), (strings{"one", "two"}));
    reopen();
    EXPECT_EQ(texts("quakes"), (strings{"one", "two"}));
}

TEST_F(Database, StopsWritingWhenAnotherErrorIsToldAfterAFullDisk) {
    const auto s = opened("quakes", "a");
    const auto file = directory_ / "db" / "data.mdb";
    disk::fail_writeback(file, ENOSPC, EIO);
    EXPECT_EQ(append_to(s, 1, {"one"}).code, errc::store_failed);
    disk::fail_writeback(file, 0, 0);
    EXPECT_TRUE(db_->stats().failed);
    reopen();
    EXPECT_EQ(append_to(s, 1, {"one"}).code, errc::ok);
}

TEST_F(Database, SplitsWhatOneTransactionCannotHoldAndRefusesNoNeighbours) {
    const auto s = opened("quakes", "a");
    const auto large = opened("large", "a");
    std::vector<command> commands;
    for (std::uint64_t i = 1; i <= 100; ++i)
        commands.emplace_back(batch(s, {1}, i, 1, records({std::to_string(i)})));
    commands.emplace_back(batch(large, {1}, 1, 1, records({std::string(300'000, 'x')})));
    for (std::uint64_t i = 101; i <= 200; ++i)
        commands.emplace_back(batch(s, {1}, i, 1, records({std::to_string(i)})));
    disk::limit_transactions(40);  // of 74 pieces the large one has
    const auto answers = all(commands);
    disk::limit_transactions(0);
    for (std::size_t i = 0; i < answers.size(); ++i)
        EXPECT_EQ(answers[i].code, i == 100 ? errc::store_full : errc::ok) << i;
    EXPECT_EQ(texts("quakes").size(), 200U);
    EXPECT_TRUE(append_to(large, 1, {std::string(300'000, 'x')}).ok());
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "db").sound());
}

// A thousand of them and thousands of batches are millions.
TEST_F(Database, LooksForTheGroupsOfATopicOnceHoweverManyBatchesLeaveIt) {
    constexpr std::uint64_t groups = 200;
    constexpr std::uint64_t batches = 2'000;
    const auto lookups_of_a_trim = [&](const std::string& topic, std::uint64_t readers) {
        const auto s = opened(topic, "a");
        std::vector<command> commands;
        for (std::uint64_t i = 1; i <= batches; ++i)
            commands.emplace_back(batch(s, {1}, i, 1, records({std::to_string(i)})));
        for (std::uint64_t g = 0; g < readers; ++g)
            commands.emplace_back(create_group{s.topic, std::to_string(g), "", {1}});
        // Half of them are done with all but one message, which leaves later.
        for (std::uint32_t g = 1; g <= readers / 2; ++g)
            commands.emplace_back(
                ack{s.topic, {g}, {{{1}, {batches - 2}}, {{batches}, {batches}}}});
        EXPECT_TRUE(all(commands).back().ok());
        const std::uint64_t before = disk::lookups();
        EXPECT_TRUE(one(trim{s.topic, {batches}}).ok());
        while (more_) all({});
        for (std::uint32_t g = 1; g <= readers; ++g) {
            const auto at = reader(*db_).position_of(s.topic, {g}, s.source);
            EXPECT_EQ(at->next.sequence.value, g <= readers / 2 ? batches - 1 : 1) << g;
        }
        return disk::lookups() - before;
    };
    const std::uint64_t alone = lookups_of_a_trim("alone", 0);
    EXPECT_LT(lookups_of_a_trim("read", groups), alone + 100 * groups);
}

TEST_F(Database, ForgetsNothingThatIsDueWhenATransactionFails) {
    for (int i = 0; i < 300; ++i) one(create_topic{std::to_string(i), {}});
    const auto s = opened("large", "a");
    std::vector<command> commands;
    for (std::uint64_t i = 1; i <= 3'000; ++i)
        commands.emplace_back(batch(s, {1}, i, 1, records({"x"})));
    ASSERT_TRUE(all(commands).back().ok());
    one(delete_topic{s.topic});
    ASSERT_TRUE(more_);
    disk::start_faults(directory_ / "db" / "data.mdb", disk::fault::no_space, 0, false);
    all({});
    disk::stop_faults();
    EXPECT_EQ(db_->stats().stored_bytes, 0U);
}

TEST_F(Database, SyncsWhatACrashLeftBeforeItIsOpen) {
    opened("quakes", "a");
    const auto file = directory_ / "db" / "data.mdb";
    const auto syncs = [&] {
        disk::start_faults(file, disk::fault::io_error, 0, true);
        const errc code = refusal();
        disk::stop_faults();
        return code;
    };
    reopen();
    db_.reset();
    EXPECT_EQ(syncs(), errc::ok) << "closed in good order: nothing to sync";
    disk::write_file(directory_ / "db" / "cairn.lock", std::array{std::byte{'o'}});
    EXPECT_EQ(syncs(), errc::store_failed);
    EXPECT_EQ(refusal(), errc::ok);
}

// Of each seed. Where a sanitizer looks there is one.
#if defined(__SANITIZE_ADDRESS__)
constexpr int flips = 500;
#else
constexpr int flips = 65;
#endif

TEST(Damage, IsReportedOrHarmlessAndNeverDeliveredWhereverABitFlips) {
    expect_no_failure(8, [](std::uint64_t seed) -> std::optional<std::string> {
        dice random(seed);
        const temp_directory directory;
        const auto file = directory / "db" / "data.mdb";
        model known;
        std::vector<std::byte> earlier;
        {
            database db(directory / "db", small_options());
            workload work(seed, "", 4'000);
            std::vector<reply> expected;
            std::vector<reply> replies;
            for (int i = 0; i < 30; ++i) {
                db.commit(work.next_commit(known, expected), at_ms(1'000), replies);
                if (i == 20) earlier = disk::read_file(file);
            }
        }
        const auto whole = disk::read_file(file);
        for (int flip = 0; flip < flips; ++flip) {
            auto bytes = whole;
            const std::size_t at = random.below(bytes.size());
            const auto put = [&](const std::vector<std::byte>& from, std::size_t page) {
                std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(page * 4'096), 4'096,
                            bytes.begin() + static_cast<std::ptrdiff_t>(at / 4'096 * 4'096));
            };
            // Mostly one bit; sometimes a sector of zeros, another page in a page's place, or what
            // the page was before.
            const std::uint64_t how = random.below(100);
            const bool stale = how >= 95 && at / 4'096 < earlier.size() / 4'096;
            if (how < 75) {
                bytes[at] ^= static_cast<std::byte>(1U << random.below(8));
            } else if (how < 85) {
                std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at / 512 * 512), 512,
                            std::byte{0});
            } else if (!stale) {
                put(whole, random.below(bytes.size()) / 4'096);
            } else {
                put(earlier, at / 4'096);
            }
            disk::write_file(file, bytes);
            try {
                options careful = small_options();
                careful.on_open = check::structure;
                const database db(directory / "db", careful);
                if (auto found = wrong_delivery(db, known, stale ? judged::content : judged::all))
                    return found;
            } catch (const error& refused) {
                if (refused.code() != errc::store_damaged && refused.code() != errc::store_newer)
                    return refused.what();
            }
            if (!random.chance(25)) continue;
            try {
                (void)verify(directory / "db");
            } catch (const error& refused) {
                if (refused.code() != errc::store_damaged && refused.code() != errc::store_newer)
                    return std::string("verify: ") + refused.what();
            }
        }
        return std::nullopt;
    });
}

}  // namespace
}  // namespace cairn::test
