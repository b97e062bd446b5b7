// Counts each line once, whoever parsed it and however often, and prints the table.
#include "flights/delays.hpp"

#include <cairn/cairn.hpp>

#include <chrono>
#include <exception>
#include <fstream>
#include <iostream>

using namespace std::chrono_literals;

namespace {

/// Asks the reader how many lines there are.
std::uint64_t total_lines(cairn::node& node) {
    cairn::puller queue{node, "flights.total", {.acks = cairn::ack_mode::on_request}};
    const auto answer = queue.receive_for(30s);
    if (!answer) throw std::runtime_error("no reader within 30 s");
    const auto total = examples::number<std::uint64_t>(answer->text());
    if (!total) throw std::runtime_error("the reader does not say how many lines there are");
    queue.ack(answer->id());
    return *total;
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::cerr << "usage: flights_aggregator BIND RESULT\n";
        return 2;
    }
    cairn::node node{{.name = "aggregator", .bind = {argv[1]}}};
    cairn::puller parsed{node, "flights.parsed"};
    const std::uint64_t total = total_lines(node);

    flights::delays delays;
    flights::counted_lines counted;
    std::uint64_t again = 0;
    // Goes on after the last line until the workers have left: what comes twice comes late.
    while (counted.size() < total || parsed.attached() > 0) {
        const auto job = parsed.receive_for(counted.size() < total ? 30s : 100ms);
        if (!job && counted.size() < total) throw std::runtime_error("nothing came for 30 s");
        if (!job) continue;
        const auto line = flights::decode(job->text());
        if (!counted.first_time(line.line)) {
            ++again;
            continue;
        }
        delays.add(line.found);
        if (counted.size() % ((total + 99) / 100) == 0 || counted.size() == total) {
            std::cout << "counted " << counted.size() << ' ' << total << std::endl;
        }
    }
    std::cout << "again " << again << '\n' << flights::table(delays);
    std::ofstream(argv[2]) << flights::exact(delays);
    return counted.size() == total ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "flights_aggregator: " << error.what() << '\n';
    return 1;
}
