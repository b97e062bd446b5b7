// Reads the metrics of all agents on one topic and shows the latest of each.
#include "metrics/sample.hpp"

#include <cairn/cairn.hpp>

#include <chrono>
#include <exception>
#include <iostream>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
    const auto expected = examples::number<std::size_t>(argc == 4 ? argv[2] : "");
    const auto samples = examples::number<std::uint64_t>(argc == 4 ? argv[3] : "");
    if (!expected || !samples) {
        std::cerr << "usage: metrics_reader BIND AGENTS SAMPLES\n";
        return 2;
    }
    cairn::node node{{.name = "reader", .bind = {argv[1]}}};
    cairn::subscriber subscriber{node, "metrics"};

    std::map<std::string, metrics::agent> agents;
    std::size_t finished = 0;
    std::chrono::steady_clock::time_point drawn;
    auto draw = [&, lines = std::size_t{0}]() mutable {
        if (lines > 0) std::cout << "\x1b[" << lines << "A";
        std::cout << metrics::table(agents, *samples) << std::flush;
        lines = agents.size() + 1;
        drawn = std::chrono::steady_clock::now();
    };
    while (finished < *expected || subscriber.attached() > 0) {
        const auto message = subscriber.receive_for(finished < *expected ? 30s : 100ms);
        if (!message && finished < *expected) throw std::runtime_error("nothing came for 30 s");
        if (!message) continue;
        metrics::agent& agent = agents[std::string(message->source())];
        const auto sample = metrics::decode(message->text());
        if (!sample || message->sequence().value != ++agent.samples) {
            throw std::runtime_error(std::string(message->source()) + ": not the next sample");
        }
        agent.last = *sample;
        finished += agent.samples == *samples;
        // In place and at most five times a second for a person; else once, at the end.
        if (examples::terminal() && std::chrono::steady_clock::now() - drawn > 200ms) draw();
    }
    draw();
    return finished == *expected && agents.size() == *expected ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "metrics_reader: " << error.what() << '\n';
    return 1;
}
