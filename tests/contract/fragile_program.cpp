// A worker in a process of its own that some messages kill: fragile_program ENDPOINT TOPIC
// Acks each message when it takes the next, and dies by SIGKILL of the one that says "poison".

#include <cairn/cairn.hpp>

#include <csignal>

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    cairn::node node({.name = "fragile", .connect = {argv[1]}});
    cairn::puller worker(node, argv[2], {.prefetch = {}});
    for (const cairn::job& job : worker)
        if (job.text() == "poison") std::raise(SIGKILL);
}
