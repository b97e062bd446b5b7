#include "sending_side.hpp"

#include <utility>

namespace cairn::patterns {

namespace {

std::string at_topic(std::string_view verb, std::string_view topic) {
    return std::string(verb) + " on " + shown(topic) + ": ";
}

}  // namespace

claimed_source::claimed_source(runtime::hub& owner, std::string_view verb,
                               std::string_view wanted_topic, std::string_view wanted)
    : hub(owner), topic(wanted_topic), name(wanted.empty() ? owner.name() : wanted) {
    hub.check_open(verb);
    if (!valid_topic(topic))
        throw error(errc::topic_invalid, at_topic(verb, topic) +
                                             "a topic has 1 to 255 bytes, no `*` and no control "
                                             "characters");
    if (name.size() > wire::source_bytes_max)
        throw error(errc::too_large, at_topic(verb, topic) + "the source is longer than 255 bytes");
    if (name.starts_with('@'))
        throw error(errc::invalid_argument,
                    at_topic(verb, topic) + "the source " + name +
                        " begins with @, as only a store's own do; give it or the node another "
                        "name");
    {
        const runtime::loop::guard holding(hub.loop());
        if (!hub.claim_source(topic, name))
            throw error(errc::source_in_use, at_topic(verb, topic) +
                                                 "this node already has the source " + name +
                                                 " there; give this one another name");
    }
    try {
        epoch = hub.new_epoch(topic, name);
    } catch (...) {
        const runtime::loop::guard holding(hub.loop());
        hub.release_source(topic, name);
        throw;
    }
}

claimed_source::~claimed_source() {
    if (hub.forked()) return;
    const runtime::loop::guard holding(hub.loop());
    hub.release_source(topic, name);
}

send_result try_send(runtime::hub& hub, runtime::inlet& inlet, runtime::task& sender,
                     std::span<const std::byte> attributes, std::span<const std::byte> body) {
    const send_result first = offer(hub, inlet, sender, attributes, body);
    if (first.status != send_status::full) return first;
    {
        const runtime::loop::guard holding(hub.loop());
        sender.run(hub.loop().now());
    }
    const send_result result = offer(hub, inlet, sender, attributes, body);
    if (result.status == send_status::full) inlet.count_refusal();
    return result;
}

sequence send(runtime::hub& hub, runtime::inlet& inlet, runtime::task& sender,
              std::string_view verb, std::string_view topic, std::span<const std::byte> attributes,
              std::span<const std::byte> body) {
    runtime::waiting_line::place place(inlet.line());
    for (bool waits = false;;) {
        const send_result result = offer(hub, inlet, sender, attributes, body);
        switch (result.status) {
            case send_status::accepted:
                return result.sequence;
            case send_status::full:
                if (!std::exchange(waits, true)) inlet.count_refusal();
                if (inlet.refusing())
                    throw error(errc::full,
                                at_topic(verb, topic) +
                                    "the ring is full of what the store does not have "
                                    "(full_ring::refuse); try again when it is back, or raise "
                                    "ring_bytes_max");
                place.wait();
                continue;
            case send_status::closed:
                hub.check_open(verb);
                throw error(errc::closed, at_topic(verb, topic) + "it was closed");
            case send_status::fenced:
                throw error(errc::fenced,
                            at_topic(verb, topic) +
                                "a newer run of this source exists; this one must stop (if there "
                                "is none, the clock went back: set node_options.state_directory)");
            case send_status::too_large:
                throw error(errc::too_large, at_topic(verb, topic) + std::to_string(body.size()) +
                                                 " bytes are above the node's body_bytes_max, " +
                                                 std::to_string(hub.options().body_bytes_max) +
                                                 "; send it in parts");
            case send_status::refused:
                throw error(errc::conflict,
                            at_topic(verb, topic) +
                                "the store refused this publisher for good, and with "
                                "delivery::store_first its peers see nothing else; the log says "
                                "why");
        }
    }
}

std::optional<std::span<const std::byte>> try_encoded(const cairn::attributes& attributes) {
    thread_local std::vector<std::byte> buffer;
    buffer.clear();
    if (wire::encode(attributes, buffer) != errc::ok) return std::nullopt;
    return buffer;
}

std::span<const std::byte> encoded(const cairn::attributes& attributes, std::string_view verb,
                                   std::string_view topic) {
    const auto bytes = try_encoded(attributes);
    if (!bytes)
        throw error(errc::too_large, at_topic(verb, topic) +
                                         "the attributes are above their limits (key and content "
                                         "type 255 bytes, 64 headers, 64 KiB in all)");
    return *bytes;
}

}  // namespace cairn::patterns
