#include <cairn/node.hpp>

#include "node_parts.hpp"

#include <cairn/runtime/endpoint.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cairn {

namespace {

error no_rules_at_a_tap(const std::string& operation) {
    return {errc::not_supported, operation +
                                     ": plain SUB sockets at a tap read every topic, which the "
                                     "rules in node_options::access are there to prevent"};
}

}  // namespace

node::parts::parts(node_options options) : hub(std::move(options)), publishing(hub), pushing(hub) {}

node::parts::~parts() { hub.close(); }

node::node(node_options options) {
    // The services are in place before the first peer can ask for anything.
    const std::vector<std::string> binds = std::exchange(options.bind, {});
    const std::vector<std::string> connects = std::exchange(options.connect, {});
    parts_ = std::make_unique<parts>(std::move(options));
    for (const std::string& endpoint : binds) bind(endpoint);
    for (const std::string& endpoint : connects) connect(endpoint);
}

node::~node() {
    // In a forked child nothing of ZeroMQ, and none of the loop's descriptors, which are the
    // parent's as well, may be touched: the child's copy is left as it is.
    if (parts_ && parts_->hub.forked()) static_cast<void>(parts_.release());
}

std::string node::bind(std::string_view endpoint) { return parts_->hub.bind(endpoint); }

void node::connect(std::string_view endpoint, const connect_options& options) {
    parts_->hub.connect(endpoint, options.server_key);
}

bool node::unbind(std::string_view endpoint) { return parts_->hub.unbind(endpoint); }

bool node::disconnect(std::string_view endpoint) { return parts_->hub.disconnect(endpoint); }

std::string node::open_tap(std::string_view text) {
    runtime::hub& hub = parts_->hub;
    hub.check_open("open tap");
    const runtime::endpoint where = runtime::parse_endpoint(text, runtime::purpose::tap);
    runtime::require_secure(where, hub.sockets().secure(), hub.sockets().insecure_allowed());
    const auto resolved = runtime::resolve(where, runtime::purpose::tap);
    const runtime::loop::guard holding(hub.loop());
    hub.check_open("open tap");  // resolving a name takes its time
    if (!hub.gate().open()) throw no_rules_at_a_tap("open tap");
    return runtime::connectable(parts_->publishing.open_tap(resolved.front())).text();
}

bool node::close_tap(std::string_view text) {
    runtime::hub& hub = parts_->hub;
    hub.check_open("close tap");
    const runtime::endpoint where =
        runtime::parse_endpoint(text, runtime::purpose::tap, "close_tap");
    const auto resolved = runtime::resolve(where, runtime::purpose::tap, "close_tap");
    const runtime::loop::guard holding(hub.loop());
    return parts_->publishing.close_tap(resolved.front());
}

bool node::wait_for_peers(std::size_t count, std::chrono::milliseconds deadline) {
    return parts_->hub.wait_for_peers(count, deadline);
}

void node::allow_keys(std::vector<std::string> keys) { parts_->hub.allow_keys(std::move(keys)); }

void node::allow(std::vector<access_rule> rules) {
    runtime::hub& hub = parts_->hub;
    hub.check_open("allow");
    runtime::gate fresh(std::move(rules));
    const runtime::loop::guard holding(hub.loop());
    if (!fresh.open() && parts_->publishing.has_taps()) throw no_rules_at_a_tap("allow");
    hub.replace_gate(std::move(fresh));
}

const std::string& node::name() const noexcept { return parts_->hub.name(); }

node_id node::id() const noexcept { return parts_->hub.id(); }

node_stats node::stats() const {
    node_stats all = parts_->hub.stats();
    const runtime::loop::guard holding(parts_->hub.loop());
    all.taps_emptied = parts_->publishing.taps_emptied();
    return all;
}

std::uint64_t node::close(std::chrono::milliseconds deadline) {
    runtime::hub& hub = parts_->hub;
    if (hub.closed() || hub.forked()) return 0;
    const time_point until = runtime::later(hub.loop().now(), deadline);
    const std::uint64_t left =
        parts_->publishing.close_all(until) + parts_->pushing.close_all(until);
    {
        const runtime::loop::guard holding(hub.loop());
        hub.tell_ending();
    }
    std::uint64_t acks = 0;
    hub.loop().wait_until(until, [&] { return (acks = hub.unfinished()) == 0; });
    hub.close();
    return left + acks;
}

}  // namespace cairn
