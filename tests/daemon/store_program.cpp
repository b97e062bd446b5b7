// A store that is killed: store_program DIRECTORY prints its endpoint and runs until it is.
#include <cairn/store_server.hpp>

#include <unistd.h>

#include <cstdio>

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    cairn::store_server store(argv[1]);
    std::printf("at %s .\n", store.endpoints().front().c_str());
    std::fflush(stdout);
    for (;;) ::pause();
}
