#include <cairn/subscriber.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <variant>

// usage: reader ENDPOINT TOPIC [SILENCE_MAX_MS]. Receives until the message "end" and prints what
// came and what is gone.
int main(int count, char** arguments) {
    using namespace std::chrono_literals;
    cairn::node_options options;
    options.connect = {arguments[1]};
    options.heartbeat = 100ms;
    options.silence_max = std::chrono::milliseconds(count > 3 ? std::stoi(arguments[3]) : 500);
    cairn::node node(options);
    cairn::subscriber from(node, arguments[2]);
    std::uint64_t received = 0;
    std::uint64_t gone = 0;
    while (const auto next = from.next_event(60s)) {
        if (const auto* lost = std::get_if<cairn::gap>(&*next)) gone += lost->range.size();
        const auto* message = std::get_if<cairn::message>(&*next);
        if (!message) continue;
        ++received;
        if (message->text() != "end") continue;
        std::printf("received %lu gone %lu\n", received, gone);
        return 0;
    }
    std::puts("nothing came for a minute");
    return 1;
}
