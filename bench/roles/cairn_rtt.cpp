#include "harness/traffic.hpp"
#include "roles/cairn_node.hpp"
#include "roles/roles.hpp"

#include <cairn/publisher.hpp>
#include <cairn/subscriber.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cairn::bench::cairn_roles {

namespace {

constexpr std::string_view there = "there";
constexpr std::string_view back = "back";

}  // namespace

void rtt_server(role_context& context) {
    node own(options_for(context));
    subscriber in(own, there);
    publisher out(own, back);
    context.bound(own.bind(context.endpoint));
    tally counted(context.shared, context.lane_index);
    for (const message& m : in) {
        out.publish(m.body());
        counted.sent();
    }
}

void rtt_client(role_context& context) {
    node own(options_for(context));
    publisher out(own, there);
    subscriber in(own, back);
    own.connect(context.endpoint);
    if (!out.wait_for_subscribers(1, peers_deadline) || !in.wait_attached(1, peers_deadline))
        throw std::runtime_error("cairn: the two nodes did not attach to each other");
    tally counted(context.shared, context.lane_index);
    const std::string body(context.traffic.size, '\0');
    for (;;) {
        const auto begin = now_ns();
        out.publish(body);
        const std::optional<message> echo = in.receive();
        if (!echo) throw std::runtime_error("cairn: the subscriber was closed");
        counted.took(now_ns() - begin);
        counted.received(echo->text());
    }
}

}  // namespace cairn::bench::cairn_roles
