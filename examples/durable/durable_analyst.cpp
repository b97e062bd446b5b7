// Comes late: reads the earthquakes from the beginning, out of the store, and goes live by itself.
#include "quakes/quake.hpp"

#include <cairn/cairn.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::cerr << "usage: durable_analyst CONNECT STORE\n";
        return 2;
    }
    cairn::node node{{.name = "analyst", .connect = {argv[1]}, .store = argv[2]}};
    cairn::subscriber subscriber{node, "quakes", {.from = cairn::from::earliest()}};
    std::size_t history = 0;
    std::size_t live = 0;
    bool is_live = false;
    for (;;) {
        const auto m = subscriber.receive_for(is_live ? 60s : 100ms);
        if (m && m->text() == "the end") break;
        if (m && quakes::parse_quake(m->text())) ++(is_live ? live : history);
        if (m) continue;
        if (is_live) throw std::runtime_error("nothing came for 60 s");
        is_live = subscriber.state().state == cairn::reading::state::live;
        if (is_live) std::cout << "analyst: live after " << history << " events" << std::endl;
    }
    const auto gaps = subscriber.stats().gaps;
    std::cout << "analyst: " << history << " events from before it came, " << live
              << " as they happened, " << gaps << " gaps" << std::endl;
    return gaps == 0 && history != 0 && live != 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "durable_analyst: " << error.what() << '\n';
    return 1;
}
