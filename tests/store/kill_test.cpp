#include "store/support/producers.hpp"
#include "store/support/workload.hpp"
#include "support/child_process.hpp"
#include "support/temp_directory.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <sstream>
#include <utility>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using namespace store;

/// What a commit makes of its commands: one transaction, or one for each.
enum class parts { one, each };

/// The model after so many commits of a seed, and after each transaction of the next one.
std::vector<model> models_after(std::uint64_t seed, std::uint64_t commits, parts of_commits) {
    model known;
    workload work(seed, "", 300, {.apart = of_commits == parts::each});
    std::vector<reply> expected;
    for (; commits > 0; --commits) (void)work.next_commit(known, expected);
    const model before = known;
    return work.steps_of(before, work.next_commit(known, expected));
}

/// Anywhere in what follows: soon, or also some transactions later.
std::optional<std::string> kill_soon(child_process& victim, dice& random,
                                     parts of_commits = parts::one) {
    const std::uint64_t most = of_commits == parts::one ? 300'000 : 10'000'000;
    for (volatile std::uint64_t spin = random.below(most); spin > 0;) spin = spin - 1;
    victim.signal(SIGKILL);
    if (victim.wait(60s) == 128 + SIGKILL) return std::nullopt;
    return "ended by itself: " + victim.output();
}

/// Finds the first of them, from `at` on, that the database holds, and sets `at`; else what differs
/// from the one at `at`.
std::optional<std::string> first_match(const database& db, const std::vector<model>& all,
                                       std::size_t& at) {
    const auto found = difference(db, all[at]);
    while (difference(db, all[at]))
        if (++at == all.size()) return found;
    return std::nullopt;
}

/// Kills one database's process again and again; each goes on where the one before died.
std::optional<std::string> kill_often(std::uint64_t seed, int kills, parts of_commits,
                                      int& halves) {
    const temp_directory directory;
    dice random(~seed);
    std::uint64_t commits = 0;
    std::size_t done = 0;  // transactions of the next one
    for (int kill = 0; kill < kills; ++kill) {
        child_process victim({STORE_KILL_VICTIM, of_commits == parts::each ? "apart" : "commits",
                              directory / "db", std::to_string(seed), std::to_string(commits),
                              std::to_string(done)});
        // At a random moment: so many commits, and then anywhere in the next ones.
        const std::string confirms(random.below(12), 'c');
        if (!victim.wait_for_output(confirms, 60s)) return "died by itself: " + victim.output();
        if (auto found = kill_soon(victim, random, of_commits)) return found;
        const auto confirmed = static_cast<std::uint64_t>(
            std::count(victim.output().begin(), victim.output().end(), 'c'));
        if (victim.output().find('e') != std::string::npos) return "confirmed early";
        if (!std::filesystem::exists(directory / "db" / "data.mdb")) {
            if (confirmed > 0) return "no database";
            continue;
        }
        const database db(directory / "db", small_options());
        if (confirmed > 0 && db.opened().clean) return "it says that it was closed";
        commits += confirmed;
        // Of the commit that was going on the first transactions may have arrived, each whole.
        if (confirmed > 0) done = 0;
        const std::vector<model> steps = models_after(seed, commits, of_commits);
        const auto found = first_match(db, steps, done);
        if (found)
            return *found + "; after kill " + std::to_string(kill) + ", " +
                   std::to_string(confirmed) + " commits confirmed";
        if (done > 0 && done + 1 < steps.size()) ++halves;
        if (of_commits == parts::one) commits += std::exchange(done, 0);
    }
    const verify_report report = verify(directory / "db");
    if (!report.sound()) return "verify: " + report.findings.front().what;
    return std::nullopt;
}

