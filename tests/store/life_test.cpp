// A database from its creation to its last close, with reopening, compaction and a backup between:
// killed at each call that changes something, cut from power, and with each call failing.
#include "store/support/older_format.hpp"
#include "store/support/volume.hpp"
#include "store/support/workload.hpp"
#include "support/rounds.hpp"
#include "support/temp_directory.hpp"

#include <cairn/store/database.hpp>
#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <memory>

namespace cairn::test {
namespace {

using namespace store;
namespace fs = std::filesystem;

/// How far a life has come.
struct step {
    bool made = false;        // the database: open has returned
    std::size_t commits = 0;  // that were confirmed
    bool backing_up = false;  // the copy begins after so many commits
    std::size_t copied = 0;   // commits in the copy
    bool backed_up = false;
};

/// Takes every step even when the one before failed, as who runs it would.
class life {
public:
    struct trouble {
        bool doubtful = false;  ///< after a call that fails in a commit nothing may be written
        bool lasting = false;
        bool unread = false;  ///< what cannot be read may be called damaged
    };

    life(fs::path root, std::uint64_t seed, std::function<void(const step&)> told)
        : life(std::move(root), seed, std::move(told), trouble{}) {}
    life(fs::path root, std::uint64_t seed, std::function<void(const step&)> told, trouble what)
        : root_(std::move(root)), work_(seed, "", 3'000), told_(std::move(told)), trouble_(what) {
        models.push_back(known_);
    }

    void live() {
        open();
        commit(5);
        close();
        open();
        commit(1);
        close();
        if (fs::exists(root_ / "db" / "data.mdb")) attempt([&] { compact(root_ / "db"); });
        open();
        commit(2);
        back_up();
        commit(1);
        close();
    }

    /// When no call fails any more: what was confirmed is there, and it goes on.
    void look_back() {
        open();
        commit(1);
        if (!db_) blame("does not open any more");
        if (db_ && db_->stats().failed) blame("does not go on");
        close();
        if (failure.empty()) check_sound(root_ / "db");
        if (made_copy_) {
            check_sound(root_ / "copy");
            const database copy(root_ / "copy", small_options());
            if (const auto found = difference(copy, models.at(at_.copied)))
                blame("the copy: " + *found);
        }
    }

    std::vector<model> models;  // [n]: after n commits
    std::string failure;
    std::uint64_t refusals = 0;  // operations that threw

private:
    void blame(const std::string& what) {
        if (failure.empty()) failure = what;
    }

    template <typename F>
    bool attempt(F&& f) {
        const std::uint64_t before = volume::strikes();
        try {
            f();
            return true;
        } catch (const error& refused) {
            ++refusals;
            const bool failed = db_ && db_->stats().failed;  // LMDB itself copies it no more
            if (volume::strikes() == before && !failed)
                blame(std::string("without a cause: ") + refused.what());
            const errc code = refused.code();
            if (code != errc::store_failed && code != errc::disk_full &&
                code != errc::permission_denied &&
                !(code == errc::store_damaged && trouble_.unread))
                blame(std::string("another error: ") + refused.what());
            return false;
        }
    }

    void open() {
        const auto once = [&] { db_ = std::make_unique<database>(root_ / "db", small_options()); };
        if (!attempt(once) && !attempt(once)) return;
        if (at_.made && db_->opened().created) blame("it was made anew");
        if (unknown_) {
            // The commit that failed is there whole, or not at all.
            unknown_ = false;
            if (difference(*db_, known_)) known_ = maybe_;
        }
        if (const auto found = difference(*db_, known_)) blame(*found);
        at_.made = true;
        told_(at_);
    }

    void close() { db_.reset(); }

