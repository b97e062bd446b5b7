// Publishes the earthquakes of a file, each once, whatever happens to this process, its readers and
// the store: a new run asks the store for the last one that is kept, and goes on behind it.
#include "quakes/quake.hpp"

#include <cairn/cairn.hpp>
#include <cairn/store_server.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <thread>

using namespace std::chrono_literals;

namespace {

constexpr const char* topic = "quakes";
constexpr std::size_t held_back = 10;  // events that wait for a line on standard input

// Where a run begins it says so. When that is kept, the store has fenced the run before, and what
// is kept of it will not grow any more.
std::size_t already_kept(cairn::node& node, cairn::publisher& publisher,
                         const std::vector<std::string>& lines) {
    publisher.publish("a run begins");
    if (publisher.flush(60s) != 0) throw std::runtime_error("no store within 60 s");
    std::size_t kept = 0;
    for (const cairn::message& m : cairn::replay(node, topic)) {
        if (!quakes::parse_quake(m.text())) continue;
        const auto found = std::find(lines.begin(), lines.end(), m.text());
        kept = static_cast<std::size_t>(found - lines.begin()) + 1;
    }
    return kept;
}

}  // namespace

int main(int argc, char** argv) try {
    const auto hours = examples::number<int>(argc == 7 ? argv[4] : "");
    const auto pause = examples::number<int>(argc == 7 ? argv[5] : "");
    if (!hours || !pause) {
        std::cerr << "usage: durable_publisher BIND STORE FILE HOURS PAUSE_MS STATE_DIRECTORY\n"
                     "STORE: an endpoint, or a directory for a store inside this process\n";
        return 2;
    }
    const auto lines = quakes::read_last(argv[3], *hours);
    std::string store = argv[2];
    std::optional<cairn::store_server> inside;
    if (store.starts_with('/')) {
        cairn::store_server_options options;
        options.path = store;
        options.network.bind = {"ipc://" + store + ".ipc"};
        store = inside.emplace(options).endpoints().front();
    }

    cairn::node node{
        {.name = "seismograph", .bind = {argv[1]}, .store = store, .state_directory = argv[6]}};
    cairn::publisher publisher{node, topic, {.delivery = cairn::delivery::store_first}};
    const std::size_t begin = already_kept(node, publisher, lines);
    std::cout << "publisher: a run begins behind event " << begin << std::endl;
    for (std::size_t i = begin; i != lines.size(); ++i) {
        if (std::string go; lines.size() - i == held_back) std::getline(std::cin, go);
        publisher.publish(lines[i]);
        std::this_thread::sleep_for(std::chrono::milliseconds(*pause));
    }
    publisher.publish("the end");
    if (publisher.flush(60s) != 0) throw std::runtime_error("not kept within 60 s");
    std::cout << "publisher: all " << lines.size() << " events are kept" << std::endl;
    if (inside) std::this_thread::sleep_for(std::chrono::hours(1));  // it serves its readers
    return publisher.close(60s) == 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "durable_publisher: " << error.what() << '\n';
    return 1;
}
