// One message over each pattern, between two nodes over TCP. Returns 0 when both arrived.
#include <cairn/cairn.hpp>

#include <cstdio>
#include <exception>
#include <optional>
#include <string>

using namespace std::chrono_literals;

namespace {

bool published(cairn::node& from, cairn::node& to) {
    cairn::subscriber subscriber(to, "greetings.*");
    cairn::publisher publisher(from, "greetings.morning");
    if (!publisher.wait_for_subscribers(1, 5s)) return false;
    publisher.publish("hello");
    const std::optional<cairn::message> got = subscriber.receive_for(5s);
    return got && got->topic() == "greetings.morning" && got->text() == "hello" &&
           publisher.close(5s) == 0;
}

bool pushed(cairn::node& from, cairn::node& to) {
    cairn::puller puller(to, "jobs", {.acks = cairn::ack_mode::on_request});
    cairn::pusher pusher(from, "jobs");
    pusher.push("work");
    const std::optional<cairn::job> got = puller.receive_for(5s);
    return got && got->text() == "work" && puller.ack(got->id()) && pusher.close(5s) == 0;
}

}  // namespace

int main() try {
    cairn::node here({.name = "here"});
    cairn::node there({.name = "there"});
    there.connect(here.bind("tcp://127.0.0.1:0"));

    if (!published(here, there)) return std::fputs("nothing was published\n", stderr), 1;
    if (!pushed(here, there)) return std::fputs("nothing was pushed\n", stderr), 1;
    return 0;
} catch (const std::exception& e) {
    return std::fprintf(stderr, "%s\n", e.what()), 1;
}
