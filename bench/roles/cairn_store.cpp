#include "harness/traffic.hpp"
#include "roles/cairn_node.hpp"
#include "roles/roles.hpp"

#include <cairn/publisher.hpp>
#include <cairn/replay.hpp>
#include <cairn/store_server.hpp>

#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace cairn::bench::cairn_roles {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view topic = "bench";

node_options with_store(const role_context& context) {
    node_options options = options_for(context);
    options.store = context.endpoint;
    return options;
}

/// Publishes one message after another and waits for each to be durable.
void wait_for_each(role_context& context, node& own, const std::string& source) {
    lane& counts = context.shared.at(context.lane_index);
    publisher_options options;
    options.source = source;
    publisher out(own, topic, std::move(options));
    const std::string body(context.traffic.size, 'c');
    for (;;) {
        const std::uint64_t begin = now_ns();
        out.publish(body);
        if (out.flush(10s) != 0) throw std::runtime_error("cairn: the store does not confirm");
        // Of many threads the latencies are not asked for, and a histogram has one writer.
        if (context.traffic.threads == 1) counts.latency.add(now_ns() - begin);
        counts.messages.fetch_add(1, std::memory_order_relaxed);
    }
}

}  // namespace

// The variant is the directory.
void store(role_context& context) {
    store_server_options options;
    options.path = context.traffic.variant;
    options.network = options_for(context);
    options.network.bind = {context.endpoint};
    const store_server server(std::move(options));
    context.bound(server.endpoints().front());
    for (;;) ::pause();
}

void durable_publisher(role_context& context) {
    node own(with_store(context));
    lane& counts = context.shared.at(context.lane_index);
    publisher_options options;
    options.on_durable = [&](sequence durable) {
        counts.messages.store(durable.value, std::memory_order_relaxed);
    };
    publisher out(own, topic, std::move(options));
    body_source bodies(context.traffic.size);
    for (;;) out.publish(bodies.next());
}

void durable_waiter(role_context& context) {
    node own(with_store(context));
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < context.traffic.threads; ++i)
        others.emplace_back([&, i] { wait_for_each(context, own, "waiter-" + std::to_string(i)); });
    wait_for_each(context, own, "waiter-0");
}

// Reads what is stored again and again.
void replay_reader(role_context& context) {
    node own(with_store(context));
    bench::tally counted(context.shared, context.lane_index);
    for (;;) {
        replay in(own, topic);
        for (const message& m : in) counted.received(m.text());
    }
}

}  // namespace cairn::bench::cairn_roles
