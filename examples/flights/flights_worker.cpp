// Pulls lines, parses them, and pushes what they say. Any number of workers share the lines; one of
// them may be killed at any moment.
#include "flights/flight.hpp"

#include <cairn/cairn.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <vector>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
    if (argc != 4) {
        std::cerr << "usage: flights_worker READER AGGREGATOR NAME\n";
        return 2;
    }
    cairn::node node{{.name = argv[3], .connect = {argv[1], argv[2]}}};
    cairn::pusher parsed{node, "flights.parsed"};
    cairn::puller raw{node, "flights.raw", {.acks = cairn::ack_mode::on_request}};
    if (!raw.wait_attached(1, 30s)) throw std::runtime_error("no reader within 30 s");

    // A line is acked only after the aggregator has acked what came of it. Who dies between the two
    // leaves a line that another parses again; the aggregator knows it by its position.
    std::vector<cairn::job_id> in_hand;
    while (raw.attached() > 0 || !in_hand.empty()) {
        const auto line = in_hand.empty() ? raw.receive_for(100ms) : raw.try_receive();
        if (line) {
            const flights::parsed_line result{line->position(),
                                              flights::parse_flight(line->text())};
            parsed.push(flights::encode(result));
            in_hand.push_back(line->id());
        }
        if (!line || in_hand.size() == 1'000) {
            if (!parsed.flush(1min)) throw std::runtime_error("the aggregator takes nothing");
            for (const cairn::job_id id : in_hand) raw.ack(id);
            in_hand.clear();
        }
    }
    return 0;
} catch (const std::exception& error) {
    std::cerr << "flights_worker: " << error.what() << '\n';
    return 1;
}
