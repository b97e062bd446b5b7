#include "harness/program.hpp"
#include "harness/traffic.hpp"
#include "roles/roles.hpp"

#include <nats/nats.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

namespace cairn::bench::peer_roles {

namespace {

constexpr const char* subject = "bench";
constexpr std::int64_t stall_ms_max = 10'000;

void check(natsStatus status, const char* operation) {
    if (status != NATS_OK)
        throw std::runtime_error(std::string("nats: ") + operation + ": " +
                                 natsStatus_GetText(status));
}

// Runs in one thread of the client. An error ends the role: what is not kept must not count.
void count_ack(jsCtx*, natsMsg* message, jsPubAck* ack, jsPubAckErr*, void* counted) {
    natsMsg_Destroy(message);
    if (ack == nullptr) std::abort();
    static_cast<tally*>(counted)->sent();
}

void publish(role_context& context, std::int64_t pending_max) {
    tally confirmed(context.shared, context.lane_index);
    natsConnection* connection = nullptr;
    check(natsConnection_ConnectTo(&connection, context.endpoint.c_str()), "connect");
    jsOptions options;
    check(jsOptions_Init(&options), "options");
    options.PublishAsync.MaxPending = pending_max;
    options.PublishAsync.StallWait = stall_ms_max;
    options.PublishAsync.AckHandler = count_ack;
    options.PublishAsync.AckHandlerClosure = &confirmed;
    jsCtx* stream = nullptr;
    check(natsConnection_JetStream(&stream, connection, &options), "JetStream");
    jsStreamConfig config;
    check(jsStreamConfig_Init(&config), "stream options");
    config.Name = subject;
    config.Subjects = const_cast<const char**>(&subject);
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    check(js_AddStream(nullptr, stream, &config, nullptr, nullptr), "add stream");
    body_source bodies(context.traffic.size);
    for (;;) {
        const std::string_view body = bodies.next();
        check(js_PublishAsync(stream, subject, body.data(), static_cast<int>(body.size()), nullptr),
              "publish");
    }
}

}  // namespace

// The variant is the directory.
void nats_server(role_context& context) {
    program server(
        {"nats-server", "-js", "-sd", context.traffic.variant, "-a", "127.0.0.1", "-p", "-1"});
    server.wait_for_output("Server is ready", std::chrono::seconds(15));
    const std::string before = "Listening for client connections on ";
    const std::string& printed = server.printed();
    const auto begin = printed.find(before);
    if (begin == std::string::npos) throw std::runtime_error("nats-server names no port");
    const auto address = begin + before.size();
    context.bound("nats://" + printed.substr(address, printed.find('\n', address) - address));
    server.watch();
}

void jetstream_4k_pending(role_context& context) { publish(context, 4'096); }

void jetstream_64k_pending(role_context& context) { publish(context, 65'536); }

}  // namespace cairn::bench::peer_roles
