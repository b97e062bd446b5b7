#include <cairn/pusher.hpp>

#include "node_parts.hpp"
#include "pushing.hpp"
#include "sending_side.hpp"

#include <cairn/error.hpp>

#include <utility>

namespace cairn {

struct pusher::impl {
    impl(node& owner, std::string_view topic, pusher_options options)
        : parts(owner.internals()),
          source(parts.hub, "push", topic, options.source),
          workload(std::make_unique<patterns::workload>(
              parts.pushing, source.topic, checked(std::move(options)), source.epoch)) {
        const runtime::loop::guard holding(parts.hub.loop());
        if (parts.hub.closed()) workload.reset();  // meanwhile
        parts.hub.check_open("push");
        parts.pushing.add(*workload);
    }

    ~impl() {
        if (parts.hub.forked()) {
            // Left as it is: it belongs to the parent.
            static_cast<void>(workload.release());
            return;
        }
        workload->users().end();
        const runtime::loop::guard holding(parts.hub.loop());
        workload->inlet().stop(send_status::closed);
        if (const std::uint64_t left = workload->unacked(); left != 0)
            parts.hub.log(log_level::warning, "dropped",
                          "pusher " + source.name + " on " + source.topic + " ends with " +
                              std::to_string(left) +
                              " messages that no puller acked; close() waits for them");
        parts.pushing.remove(*workload);
        workload.reset();
    }

    pusher_options checked(pusher_options options) const {
        if (options.ack_wait <= std::chrono::milliseconds::zero())
            throw error(errc::invalid_argument,
                        "push on " + source.topic + ": ack_wait must be above zero");
        if (options.backlog_bytes_max == 0 || options.batch_bytes_max == 0)
            throw error(errc::invalid_argument,
                        "push on " + source.topic +
                            ": backlog_bytes_max and batch_bytes_max must be above zero");
        options.source = source.name;
        return options;
    }

    send_result offer(std::span<const std::byte> attributes, std::span<const std::byte> body) {
        return patterns::try_send(parts.hub, workload->inlet(), *workload, attributes, body);
    }

    sequence send(std::span<const std::byte> attributes, std::span<const std::byte> body) {
        return patterns::send(parts.hub, workload->inlet(), *workload, "push", source.topic,
                              attributes, body);
    }

    node::parts& parts;
    patterns::claimed_source source;
    std::unique_ptr<patterns::workload> workload;
};

pusher::pusher(node& owner, std::string_view topic, pusher_options options)
    : impl_(std::make_unique<impl>(owner, topic, std::move(options))) {}

pusher::~pusher() = default;
pusher::pusher(pusher&&) noexcept = default;
pusher& pusher::operator=(pusher&&) noexcept = default;

sequence pusher::push(std::span<const std::byte> body) { return impl_->send({}, body); }

sequence pusher::push(std::string_view body) {
    return impl_->send({}, std::as_bytes(std::span(body)));
}

sequence pusher::push(std::span<const std::byte> body, const attributes& attributes) {
    return impl_->send(patterns::encoded(attributes, "push", topic()), body);
}

sequence pusher::push(std::string_view body, const attributes& attributes) {
    return push(std::as_bytes(std::span(body)), attributes);
}

send_result pusher::try_push(std::span<const std::byte> body) { return impl_->offer({}, body); }

send_result pusher::try_push(std::string_view body) {
    return impl_->offer({}, std::as_bytes(std::span(body)));
}

send_result pusher::try_push(std::span<const std::byte> body, const attributes& attributes) {
    const auto bytes = patterns::try_encoded(attributes);
    if (!bytes) return {send_status::too_large, {}};
    return impl_->offer(*bytes, body);
}

send_result pusher::try_push(std::string_view body, const attributes& attributes) {
    return try_push(std::as_bytes(std::span(body)), attributes);
}

bool pusher::wait_for_pullers(std::size_t count, std::chrono::milliseconds deadline) {
    runtime::hub& hub = impl_->parts.hub;
    if (hub.forked()) return false;
    const patterns::workload& own = *impl_->workload;
    hub.loop().wait_until(patterns::later(hub.loop().now(), deadline),
                          [&] { return hub.closed() || own.pullers() >= count; });
    return !hub.closed() && pullers() >= count;
}

std::size_t pusher::pullers() const {
    const runtime::loop::guard holding(impl_->parts.hub.loop());
    return impl_->workload->pullers();
}

bool pusher::flush(std::chrono::milliseconds deadline) {
    if (impl_->parts.hub.forked()) return false;
    return impl_->workload->flush(patterns::later(impl_->parts.hub.loop().now(), deadline));
}

std::uint64_t pusher::unacked() const {
    const runtime::loop::guard holding(impl_->parts.hub.loop());
    return impl_->workload->unacked();
}

const std::string& pusher::topic() const noexcept { return impl_->source.topic; }
const std::string& pusher::source() const noexcept { return impl_->source.name; }
epoch pusher::epoch() const noexcept { return impl_->source.epoch; }

handle_stats pusher::stats() const {
    const runtime::loop::guard holding(impl_->parts.hub.loop());
    return impl_->workload->stats();
}

std::uint64_t pusher::close(std::chrono::milliseconds deadline) {
    if (impl_->parts.hub.forked()) return 0;
    impl_->workload->inlet().stop(send_status::closed);
    flush(deadline);
    return unacked();
}

}  // namespace cairn
