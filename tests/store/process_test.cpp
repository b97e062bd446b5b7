// What other processes do to a database, and what its own children may do.
#include "store/support/fixture.hpp"
#include "store/support/older_format.hpp"
#include "support/child_process.hpp"
#include "support/rounds.hpp"
#include "unit/protocol/random.hpp"

#include <cairn/store/committer.hpp>
#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using namespace store;

constexpr std::chrono::milliseconds patience = 60s;

class Visitor : public Database {
protected:
    std::string path(const char* name = "db") const { return (directory_ / name).string(); }
    std::string visit(const std::string& verb, const std::string& where) {
        child_process visitor({STORE_VISITOR, verb, where});
        EXPECT_EQ(visitor.wait(patience), 0);
        return visitor.output();
    }
    /// Appends and trims, so that only so many messages are there at once.
    void churn(const source_opened& s, std::uint64_t& next, int rounds) {
        for (int i = 0; i < rounds; ++i, ++next) {
            ASSERT_TRUE(append_to(s, next, {std::string(50'000, 'x')}).ok());
            if (next > 20) one(trim{s.topic, {next - 20}});
        }
    }
};

TEST_F(Visitor, IsRefusedAnOpenDatabaseInWordsAHundredTimes) {
    for (int i = 0; i < 100; ++i) {
        const std::string said = visit("open", path());
        ASSERT_TRUE(said.starts_with("store_in_use open ")) << said;
        ASSERT_NE(said.find("in process " + std::to_string(::getpid()) + ", "), std::string::npos)
            << said;
        ASSERT_NE(said.find("close it there first"), std::string::npos) << said;
    }
    append_to(opened("quakes", "a"), 1, {"still ours"});
    db_.reset();
    EXPECT_EQ(visit("open", path()), "ok\n");
}

TEST_F(Visitor, WithoutRightsIsRefused) {
    db_.reset();
    if (::geteuid() != 0) std::filesystem::permissions(directory_ / "db", {});
    EXPECT_TRUE(visit("stranger", path()).starts_with("permission_denied open "));
    std::filesystem::permissions(directory_ / "db", std::filesystem::perms::owner_all);
}

TEST_F(Visitor, WithLittleAddressSpaceTakesWhatThereIs) {
    if (sanitized) GTEST_SKIP() << "a sanitizer needs more than a process is given here";
    append_to(opened("quakes", "a"), 1, {"one"});
    db_.reset();
    const std::string said = visit("narrow", path());
    ASSERT_TRUE(said.starts_with("ok ")) << said;
    const std::uint64_t quota = std::stoull(said.substr(3));
    EXPECT_GE(quota, std::uint64_t{128} << 20);
    EXPECT_LE(quota, std::uint64_t{640} << 20);
}

TEST_F(Visitor, ThatDiesWithAReadTransactionPinsNothingForLong) {
    const auto s = opened("jobs", "a");
    std::uint64_t next = 1;
    churn(s, next, 200);
    child_process reading({STORE_VISITOR, "pin", path()});
    ASSERT_TRUE(reading.wait_for_output("pinned", patience));
    churn(s, next, 50);  // what this frees cannot be used again yet
    reading.signal(SIGKILL);
    ASSERT_TRUE(reading.wait(patience));
    now_ += std::chrono::seconds(31);
    churn(s, next, 50);
    const std::uint64_t file = db_->stats().file_bytes;
    churn(s, next, 1'000);
    EXPECT_LE(db_->stats().file_bytes, file + file / 10);
}

TEST_F(Visitor, BacksUpADatabaseThatIsOpenHereAndWritten) {
    const auto s = opened("jobs", "a");
    std::uint64_t next = 1;
    churn(s, next, 100);  // so that what is trimmed is written over
    const std::string copy = path() + ".copy";
    for (int round = 0; round < (long_test() ? 30 : 3); ++round) {
        const std::uint64_t before = next - 1;
        child_process visitor({STORE_VISITOR, "backup", path()});
        std::optional<int> left;
        while (!left && !HasFailure()) {
            churn(s, next, 1);
            left = visitor.wait(0ms);
        }
        ASSERT_EQ(left, 0) << visitor.output();
        const verify_report report = verify(copy);
        ASSERT_TRUE(report.sound()) << report.findings.front().what;
        const database restored(copy, small_options());
        EXPECT_NE(restored.opened().generation, db_->opened().generation);
        const topic_info held = reader(restored).topic(s.topic).value();
        EXPECT_GT(held.end, offset{before});
        EXPECT_LE(held.end, offset{next});
        std::filesystem::remove_all(copy);
    }
    db_.reset();
    EXPECT_TRUE(verify(path()).sound());
    EXPECT_EQ(visit("backup", path()), "") << "a closed one, too";
    EXPECT_TRUE(verify(copy).sound());
}

// A client that is stopped holds up who sends to it, not the store: a reader copies and lets go.
TEST_F(Visitor, ThatIsStoppedWhileItIsSentToPinsNothing) {
    const auto s = opened("jobs", "a");
    std::uint64_t next = 1;
    churn(s, next, 200);
    const std::uint64_t file = db_->stats().file_bytes;
    std::array<int, 2> to_client{};
    ASSERT_EQ(::pipe2(to_client.data(), O_CLOEXEC), 0);
    const std::string from = "exec < /proc/" + std::to_string(::getpid()) + "/fd/" +
                             std::to_string(to_client[0]) + "; exec " STORE_VISITOR " drain";
    child_process client({"/bin/sh", "-c", from});
    reader source(*db_);
    page found;
    ASSERT_EQ(source.read(s.topic, {next - 15}, std::size_t{10} << 20, buffer_, found), errc::ok);
    client.signal(SIGSTOP);
    std::size_t sent = 0;
    {
        std::jthread serving([&] {
            for (const entry& e : found.entries)
                for (auto rest = e.body; !rest.empty();) {
                    const ssize_t n = ::write(to_client[1], rest.data(), rest.size());
                    ASSERT_GT(n, 0);
                    rest = rest.subspan(static_cast<std::size_t>(n));
                    sent += static_cast<std::size_t>(n);
                }
            ::close(to_client[1]);
        });
        churn(s, next, 2'000);
        EXPECT_LE(db_->stats().file_bytes, file + file / 10);
        client.signal(SIGCONT);
    }
    ::close(to_client[0]);
    EXPECT_EQ(client.wait(patience), 0);
    EXPECT_EQ(client.output(), std::to_string(sent) + "\n");
    EXPECT_GT(sent, 700'000U);
}

TEST_F(Visitor, ThatIsKilledWhileItOpensAnOlderFormatLeavesTheOldOrTheNewFormatWhole) {
    append_to(opened("quakes", "a"), 1, {"kept"});
    db_.reset();
    make_older(directory_ / "db");
    std::filesystem::copy(directory_ / "db", directory_ / "older");
    std::size_t old_ones = 0;
    std::size_t new_ones = 0;
    dice random(1);
    for (std::size_t kill = 0; kill < rounds(200); ++kill) {
        std::filesystem::remove_all(directory_ / "db");
        std::filesystem::copy(directory_ / "older", directory_ / "db");
        child_process upgrading({STORE_VISITOR, "upgrade", path()});
        const std::size_t said = random.below(4);  // nothing, begun, all written, done
        ASSERT_TRUE(upgrading.wait_for_output(std::string("bed").substr(0, said), patience));
        for (volatile std::uint64_t spin = random.below(200'000); spin > 0;) spin = spin - 1;
        upgrading.signal(SIGKILL);
        ASSERT_TRUE(upgrading.wait(patience));
        const auto format = format_of_all(directory_ / "db");
        ASSERT_TRUE(format) << "half of each, kill " << kill;
        ASSERT_TRUE(*format == 1 || upgrading.output().find('d') == std::string::npos)
            << "what was done is undone, kill " << kill;
        ++(*format == 0 ? old_ones : new_ones);
        if (*format == 0) {
            ASSERT_EQ(visit("upgrade", path()), "bed");
        }
        chosen_.on_open = check::structure;
        reopen();
        ASSERT_EQ(texts("quakes"), strings{"kept"});
        db_.reset();
    }
    EXPECT_GT(old_ones, 0U);
    EXPECT_GT(new_ones, 0U);
}

// --- A file that somebody else changes ----------------------------------------------------------

TEST_F(Visitor, WhoCutsTheFileOfAnOpenDatabaseIsNoticed) {
    const auto s = opened("quakes", "a");
    for (std::uint64_t i = 1; i <= 20; ++i) append_to(s, i, {std::string(50'000, 'x')});
    {
        reader from(*db_);
        std::filesystem::resize_file(directory_ / "db" / "data.mdb", 40'960);
        page found;
        EXPECT_EQ(from.read(s.topic, {1}, 1, buffer_, found), errc::store_damaged);
        EXPECT_EQ(from.topic(s.topic).error(), errc::store_damaged);
    }
    EXPECT_EQ(append_to(s, 21, {"late"}).code, errc::store_failed);
    EXPECT_TRUE(db_->stats().failed);
    EXPECT_EQ(one(trim{s.topic, {1}}).code, errc::store_failed) << "until it is opened again";
    db_.reset();
    EXPECT_EQ(refusal(), errc::store_damaged) << text_;
    EXPECT_FALSE(verify(directory_ / "db").sound());
}

TEST_F(Visitor, WhoCutsTheFileOfAClosedDatabaseAnywhereIsNoticed) {
    const auto s = opened("quakes", "a");
    for (std::uint64_t i = 1; i <= 20; ++i) append_to(s, i, {std::string(50'000, 'x')});
    db_.reset();
    chosen_.on_open = check::none;
    dice random(1);
    const auto whole = disk_bytes();
    std::filesystem::copy_file(directory_ / "db" / "data.mdb", directory_ / "whole");
    for (int cut = 0; cut < 40; ++cut) {
        std::filesystem::copy_file(directory_ / "whole", directory_ / "db" / "data.mdb",
                                   std::filesystem::copy_options::overwrite_existing);
        const auto left = cut == 0 ? 0 : random.below(whole - 100'000);
        std::filesystem::resize_file(directory_ / "db" / "data.mdb", left);
        ASSERT_EQ(refusal(), errc::store_damaged) << left << " bytes left: " << text_;
    }
}

TEST_F(Visitor, WhoCommitsPastTheLockIsNoticed) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one"});
    db_.reset();
    std::filesystem::copy_file(directory_ / "db" / "data.mdb", directory_ / "before");
    reopen();
    append_to(opened("quakes", "a"), 2, {"two"});
    // The same file, with what it held before.
    std::filesystem::copy_file(directory_ / "before", directory_ / "db" / "data.mdb",
                               std::filesystem::copy_options::overwrite_existing);
    EXPECT_EQ(append_to(s, 3, {"three"}).code, errc::store_failed);
}

TEST_F(Visitor, WhoRemovesTheDirectoryOfAnOpenDatabaseIsNoticed) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one"});
    std::filesystem::remove_all(directory_ / "db");
    EXPECT_EQ(append_to(s, 2, {"two"}).code, errc::store_failed);
    EXPECT_TRUE(db_->stats().failed);
    EXPECT_TRUE(db_->stats().file_removed);
    EXPECT_EQ(texts("quakes"), strings{"one"}) << "what was confirmed can still be saved";
    backup(*db_, directory_ / "saved");
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "saved").sound());
}

TEST_F(Visitor, WhoPutsAnotherFileInThePlaceOfAnOpenOneIsNoticed) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one"});
    const auto data = directory_ / "db" / "data.mdb";
    std::filesystem::copy_file(data, directory_ / "other");
    std::filesystem::rename(directory_ / "other", data);
    EXPECT_EQ(append_to(s, 2, {"two"}).code, errc::store_failed);
    EXPECT_TRUE(db_->stats().file_removed);
}

TEST_F(Visitor, WhoRemovesADatabaseThatIsClosedRightThenIsNoticed) {
    append_to(opened("quakes", "a"), 1, {"one"});
    std::filesystem::remove(directory_ / "db" / "data.mdb");
    db_->close();
    EXPECT_TRUE(db_->stats().file_removed);
}

TEST_F(Visitor, WhoMovesTheDirectoryOfAnOpenDatabaseHarmsNobody) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one"});
    std::filesystem::rename(directory_ / "db", directory_ / "moved");
    EXPECT_TRUE(append_to(s, 2, {"two"}).ok());
    db_->close();
    EXPECT_FALSE(db_->stats().failed);
    std::filesystem::rename(directory_ / "moved", directory_ / "db");
    db_.reset();
    reopen();
    EXPECT_EQ(texts("quakes"), (strings{"one", "two"}));
}

// --- Children -----------------------------------------------------------------------------------

class silent final : public completion {
    void replied(std::uint64_t, const reply&, bool) override {}
};

TEST_F(Visitor, ThatWasForkedOffIsToldSoAndHarmsNobody) {
    const auto s = opened("quakes", "a");
    append_to(s, 1, {"one"});
    auto from = std::make_unique<reader>(*db_);
    auto group = std::make_unique<committer>(*db_);
    const pid_t child = ::fork();
    if (child == 0) {
        silent nobody;
        command wanted = trim{s.topic, {1}};
        bool right = group->try_submit(wanted, nobody, 1) == errc::forked;
        right = right && from->topic(s.topic).error() == errc::forked;
        right = right && one(trim{s.topic, {1}}).code == errc::forked;
        const auto is_refused = [](auto&& call) {
            try {
                call();
                return false;
            } catch (const error& refused) {
                return refused.code() == errc::forked;
            }
        };
        right = right && is_refused([&] { const reader another(*db_); });
        right = right && is_refused([&] { backup(*db_, directory_ / "copy"); });
        group.reset();
        from.reset();
        db_.reset();
        ::_exit(right ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    group.reset();
    EXPECT_TRUE(append_to(s, 2, {"two"}).ok());
    EXPECT_TRUE(from->topic(s.topic));
    from.reset();
    EXPECT_EQ(texts("quakes"), (strings{"one", "two"}));
}

}  // namespace
}  // namespace cairn::test
