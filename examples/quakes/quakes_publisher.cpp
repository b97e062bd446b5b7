// Publishes the earthquakes of the last hours that a file knows, each at its time, played faster.
#include "quakes/quake.hpp"

#include <cairn/cairn.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <thread>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
    const auto hours = examples::number<int>(argc == 5 ? argv[3] : "");
    const auto speed = examples::number<int>(argc == 5 ? argv[4] : "");
    if (!hours || !speed || *speed < 1) {
        std::cerr << "usage: quakes_publisher BIND FILE HOURS SPEED\n";
        return 2;
    }
    const auto lines = quakes::read_last(argv[2], *hours);

    cairn::node node{{.name = "seismograph", .bind = {argv[1]}}};
    std::map<std::string, cairn::publisher> topics;
    for (const auto& [topic, events] : quakes::by_topic(lines, "*")) {
        topics.emplace(topic, cairn::publisher{node, topic});
    }
    const auto wait_for_readers = [&](std::string_view pattern, std::size_t count) {
        for (auto& [topic, publisher] : topics) {
            if (quakes::matches(pattern, topic) && !publisher.wait_for_subscribers(count, 30s)) {
                throw std::runtime_error("fewer than " + std::to_string(count) + " readers of " +
                                         topic + " within 30 s");
            }
        }
    };
    wait_for_readers("*", 1);

    const auto start = std::chrono::steady_clock::now();
    const auto begin = quakes::parse_quake(lines.front())->time_ms;
    std::size_t published = 0;
    for (const std::string& line : lines) {
        const auto quake = *quakes::parse_quake(line);
        const std::chrono::microseconds played((quake.time_ms - begin) * 1'000 / *speed);
        std::this_thread::sleep_until(start + played);
        topics.at(quakes::topic(quake)).publish(line);
        if (++published == lines.size() / 2) std::cout << "half\n" << std::flush;
    }
    wait_for_readers("quakes.big.*", 2);  // the late one must not come too late
    std::uint64_t missed = 0;
    for (auto& [topic, publisher] : topics) publisher.publish("");  // the end of the topic
    for (auto& [topic, publisher] : topics) missed += publisher.close(30s);
    return missed == 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "quakes_publisher: " << error.what() << '\n';
    return 1;
}
