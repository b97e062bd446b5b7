// A worker in a process of its own, for tests that kill it: puller_program ENDPOINT TOPIC MESSAGES
// Takes up to MESSAGES messages without acking them, says "holds N" for the N-th, and goes on
// holding them.

#include <cairn/cairn.hpp>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const unsigned long wanted = std::strtoul(argv[3], nullptr, 10);
    cairn::node node({.name = "victim", .connect = {argv[1]}});
    cairn::puller worker(node, argv[2], {.acks = cairn::ack_mode::on_request, .prefetch = {}});
    unsigned long held = 0;
    while (worker.receive())
        if (++held <= wanted) std::cout << "holds " << held << std::endl;
}
