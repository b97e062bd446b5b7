#include "support/child_process.hpp"
#include "support/eventually.hpp"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <optional>
#include <ostream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace cairn::bench {
namespace {

using test::child_process;
using test::eventually;

struct finished {
    int exit_code = -1;
    std::string output;
};

std::vector<std::string> command(const std::string& arguments) {
    std::istringstream words(arguments);
    std::vector<std::string> result{CAIRN_BENCH};
    for (std::string word; words >> word;) result.push_back(word);
    return result;
}

finished bench(const std::string& arguments) {
    child_process process(command(arguments));
    const auto code = process.wait(std::chrono::seconds(60));
    return {code.value_or(-1), process.output()};
}

std::optional<double> number(const std::string& json, const std::string& name) {
    std::smatch found;
    if (!std::regex_search(json, found, std::regex("\"" + name + "\": (-?[0-9.e+]+)"))) return {};
    return std::stod(found[1]);
}

void expect_all_fields(const std::string& json) {
    EXPECT_TRUE(std::regex_match(json, std::regex("(\\{.*\\}\n)+"))) << json;
    for (const char* name : {"scenario", "size", "transport", "messages_per_s", "mb_per_s",
                             "p50_us", "p99_us", "baseline_messages_per_s", "ratio", "met"})
        EXPECT_NE(json.find('"' + std::string(name) + "\": "), std::string::npos) << name << json;
}

void expect_positive(const std::string& json, const std::vector<std::string>& names) {
    for (const auto& name : names) EXPECT_GT(number(json, name).value_or(0), 0) << name << json;
}

/// A scenario as small as it gets, and the figures that it must fill in.
struct tiny_run {
    std::string arguments;
    std::vector<std::string> figures;
};

void PrintTo(const tiny_run& run, std::ostream* out) { *out << run.arguments; }

const std::vector<std::string> rates{"messages_per_s", "mb_per_s", "baseline_messages_per_s",
                                     "ratio"};
const std::vector<std::string> latencies{"p50_us", "p99_us", "baseline_p50_us", "ratio"};

class Scenario : public testing::TestWithParam<tiny_run> {};

TEST_P(Scenario, MeasuresWithTinyInput) {
    const auto done = bench(GetParam().arguments + " --seconds 0.2 --rounds 1 --json");
    EXPECT_EQ(done.exit_code, 0) << done.output;
    expect_all_fields(done.output);
    expect_positive(done.output, GetParam().figures);
}

std::string named_by_arguments(const testing::TestParamInfo<tiny_run>& named) {
    return std::regex_replace(named.param.arguments, std::regex("[^a-z0-9]+"), "_");
}

INSTANTIATE_TEST_SUITE_P(
    Each, Scenario,
    testing::Values(
        tiny_run{"push --size 100", rates}, tiny_run{"push --size 100 --transport ipc", rates},
        tiny_run{"push --size 100 --transport inproc", rates}, tiny_run{"pubsub --size 100", rates},
        tiny_run{"pubsub --size 100 --transport ipc", rates},
        tiny_run{"pubsub --size 100 --transport inproc", rates}, tiny_run{"rtt", latencies},
        tiny_run{"rtt --transport ipc", latencies}, tiny_run{"rtt --transport inproc", latencies},
        tiny_run{"fanout --peers 2", rates}, tiny_run{"fanout-single --peers 3", rates},
        tiny_run{"publish-cost", latencies}, tiny_run{"publish-threads", rates},
        tiny_run{"idle-topics --topics 50", {"topics"}},
        tiny_run{"stopped-reader", {"messages_per_s", "sender_growth_mb", "sender_limit_mb"}},
        tiny_run{"stopped-puller", {"sender_growth_mb", "sender_limit_mb"}},
        tiny_run{"store-append --size 100", {"messages_per_s", "ratio", "disk_messages_per_s"}},
        tiny_run{"store-commit", latencies}, tiny_run{"store-producers", rates},
        tiny_run{"store-producers --flush-ms 1",
                 {"messages_per_s", "baseline_messages_per_s", "ratio", "emulated_flush_ms"}},
        tiny_run{"store-queue --messages 20000", rates},
        tiny_run{"store-interleaved --messages 20000", rates},
        tiny_run{"store-read --size 100 --messages 20000", {"messages_per_s", "mb_per_s"}},
        tiny_run{"store-open --messages 20000", {"open_ms", "memory_mb"}},
        tiny_run{"store-growth --messages 20000", {"p50_us", "baseline_p50_us", "ratio"}},
        tiny_run{"durable-publish --size 100", rates},
        tiny_run{"durable-publish --size 1024", rates},
        tiny_run{"durable-publish --size 65536", rates},
        tiny_run{"durable-publish --size 100 --transport ipc", rates},
        tiny_run{"durable-wait", latencies}, tiny_run{"durable-producers", rates},
        tiny_run{"durable-producers --flush-ms 1",
                 {"messages_per_s", "baseline_messages_per_s", "ratio", "emulated_flush_ms"}},
        tiny_run{"durable-replay --messages 20000", {"messages_per_s", "mb_per_s"}},
        tiny_run{"isolation",
                 {"p50_us", "baseline_p50_us", "ratio", "on_p50_us", "on_p99_us", "stopped_p50_us",
                  "stopped_p99_us", "killed_p50_us", "killed_p99_us"}},
        tiny_run{"stuck-reader --peers 3", {"p50_us", "p99_us", "baseline_p99_us", "ratio"}},
        tiny_run{"durable-live", {"messages_per_s", "durable_messages_per_s"}},
        tiny_run{"durable-catch-up --messages 20000 --rate 1000",
                 {"messages_per_s", "seconds_until_live", "store_peak_mb", "store_anonymous_mb"}},
        tiny_run{"durable-start --messages 20000", {"p50_us", "start_ms"}}),
    named_by_arguments);

#ifdef CAIRN_BENCH_PEERS
INSTANTIATE_TEST_SUITE_P(Peers, Scenario,
                         testing::Values(tiny_run{"durable-jetstream", rates},
                                         tiny_run{"durable-redis", rates}),
                         named_by_arguments);
#endif

TEST(Bench, MeasuresTheBaselineAlone) {
    const auto done = bench("push --size 100 --seconds 0.2 --rounds 1 --only-baseline --json");
    EXPECT_EQ(done.exit_code, 0) << done.output;
    expect_positive(done.output, {"baseline_messages_per_s"});
    EXPECT_FALSE(number(done.output, "ratio")) << done.output;
}

// A commit has two flushes, LMDB's own as well.
TEST(Bench, LetsFlushesTakeLongerAndSaysSo) {
    const auto done = bench("store-commit --flush-ms 5 --seconds 0.2 --rounds 1 --json");
    EXPECT_EQ(done.exit_code, 0) << done.output;
    EXPECT_GE(number(done.output, "p50_us").value_or(0), 10'000) << done.output;
    EXPECT_GE(number(done.output, "baseline_p50_us").value_or(0), 10'000) << done.output;
    EXPECT_EQ(number(done.output, "emulated_flush_ms"), 5) << done.output;
    EXPECT_NE(done.output.find("\"met\": null"), std::string::npos) << done.output;
    EXPECT_EQ(bench("push --flush-ms 1").exit_code, 2);
    EXPECT_EQ(bench("durable-start --flush-ms 1").exit_code, 2);
}

TEST(Bench, PrintsATableUnlessJsonIsWanted) {
    const auto done = bench("push --size 100 --seconds 0.2 --rounds 1 --only-baseline");
    EXPECT_EQ(done.exit_code, 0);
    EXPECT_EQ(done.output.rfind("scenario ", 0), 0U) << done.output;
    EXPECT_NE(done.output.find("\npush "), std::string::npos) << done.output;
}

TEST(Bench, NamesItsScenarios) {
    const auto done = bench("--list");
    EXPECT_EQ(done.exit_code, 0);
    for (const char* name : {"push ",
                             "pubsub ",
                             "rtt ",
                             "fanout ",
                             "fanout-single ",
                             "publish-cost ",
                             "publish-threads ",
                             "idle-topics ",
                             "stopped-reader ",
                             "stopped-puller ",
                             "store-append ",
                             "store-commit ",
                             "store-producers ",
                             "store-queue ",
                             "store-interleaved ",
                             "store-read ",
                             "store-open ",
                             "store-growth ",
                             "durable-publish ",
                             "durable-wait ",
                             "durable-producers ",
                             "durable-replay ",
                             "isolation ",
                             "stuck-reader ",
                             "durable-live ",
                             "durable-catch-up ",
                             "durable-start "})
        EXPECT_NE(("\n" + done.output).find("\n" + std::string(name)), std::string::npos) << name;
}

TEST(Bench, SeesThatALateReaderGetsAllOnceAndInOrder) {
    const auto done =
        bench("durable-catch-up --messages 50000 --rate 20000 --seconds 0.2 --rounds 1 --json");
    EXPECT_EQ(done.exit_code, 0) << done.output;
    EXPECT_EQ(number(done.output, "gaps"), 0) << done.output;
    EXPECT_EQ(number(done.output, "misplaced"), 0) << done.output;
}

TEST(Bench, ExplainsWhatItCannotMeasure) {
    EXPECT_EQ(bench("flying").exit_code, 2);
    EXPECT_EQ(bench("").exit_code, 2);
    EXPECT_EQ(bench("push --transport carrier-pigeon").exit_code, 2);
    const auto done = bench("stopped-reader --transport inproc");
    EXPECT_EQ(done.exit_code, 2);
    EXPECT_NE(done.output.find("separate processes"), std::string::npos) << done.output;
}

std::vector<pid_t> children_of(pid_t parent) {
    const auto task = "/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent);
    std::ifstream list(task + "/children");
    std::vector<pid_t> found;
    for (pid_t child = 0; list >> child;) found.push_back(child);
    return found;
}

TEST(Bench, TakesItsProcessesAlongWhenItIsKilled) {
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // so that orphans can be waited for here
    child_process harness(command("push --size 100 --only-baseline --seconds 60 --rounds 1"));
    std::vector<pid_t> started;
    EXPECT_TRUE(eventually([&] {
        started = children_of(harness.pid());
        return started.size() == 2;
    }));
    EXPECT_TRUE(harness.signal(SIGKILL));
    EXPECT_EQ(harness.wait(std::chrono::seconds(10)), 128 + SIGKILL);
    for (const pid_t orphan : started) {
        int status = 0;
        ASSERT_EQ(::waitpid(orphan, &status, 0), orphan);
        EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
}

}  // namespace
}  // namespace cairn::bench
