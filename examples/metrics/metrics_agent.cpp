// Publishes a sample of the machine's metrics at every interval.
#include "metrics/sample.hpp"

#include <cairn/cairn.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <thread>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
    const auto count = examples::number<int>(argc == 5 ? argv[3] : "");
    const auto interval_ms = examples::number<int>(argc == 5 ? argv[4] : "");
    if (!count || !interval_ms) {
        std::cerr << "usage: metrics_agent CONNECT NAME SAMPLES INTERVAL_MS\n";
        return 2;
    }
    cairn::node node{{.name = argv[2], .connect = {argv[1]}}};
    cairn::publisher publisher{node, "metrics"};
    if (!publisher.wait_for_subscribers(1, 30s)) throw std::runtime_error("no reader within 30 s");

    auto next = std::chrono::steady_clock::now();
    auto cpu = metrics::parse_cpu(metrics::read_file("/proc/stat"));
    for (int i = 0; i < *count; ++i) {
        std::this_thread::sleep_until(next += std::chrono::milliseconds(*interval_ms));
        publisher.publish(metrics::encode(metrics::look(cpu)));
    }
    return publisher.close(10s) == 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "metrics_agent: " << error.what() << '\n';
    return 1;
}
