#include "store/support/workload.hpp"
#include "support/child_process.hpp"
#include "support/temp_directory.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using namespace store;

/// The model after so many commits of a seed.
model model_after(std::uint64_t seed, std::uint64_t commits) {
    model known;
    workload work(seed, "", 300);
    std::vector<reply> expected;
    for (; commits > 0; --commits) (void)work.next_commit(known, expected);
    return known;
}

/// Kills one database's process again and again; each goes on where the one before died.
std::optional<std::string> kill_often(std::uint64_t seed, int kills) {
    const temp_directory directory;
    dice random(~seed);
    std::uint64_t commits = 0;
    for (int kill = 0; kill < kills; ++kill) {
        child_process victim(
            {STORE_KILL_VICTIM, directory / "db", std::to_string(seed), std::to_string(commits)});
        // At a random moment: so many commits, and then anywhere in the next ones.
        const std::string confirms(random.below(12), 'c');
        if (!victim.wait_for_output(confirms, 60s)) return "died by itself: " + victim.output();
        for (volatile std::uint64_t spin = random.below(300'000); spin > 0;) spin = spin - 1;
        victim.signal(SIGKILL);
        if (victim.wait(60s) != 128 + SIGKILL) return "ended by itself: " + victim.output();
        const auto confirmed = static_cast<std::uint64_t>(
            std::count(victim.output().begin(), victim.output().end(), 'c'));
        if (victim.output().find('e') != std::string::npos) return "confirmed early";
        if (!std::filesystem::exists(directory / "db" / "data.mdb")) {
            if (confirmed > 0) return "no database";
            continue;
        }
        const database db(directory / "db", small_options());
        commits += confirmed;
        const auto found = difference(db, model_after(seed, commits));
        if (!found) continue;
        // The commit that was going on may have arrived, all of it.
        if (difference(db, model_after(seed, ++commits)))
            return *found + "; after kill " + std::to_string(kill) + ", " +
                   std::to_string(confirmed) + " commits confirmed";
    }
    const verify_report report = verify(directory / "db");
    if (!report.sound()) return "verify: " + report.findings.front().what;
    return std::nullopt;
}

TEST(Kill, LosesNothingThatWasConfirmedAndHalvesNothing) {
    constexpr int kills = 20;
    expect_no_failure(16, [](std::uint64_t seed) { return kill_often(seed, kills); });
}

}  // namespace
}  // namespace cairn::test
