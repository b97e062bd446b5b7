// Copies of a database that is written; linked with disk.cpp, which can stop a copy in its middle.
#include "store/support/disk.hpp"
#include "store/support/fixture.hpp"
#include "support/rounds.hpp"

#include <cairn/store/committer.hpp>
#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <map>
#include <thread>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using namespace store;

class Backup : public Database {
protected:
    /// The messages of a copy, which is checked as a whole and restored by opening it.
    strings restored(const std::filesystem::path& copy) {
        const verify_report report = verify(copy);
        EXPECT_TRUE(report.sound()) << report.findings.front().what;
        const database db(copy, small_options());
        EXPECT_NE(db.opened().generation, db_->opened().generation);
        reader from(db);
        strings all_texts;
        page found;
        const topic_id topic = from.find_topic("jobs").value();
        for (offset at{1};; at = found.next) {
            EXPECT_EQ(from.read(topic, at, 100'000, buffer_, found), errc::ok);
            for (const entry& e : found.entries)
                for (std::string& text : texts_of(e.body)) all_texts.push_back(std::move(text));
            if (found.next == found.end) return all_texts;
        }
    }
    template <typename F>
    static errc code_of(F&& f) {
        try {
            f();
            return errc::ok;
        } catch (const error& refused) {
            return refused.code();
        }
    }
};

class confirmed_count final : public completion {
public:
    void replied(std::uint64_t, const reply& answer, bool) override {
        EXPECT_EQ(answer.code, errc::ok) << name(answer.code);
        count.fetch_add(1);
        count.notify_all();
    }
    void wait_for(std::uint64_t wanted) {
        for (auto now = count.load(); now < wanted; now = count.load()) count.wait(now);
    }
    std::atomic<std::uint64_t> count{0};
};

TEST_F(Backup, WhileAWriterWritesHoldsAllThatWasConfirmedBeforeItBegan) {
    const auto s = opened("jobs", "a");
    committer group(*db_);
    confirmed_count confirmed;
    std::jthread writing([&](const std::stop_token& enough) {
        constexpr std::uint64_t fits = 100'000;  // a slow reader of copies gives it much time
        for (std::uint64_t i = 1; i <= fits && !enough.stop_requested() && !HasFailure(); ++i) {
            const std::string text = std::to_string(i) + std::string(i % 5'000, 'x');
            command wanted = batch(s, {1}, i, 1, records({text}));
            ASSERT_EQ(group.submit_until(wanted, confirmed, i, clock::now() + 60s), errc::ok);
            if (i > 4) confirmed.wait_for(i - 4);
        }
    });
    for (int copy = 0; copy < (long_test() ? 50 : 10); ++copy) {
        confirmed.wait_for(static_cast<std::uint64_t>(copy) * 20);  // each at another moment
        const std::uint64_t before = confirmed.count;
        const auto where = directory_ / ("copy" + std::to_string(copy));
        const std::uint64_t bytes = backup(*db_, where);
        EXPECT_EQ(bytes, std::filesystem::file_size(where / "data.mdb"));
        const strings held = restored(where);
        EXPECT_GE(held.size(), before);
        for (std::uint64_t i = 0; i < held.size(); ++i)
            ASSERT_TRUE(held[i].starts_with(std::to_string(i + 1))) << "message " << i + 1;
    }
}

TEST_F(Backup, HoldsNoWriterUpWhileItCopies) {
    const auto s = opened("jobs", "a");
    for (std::uint64_t i = 1; i <= 10; ++i) append_to(s, i, {std::string(30'000, 'x')});
    disk::held_copy held;
    std::jthread copying([&] { backup(*db_, directory_ / "copy"); });
    held.wait_until_held();
    for (std::uint64_t i = 11; i <= 200; ++i)
        ASSERT_TRUE(append_to(s, i, {std::string(30'000, 'y')}).ok());
    ASSERT_TRUE(one(trim{s.topic, {150}}).ok());
    EXPECT_EQ(read("jobs").first, offset{151});
    held.let_go();
    copying.join();
    EXPECT_EQ(restored(directory_ / "copy").size(), 10U) << "one moment, whatever came later";
}

TEST_F(Backup, IsThereAfterAPowerCutWithTheDirectoryThatItMade) {
    const auto target = directory_ / "copy";
    disk::start_noting_syncs();
    backup(*db_, target);
    const auto synced = disk::stop_noting_syncs();
    for (const auto& path : {target / "unfinished_copy" / "data.mdb", target, directory_.path()})
        EXPECT_NE(std::find(synced.begin(), synced.end(), path), synced.end()) << path;
}

TEST_F(Database, IsThereAfterAPowerCutWithTheDirectoryThatItMade) {
    const auto where = directory_ / "other";
    disk::start_noting_syncs();
    { const database made(where / "", small_options()); }
    const auto synced = disk::stop_noting_syncs();
    for (const auto& path : {where / "aside" / "data.mdb", where, directory_.path()})
        EXPECT_NE(std::find(synced.begin(), synced.end(), path), synced.end()) << path;
}

TEST_F(Backup, GoesToAPlaceOfItsOwn) {
    opened("jobs", "a");
    EXPECT_EQ(code_of([&] { backup(*db_, directory_ / "db"); }), errc::invalid_argument);
    std::filesystem::create_directory(directory_ / "used");
    std::ofstream(directory_ / "used" / "something") << "x";
    EXPECT_EQ(code_of([&] { backup(*db_, directory_ / "used"); }), errc::invalid_argument);
    EXPECT_EQ(code_of([&] { backup(*db_, directory_ / "no/parent"); }), errc::invalid_argument);
}

TEST_F(Backup, LiesNeitherInWhatItCopiesNorAroundIt) {
    append_to(opened("jobs", "a"), 1, {"one"});
    const auto db = directory_ / "db";
    std::filesystem::create_directory_symlink(db, directory_ / "link");
    const auto refused = [&](const auto& from, const std::filesystem::path& target) {
        std::string text;
        try {
            backup(from, target);
        } catch (const error& why) {
            EXPECT_EQ(why.code(), errc::invalid_argument);
            text = why.what();
        }
        EXPECT_NE(text.find("that is to be copied"), std::string::npos) << target << ": " << text;
    };
    const auto all_refused = [&](const auto& from) {
        for (const char* target : {"db", "db/", "db/copy", "db/no/copy", "link", "link/copy",
                                   "link/../db/copy", "no/../db/copy", "db/.."})
            refused(from, directory_ / target);
        refused(from, std::filesystem::relative(db / "copy"));
        refused(from, directory_.path());
        EXPECT_FALSE(std::filesystem::exists(db / "copy"));
        EXPECT_FALSE(std::filesystem::exists(db / "unfinished_copy"));
    };
    all_refused(*db_);
    db_.reset();
    all_refused(db);
    all_refused(directory_ / "link");
    reopen();
    EXPECT_EQ(backup(*db_, directory_ / "db.copy"), backup(*db_, db / "../beside"));
}

TEST_F(Backup, ThatWasInterruptedIsNoDatabaseAndIsBegunAnew) {
    append_to(opened("jobs", "a"), 1, {"one"});
    const auto copy = directory_ / "copy";
    std::filesystem::create_directories(copy / "unfinished_copy");
    for (const auto& left : {copy / "cairn.lock", copy / "unfinished_copy" / "data.mdb"})
        std::ofstream(left) << "";
    EXPECT_EQ(code_of([&] { const database half(copy, small_options()); }), errc::invalid_argument);
    EXPECT_EQ(code_of([&] { backup(*db_, copy); }), errc::ok);
    EXPECT_FALSE(std::filesystem::exists(copy / "unfinished_copy"));
    EXPECT_EQ(restored(copy), strings{"one"});
}

TEST_F(Backup, ThatFailsCleansUpBeforeItLetsOthersIn) {
    append_to(opened("jobs", "a"), 1, {"one"});
    const auto copy = directory_ / "copy";
    disk::start_noting_removals();
    disk::pretend_full(true);
    EXPECT_EQ(code_of([&] { backup(*db_, copy); }), errc::disk_full);
    disk::pretend_full(false);
    EXPECT_EQ(disk::stop_noting_removals(), std::vector<std::filesystem::path>{});
    EXPECT_FALSE(std::filesystem::exists(copy));
    EXPECT_EQ(code_of([&] { backup(*db_, copy); }), errc::ok);
}

TEST_F(Database, IsLockedWhoeverRemovedTheLockBeforeItHadIt) {
    db_.reset();
    const auto lock = directory_ / "db" / "cairn.lock";
    disk::before_next_lock([&] { std::filesystem::remove(lock); });  // as a backup that fails
    reopen();
    EXPECT_TRUE(disk::is_locked(lock));
}

TEST_F(Backup, TakesNothingOfOthersForOneThatWasInterrupted) {
    append_to(opened("jobs", "a"), 1, {"one"});
    const auto copy = directory_ / "copy";
    std::filesystem::create_directories(copy / "unfinished_copy");
    std::ofstream(copy / "unfinished_copy" / "letter") << "of somebody else";
    EXPECT_EQ(code_of([&] { backup(*db_, copy); }), errc::invalid_argument);
    EXPECT_TRUE(std::filesystem::exists(copy / "unfinished_copy" / "letter"));
}

TEST_F(Backup, ByPathIsForWhatNobodyHereHasOpen) {
    append_to(opened("jobs", "a"), 1, {"one"});
    const auto copy = directory_ / "copy";
    const auto by_path = [&](const char* from) { backup(directory_ / from, copy); };
    EXPECT_EQ(code_of([&] { by_path("db"); }), errc::invalid_argument);
    EXPECT_EQ(code_of([&] { by_path("nothing here"); }), errc::invalid_argument);
    EXPECT_FALSE(std::filesystem::exists(copy));
    const auto before = db_->opened().generation;
    db_.reset();
    EXPECT_EQ(code_of([&] { by_path("db"); }), errc::ok);
    EXPECT_EQ(code_of([&] { by_path("db"); }), errc::invalid_argument) << "it holds the first";
    reopen();
    EXPECT_EQ(db_->opened().generation, before);
    EXPECT_EQ(restored(copy), strings{"one"});
}

TEST_F(Backup, ByPathIsAloneInItsProcessWithWhatItCopies) {
    append_to(opened("jobs", "a"), 1, {std::string(30'000, 'x')});
    const auto db = directory_ / "db";
    db_.reset();
    std::filesystem::create_directory_symlink(db, directory_ / "link");
    disk::held_copy held;
    std::jthread copying([&] { backup(db, directory_ / "copy"); });
    held.wait_until_held();
    for (const auto& second :
         {std::function<void()>([&] { backup(db, directory_ / "other"); }),
          std::function<void()>([&] { backup(directory_ / "link", directory_ / "other"); }),
          std::function<void()>([&] { compact(db); }),
          std::function<void()>([&] { (void)verify(db); }),
          std::function<void()>([&] { const database open(db, chosen_); })})
        EXPECT_EQ(code_of(second), errc::store_in_use);
    EXPECT_FALSE(std::filesystem::exists(directory_ / "other"));
    held.let_go();
    copying.join();
    reopen();
    EXPECT_TRUE(db_->opened().clean) << "who was refused has left it as it was";
    EXPECT_EQ(restored(directory_ / "copy").size(), 1U);
}

TEST_F(Backup, OfAnOpenDatabaseIsTheOnlyMaintenance) {
    opened("jobs", "a");
    for (const auto& maintain : {std::function<void()>([&] { compact(directory_ / "db"); }),
                                 std::function<void()>([&] { (void)verify(directory_ / "db"); })}) {
        try {
            maintain();
            ADD_FAILURE() << "an open database is not let alone";
        } catch (const error& refused) {
            EXPECT_EQ(refused.code(), errc::store_in_use);
            EXPECT_NE(std::string(refused.what()).find("close it there first"), std::string::npos)
                << refused.what();
        }
    }
}

TEST_F(Database, IsRefusedOnANetworkFileSystemUnlessForced) {
    constexpr long nfs = 0x6969;
    db_.reset();
    disk::pretend_filesystem(nfs);
    EXPECT_EQ(refusal(), errc::filesystem_refused);
    EXPECT_NE(text_.find("nfs"), std::string::npos) << text_;
    chosen_.allow_network_filesystem = true;
    EXPECT_EQ(refusal(), errc::ok);
    disk::pretend_filesystem(0);
}

/// What durability::written confirmed, and what was taken back.
class early_inbox final : public completion {
public:
    void replied(std::uint64_t token, const reply& answer, bool flushed) override {
        if (!answer.ok()) return;
        (flushed ? flushed_ : early_).push_back(token);
        if (!flushed) disk::confirm(token);
    }
    void kept(std::uint64_t token) override {
        kept_.push_back(token);
        disk::confirm(token);
    }
    void taken_back(std::uint64_t token, errc why) override {
        taken_.push_back(token);
        why_.push_back(why);
    }
    // Of the committer's thread: to be read when it is closed.
    std::vector<std::uint64_t> early_;
    std::vector<std::uint64_t> flushed_;
    std::vector<std::uint64_t> kept_;
    std::vector<std::uint64_t> taken_;
    std::vector<errc> why_;
};

class Written : public Database {
protected:
    /// Submits three messages of a written topic and one of a flushed one, with a fault.
    void commit_with(disk::fault what) {
        one(create_topic{"ticks", {.retention = {}, .confirm = durability::written}});
        const auto early = opened("ticks", "a");
        const auto late = opened("orders", "a");
        disk::start_faults(directory_ / "db" / "data.mdb", what, 0, true);
        committer group(*db_);
        for (std::uint64_t i = 1; i <= 3; ++i) submit(group, i, batch(early, {1}, i, 1, tick(i)));
        submit(group, 4, batch(late, {1}, 1, 1, tick(4)));
        group.close();
        disk::stop_faults();
    }
    void submit(committer& group, std::uint64_t token, command wanted) {
        ASSERT_EQ(group.submit_until(wanted, inbox_, token, clock::now() + 60s), errc::ok);
    }
    static body_bytes tick(std::uint64_t i) { return records({std::to_string(i)}); }

    early_inbox inbox_;
};

TEST_F(Written, IsTakenBackWhenItsSyncFails) {
    commit_with(disk::fault::io_error);
    EXPECT_FALSE(inbox_.early_.empty());
    EXPECT_EQ(inbox_.taken_, inbox_.early_);
    for (const errc why : inbox_.why_) EXPECT_EQ(why, errc::store_failed);
    EXPECT_TRUE(inbox_.flushed_.empty());
    EXPECT_TRUE(inbox_.kept_.empty());
}

TEST_F(Written, IsTakenBackWhenTheDiskIsFull) {
    commit_with(disk::fault::no_space);
    EXPECT_FALSE(inbox_.early_.empty());
    EXPECT_EQ(inbox_.taken_, inbox_.early_);
    EXPECT_EQ(inbox_.why_.front(), errc::disk_full) << "and those behind it do not follow it";
    EXPECT_TRUE(texts("ticks").empty());
}

// Its offset would be another one: what it follows does not fit.
TEST_F(Written, IsTakenBackWhenItWouldBeStoredElsewhereThanItWasTold) {
    one(create_topic{"ticks", {.retention = {}, .confirm = durability::written}});
    const auto a = opened("ticks", "a");
    const auto b = opened("ticks", "b");
    const std::vector<command> commands{batch(a, {1}, 1, 1, tick(1)), batch(b, {1}, 1, 1, tick(2)),
                                        batch(b, {1}, 2, 1, tick(3))};
    std::map<std::size_t, reply> told;
    disk::refuse_commits(3);  // of all three, of the first one, and of it without what is due
    db_->commit(commands, now_, replies_,
                [&](std::size_t i, const reply& answer) { told.emplace(i, answer); });
    ASSERT_EQ(told.size(), 3U);
    EXPECT_EQ(replies_[0].code, errc::store_full);
    for (std::size_t i = 0; i < replies_.size(); ++i)
        EXPECT_TRUE(!replies_[i].ok() || replies_[i] == told.at(i)) << i;
    EXPECT_TRUE(append_to(a, 1, {"1"}).ok());
    EXPECT_TRUE(append_to(b, 1, {"2", "3"}).ok());
    EXPECT_EQ(texts("ticks"), (strings{"1", "2", "3"}));
}

TEST_F(Written, IsToldOnceWhenItsTransactionIsBegunAgain) {
    one(create_topic{"ticks", {.retention = {}, .confirm = durability::written}});
    const auto a = opened("ticks", "a");
    const std::vector<command> commands{batch(a, {1}, 1, 1, tick(1)), batch(a, {1}, 2, 1, tick(2))};
    std::vector<std::size_t> told;
    disk::refuse_commits(1);
    db_->commit(commands, now_, replies_, [&](std::size_t i, const reply&) { told.push_back(i); });
    EXPECT_EQ(told, (std::vector<std::size_t>{0, 1}));
    EXPECT_TRUE(replies_[0].ok() && replies_[1].ok());
}

TEST_F(Written, IsNotTakenBackWhenAllGoesWell) {
    commit_with(disk::fault::none);
    EXPECT_EQ(inbox_.early_, (std::vector<std::uint64_t>{1, 2, 3}));
    EXPECT_EQ(inbox_.flushed_, std::vector<std::uint64_t>{4});
    EXPECT_EQ(inbox_.kept_, inbox_.early_);
    EXPECT_TRUE(inbox_.taken_.empty());
}

TEST_F(Written, IsWaitedForUntilItsSync) {
    one(create_topic{"ticks", {.retention = {}, .confirm = durability::written}});
    const auto early = opened("ticks", "a");
    committer group(*db_);
    EXPECT_TRUE(group.commit(batch(early, {1}, 1, 1, tick(1))).ok());
    disk::start_faults(directory_ / "db" / "data.mdb", disk::fault::io_error, 0, true);
    EXPECT_EQ(group.commit(batch(early, {1}, 2, 1, tick(2))).code, errc::store_failed);
    disk::stop_faults();
}

TEST_F(Written, IsConfirmedBeforeItsSyncAndKeptAfterIt) {
    one(create_topic{"ticks", {.retention = {}, .confirm = durability::written}});
    const auto early = opened("ticks", "a");
    disk::start_recording(directory_ / "db" / "data.mdb");
    {
        committer group(*db_);
        submit(group, 7, batch(early, {1}, 1, 1, tick(1)));
    }
    std::string order;
    for (const disk::event& e : disk::stop_recording()) {
        if (e.what == disk::event::kind::confirm) order += 'c';
        // The meta page that makes the transaction count.
        if (e.what == disk::event::kind::write && e.synced) order += 's';
    }
    EXPECT_EQ(order, "csc");
}

}  // namespace
}  // namespace cairn::test
