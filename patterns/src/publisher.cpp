#include <cairn/publisher.hpp>

#include "node_parts.hpp"
#include "publishing.hpp"
#include "sending_side.hpp"
#include "topics.hpp"

#include <cairn/error.hpp>

#include <utility>

namespace cairn {

struct publisher::impl {
    impl(node& owner, std::string_view topic, publisher_options options)
        : parts(owner.internals()),
          source(parts.hub, "publish", topic, options.source),
          publication(std::make_unique<patterns::publication>(
              parts.publishing, source.topic, checked(std::move(options)), source.epoch, store)) {
        const runtime::loop::guard holding(parts.hub.loop());
        if (parts.hub.closed()) publication.reset();  // meanwhile
        parts.hub.check_open("publish");
        parts.publishing.add(*publication, parts.hub.loop().now());
    }

    ~impl() {
        if (parts.hub.forked()) {
            // Left as it is: it belongs to the parent.
            static_cast<void>(publication.release());
            return;
        }
        publication->users().end();
        const runtime::loop::guard holding(parts.hub.loop());
        publication->inlet().stop(send_status::closed);
        publication->run(parts.hub.loop().now());
        if (const std::uint64_t left = publication->unsent(); left != 0)
            parts.hub.log(log_level::warning, "dropped",
                          "publisher " + source.name + " on " + source.topic + " ends with " +
                              std::to_string(left) +
                              " messages that a reader had no credit for; close() waits for it");
        if (const std::uint64_t left = publication->unstored(); left != 0)
            parts.hub.log(log_level::warning, "not stored",
                          "publisher " + source.name + " on " + source.topic + " ends with " +
                              std::to_string(left) +
                              " messages that its store has not confirmed; close() waits for it");
        publication->tell_end();
        parts.publishing.remove(*publication);
        publication.reset();
    }

    publisher_options checked(publisher_options options) {
        if (options.ring_bytes_max == 0 || options.batch_bytes_max == 0)
            throw error(errc::invalid_argument,
                        "publish on " + source.topic +
                            ": ring_bytes_max and batch_bytes_max must be above zero");
        if (options.patience < std::chrono::milliseconds::zero())
            throw error(errc::invalid_argument,
                        "publish on " + source.topic + ": patience must not be below zero");
        if (options.store.empty()) options.store = parts.hub.options().store;
        if (!options.delivery)
            options.delivery = options.store.empty() ? delivery::peers : delivery::parallel;
        if (*options.delivery != delivery::peers) {
            if (options.store.empty())
                throw error(errc::invalid_argument,
                            "publish on " + source.topic +
                                ": this delivery needs a store; set node_options::store or "
                                "publisher_options::store");
            if (options.when_full == full_ring::spill &&
                parts.hub.options().state_directory.empty())
                throw error(errc::invalid_argument,
                            "publish on " + source.topic +
                                ": full_ring::spill needs node_options::state_directory");
            if (options.source.empty() && parts.hub.has_random_name())
                parts.hub.log(log_level::warning, "random source",
                              "publisher on " + source.topic + ": its source is the random name " +
                                  source.name +
                                  ", another one with each start. The store keeps each for ever, "
                                  "and no start goes on with what one before owed it; set "
                                  "publisher_options::source or node_options::name");
            store = parts.hub.connect_store(options.store);
        }
        options.source = source.name;
        return options;
    }

    send_result offer(std::span<const std::byte> attributes, std::span<const std::byte> body) {
        return patterns::try_send(parts.hub, publication->inlet(), *publication, attributes, body);
    }

    sequence send(std::span<const std::byte> attributes, std::span<const std::byte> body) {
        return patterns::send(parts.hub, publication->inlet(), *publication, "publish",
                              publication->topic(), attributes, body);
    }

    node::parts& parts;
    patterns::claimed_source source;
    std::string store;  // endpoint; empty: none
    std::unique_ptr<patterns::publication> publication;
};

publisher::publisher(node& owner, std::string_view topic, publisher_options options)
    : impl_(std::make_unique<impl>(owner, topic, std::move(options))) {}

publisher::~publisher() = default;
publisher::publisher(publisher&&) noexcept = default;
publisher& publisher::operator=(publisher&&) noexcept = default;

sequence publisher::publish(std::span<const std::byte> body) { return impl_->send({}, body); }

sequence publisher::publish(std::string_view body) {
    return impl_->send({}, std::as_bytes(std::span(body)));
}

sequence publisher::publish(std::span<const std::byte> body, const attributes& attributes) {
    return impl_->send(patterns::encoded(attributes, "publish", topic()), body);
}

sequence publisher::publish(std::string_view body, const attributes& attributes) {
    return publish(std::as_bytes(std::span(body)), attributes);
}

send_result publisher::try_publish(std::span<const std::byte> body) {
    return impl_->offer({}, body);
}

send_result publisher::try_publish(std::string_view body) {
    return impl_->offer({}, std::as_bytes(std::span(body)));
}

send_result publisher::try_publish(std::span<const std::byte> body, const attributes& attributes) {
    const auto bytes = patterns::try_encoded(attributes);
    if (!bytes) return {send_status::too_large, {}};
    return impl_->offer(*bytes, body);
}

send_result publisher::try_publish(std::string_view body, const attributes& attributes) {
    return try_publish(std::as_bytes(std::span(body)), attributes);
}

sequence publisher::durable() const noexcept { return impl_->publication->durable(); }

std::uint64_t publisher::flush(std::chrono::milliseconds deadline) {
    if (impl_->parts.hub.forked()) return 0;
    return impl_->publication->flush(patterns::later(impl_->parts.hub.loop().now(), deadline));
}

bool publisher::wait_for_subscribers(std::size_t count, std::chrono::milliseconds deadline) {
    runtime::hub& hub = impl_->parts.hub;
    if (hub.forked()) return false;
    const patterns::publication& own = *impl_->publication;
    hub.loop().wait_until(patterns::later(hub.loop().now(), deadline),
                          [&] { return hub.closed() || own.readers() >= count; });
    return !hub.closed() && subscribers() >= count;
}

std::size_t publisher::subscribers() const {
    const runtime::loop::guard holding(impl_->parts.hub.loop());
    return impl_->publication->readers();
}

const std::string& publisher::topic() const noexcept { return impl_->publication->topic(); }
const std::string& publisher::source() const noexcept { return impl_->publication->source(); }
epoch publisher::epoch() const noexcept { return impl_->publication->epoch(); }

handle_stats publisher::stats() const {
    const runtime::loop::guard holding(impl_->parts.hub.loop());
    return impl_->publication->stats();
}

std::uint64_t publisher::close(std::chrono::milliseconds deadline) {
    if (impl_->parts.hub.forked()) return 0;
    return impl_->publication->close(patterns::later(impl_->parts.hub.loop().now(), deadline));
}

}  // namespace cairn
