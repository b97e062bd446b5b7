// The yardstick: what a program gets from libzmq alone, a message a frame, with the sockets and
// calls that its guide teaches. Every choice here favours libzmq where there is a choice.

#include "harness/traffic.hpp"
#include "roles/call_timer.hpp"
#include "roles/roles.hpp"

#include <zmq.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

namespace cairn::bench::zmq_roles {

namespace {

// The topic is a part of the body, as in most ZeroMQ programs: an empty subscription costs least.
constexpr std::string_view all_topics;

[[noreturn]] void throw_zmq(const std::string& operation) {
    throw std::runtime_error("libzmq: " + operation + ": " + zmq_strerror(zmq_errno()));
}

// One for the process: over inproc both sides are threads of it. Never ended: a role is killed.
void* context() {
    static void* const made = zmq_ctx_new();
    return made;
}

class socket {
public:
    explicit socket(int type) : handle_(zmq_socket(context(), type)) {
        if (handle_ == nullptr) throw_zmq("socket");
    }
    ~socket() { zmq_close(handle_); }
    socket(const socket&) = delete;
    socket& operator=(const socket&) = delete;

    void set(int option, int value) {
        if (zmq_setsockopt(handle_, option, &value, sizeof value) != 0) throw_zmq("setsockopt");
    }
    void subscribe(std::string_view prefix) {
        if (zmq_setsockopt(handle_, ZMQ_SUBSCRIBE, prefix.data(), prefix.size()) != 0)
            throw_zmq("subscribe");
    }
    std::string bind(const std::string& endpoint) {
        if (zmq_bind(handle_, endpoint.c_str()) != 0) throw_zmq("bind " + endpoint);
        std::array<char, 512> actual{};
        std::size_t size = actual.size();
        if (zmq_getsockopt(handle_, ZMQ_LAST_ENDPOINT, actual.data(), &size) != 0)
            throw_zmq("getsockopt");
        return actual.data();
    }
    void connect(const std::string& endpoint) {
        if (zmq_connect(handle_, endpoint.c_str()) != 0) throw_zmq("connect " + endpoint);
    }
    void send(std::string_view body) {
        while (zmq_send(handle_, body.data(), body.size(), 0) < 0)
            if (errno != EINTR) throw_zmq("send");
    }
    void receive(zmq_msg_t& message) {
        while (zmq_msg_recv(&message, handle_, 0) < 0)
            if (errno != EINTR) throw_zmq("receive");
    }

private:
    void* handle_;
};

std::string_view body_of(zmq_msg_t& message) {
    return {static_cast<const char*>(zmq_msg_data(&message)), zmq_msg_size(&message)};
}

// "deep": as many messages as fit 64 MiB instead of 1,000. "nodrop": PUB waits for its slowest
// reader instead of dropping. README.md says why both are tried.
void apply_variant(socket& end, int type, const bench::traffic& traffic) {
    if (traffic.variant.find("deep") != std::string::npos) {
        constexpr std::size_t queue_bytes = std::size_t{64} << 20;
        const auto messages =
            std::clamp<std::size_t>(queue_bytes / (traffic.size + 64), 1'000, 100'000);
        end.set(ZMQ_SNDHWM, static_cast<int>(messages));
        end.set(ZMQ_RCVHWM, static_cast<int>(messages));
    }
    if (type == ZMQ_PUB && traffic.variant.find("nodrop") != std::string::npos)
        end.set(ZMQ_XPUB_NODROP, 1);
}

void send_for_ever(role_context& context, int type) {
    socket end(type);
    apply_variant(end, type, context.traffic);
    context.bound(end.bind(context.endpoint));
    tally counted(context.shared, context.lane_index);
    body_source bodies(context.traffic.size);
    for (;;) {
        end.send(bodies.next());
        counted.sent();
    }
}

void receive_for_ever(role_context& context, int type) {
    socket end(type);
    apply_variant(end, type, context.traffic);
    if (type == ZMQ_SUB) end.subscribe(all_topics);
    end.connect(context.endpoint);
    tally counted(context.shared, context.lane_index);
    zmq_msg_t message;
    zmq_msg_init(&message);
    for (;;) {
        end.receive(message);
        counted.received(body_of(message));
    }
}

}  // namespace

void push_sender(role_context& context) { send_for_ever(context, ZMQ_PUSH); }
void push_receiver(role_context& context) { receive_for_ever(context, ZMQ_PULL); }
void pub_sender(role_context& context) { send_for_ever(context, ZMQ_PUB); }
void sub_receiver(role_context& context) { receive_for_ever(context, ZMQ_SUB); }

void pair_server(role_context& context) {
    socket end(ZMQ_PAIR);
    context.bound(end.bind(context.endpoint));
    tally counted(context.shared, context.lane_index);
    zmq_msg_t message;
    zmq_msg_init(&message);
    for (;;) {
        end.receive(message);
        end.send(body_of(message));
        counted.sent();
    }
}

void pair_client(role_context& context) {
    socket end(ZMQ_PAIR);
    end.connect(context.endpoint);
    tally counted(context.shared, context.lane_index);
    const std::string body(context.traffic.size, '\0');
    zmq_msg_t message;
    zmq_msg_init(&message);
    for (;;) {
        const auto begin = now_ns();
        end.send(body);
        end.receive(message);
        counted.took(now_ns() - begin);
        counted.received(body_of(message));
    }
}

void pub_call_timer(role_context& context) {
    socket end(ZMQ_PUB);
    end.set(ZMQ_SNDHWM, 0);  // a burst is a burst: nothing is dropped, nobody waits
    context.bound(end.bind(context.endpoint));
    const auto& reader = context.shared.at(0).messages;
    while (reader.load() == 0) {  // until the subscription has come
        end.send(std::string_view("first"));
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    time_calls(context, [&](std::string_view body) { end.send(body); });
}

}  // namespace cairn::bench::zmq_roles
