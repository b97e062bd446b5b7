#pragma once

#include "harness/role.hpp"

#include <string_view>

namespace cairn::bench {

/// A role_finder for all roles below.
role_function find_role(std::string_view name);

namespace zmq_roles {
void push_sender(role_context& context);
void push_receiver(role_context& context);
void pub_sender(role_context& context);
void sub_receiver(role_context& context);
void pair_server(role_context& context);
void pair_client(role_context& context);
void pub_call_timer(role_context& context);
}  // namespace zmq_roles

namespace cairn_roles {
void push_sender(role_context& context);
void pull_receiver(role_context& context);
void publish_sender(role_context& context);
void subscribe_receiver(role_context& context);
void rtt_server(role_context& context);
void rtt_client(role_context& context);
void publish_call_timer(role_context& context);
void idle_publishers(role_context& context);
void idle_subscriber(role_context& context);
void store(role_context& context);
void durable_publisher(role_context& context);
void durable_waiter(role_context& context);
void replay_reader(role_context& context);
void paced_publisher(role_context& context);
void stored_publisher(role_context& context);
void late_subscriber(role_context& context);
}  // namespace cairn_roles

// With CAIRN_BUILD_PEERS only.
namespace peer_roles {
void nats_server(role_context& context);
void jetstream_4k_pending(role_context& context);
void jetstream_64k_pending(role_context& context);
void redis_server(role_context& context);
void redis_pipeline(role_context& context);
void redis_16_pipelines(role_context& context);
}  // namespace peer_roles

}  // namespace cairn::bench
