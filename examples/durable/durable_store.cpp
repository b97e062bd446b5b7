// A store in a process of its own: keeps in DIRECTORY what publishers append, until it is ended.
#include <cairn/store_server.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <thread>

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::cerr << "usage: durable_store DIRECTORY BIND\n";
        return 2;
    }
    cairn::store_server_options options;
    options.path = argv[1];
    options.network.bind = {argv[2]};
    const cairn::store_server store(options);
    std::cout << "ready" << std::endl;
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
} catch (const std::exception& error) {
    std::cerr << "durable_store: " << error.what() << '\n';
    return 1;
}
