#include "harness/traffic.hpp"
#include "roles/cairn_node.hpp"
#include "roles/call_timer.hpp"
#include "roles/roles.hpp"

#include <cairn/publisher.hpp>
#include <cairn/subscriber.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace cairn::bench::cairn_roles {

namespace {

constexpr std::string_view topic = "bench";

publisher_options options_of(const bench::traffic& traffic) {
    publisher_options options;
    if (traffic.variant == "single") options.batch_bytes_max = 1;
    return options;
}

void await_subscribers(publisher& out, std::size_t count) {
    if (!out.wait_for_subscribers(count, peers_deadline))
        throw std::runtime_error("cairn: the subscribers did not attach");
}

void publish_for_ever(role_context context, publisher& out) {
    tally counted(context.shared, context.lane_index);
    body_source bodies(context.traffic.size);
    for (;;) {
        out.publish(bodies.next());
        counted.sent();
    }
}

}  // namespace

void publish_sender(role_context& context) {
    node own(options_for(context));
    publisher out(own, topic, options_of(context.traffic));
    context.bound(own.bind(context.endpoint));
    await_subscribers(out, context.traffic.peers);
    context.note_anonymous_bytes();

    std::vector<std::jthread> others;
    auto next = context;
    for (std::size_t i = 1; i < context.traffic.threads; ++i) {
        ++next.lane_index;
        others.emplace_back([next, &out] { publish_for_ever(next, out); });
    }
    publish_for_ever(context, out);
}

void subscribe_receiver(role_context& context) {
    node own(options_for(context));
    tally counted(context.shared, context.lane_index);
    subscriber_options options;
    options.on_gap = [&](const gap& told) { counted.missed(told.range.size()); };
    subscriber in(own, topic, std::move(options));
    own.connect(context.endpoint);
    // What a process needs for its first message is not the limits' matter.
    if (const auto first = in.receive()) {
        counted.received(first->text());
        context.note_anonymous_bytes();
    }
    for (const message& m : in) counted.received(m.text());
}

void publish_call_timer(role_context& context) {
    node own(options_for(context));
    publisher out(own, topic, options_of(context.traffic));
    context.bound(own.bind(context.endpoint));
    await_subscribers(out, 1);
    time_calls(context, [&](std::string_view body) { out.publish(body); });
}

void idle_publishers(role_context& context) {
    node own(options_for(context));
    context.bound(own.bind(context.endpoint));
    if (!own.wait_for_peers(1, peers_deadline))
        throw std::runtime_error("cairn: the subscriber's node did not connect");
    context.note_anonymous_bytes();
    tally counted(context.shared, context.lane_index);
    body_source bodies(context.traffic.size);
    std::vector<publisher> quiet;
    quiet.reserve(context.traffic.topics);
    for (std::size_t i = 0; i < context.traffic.topics; ++i) {
        quiet.emplace_back(own, "quiet." + std::to_string(i));
        // Each has said something once: a topic that never did would be cheaper than one in use.
        quiet.back().publish(bodies.next());
        counted.sent();
    }
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

void idle_subscriber(role_context& context) {
    node own(options_for(context));
    tally counted(context.shared, context.lane_index);
    subscriber_options options;
    options.from = from::earliest();
    subscriber in(own, "quiet.*", std::move(options));
    context.note_anonymous_bytes();
    own.connect(context.endpoint);
    for (const message& m : in) counted.received(m.text());
}

}  // namespace cairn::bench::cairn_roles
