// Comes late: reads the earthquakes from the beginning, out of the store, and goes live by itself.
#include "quakes/quake.hpp"

#include <cairn/cairn.hpp>

#include <chrono>
#include <exception>
#include <iostream>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::cerr << "usage: durable_analyst CONNECT STORE\n";
        return 2;
    }
    const auto joined = std::chrono::system_clock::now();
    cairn::node node{{.name = "analyst", .connect = {argv[1]}, .store = argv[2]}};
    cairn::subscriber subscriber{node, "quakes", {.from = cairn::from::earliest()}};
    std::size_t history = 0;
    std::size_t live = 0;
    for (const cairn::message& m : subscriber) {
        if (m.text() == "the end") break;
        if (!quakes::parse_quake(m.text())) continue;
        ++(m.time() < joined ? history : live);
        if (live == 1) std::cout << "analyst: live after " << history << " events" << std::endl;
    }
    const auto gaps = subscriber.stats().gaps;
    std::cout << "analyst: " << history << " events from before it came, " << live
              << " as they happened, " << gaps << " gaps" << std::endl;
    return gaps == 0 && history != 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "durable_analyst: " << error.what() << '\n';
    return 1;
}
