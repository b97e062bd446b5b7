#include "store_fixture.hpp"
#include "support/eventually.hpp"
#include "support/raw_peer.hpp"
#include "support/rounds.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

// More clients at once than a test can have sockets of ZeroMQ.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
using wire::kind;

/// A client that speaks ZeroMQ itself.
class plain_client {
public:
    explicit plain_client(std::uint16_t port) : raw_(port) {}

    bool greet() {
        if (!raw_.greet_as_dealer()) return false;
        say(wire::hello{1, 1, stranger::made_up_node(), "one of many", 1 << 20});
        return hears(kind::hello);
    }
    void say(const wire::control_frame& frame) {
        std::vector<std::byte> bytes;
        wire::encode(frame, bytes);
        raw_.send(std::string{'\0', static_cast<char>(bytes.size())} +
                  std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    }
    /// Whether a frame of that kind comes.
    bool hears(kind wanted) {
        for (;;) {
            const std::string head = raw_.read(2, 30s);
            if (head.size() != 2 || head[0] != 0) return false;
            const auto size = static_cast<std::size_t>(static_cast<unsigned char>(head[1]));
            const std::string frame = raw_.read(size, 30s);
            if (frame.size() != size || size < 2) return false;
            if (frame[1] == static_cast<char>(wanted)) return true;
        }
    }

private:
    raw_peer raw_;
};

class Crowd : public StoreFixture {
protected:
    void SetUp() override {
        options_.network.peers_max = 10'000;
        options_.network.heartbeat = 5min;
        start();
        rlimit limit{};
        ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
        // Both ends are here, and a node keeps a fifth of what is left for others.
        most_ = limit.rlim_max / 4;
    }

    rlim_t most_ = 0;
};

TEST_F(Crowd, OfThousandsIsServed) {
    const std::size_t wanted = std::min<std::size_t>(most_, long_test() ? 4'000
                                                            : sanitized ? 300
                                                                        : 2'000);
    const auto port =
        static_cast<std::uint16_t>(std::stoi(endpoint_.substr(endpoint_.rfind(':') + 1)));
    std::vector<std::unique_ptr<plain_client>> all;
    for (std::size_t i = 0; i != wanted; ++i) {
        all.push_back(std::make_unique<plain_client>(port));
        ASSERT_TRUE(all.back()->greet()) << "client " << i;
    }
    EXPECT_EQ(store_->stats().network.links, wanted);
    for (const auto& client : all) client->say(wire::open_source{1, "quakes", "usgs", epoch{1}});
    for (const auto& client : all) ASSERT_TRUE(client->hears(kind::source_opened));
    EXPECT_EQ(store_->stats().sources, wanted);
    EXPECT_TRUE(peer()->store("quakes", "emsc", 1, 1, 5));
    all.clear();
    EXPECT_TRUE(eventually([&] { return store_->stats().network.links == 0; }, 30s));
}

}  // namespace
