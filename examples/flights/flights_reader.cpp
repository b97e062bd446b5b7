// Pushes the lines of a file, to be worked on by whoever is there, and waits until all are done.
#include "flights/flight.hpp"

#include <cairn/cairn.hpp>

#include <chrono>
#include <exception>
#include <iostream>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
    if (argc != 5) {
        std::cerr << "usage: flights_reader BIND AGGREGATOR FILE REPEAT\n";
        return 2;
    }
    const auto lines = flights::read_lines(argv[3]);
    const auto repeat = examples::number<std::uint64_t>(argv[4]).value_or(1);

    cairn::node node{{.name = "reader", .bind = {argv[1]}, .connect = {argv[2]}}};
    cairn::pusher total{node, "flights.total"};
    cairn::pusher raw{node, "flights.raw"};
    total.push(std::to_string(lines.size() * repeat));
    for (std::uint64_t i = 0; i < repeat; ++i) {
        for (const std::string& line : lines) raw.push(line);
    }
    const bool done = total.close(1min) == 0 && raw.close(10min) == 0;
    std::cout << raw.stats().redeliveries << '\n';
    return done ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "flights_reader: " << error.what() << '\n';
    return 1;
}
