// Prints the earthquakes on the topics that match a pattern, then compares what came with the file:
// every event of each topic, once, in order.
#include "quakes/quake.hpp"

#include <cairn/cairn.hpp>

#include <chrono>
#include <exception>
#include <iostream>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
    const auto hours = examples::number<int>(argc == 7 ? argv[3] : "");
    if (!hours) {
        std::cerr << "usage: quakes_subscriber CONNECT FILE HOURS PATTERN NAME live|earliest\n";
        return 2;
    }
    const std::string name = argv[5];
    const bool late = std::string_view(argv[6]) == "earliest";
    const auto expected = quakes::by_topic(quakes::read_last(argv[2], *hours), argv[4]);

    std::uint64_t gaps = 0;
    const auto joined = std::chrono::system_clock::now();
    cairn::node node{{.name = name, .connect = {argv[1]}}};
    cairn::subscriber subscriber{node,
                                 argv[4],
                                 {.from = late ? cairn::from::earliest() : cairn::from::live(),
                                  .on_gap = [&](const cairn::gap&) { ++gaps; }}};
    if (!subscriber.wait_attached(expected.size(), 30s)) {
        throw std::runtime_error("no publisher within 30 s");
    }

    std::map<std::string, std::vector<std::string>> received;
    std::size_t ended = 0;
    std::size_t count = 0;
    std::size_t past = 0;
    while (ended < expected.size()) {
        const auto message = subscriber.receive_for(1s);
        if (!message && subscriber.attached() == 0) throw std::runtime_error("publisher left");
        if (!message) continue;
        const auto quake = quakes::parse_quake(message->text());
        if (!quake) {
            ++ended;  // the last message of a topic is empty
            continue;
        }
        received[std::string(message->topic())].emplace_back(message->text());
        ++count;
        past += message->time() < joined;
        const std::string text = quakes::describe(*quake);
        std::cout << examples::left(name, 11)
                  << (quake->magnitude < 400 ? text : examples::coloured(33, text)) << std::endl;
    }
    const bool equal = received == expected && gaps == 0;
    std::cout << name << ": " << count << " events on " << received.size() << " topics, " << past
              << " from before it joined: "
              << (equal ? "all, once, in order" : "NOT what the file says") << std::endl;
    return equal ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "quakes_subscriber: " << error.what() << '\n';
    return 1;
}
