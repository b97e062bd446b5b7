#include "harness/program.hpp"
#include "harness/traffic.hpp"
#include "roles/roles.hpp"

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace cairn::bench::peer_roles {

namespace {

/// redis-server takes no port 0, so the system is asked for one that is free now.
std::string free_port() {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    const bool found = ::bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                       ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0;
    ::close(listener);
    if (!found) throw std::runtime_error("redis: the system gives no port");
    return std::to_string(ntohs(address.sin_port));
}

/// A connection with commands under way.
class pipeline {
public:
    explicit pipeline(const std::string& port)
        : context_(::redisConnect("127.0.0.1", std::atoi(port.c_str()))) {
        if (context_ == nullptr || context_->err != 0)
            throw std::runtime_error("redis: cannot connect to port " + port);
    }

    void send(body_source& bodies, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            const std::string_view body = bodies.next();
            ::redisAppendCommand(context_.get(), "XADD bench * m %b", body.data(), body.size());
        }
        for (int done = 0; done == 0;)
            if (::redisBufferWrite(context_.get(), &done) != REDIS_OK) fail();
    }

    void take_replies(tally& confirmed, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            void* answer = nullptr;
            if (::redisGetReply(context_.get(), &answer) != REDIS_OK) fail();
            const bool refused = static_cast<redisReply*>(answer)->type == REDIS_REPLY_ERROR;
            ::freeReplyObject(answer);
            if (refused) throw std::runtime_error("redis: XADD was refused");
            confirmed.sent();
        }
    }

private:
    [[noreturn]] void fail() {
        throw std::runtime_error(std::string("redis: ") + context_->errstr);
    }

    struct closing {
        void operator()(redisContext* context) const { ::redisFree(context); }
    };
    std::unique_ptr<redisContext, closing> context_;
};

/// From one thread, in turns, with one or two bursts of each connection under way.
void publish(role_context& context, std::size_t connections, std::size_t burst) {
    tally confirmed(context.shared, context.lane_index);
    body_source bodies(context.traffic.size);
    std::vector<pipeline> all;
    for (std::size_t i = 0; i < connections; ++i) all.emplace_back(context.endpoint);
    for (pipeline& one : all) one.send(bodies, burst);
    for (;;) {
        for (pipeline& one : all) one.send(bodies, burst);
        for (pipeline& one : all) one.take_replies(confirmed, burst);
    }
}

}  // namespace

// The variant is the directory. No snapshots, and no rewriting of the log while it is measured.
void redis_server(role_context& context) {
    std::filesystem::create_directory(context.traffic.variant);
    const std::string port = free_port();
    program server({"redis-server", "--bind", "127.0.0.1", "--port", port, "--dir",
                    context.traffic.variant, "--appendonly", "yes", "--appendfsync", "always",
                    "--save", "", "--auto-aof-rewrite-percentage", "0"});
    server.wait_for_output("Ready to accept connections", std::chrono::seconds(15));
    context.bound(port);
    server.watch();
}

void redis_pipeline(role_context& context) { publish(context, 1, 1'000); }

void redis_16_pipelines(role_context& context) { publish(context, 16, 500); }

}  // namespace cairn::bench::peer_roles
