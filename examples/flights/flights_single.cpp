// The same statistics in one process without any messages, to compare with.
#include "flights/delays.hpp"

#include <exception>
#include <iostream>

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::cerr << "usage: flights_single FILE REPEAT\n";
        return 2;
    }
    const auto lines = flights::read_lines(argv[1]);
    const auto repeat = examples::number<std::uint64_t>(argv[2]).value_or(1);
    flights::delays delays;
    for (std::uint64_t i = 0; i < repeat; ++i) {
        for (const std::string& line : lines) delays.add(flights::parse_flight(line));
    }
    std::cout << flights::exact(delays);
    return 0;
} catch (const std::exception& error) {
    std::cerr << "flights_single: " << error.what() << '\n';
    return 1;
}