    void commit(int times) {
        std::vector<reply> expected;
        for (; times > 0 && db_; --times) {
            const bool failed_before = db_->stats().failed;
            model trial = known_;
            const auto commands = work_.next_commit(trial, expected);
            const std::uint64_t before = volume::strikes();
            db_->commit(commands, at_ms(1'000), replies_);
            follow(commands, trial, failed_before);
            if (!failed_before) {
                const bool struck = volume::strikes() > before;
                if (db_->stats().failed && !struck) blame("it failed by itself");
                if (trouble_.doubtful && struck && !db_->stats().failed) blame("it says nothing");
            }
            models.push_back(known_);
            if (db_->stats().failed) continue;
            ++at_.commits;
            told_(at_);
        }
    }

    void follow(const std::vector<command>& commands, const model& all, bool failed_before) {
        const bool failed = db_->stats().failed;
        std::size_t refused = 0;
        for (std::size_t i = 0; i < commands.size(); ++i) {
            const errc code = replies_[i].code;
            refused += code == errc::store_failed ? 1U : 0U;
            if (code == errc::store_failed || code == errc::disk_full) continue;
            if (failed) return blame("answers although it failed");
            if (known_.apply(commands[i]).code != code) return blame("answers something else");
        }
        if (refused > 0 && refused != commands.size()) blame("failed in part");
        if ((refused > 0) != failed) blame("says nothing of its failure");
        known_.end_commit();
        if (failed && !failed_before) unknown_ = true, maybe_ = all;
    }

    void back_up() {
        if (!db_) return;
        at_.backing_up = true;
        at_.copied = models.size() - 1;
        told_(at_);
        // What fails leaves nothing in the way of the next time.
        const auto once = [&] { backup(*db_, root_ / "copy"); };
        made_copy_ = attempt(once);
        if (!made_copy_ && !trouble_.lasting) {
            if (fs::exists(root_ / "copy")) blame("half a copy");
            made_copy_ = attempt(once);
        }
        if (unknown_) made_copy_ = false;  // nobody knows what is in it
        at_.backed_up = made_copy_;
        told_(at_);
    }

    void check_sound(const fs::path& where) {
        const verify_report report = verify(where);
        if (!report.sound()) blame("verify: " + report.findings.front().what);
    }

    fs::path root_;
    workload work_;
    std::function<void(const step&)> told_;
    const trouble trouble_;
    std::unique_ptr<database> db_;
    std::vector<reply> replies_;
    model known_;
    model maybe_;
    bool unknown_ = false;
    bool made_copy_ = false;
    step at_;
};

fs::path root_of(const temp_directory& directory) { return fs::canonical(directory.path()); }

constexpr std::uint64_t script_seed = 20'240'101;

/// Where a sanitizer looks, some of the calls are enough: others for each kind of fault.
std::uint64_t calls_apart() { return sanitized && !long_test() ? 7 : 1; }

/// What a life did that nothing disturbed.
struct whole_life {
    explicit whole_life(std::uint64_t seed) {
        const temp_directory directory;
        const fs::path root = root_of(directory);
        volume::start(root);
        life one(root, seed, [&](const step& at) {
            steps.push_back(at);
            volume::confirm(steps.size());
        });
        one.live();
        calls = volume::unplan();
        looks = volume::looks();
        events = volume::stop();
        one.look_back();
        models = std::move(one.models);
        failure = one.failure;
    }
    std::vector<step> steps;
    std::vector<model> models;
    std::vector<volume::event> events;
    std::uint64_t calls = 0;
    std::uint64_t looks = 0;
    std::string failure;
};

std::optional<std::string> check_one(const fs::path& where, const std::vector<model>& models,
                                     std::size_t commits, std::size_t more) {
    {
        const database db(where, small_options());
        if (db.opened().created) return "it is not there";
        auto found = difference(db, models.at(commits));
        for (std::size_t i = 1; found && i <= more && commits + i < models.size(); ++i)
            if (!difference(db, models[commits + i])) found.reset();
        if (found) return found;
    }
    const verify_report report = verify(where);
    return report.sound() ? std::nullopt : std::optional("verify: " + report.findings.front().what);
}

bool opens(const fs::path& where) {
    try {
        const database db(where, small_options());
        return true;
    } catch (const error&) {
        return false;
    }
}

/// A copy that was interrupted is no database, and makes room for the next one.
std::optional<std::string> check_copied_anew(const fs::path& root, const std::vector<model>& models,
                                             const step& at) {
    if (fs::exists(root / "copy" / "unfinished_copy") && opens(root / "copy"))
        return "half a copy is opened";
    backup(root / "db", root / "copy");
    if (fs::exists(root / "copy" / "unfinished_copy")) return "what was interrupted is still there";
    const auto found = check_one(root / "copy", models, at.commits, 1);
    return found ? "the copy, made anew: " + *found : found;
}

/// What is left of a life that came as far as `at`.
std::optional<std::string> check_left(const fs::path& root, const std::vector<model>& models,
                                      const step& at) {
    try {
        if (at.made)
            if (auto found = check_one(root / "db", models, at.commits, 1)) return found;
        if (!at.made) {
            const database db(root / "db", small_options());
            if (auto found = difference(db, model())) return found;
        }
        // A copy is there whole, or its data is not there at all.
        const bool copied = at.backed_up || fs::exists(root / "copy" / "data.mdb");
        if (at.backing_up && copied)
            if (auto found = check_one(root / "copy", models, at.copied, 0))
                return "the copy: " + *found;
        if (at.backing_up && !copied) return check_copied_anew(root, models, at);
    } catch (const error& refused) {
        return refused.what();
    }
    return std::nullopt;
}

// --- Killed -------------------------------------------------------------------------------------

/// Lives in a process of its own that is killed at call `at`; how far it had come.
std::optional<std::string> killed_life(const whole_life& whole, volume::fate how,
                                       std::uint64_t at) {
    const temp_directory directory;
    const fs::path root = root_of(directory);
    void* const shared =
        ::mmap(nullptr, sizeof(step), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    auto* const last = new (shared) step;
    const pid_t child = ::fork();
    if (child == 0) {
        volume::start(root);
        volume::plan(how, at, false);
        life one(root, script_seed, [&](const step& now) { *last = now; });
        one.live();
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    const step reached = *last;
    ::munmap(shared, sizeof(step));
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) return "was not killed";
    return check_left(root, whole.models, reached);
}

TEST(Kill, AtEveryCallThatChangesSomethingLosesAndHalvesNothing) {
    const whole_life whole(script_seed);
    ASSERT_EQ(whole.failure, "");
    EXPECT_GT(whole.calls, 80U) << "the life has become too short to prove anything";
    for (std::uint64_t at = 0; at < whole.calls; at += calls_apart())
        for (const auto how : {volume::fate::killed, volume::fate::killed_in_it}) {
            const auto found = killed_life(whole, how, at);
            ASSERT_EQ(found, std::nullopt) << "call " << at << " of " << whole.calls;
        }
}

// A step of 3,000 records, from LMDB's opening to its last write.
TEST(Kill, AtEveryCallOfAnUpgradeLeavesTheOldOrTheNewFormatWhole) {
    const temp_directory directory;
    const fs::path root = root_of(directory);
    { const database db(root / "older", small_options()); }
    make_older(root / "older");
    std::size_t old_ones = 0;
    std::size_t new_ones = 0;
    bool killed = true;
    for (std::uint64_t at = 0; killed; ++at)
        for (const auto how : {volume::fate::killed, volume::fate::killed_in_it}) {
            fs::remove_all(root / "db");
            fs::copy(root / "older", root / "db");
            const pid_t child = ::fork();
            if (child == 0) {
                volume::start(root / "db");
                volume::plan(how, at, false);
                ::_exit(upgrade_from_older(root / "db") ? 0 : 1);
            }
            int status = 0;
            ::waitpid(child, &status, 0);
            killed = WIFSIGNALED(status);
            ASSERT_TRUE(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) << status;
            const auto format = format_of_all(root / "db");
            ASSERT_TRUE(format) << "half of each, call " << at;
            ASSERT_TRUE(killed || *format == 1);
            ++(*format == 0 ? old_ones : new_ones);
        }
    EXPECT_GT(old_ones, 4U);
    EXPECT_GT(new_ones, 1U);
}

// --- Cut from power -----------------------------------------------------------------------------

TEST(PowerCut, OfAWholeLifeLosesNothingThatWasConfirmedAndNoName) {
    const std::size_t cuts_a_life = long_test() ? 300 : sanitized ? 40 : 120;
    expect_no_failure(10, [&](std::uint64_t seed) -> std::optional<std::string> {
        dice random(~seed);
        const whole_life whole(seed);
        if (!whole.failure.empty()) return whole.failure;
        for (std::size_t cut = 0; cut < cuts_a_life; ++cut) {
            const std::size_t at = random.below(whole.events.size() + 1);
            step reached;
            for (std::size_t i = 0; i < at; ++i)
                if (whole.events[i].what == volume::event::kind::confirm)
                    reached = whole.steps[whole.events[i].token - 1];
            const temp_directory directory;
            volume::leave_after_cut(whole.events, at, random.below(5) * 25, random,
                                    directory.path());
            if (auto found = check_left(directory.path(), whole.models, reached))
                return *found + "; cut at event " + std::to_string(at) + " with " +
                       std::to_string(reached.commits) + " commits confirmed";
        }
        return std::nullopt;
    });
}

// --- With calls that fail -----------------------------------------------------------------------

void fail_at_every_call_of_a_life(volume::fate what, bool lasting) {
    const whole_life whole(script_seed);
    const life::trouble trouble{
        .doubtful = what == volume::fate::io_error || what == volume::fate::read_only,
        .lasting = lasting};
    std::uint64_t refusals = 0;
    const std::uint64_t apart = calls_apart();
    for (std::uint64_t at = static_cast<std::uint64_t>(what) % apart; at < whole.calls;
         at += apart) {
        const temp_directory directory;
        const fs::path root = root_of(directory);
        volume::start(root);
        volume::plan(what, at, lasting);
        life one(
            root, script_seed, [](const step&) {}, trouble);
        one.live();
        volume::unplan();
        one.look_back();
        volume::stop();
        ASSERT_EQ(one.failure, "") << "call " << at << " of " << whole.calls;
        refusals += one.refusals;
    }
    if (what == volume::fate::cut_short || apart > 1) return;
    EXPECT_GT(refusals, 20U) << "hardly any opening, compaction or copy failed";
}

// Opening what is there, reading it, and mapping it.
void fail_at_every_look_of_a_life(bool lasting) {
    const whole_life whole(script_seed);
    EXPECT_GT(whole.looks, 20U) << "hardly anything is looked at";
    std::uint64_t refusals = 0;
    const std::uint64_t apart = calls_apart();
    for (std::uint64_t at = 0; at < whole.looks; at += apart) {
        const temp_directory directory;
        const fs::path root = root_of(directory);
        volume::start(root);
        volume::plan_looks(at, lasting);
        life one(root, script_seed, [](const step&) {}, {.lasting = lasting, .unread = true});
        one.live();
        volume::unplan();
        one.look_back();
        volume::stop();
        ASSERT_EQ(one.failure, "") << "look " << at << " of " << whole.looks;
        refusals += one.refusals;
    }
    EXPECT_GT(refusals, whole.looks / apart / 2);
}

TEST(Fault, InAWholeLifeIsToldAndLosesNothingThatWasConfirmed) {
    using volume::fate;
    for (const bool lasting : {false, true}) {
        fail_at_every_call_of_a_life(fate::io_error, lasting);
        fail_at_every_call_of_a_life(fate::no_space, lasting);
        fail_at_every_look_of_a_life(lasting);
    }
    fail_at_every_call_of_a_life(fate::no_quota, false);
    fail_at_every_call_of_a_life(fate::read_only, true);
    // LMDB makes a call anew for as long as it is interrupted.
    fail_at_every_call_of_a_life(fate::interrupted, false);
    fail_at_every_call_of_a_life(fate::cut_short, false);
}

}  // namespace
}  // namespace cairn::test
