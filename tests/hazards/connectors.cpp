#include <cairn/cairn.hpp>

#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

// usage: connectors ENDPOINT COUNT PUBLIC_KEY SECRET_KEY SERVER_KEY. So many nodes connect at once.
// Prints "all are there" when each has its peer, "all are back" when each has it again, and ends.
namespace {

using namespace std::chrono_literals;

/// Whether each node has a peer, after so many failures at least.
bool all_there(const std::vector<std::unique_ptr<cairn::node>>& nodes, std::uint64_t failures) {
    return std::all_of(nodes.begin(), nodes.end(), [&](const auto& n) {
        const cairn::endpoint_stats now = n->stats().endpoints.at(0);
        return now.state == cairn::endpoint_state::connected && now.failures >= failures;
    });
}

bool wait_for_all(const std::vector<std::unique_ptr<cairn::node>>& nodes, std::uint64_t failures) {
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (!all_there(nodes, failures)) {
        if (std::chrono::steady_clock::now() > end) return false;
        ::poll(nullptr, 0, 10);
    }
    return true;
}

}  // namespace

int main(int, char** arguments) {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);

    const cairn::security_options security{.keys = {arguments[3], arguments[4]},
                                           .server_key = arguments[5]};
    std::vector<std::unique_ptr<cairn::node>> nodes;
    for (int i = std::stoi(arguments[2]); i != 0; --i)
        nodes.push_back(std::make_unique<cairn::node>(
            cairn::node_options{.connect = {arguments[1]}, .security = security}));
    if (!wait_for_all(nodes, 0)) return 1;
    std::puts("all are there");
    std::fflush(stdout);
    if (!wait_for_all(nodes, 1)) return 2;
    std::puts("all are back");
}
