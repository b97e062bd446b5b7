#pragma once

#include <cairn/runtime/handshake.hpp>
#include <cairn/runtime/listener.hpp>
#include <cairn/runtime/monitor.hpp>
#include <cairn/runtime/socket_factory.hpp>
#include <cairn/runtime/zmq_calls.hpp>
#include <cairn/security.hpp>

#include <poll.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

/// Both ends of one connection, made of the runtime's parts for the network and nothing above them.
namespace cairn::test {

inline node_options without_keys() { return {}; }

inline node_options with_keys(const key_pair& own, std::string server_key,
                              std::vector<std::string> allowed) {
    node_options options;
    options.security.keys = own;
    options.security.server_key = std::move(server_key);
    options.security.allowed_keys = std::move(allowed);
    return options;
}

/// Waits for the events of a monitor and remembers how far it read.
template <typename Condition>
std::optional<runtime::monitor_event> next_event(
    runtime::monitor& from, Condition&& wanted,
    std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    for (;;) {
        while (auto event = from.next())
            if (wanted(*event)) return event;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return std::nullopt;
        pollfd readable{from.fd(), POLLIN, 0};
        poll(&readable, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 50)));
    }
}

inline std::optional<runtime::monitor_event> next_event(
    runtime::monitor& from, runtime::event_kind kind,
    std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
    return next_event(
        from, [kind](const auto& e) { return e.kind == kind; }, deadline);
}

/// One part, when it comes before the deadline.
inline std::optional<zmq::message_t> receive_within(
    zmq::socket_ref from, std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    for (;;) {
        zmq::message_t part;
        if (runtime::receive(from, part) == runtime::io::done) return part;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return std::nullopt;
        pollfd readable{runtime::descriptor(from), POLLIN, 0};
        poll(&readable, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 50)));
    }
}

inline runtime::io send_text(zmq::socket_ref to, std::string_view text, bool more = false) {
    zmq::message_t part(text.data(), text.size());
    return runtime::send(to, part, more);
}

/// The binding end: a ROUTER that listens on a free port of loopback.
class binding_end {
public:
    explicit binding_end(const node_options& options, runtime::frame_limits limits = {},
                         const std::string& where = "tcp://127.0.0.1:*")
        : factory(runtime::context::shared(), options,
                  [this](const runtime::refusal& r) {
                      const std::lock_guard lock(mutex_);
                      refusals_.push_back(r.text());
                  }),
          router(factory.router(limits)),
          events(router),
          listens(factory, router, runtime::parse_endpoint(where, runtime::purpose::bind)),
          watch(factory.secure()) {}

    const runtime::endpoint& where() const { return listens.where(); }

    std::vector<std::string> refusals() const {
        const std::lock_guard lock(mutex_);
        return refusals_;
    }

    /// The next advice that the watch gives.
    std::optional<runtime::handshake_advice> advice(
        std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
        std::optional<runtime::handshake_advice> found;
        next_event(
            events, [&](const auto& e) { return (found = watch.on(e)).has_value(); }, deadline);
        return found;
    }

private:
    mutable std::mutex mutex_;
    std::vector<std::string> refusals_;

public:
    runtime::socket_factory factory;
    runtime::socket router;
    runtime::monitor events;
    runtime::listener listens;
    runtime::accept_watch watch;
};

/// The connecting end: a DEALER.
class connecting_end {
public:
    connecting_end(const node_options& options, const runtime::endpoint& where,
                   runtime::frame_limits limits = {})
        : factory(runtime::context::shared(), options, {}),
          dealer(factory.dealer(limits)),
          events(dealer),
          watch(factory.secure()) {
        runtime::connect(dealer, where);
    }

    /// Whether the handshake is done before the deadline.
    bool up(std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
        return watch.up() || next_event(
                                 events,
                                 [this](const auto& e) {
                                     watch.on(e, clock::now());
                                     return watch.up();
                                 },
                                 deadline)
                                 .has_value();
    }

    std::optional<runtime::handshake_advice> advice(
        std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
        std::optional<runtime::handshake_advice> found;
        next_event(
            events, [&](const auto& e) { return (found = watch.on(e, clock::now())).has_value(); },
            deadline);
        return found;
    }

    /// Whether libzmq gives the socket up before the deadline.
    bool abandoned(std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
        const auto end = clock::now() + deadline;
        while (!watch.abandoned(clock::now()) && clock::now() < end)
            next_event(
                events, [this](const auto& e) { return watch.on(e, clock::now()), false; },
                std::chrono::milliseconds(20));
        return watch.abandoned(clock::now());
    }

    runtime::socket_factory factory;
    runtime::socket dealer;
    runtime::monitor events;
    runtime::connect_watch watch;
};

}  // namespace cairn::test
