#include "harness/traffic.hpp"
#include "roles/cairn_node.hpp"
#include "roles/roles.hpp"

#include <cairn/puller.hpp>
#include <cairn/pusher.hpp>

#include <stdexcept>
#include <string_view>

namespace cairn::bench::cairn_roles {

namespace {

constexpr std::string_view topic = "bench";

}  // namespace

// Acks and credit as they come: each message is acked when the puller takes the next one.
void push_sender(role_context& context) {
    node own(options_for(context));
    pusher out(own, topic);
    context.bound(own.bind(context.endpoint));
    if (!out.wait_for_pullers(context.traffic.peers, peers_deadline))
        throw std::runtime_error("cairn: the pullers did not attach");
    context.note_anonymous_bytes();
    tally counted(context.shared, context.lane_index);
    body_source bodies(context.traffic.size);
    for (;;) {
        out.push(bodies.next());
        counted.sent();
    }
}

void pull_receiver(role_context& context) {
    node own(options_for(context));
    puller in(own, topic);
    own.connect(context.endpoint);
    tally counted(context.shared, context.lane_index);
    // What a process needs for its first message is not the limits' matter.
    if (const auto first = in.receive()) {
        counted.received(first->text());
        context.note_anonymous_bytes();
    }
    for (const job& work : in) counted.received(work.text());
}

}  // namespace cairn::bench::cairn_roles
