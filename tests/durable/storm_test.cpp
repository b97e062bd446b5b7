#include "durable.hpp"

#include "support/rounds.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

// All clients of a store at once.
namespace {

using namespace cairn;
using namespace cairn::test;

using StoreWithManyClients = durable;

TEST_F(StoreWithManyClients, HasAllOfThemBackWithWhatTheyOweAfterEachRestart) {
    constexpr std::size_t clients = sanitized ? 12 : 60;
    constexpr int restarts = sanitized ? 4 : 20;
    constexpr int each = 3;  // published while the store is away, by each
    struct client {
        client(node_options options) : at(std::move(options)), sender(at, "weather") {}
        node at;
        publisher sender;
    };
    std::vector<std::unique_ptr<client>> all;
    for (std::size_t i = 0; i != clients; ++i)
        all.push_back(std::make_unique<client>(with_store("client-" + std::to_string(i))));

    for (int round = 0; round != restarts; ++round) {
        stop_store();
        for (const auto& c : all) publish_numbers(c->sender, round * each + 1, (round + 1) * each);
        start_store();
        for (const auto& c : all)
            ASSERT_EQ(c->sender.flush(patience), 0U) << "after restart " << round;
    }

    node there(with_store("away"));
    subscriber reader(there, "weather", {.from = from::earliest()});
    std::map<std::string, std::uint64_t> ends;
    for (std::size_t n = 0; n != clients * restarts * each; ++n) {
        const auto m = reader.receive_for(patience);
        ASSERT_TRUE(m) << n;
        EXPECT_EQ(m->text(), std::to_string(++ends[std::string(m->source())]));
        EXPECT_EQ(std::to_string(m->sequence().value), m->text());
    }
    EXPECT_EQ(ends.size(), clients);
    EXPECT_EQ(reader.stats().gaps, 0U);
}

}  // namespace
