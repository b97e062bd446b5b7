#include "durable_simulation.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "random.hpp"

namespace cairn::test {
namespace {

TEST(DurableStream, LosesNothingInSilenceWhoeverIsKilled) {
    expect_no_failure(100'000, [](std::uint64_t seed) { return run_durable_schedule(seed); });
}

TEST(DurableStream, IsSeenInAllItsTurnsByTheSimulation) {
    sights seen;
    for (std::uint64_t seed = 1; seed <= 500; ++seed)
        ASSERT_EQ(run_durable_schedule(seed, planted::nothing, &seen), std::nullopt) << seed;
    for (const auto& [what, times] : {std::pair{"live", seen.live},
                                      {"history", seen.history},
                                      {"joined", seen.joined},
                                      {"fell back", seen.fell_back},
                                      {"restarts", seen.restarts},
                                      {"gaps", seen.gaps},
                                      {"orphaned", seen.orphaned},
                                      {"spilled", seen.spilled},
                                      {"lost", seen.lost},
                                      {"duplicates", seen.duplicates},
                                      {"debts", seen.debts},
                                      {"twins", seen.twins},
                                      {"fenced", seen.fenced},
                                      {"takeovers", seen.takeovers},
                                      {"wipes", seen.wipes}}) {
        EXPECT_GE(times, 20u) << what;
        RecordProperty(what, std::to_string(times));
    }
}

class PlantedBug : public testing::TestWithParam<planted> {};

TEST_P(PlantedBug, IsNoticed) {
    std::uint64_t seed = 1;
    while (seed != 20'000 && !run_durable_schedule(seed, GetParam())) ++seed;
    EXPECT_LT(seed, 20'000u) << "no schedule noticed it";
}

INSTANTIATE_TEST_SUITE_P(DurableStream, PlantedBug,
                         testing::Values(planted::store_confirms_before_its_sync,
                                         planted::publisher_goes_on_where_it_was,
                                         planted::publisher_names_no_loss,
                                         planted::reader_believes_the_first_gone,
                                         planted::reader_asks_for_no_repair,
                                         planted::reader_enters_a_restart_at_once,
                                         planted::reader_asks_the_store_only_once,
                                         planted::publisher_hides_what_it_owes));

}  // namespace
}  // namespace cairn::test
