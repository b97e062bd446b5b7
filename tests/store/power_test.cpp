// A power cut: of what was written since the last sync, any sectors of 512 bytes may be on the disk
// and any may not, in whatever order they were written. What one sector holds is written whole or
// not at all; a sync that returned has done what it says.
#include "store/support/disk.hpp"
#include "store/support/lowered_bounds.hpp"
#include "store/support/older_format.hpp"
#include "store/support/producers.hpp"
#include "store/support/workload.hpp"
#include "support/temp_directory.hpp"

#include <cairn/store/maintenance.hpp>
#include <cairn/store/reader.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <set>

namespace cairn::test {
namespace {

using namespace store;

/// What a commit makes of its commands: one transaction, or one for each.
enum class parts { one, each };

/// A run of commits as the disk saw it, with the model after each.
struct recorded_run {
    std::vector<std::byte> base;
    std::vector<disk::event> events;
    std::vector<model> models;                // models[n]: after n commits
    std::vector<std::vector<model>> between;  // [n]: after each transaction of the commit behind
    std::size_t reopened = 0;                 // the event of a reopening
    int halves = 0;                           // commits of which a cut left a part

    /// Whether it is what so many commits leave, or some of the transactions of the next one.
    std::optional<std::string> differs(const database& db, std::uint64_t commits) {
        auto found = difference(db, models[commits]);
        if (!found || commits + 1 == models.size()) return found;
        if (!difference(db, models[commits + 1])) return std::nullopt;
        if (between.size() <= commits) return found;
        for (const model& one : between[commits]) {
            if (difference(db, one)) continue;
            ++halves;
            return std::nullopt;
        }
        return found;
    }
};

recorded_run record(std::uint64_t seed, std::size_t bytes_max, parts of_commits = parts::one) {
    const bool apart = of_commits == parts::each;
    const lowered_bounds lowered(apart ? commands_apart : bounds{});
    const temp_directory directory;
    const auto file = directory / "db" / "data.mdb";
    recorded_run run;
    database db(directory / "db", small_options());
    run.base = disk::read_file(file);
    disk::start_recording(file);
    model known;
    run.models.push_back(known);
    workload work(seed, "", bytes_max, {.apart = apart});
    std::vector<reply> expected;
    std::vector<reply> replies;
    for (std::uint64_t commit = 1; commit <= 25; ++commit) {
        const auto commands = work.next_commit(known, expected);
        if (apart) run.between.push_back(work.steps_of(run.models.back(), commands));
        run.models.push_back(known);
        // Nothing here asks for durability::written: who is told early is told too early.
        db.commit(commands, at_ms(1'000), replies,
                  [&](std::size_t, const reply&) { disk::confirm(commit); });
        disk::confirm(commit);
    }
    run.events = disk::stop_recording();
    return run;
}

/// A run whose disk fails once or from then on, and that goes on when it is opened again. What the
/// opening shows counts as confirmed: readers get it, and a repeat is answered without a commit.
recorded_run record_reopened(std::uint64_t seed, parts of_commits) {
    const bool apart = of_commits == parts::each;
    const lowered_bounds lowered(apart ? commands_apart : bounds{});
    const temp_directory directory;
    const auto file = directory / "db" / "data.mdb";
    recorded_run run;
    dice random(seed);
    auto db = std::make_unique<database>(directory / "db", small_options());
    run.base = disk::read_file(file);
    disk::start_recording(file);
    disk::start_faults(file, disk::fault::unsure, random.below(24), random.chance(80), seed);
    model known;
    run.models.push_back(known);
    workload work(seed, "", 60, {.apart = apart});
    std::vector<reply> expected;
    std::vector<reply> replies;
    std::size_t done = 0;  // transactions of the last commit that were confirmed
    const auto commit = [&] {
        const auto commands = work.next_commit(known, expected);
        run.between.push_back(work.steps_of(run.models.back(), commands));
        run.models.push_back(known);
        db->commit(commands, at_ms(1'000), replies);
        done = 0;
        for (const std::size_t i : applied_order(commands))
            done += replies[i].code == errc::store_failed ? 0U : 1U;
        if (!db->stats().failed) disk::confirm(run.models.size() - 1);
    };
    while (!db->stats().failed) commit();
    disk::stop_faults();
    const std::uint64_t confirmed = db->opened().last_commit + db->stats().commits;
    if (done > 0) ++run.halves;
    EXPECT_TRUE(apart || done == 0) << "failed in part";
    db.reset();
    db = std::make_unique<database>(directory / "db", small_options());
    const std::size_t failed = run.models.size() - 1;
    known = run.between[failed - 1][db->opened().last_commit > confirmed ? done + 1 : done];
    EXPECT_EQ(difference(*db, known), std::nullopt) << "the one that failed: whole or not at all";
    run.between.emplace_back();
    run.models.push_back(known);
    disk::confirm(run.models.size() - 1);
    for (int i = 0; i < 3; ++i) commit();
    run.events = disk::stop_recording();
    for (std::size_t i = 0; i < run.events.size(); ++i)
        if (run.events[i].token == failed + 1) run.reopened = i;
    return run;
}

/// Cuts of each run: with all runs of this program and of the whole lives 23,600, a million in a
/// long test.
std::size_t cuts_of(std::size_t normal, std::size_t where_a_sanitizer_looks) {
    if (long_test()) return normal * 5 / 2;
    return sanitized ? where_a_sanitizer_looks : normal;
}

class one_cut {
public:
    one_cut(recorded_run& run, dice& random) : run_(run), random_(random) {}

    std::optional<std::string> check() {
        const std::size_t at =
            random_.between(random_.chance(20) ? 0 : run_.reopened, run_.events.size() - 1);
        std::uint64_t confirmed = 0;
        for (std::size_t i = 0; i < at; ++i)
            if (run_.events[i].what == disk::event::kind::confirm) confirmed = run_.events[i].token;
        const std::uint64_t share = random_.below(5) * 25;  // none, some or all of what is unsynced
        const auto image =
            disk::image_after(run_.base, run_.events, at,
                              [&](std::size_t, std::size_t) { return random_.chance(share); });
        const temp_directory directory;
        std::filesystem::create_directory(directory / "db");
        disk::write_file(directory / "db" / "data.mdb", image);
        try {
            std::optional<std::string> found;
            {
                const database db(directory / "db", small_options());
                found = run_.differs(db, confirmed);
            }
            if (!found && random_.chance(10)) {
                const verify_report report = verify(directory / "db");
                if (!report.sound()) found = "verify: " + report.findings.front().what;
            }
            if (found) return *found + where(at, confirmed);
        } catch (const error& problem) {
            return problem.what() + where(at, confirmed);
        }
        return std::nullopt;
    }

private:
    static std::string where(std::size_t at, std::uint64_t confirmed) {
        return "; cut at event " + std::to_string(at) + " with " + std::to_string(confirmed) +
               " commits confirmed";
    }

    recorded_run& run_;
    dice& random_;
};

TEST(PowerCut, LosesNothingThatWasConfirmedAndHalvesNothing) {
    expect_no_failure(20, [&](std::uint64_t seed) -> std::optional<std::string> {
        dice random(~seed);
        recorded_run run = record(seed, random.chance(30) ? 5'000 : 60);
        for (std::size_t cut = cuts_of(580, 30); cut > 0; --cut)
            if (auto found = one_cut(run, random).check()) return found;
        return std::nullopt;
    });
}

// Of a commit that needs several transactions the first of them are there, each whole.
TEST(PowerCut, BetweenTheTransactionsOfACommitHalvesNone) {
    int halves = 0;
    int schedules = 0;
    expect_no_failure(10, [&](std::uint64_t seed) -> std::optional<std::string> {
        ++schedules;
        dice random(~seed);
        recorded_run run = record(seed, random.chance(30) ? 5'000 : 60, parts::each);
        for (std::size_t cut = cuts_of(200, 30); cut > 0; --cut)
            if (auto found = one_cut(run, random).check()) return found;
        halves += run.halves;
        return std::nullopt;
    });
    if (schedules >= 10) {
        EXPECT_GT(halves, 10) << "hardly any commit was cut in its middle";
    }
}

// Four appends a transaction, topic by topic, however they were given.
TEST(PowerCut, OfManyAppendsLeavesTheFirstTransactionsInTheOrderInWhichTheyWereApplied) {
    constexpr std::uint64_t each = 10;
    const lowered_bounds lowered({.transaction_pages_max = 16});
    const temp_directory directory;
    const auto file = directory / "db" / "data.mdb";
    std::vector<reply> replies;
    std::vector<topic_id> topics;
    std::vector<std::byte> base;
    std::vector<disk::event> events;
    {
        database db(directory / "db", small_options());
        db.commit(std::vector<command>{open_source{"a", "s", {1}, "", true},
                                       open_source{"b", "s", {1}, "", true}},
                  at_ms(1'000), replies);
        std::vector<command> appends;
        for (std::uint64_t n = 1; n <= each; ++n)
            for (const std::size_t to : {1U, 0U})
                appends.emplace_back(batch(std::get<source_opened>(replies[to].value), {1}, n, 1,
                                           records({std::to_string(n)})));
        for (const reply& r : replies) topics.push_back(std::get<source_opened>(r.value).topic);
        base = disk::read_file(file);
        disk::start_recording(file);
        db.commit(appends, at_ms(1'000), replies);
        events = disk::stop_recording();
    }
    std::set<std::uint64_t> seen;
    for (std::size_t at = 0; at < events.size(); ++at) {
        disk::write_file(file, disk::image_after(base, events, at, [&](std::size_t, std::size_t) {
                             return at % 2 == 0;
                         }));
        std::filesystem::remove(directory / "db" / "cairn.lock");
        const database db(directory / "db", small_options());
        reader from(db);
        const std::uint64_t a = from.topic(topics[0])->end.value - 1;
        const std::uint64_t b = from.topic(topics[1])->end.value - 1;
        EXPECT_EQ((a + b) % 4, 0U) << a << " and " << b;
        EXPECT_TRUE(a == each || b == 0) << a << " and " << b;
        seen.insert(a + b);
    }
    EXPECT_GE(seen.size(), 5U);
}

// What these cuts are worth: of a disk that says it has synced and has not they tell.
TEST(PowerCut, OfADiskThatLiesIsNoticed) {
    constexpr int cuts = 100;
    dice random(1);
    recorded_run run = record(1, 60);
    for (disk::event& e : run.events) {
        e.synced = false;
        e.failed = e.what == disk::event::kind::sync;
    }
    int lost = 0;
    for (int cut = 0; cut < cuts; ++cut) lost += one_cut(run, random).check() ? 1 : 0;
    EXPECT_GT(lost, cuts / 2);
}

/// A run of four producers as the disk saw it. What is confirmed is noted among the events by the
/// committer's thread, which also writes.
class recorded_producers final : public producers::witness {
public:
    explicit recorded_producers(std::uint64_t seed) {
        const temp_directory directory;
        database db(directory / "db", small_options());
        producers::prepare(db);
        base = disk::read_file(directory / "db" / "data.mdb");
        wrong = producers::observe(db, before);
        disk::start_recording(directory / "db" / "data.mdb");
        producers::produce(db, seed, 60, *this);
        events = disk::stop_recording();
    }

    void asked(std::size_t producer, const producers::deed& what) override {
        const std::lock_guard hold(mutex_);
        told.deeds[producer].push_back(what);
    }
    void confirmed(std::size_t producer, std::size_t number, std::uint64_t at, bool gone) override {
        const std::lock_guard hold(mutex_);
        told.confirm(producer, number, at, gone);
        disk::confirm(told.confirms);
    }
    void wronged(const std::string& how) override {
        const std::lock_guard hold(mutex_);
        wrong = how;
    }

    std::vector<std::byte> base;
    std::vector<disk::event> events;
    producers::holding before;
    producers::ledger told;
    std::optional<std::string> wrong;

private:
    std::mutex mutex_;
};

std::optional<std::string> cut_producers(const recorded_producers& run, dice& random) {
    const std::size_t at = random.below(run.events.size());
    std::uint64_t confirms = 0;
    for (std::size_t i = 0; i < at; ++i)
        if (run.events[i].what == disk::event::kind::confirm) confirms = run.events[i].token;
    const std::uint64_t share = random.below(5) * 25;
    const temp_directory directory;
    std::filesystem::create_directory(directory / "db");
    disk::write_file(directory / "db" / "data.mdb",
                     disk::image_after(run.base, run.events, at, [&](std::size_t, std::size_t) {
                         return random.chance(share);
                     }));
    const auto where = "; cut at event " + std::to_string(at) + " with " +
                       std::to_string(confirms) + " commands confirmed";
    try {
        producers::holding now;
        {
            const database db(directory / "db", small_options());
            if (auto found = producers::observe(db, now)) return *found + where;
        }
        if (auto found = producers::compare(run.before, now, run.told, confirms))
            return *found + where;
        if (!random.chance(10)) return std::nullopt;
        const verify_report report = verify(directory / "db");
        if (!report.sound()) return "verify: " + report.findings.front().what + where;
    } catch (const error& problem) {
        return problem.what() + where;
    }
    return std::nullopt;
}

TEST(PowerCut, LosesNothingOfWhatFourProducersWereTold) {
    expect_no_failure(20, [&](std::uint64_t seed) -> std::optional<std::string> {
        dice random(~seed);
        const recorded_producers run(seed);
        if (run.wrong) return run.wrong;
        for (std::size_t cut = cuts_of(200, 30); cut > 0; --cut)
            if (auto found = cut_producers(run, random)) return found;
        return std::nullopt;
    });
}

void cut_after_failures(parts of_commits, std::size_t runs) {
    int halves = 0;
    std::size_t schedules = 0;
    expect_no_failure(runs, [&](std::uint64_t seed) -> std::optional<std::string> {
        ++schedules;
        dice random(~seed);
        recorded_run run = record_reopened(seed, of_commits);
        halves += run.halves;
        for (std::size_t cut = cuts_of(16, 8); cut > 0; --cut)
            if (auto found = one_cut(run, random).check()) return found;
        return std::nullopt;
    });
    if (schedules >= runs && of_commits == parts::each) {
        EXPECT_GT(halves, 10) << "it was nearly always the first one";
    }
}

TEST(PowerCut, LosesNothingThatWasShownAfterAFailedCommit) { cut_after_failures(parts::one, 200); }

TEST(PowerCut, LosesNothingThatWasShownAfterALaterTransactionOfACommitFailed) {
    cut_after_failures(parts::each, 100);
}

// A step below the assumption: the meta page itself, torn at any byte.
TEST(PowerCut, InsideTheSectorOfAMetaPageIsNoticedOrHarmless) {
    expect_no_failure(20, [&](std::uint64_t seed) -> std::optional<std::string> {
        dice random(~seed);
        const recorded_run run = record(seed, 60);
        const temp_directory directory;
        std::filesystem::create_directory(directory / "db");
        std::uint64_t confirmed = 0;
        for (std::size_t i = 0; i < run.events.size(); ++i) {
            const disk::event& e = run.events[i];
            if (e.what == disk::event::kind::confirm) confirmed = e.token;
            if (!e.synced) continue;
            auto image =
                disk::image_after(run.base, run.events, i,
                                  [&](std::size_t write, std::size_t) { return write != i; });
            // The begin or the end of it is there.
            const auto cut = static_cast<std::ptrdiff_t>(random.between(1, e.bytes.size() - 1));
            const auto to = image.begin() + static_cast<std::ptrdiff_t>(e.offset);
            if (random.chance(50))
                std::copy(e.bytes.begin(), e.bytes.begin() + cut, to);
            else
                std::copy(e.bytes.begin() + cut, e.bytes.end(), to + cut);
            disk::write_file(directory / "db" / "data.mdb", image);
            std::filesystem::remove(directory / "db" / "cairn.lock");
            try {
                const database db(directory / "db", small_options());
                auto found = difference(db, run.models[confirmed]);
                if (found && difference(db, run.models[confirmed + 1]))
                    return *found + "; torn at byte " + std::to_string(cut) + " of event " +
                           std::to_string(i);
            } catch (const error& refused) {
                if (refused.code() != errc::store_damaged) return refused.what();
            }
        }
        return std::nullopt;
    });
}

TEST(PowerCut, DuringAnUpgradeLeavesTheOldOrTheNewFormatWhole) {
    const temp_directory directory;
    { const database db(directory / "db", small_options()); }
    make_older(directory / "db");
    const auto file = directory / "db" / "data.mdb";
    const auto base = disk::read_file(file);
    disk::start_recording(file);
    ASSERT_TRUE(upgrade_from_older(directory / "db"));
    disk::confirm(1);
    const auto events = disk::stop_recording();
    const auto format_after = [&](std::size_t at, auto&& arrives) {
        disk::write_file(file, disk::image_after(base, events, at, arrives));
        return format_of_all(directory / "db");
    };
    const auto nothing = [](std::size_t, std::size_t) { return false; };
    EXPECT_EQ(format_after(0, nothing), 0U);
    EXPECT_EQ(format_after(events.size() - 1, nothing), 1U);
    expect_no_failure(100, [&](std::uint64_t seed) -> std::optional<std::string> {
        dice random(seed);
        // Half of them in the sync, the meta page and the confirm at its end.
        const std::size_t at =
            random.chance(50) ? events.size() - 1 - random.below(3) : random.below(events.size());
        const std::uint64_t share = random.below(5) * 25;
        const auto format =
            format_after(at, [&](std::size_t, std::size_t) { return random.chance(share); });
        if (!format) return "half of each, cut at event " + std::to_string(at);
        if (*format == 0 && events[at].what == disk::event::kind::confirm)
            return "what was done is undone";
        return std::nullopt;
    });
}

// Whatever an interrupted creation has left aside is made anew.
TEST(PowerCut, LeavesNoCreationHalfDone) {
    const temp_directory directory;
    { const database db(directory / "whole", small_options()); }
    const auto whole = disk::read_file(directory / "whole" / "data.mdb");
    expect_no_failure(40, [&](std::uint64_t seed) -> std::optional<std::string> {
        dice random(seed);
        const auto where = directory / ("db" + std::to_string(seed));
        std::filesystem::create_directories(where / "aside");
        std::vector<std::byte> part = whole;
        for (std::size_t at = 0; at < part.size(); at += 512)
            if (random.chance(50))
                std::fill_n(part.begin() + static_cast<std::ptrdiff_t>(at), 512, std::byte{0});
        part.resize(random.below(part.size() + 1));
        disk::write_file(where / "aside" / "data.mdb", part);
        const database db(where, small_options());
        return db.opened().created ? difference(db, model()) : "not made anew";
    });
}

}  // namespace
}  // namespace cairn::test
