#include "cairnd_fixture.hpp"
#include "support/eventually.hpp"
#include "support/rounds.hpp"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <sstream>

// The program with more to do than it can.
namespace {

using namespace cairn;
using namespace cairn::test;

class BusyCairnd : public Cairnd {
protected:
    /// With so many descriptors.
    void start_with(int descriptors) {
        std::ofstream(script_) << "#!/bin/sh\nulimit -n " << descriptors << "\nexec " CAIRND
                               << " \"$@\"\n";
        std::filesystem::permissions(script_, std::filesystem::perms::owner_all);
        program_ = script_.c_str();
        start();
    }
    std::size_t open_descriptors() const {
        const std::filesystem::path all = "/proc/" + std::to_string(running_->pid()) + "/fd";
        return static_cast<std::size_t>(
            std::distance(std::filesystem::directory_iterator(all), {}));
    }
    std::chrono::milliseconds processor_time() const {
        std::ifstream from("/proc/" + std::to_string(running_->pid()) + "/stat");
        std::string text((std::istreambuf_iterator<char>(from)), {});
        std::istringstream fields(text.substr(text.rfind(')') + 2));
        std::string skipped;
        for (int i = 3; i != 14; ++i) fields >> skipped;
        long user = 0;
        long system = 0;
        fields >> user >> system;
        return std::chrono::milliseconds(1'000 * (user + system) / ::sysconf(_SC_CLK_TCK));
    }

    const std::filesystem::path script_ = directory_ / "cairnd";
};

class CairndWithFewDescriptors : public BusyCairnd, public testing::WithParamInterface<int> {};

TEST_P(CairndWithFewDescriptors, ServesWhomItHas) {
    const auto descriptors = static_cast<std::size_t>(GetParam());
    start_with(GetParam());
    party steady(endpoints_.front());
    ASSERT_TRUE(steady.open(1, "quakes", "usgs", 7));
    std::vector<std::unique_ptr<stranger>> crowd;
    const auto one_more = [&] {
        crowd.push_back(std::make_unique<stranger>(endpoints_.front()));
        crowd.back()->say(wire::hello{1, 1, stranger::made_up_node(), "one of many", 64 << 20});
        return crowd.back()->hear(wire::kind::hello, 500ms).has_value();
    };
    while (crowd.size() < descriptors && one_more()) {
    }
    EXPECT_LT(crowd.size(), descriptors) << "some are left for its own files";
    EXPECT_LT(open_descriptors(), descriptors);
    const auto before = processor_time();
    EXPECT_TRUE(throughout(500ms, [] { return true; }));
    if (!sanitized) {
        EXPECT_LT(processor_time() - before, 250ms) << "nothing spins";
    }
    steady.append(1, 1, 5);
    EXPECT_TRUE(steady.confirmed(5));
    crowd.clear();
    EXPECT_TRUE(party(endpoints_.front()).store("quakes", "emsc", 7, 1, 5));
    EXPECT_EQ(end(SIGTERM), 0);
}

INSTANTIATE_TEST_SUITE_P(With, CairndWithFewDescriptors, testing::Values(128, 256),
                         [](const auto& count) { return std::to_string(count.param); });

TEST_F(BusyCairnd, LeavesInTimeWhateverIsUnderWay) {
    const int times = long_test() ? 200 : sanitized ? 2 : 20;
    std::uint64_t stored = 0;
    for (int i = 0; i != times; ++i) {
        start();
        // Who grants much and takes nothing, and who says nothing any more.
        party stuck(endpoints_.front());
        stuck.subscribe("quakes", std::uint64_t{64} << 20);
        stranger dead(endpoints_.front());
        ASSERT_TRUE(dead.greet());
        party publisher(endpoints_.front());
        const auto opened = publisher.open(1, "quakes", "usgs", 7);
        ASSERT_TRUE(opened);
        EXPECT_GE(opened->last.value, stored) << "what was confirmed is there";
        std::uint64_t next = opened->last.value + 1;
        for (int batches = 0; batches != 50; ++batches, next += 1'000)
            publisher.append(1, next, 1'000);
        ASSERT_TRUE(publisher.confirmed(opened->last.value + 1));
        const auto begin = std::chrono::steady_clock::now();
        running_->signal(SIGTERM);
        EXPECT_EQ(running_->wait(30s), 0) << running_->output();
        if (!sanitized) {
            EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
        }
        while (const auto told = publisher.raw().hear_any({wire::kind::confirm, wire::kind::bye})) {
            const auto* confirm = std::get_if<wire::confirm>(&*told);
            if (!confirm) break;
            stored = std::max(stored, confirm->up_to.value);
        }
    }
}

}  // namespace