/// How many commands of one producer a process lives for. One in six lives long, so that what dies
/// is much: 200,000 messages in all.
std::uint64_t commands_until(int kill, dice& random) {
    if (kill % 6 != 5) return random.below(30);
    return sanitized ? random.between(50, 150) : random.between(500, 1'500);
}

/// What the producers of a victim said; what is wrong with it.
std::optional<std::string> read_ledger(const std::string& said, producers::ledger& all) {
    std::istringstream lines(said);
    for (std::string line; std::getline(lines, line) && !lines.eof();) {  // the last one may be cut
        std::istringstream in(line);
        char verb = 0;
        std::size_t p = 0;
        in >> verb >> p;
        if (verb == 'x') return "wrong: " + line;
        if (verb == '?') {
            char what = 0;
            producers::deed d;
            in >> what >> d.topic >> d.first >> d.last;
            d.what = static_cast<producers::deed::kind>(what);
            all.deeds.at(p).push_back(d);
        } else {
            std::size_t number = 0;
            std::uint64_t at = 0;
            bool gone = false;
            in >> number >> at >> gone;
            all.confirm(p, number, at, gone);
        }
        if (!in) return "cannot be read: " + line;
    }
    return std::nullopt;
}

/// Messages whose store or ack was confirmed.
std::uint64_t confirmed_messages(const producers::ledger& told) {
    std::uint64_t sum = 0;
    for (const auto& deeds : told.deeds)
        for (const producers::deed& d : deeds) sum += d.confirmed > 0 ? d.last - d.first + 1 : 0;
    return sum;
}

/// The same with a committer and its producers. Adds up what was confirmed.
std::optional<std::string> kill_producers(std::uint64_t seed, int kills, std::uint64_t& confirmed) {
    const temp_directory directory;
    dice random(~seed);
    producers::holding before;
    for (int kill = 0; kill < kills; ++kill) {
        child_process victim({STORE_KILL_VICTIM, "producers", directory / "db",
                              std::to_string(seed + static_cast<std::uint64_t>(kill))});
        const std::string some = "! 0 " + std::to_string(commands_until(kill, random)) + " ";
        if (random.chance(90) && !victim.wait_for_output(some, 60s))
            return "died by itself: " + victim.output();
        if (auto found = kill_soon(victim, random)) return found;
        producers::ledger told;
        if (auto wrong = read_ledger(victim.output(), told)) return wrong;
        const auto where = "; after kill " + std::to_string(kill) + ", " +
                           std::to_string(told.confirms) + " commands confirmed";
        if (!std::filesystem::exists(directory / "db" / "data.mdb")) {
            if (told.confirms > 0) return "no database" + where;
            continue;
        }
        producers::holding now;
        {
            const database db(directory / "db", small_options());
            if (auto found = producers::observe(db, now)) return *found + where;
        }
        if (auto found = producers::compare(before, now, told, told.confirms))
            return *found + where;
        before = std::move(now);
        confirmed += confirmed_messages(told);
    }
    const verify_report report = verify(directory / "db");
    if (!report.sound()) return "verify: " + report.findings.front().what;
    return std::nullopt;
}

TEST(Kill, LosesNothingThatWasConfirmedAndHalvesNothing) {
    constexpr int kills = 20;
    int halves = 0;
    expect_no_failure(
        8, [&](std::uint64_t seed) { return kill_often(seed, kills, parts::one, halves); });
}

TEST(Kill, BetweenTheTransactionsOfACommitHalvesNone) {
    constexpr int kills = 20;
    int halves = 0;
    int schedules = 0;
    expect_no_failure(8, [&](std::uint64_t seed) {
        ++schedules;
        return kill_often(seed, kills, parts::each, halves);
    });
    if (schedules >= 8) {
        EXPECT_GT(halves, 0) << "no commit was killed in its middle";
    }
}

TEST(Kill, LosesNothingOfWhatFourProducersWereTold) {
    constexpr int kills = 20;
    std::uint64_t confirmed = 0;
    std::uint64_t schedules = 0;
    expect_no_failure(9, [&](std::uint64_t seed) {
        ++schedules;
        return kill_producers(seed, kills, confirmed);
    });
    if (schedules >= 9) {
        EXPECT_GE(confirmed, 200'000U) << "too few to prove anything";
    }
}

}  // namespace
}  // namespace cairn::test
