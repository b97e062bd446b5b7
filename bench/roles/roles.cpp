#include "roles/roles.hpp"

#include <algorithm>
#include <iterator>

namespace cairn::bench {

namespace {

struct named_role {
    std::string_view name;
    role_function run;
};

constexpr named_role all_roles[] = {
    {"zmq-push", zmq_roles::push_sender},
    {"zmq-pull", zmq_roles::push_receiver},
    {"zmq-pub", zmq_roles::pub_sender},
    {"zmq-sub", zmq_roles::sub_receiver},
    {"zmq-pair-server", zmq_roles::pair_server},
    {"zmq-pair-client", zmq_roles::pair_client},
    {"zmq-pub-calls", zmq_roles::pub_call_timer},
    {"cairn-pusher", cairn_roles::push_sender},
    {"cairn-puller", cairn_roles::pull_receiver},
    {"cairn-publisher", cairn_roles::publish_sender},
    {"cairn-subscriber", cairn_roles::subscribe_receiver},
    {"cairn-rtt-server", cairn_roles::rtt_server},
    {"cairn-rtt-client", cairn_roles::rtt_client},
    {"cairn-publish-calls", cairn_roles::publish_call_timer},
    {"cairn-idle-publishers", cairn_roles::idle_publishers},
    {"cairn-idle-subscriber", cairn_roles::idle_subscriber},
    {"cairn-store", cairn_roles::store},
    {"cairn-durable-publisher", cairn_roles::durable_publisher},
    {"cairn-durable-waiter", cairn_roles::durable_waiter},
    {"cairn-replay", cairn_roles::replay_reader},
    {"cairn-paced-publisher", cairn_roles::paced_publisher},
    {"cairn-stored-publisher", cairn_roles::stored_publisher},
    {"cairn-late-subscriber", cairn_roles::late_subscriber},
#ifdef CAIRN_BENCH_PEERS
    {"nats-server", peer_roles::nats_server},
    {"jetstream-4k-pending", peer_roles::jetstream_4k_pending},
    {"jetstream-64k-pending", peer_roles::jetstream_64k_pending},
    {"redis-server", peer_roles::redis_server},
    {"redis-pipeline", peer_roles::redis_pipeline},
    {"redis-16-pipelines", peer_roles::redis_16_pipelines},
#endif
};

}  // namespace

role_function find_role(std::string_view name) {
    const auto* found = std::find_if(std::begin(all_roles), std::end(all_roles),
                                     [&](const named_role& role) { return role.name == name; });
    return found == std::end(all_roles) ? nullptr : found->run;
}

}  // namespace cairn::bench
