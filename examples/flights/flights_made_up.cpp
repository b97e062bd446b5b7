// Makes up flight records, the same ones every time, for when no real ones are at hand. They have
// the shape of a day at airports (few at night, delays that grow until the evening) and no truth.
#include "support/text.hpp"

#include <cstdio>
#include <iostream>
#include <random>

int main(int argc, char** argv) {
    const auto count = examples::number<int>(argc == 2 ? argv[1] : "");
    if (!count) {
        std::cerr << "usage: flights_made_up COUNT\n";
        return 2;
    }
    // Drawn from the engine's bare numbers: the library's distributions differ between systems.
    std::mt19937 engine(20'010'101);
    const auto below = [&engine](int end) { return static_cast<int>(engine() % end); };
    std::cout << "time,delay,distance,origin,destination\n";
    for (int i = 0; i < *count; ++i) {
        const int day = 1 + below(31);
        const int hour = below(12) == 0 ? below(24) : 6 + below(17);
        const int minute = below(60);
        const int spread = 4 + 2 * hour;
        int delay = below(spread) + below(spread) - 25;
        if (below(16) == 0) delay += below(10 * spread);
        const bool cancelled = below(500) == 0;
        const std::string said = cancelled ? "" : std::to_string(delay);
        char line[80];
        std::snprintf(line, sizeof line, "2001-01-%02dT%02d:%02d,%s,%d,AAA,BBB\n", day, hour,
                      minute, said.c_str(), 100 + below(2'500));
        std::cout << line;
    }
}
