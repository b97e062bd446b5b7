#include "harness/traffic.hpp"
#include "roles/cairn_node.hpp"
#include "roles/roles.hpp"

#include <cairn/publisher.hpp>
#include <cairn/subscriber.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace cairn::bench::cairn_roles {

namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr std::string_view topic = "bench";

// How often a pacing publisher looks at the clock at least.
constexpr auto pace = 1ms;

node_options beside_store(const role_context& context) {
    node_options options = options_for(context);
    options.store = context.traffic.service;
    return options;
}

/// Makes what late readers are behind, and waits until all of it is durable.
void publish_backlog(role_context& context, publisher& out, bench::tally& counted) {
    constexpr std::uint64_t told_each = 1'000'000;
    body_source bodies(context.traffic.size);
    for (std::uint64_t i = 1; i <= context.traffic.backlog; ++i) {
        out.publish(bodies.next());
        counted.sent();
        if (i % told_each == 0) context.report.line("stored " + std::to_string(i));
    }
    if (out.flush(60s) != 0) throw std::runtime_error("cairn: the store does not confirm");
}

}  // namespace

// Each message carries its sending time.
void paced_publisher(role_context& context) {
    node own(beside_store(context));
    bench::tally counted(context.shared, context.lane_index);
    publisher out(own, topic);
    const std::string endpoint = own.bind(context.endpoint);
    publish_backlog(context, out, counted);
    context.bound(endpoint);

    std::string body(std::max(context.traffic.size, sizeof(std::uint64_t)), 'c');
    const auto rate = static_cast<double>(context.traffic.rate);
    const auto begin = steady_clock::now();
    std::uint64_t sent = 0;
    for (auto due = begin;;) {
        due += std::max<steady_clock::duration>(
            pace, std::chrono::nanoseconds(static_cast<std::int64_t>(1e9 / rate)));
        std::this_thread::sleep_until(due);
        const std::chrono::duration<double> past = steady_clock::now() - begin;
        for (const auto owed = static_cast<std::uint64_t>(past.count() * rate); sent < owed;
             ++sent) {
            const std::uint64_t now = now_ns();
            std::memcpy(body.data(), &now, sizeof now);
            out.publish(body);
            counted.sent();
        }
    }
}

// Its lane counts what is durable.
void stored_publisher(role_context& context) {
    node own(beside_store(context));
    lane& counts = context.shared.at(context.lane_index);
    publisher_options options;
    options.on_durable = [&](sequence durable) {
        counts.messages.store(durable.value, std::memory_order_relaxed);
    };
    publisher out(own, topic, std::move(options));
    context.bound(own.bind(context.endpoint));
    if (!out.wait_for_subscribers(context.traffic.peers, peers_deadline))
        throw std::runtime_error("cairn: the subscribers did not attach");
    body_source bodies(context.traffic.size);
    for (;;) out.publish(bodies.next());
}

// From the beginning on; notes when it is live, and what does not follow its predecessor.
void late_subscriber(role_context& context) {
    constexpr std::uint64_t looks_each = 4'096;
    node own(beside_store(context));
    lane& counts = context.shared.at(context.lane_index);
    bench::tally counted(context.shared, context.lane_index);
    subscriber_options options;
    options.from = from::earliest();
    std::uint64_t next = 1;
    options.on_gap = [&](const gap& told) {
        counted.missed(told.range.size());
        next = told.range.last.value + 1;
    };
    subscriber in(own, topic, std::move(options));
    own.connect(context.endpoint);
    for (std::uint64_t received = 0;;) {
        const auto m = in.receive_for(10ms);
        if (m) {
            if (m->sequence().value != next) counts.misplaced.fetch_add(1);
            next = m->sequence().value + 1;
            counted.received(m->text());
            ++received;
        }
        const bool look = !m || received % looks_each == 0;
        if (look && received >= context.traffic.backlog && counts.reached_ns.load() == 0 &&
            in.state().state == reading::state::live)
            counts.reached_ns.store(now_ns());
    }
}

}  // namespace cairn::bench::cairn_roles
