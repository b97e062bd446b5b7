// One member of a durable group: writes each earthquake with its position to a file. Killed and
// started again it goes on where it was. At the end it compares the file with what was published:
// after events that came twice were dropped by their position, each once, in order.
#include "quakes/quake.hpp"

#include <cairn/cairn.hpp>

#include <chrono>
#include <exception>
#include <fstream>
#include <iostream>
#include <set>
#include <tuple>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
    const auto hours = examples::number<int>(argc == 7 ? argv[4] : "");
    if (!hours) {
        std::cerr << "usage: durable_subscriber CONNECT STORE FILE HOURS GROUP RESULTS\n";
        return 2;
    }
    const std::string group = argv[5];
    cairn::node node{{.name = group, .connect = {argv[1]}, .store = argv[2]}};
    cairn::subscriber subscriber{node, "quakes", {.from = cairn::from::earliest(), .group = group}};
    {
        std::ofstream results(argv[6], std::ios::app);
        for (const cairn::message& m : subscriber) {
            // Written before it is acked, which the next turn of the loop does.
            results << m.epoch().value << ' ' << m.sequence().value << ' ' << m.text() << std::endl;
            if (m.text() == "the end") break;
        }
    }
    std::ifstream results(argv[6]);
    std::set<std::tuple<std::uint64_t, std::uint64_t>> seen;
    std::vector<std::string> events;
    std::size_t twice = 0;
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;
    std::string text;
    while (results >> epoch >> sequence && std::getline(results, text)) {
        if (!seen.emplace(epoch, sequence).second)
            ++twice;
        else if (text = text.substr(1); quakes::parse_quake(text))
            events.push_back(text);
    }
    const bool equal = events == quakes::read_last(argv[3], *hours);
    std::cout << group << ": " << events.size() << " events, " << twice
              << " came again and were known: "
              << (equal ? "each counted once, in order" : "NOT what was published") << std::endl;
    return equal ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "durable_subscriber: " << error.what() << '\n';
    return 1;
}
