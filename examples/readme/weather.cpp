#include <cairn/cairn.hpp>

#include <iostream>
#include <string>
#include <thread>

using namespace std::chrono_literals;

int main() {
    cairn::node station({.name = "harbour"});
    const std::string endpoint = station.bind("tcp://127.0.0.1:0");  // 0: any free port
    cairn::publisher readings(station, "weather.harbour");

    std::jthread listener([endpoint] {  // could as well be another process
        cairn::node house({.name = "house"});
        house.connect(endpoint);
        cairn::subscriber weather(house, "weather.*");
        for (const cairn::message& reading : weather) {
            std::cout << reading.topic() << ' ' << reading.text() << '\n';
            if (reading.text() == "good night") weather.close();
        }
    });

    readings.wait_for_subscribers(1, 60s);  // whoever is counted misses nothing from here on
    for (int hour = 6; hour < 22; ++hour)
        readings.publish(std::to_string(hour) + ":00 wind " + std::to_string(hour % 7) + " m/s");
    readings.publish("good night");
    return readings.close(5s) == 0 ? 0 : 1;  // how many are still on their way
}
