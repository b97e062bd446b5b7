#include "contract.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <utility>

namespace cairn::test {

namespace {

std::atomic<unsigned> endpoints_made{0};

// Tests wait for reconnects, so these come soon.
node_options impatient(node_options options) {
    options.reconnect_min = 10ms;
    options.reconnect_max = 50ms;
    return options;
}

}  // namespace

std::string contract::fresh_endpoint() {
    const std::string name = "node-" + std::to_string(++endpoints_made);
    switch (GetParam()) {
        case transport::inproc:
            return "inproc://" + name;
        case transport::ipc:
            return "ipc://" + (directory_ / name).string();
        case transport::tcp:
            return "tcp://127.0.0.1:0";
    }
    return {};
}

node& contract::listening(node_options options) {
    auto made = std::make_unique<node>(impatient(std::move(options)));
    std::string endpoint = made->bind(fresh_endpoint());
    members_.push_back({std::move(made), std::move(endpoint)});
    return *members_.back().owned;
}

node& contract::connected_to(node& peer, node_options options) {
    members_.push_back({std::make_unique<node>(impatient(std::move(options))), {}});
    node& made = *members_.back().owned;
    mend(made, peer);
    return made;
}

const std::string& contract::endpoint_of(const node& which) const {
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [&](const member& m) { return m.owned.get() == &which; });
    if (found == members_.end()) throw std::logic_error("not a node of this test");
    return found->endpoint;
}

void contract::cut(node& from, node& peer) {
    const std::uint64_t ours = from.stats().links;
    const std::uint64_t theirs = peer.stats().links;
    EXPECT_TRUE(from.disconnect(endpoint_of(peer)));
    EXPECT_TRUE(eventually([&] { return from.stats().links < ours && peer.stats().links < theirs; },
                           patience));
}

void contract::mend(node& from, node& peer) {
    const std::uint64_t ours = from.stats().links;
    const std::uint64_t theirs = peer.stats().links;
    from.connect(endpoint_of(peer));
    EXPECT_TRUE(eventually([&] { return from.stats().links > ours && peer.stats().links > theirs; },
                           patience));
}

void contract::destroy(node& which) {
    std::erase_if(members_, [&](const member& m) { return m.owned.get() == &which; });
}

std::string transport_name(const ::testing::TestParamInfo<transport>& info) {
    switch (info.param) {
        case transport::inproc:
            return "inproc";
        case transport::ipc:
            return "ipc";
        case transport::tcp:
            return "tcp";
    }
    return {};
}

std::vector<std::string> numbers(std::uint64_t first, std::uint64_t last) {
    std::vector<std::string> all;
    for (std::uint64_t n = first; n <= last; ++n) all.push_back(std::to_string(n));
    return all;
}

}  // namespace cairn::test
