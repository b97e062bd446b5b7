#include "support/temp_directory.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Every mistake that a caller can make gets an error that begins with what was done to what, and
// says what would be right.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;

/// What a mistake is made with.
struct room {
    temp_directory directory;
    node plain{{.body_bytes_max = 1'000}};
    node keyed{{.security = {.keys = generate_keys()}}};
    std::string taken = plain.bind("tcp://127.0.0.1:0");

    std::string file(const char* name, const std::string& text, mode_t mode) {
        const auto path = directory.path() / name;
        std::ofstream(path) << text;
        ::chmod(path.c_str(), mode);
        return path.string();
    }
};

struct mistake {
    errc code;
    std::string begins;  ///< operation and object
    std::string remedy;  ///< what would be right, or the limit
    std::function<void(room&)> make;
};

void expect_told(const std::vector<mistake>& all) {
    room here;
    for (const mistake& m : all) {
        std::optional<error> told;
        try {
            m.make(here);
        } catch (const error& e) {
            told = e;
        }
        ASSERT_TRUE(told) << m.begins << ": nothing was thrown";
        const std::string_view text = told->what();
        EXPECT_EQ(told->code(), m.code) << text;
        EXPECT_TRUE(text.starts_with(m.begins)) << text << "\ndoes not begin with " << m.begins;
        EXPECT_NE(text.find(m.remedy), text.npos) << text << "\ndoes not say " << m.remedy;
    }
}

TEST(AMistake, WithAnEndpointIsToldWithItsRemedy) {
    expect_told({
        {errc::address_invalid, "bind tcp://host:", "write tcp://host:5556",
         [](room& r) { r.plain.bind("tcp://host"); }},
        {errc::address_invalid, "connect host:1:", "write tcp://host:1",
         [](room& r) { r.plain.connect("host:1"); }},
        {errc::address_invalid, "unbind nonsense:", "write tcp://nonsense",
         [](room& r) { r.plain.unbind("nonsense"); }},
        {errc::address_invalid, "disconnect tcp://*:5:", "name the host to connect to",
         [](room& r) { r.plain.disconnect("tcp://*:5"); }},
        {errc::address_invalid, "open_tap inproc://x:", "write tcp://127.0.0.1",
         [](room& r) { r.plain.open_tap("inproc://x"); }},
        {errc::address_invalid, "close_tap ws://host:", "write ws://host:5556",
         [](room& r) { r.plain.close_tap("ws://host"); }},
        {errc::host_unknown, "connect tcp://no-such-host.invalid:5:", "no-such-host.invalid",
         [](room& r) { r.plain.connect("tcp://no-such-host.invalid:5"); }},
        {errc::host_unknown, "unbind tcp://no-such-host.invalid:5:", "no-such-host.invalid",
         [](room& r) { r.plain.unbind("tcp://no-such-host.invalid:5"); }},
        {errc::address_in_use, "bind tcp://127.0.0.1:", "choose another port, or 0 for any",
         [](room& r) { node().bind(r.taken); }},
        {errc::address_invalid, "bind tcp://192.0.2.1:1:", "choose one that has",
         [](room&) { node({.security = {.insecure = true}}).bind("tcp://192.0.2.1:1"); }},
        {errc::address_in_use, "bind inproc://mine:", "choose another",
         [](room& r) {
             r.plain.bind("inproc://mine");
             r.keyed.bind("inproc://mine");
         }},
        {errc::address_invalid, "bind ipc://", "make its directory first",
         [](room& r) {
             r.plain.bind("ipc://" + (r.directory.path() / "none" / "socket").string());
         }},
        {errc::address_in_use, "bind ipc://", "choose another path",
         [](room& r) { r.plain.bind("ipc://" + r.file("plain", "text", 0600)); }},
        {errc::insecure_refused, "bind tcp://*:*:", "security.insecure = true",
         [](room& r) { r.plain.bind("tcp://*:0"); }},
    });
}

TEST(AMistake, WithKeysOrRulesIsToldWithItsRemedy) {
    const std::string key = generate_keys().public_key;
    const std::string secret = generate_keys().secret_key;
    expect_told({
        {errc::key_invalid, "node: security.allowed_keys", "cairn::generate_keys",
         [&](room&) { node({.security = {.allowed_keys = {key}}}); }},
        {errc::invalid_argument, "node: security.allow_any_key", "set one of them",
         [&](room&) { node({.security = {.allowed_keys = {key}, .allow_any_key = true}}); }},
        {errc::key_invalid, "node: security.keys.secret_key", "cairn::generate_keys",
         [&](room&) {
             node({.security = {.keys = {key, "no key"}}});
         }},
        {errc::key_invalid, "node: security.keys.public_key", "both from one pair",
         [&](room&) {
             node({.security = {.keys = {key, secret}}});
         }},
        {errc::key_invalid, "node: server key \"no key\"", "40 Z85 characters",
         [](room&) { node({.security = {.keys = generate_keys(), .server_key = "no key"}}); }},
        {errc::key_invalid, "connect tcp://127.0.0.1:9: server key", "cairn::generate_keys",
         [&](room& r) { r.plain.connect("tcp://127.0.0.1:9", {.server_key = key}); }},
        {errc::key_invalid, "connect tcp://127.0.0.1:9: the node has keys", "security.server_key",
         [](room& r) { r.keyed.connect("tcp://127.0.0.1:9"); }},
        {errc::not_supported, "allow keys:", "set security.keys",
         [](room& r) { r.plain.allow_keys({}); }},
        {errc::key_invalid, "allow keys: \"no key\"", "40 Z85 characters",
         [](room& r) { r.keyed.allow_keys({"no key"}); }},
        {errc::key_invalid, "access rule: \"me\"", "* for everybody",
         [](room& r) { r.plain.allow({{.key = "me"}}); }},
        {errc::invalid_argument, "access rule for key *: \"a*b\"", "write a topic",
         [](room& r) { r.plain.allow({{.topics = "a*b"}}); }},
        {errc::permission_denied, "read ", "chmod 600",
         [&](room& r) {
             save_keys(generate_keys(), r.directory.path() / "cert");
             const auto file = r.directory.path() / "cert_secret";
             ::chmod(file.c_str(), 0644);
             static_cast<void>(load_keys(file));
         }},
        {errc::key_invalid, "read ", "no section \"curve\" with a public-key",
         [](room& r) { static_cast<void>(load_keys(r.file("text", "no keys", 0600))); }},
    });
}

TEST(AMistake, WithAHandleIsToldWithItsRemedy) {
    const std::string long_name(256, 'n');
    attributes large;
    large.key = long_name;
    expect_told({
        {errc::topic_invalid, "publish on a*:", "no `*`",
         [](room& r) { publisher(r.plain, "a*"); }},
        {errc::source_in_use, "publish on t:", "give this one another name",
         [](room& r) {
             const publisher first(r.plain, "t");
             publisher(r.plain, "t");
         }},
        {errc::too_large, "publish on t:", "255 bytes",
         [&](room& r) { publisher(r.plain, "t", {.source = long_name}); }},
        {errc::invalid_argument, "publish on t: ring_bytes_max", "above zero",
         [](room& r) { publisher(r.plain, "t", {.ring_bytes_max = 0}); }},
        {errc::invalid_argument, "publish on t: patience", "not be below zero",
         [](room& r) { publisher(r.plain, "t", {.patience = -1ms}); }},
        {errc::invalid_argument, "publish on t: this delivery needs a store",
         "set node_options::store",
         [](room& r) { publisher(r.plain, "t", {.delivery = delivery::store_first}); }},
        {errc::invalid_argument, "publish on t: full_ring::spill", "node_options::state_directory",
         [](room& r) {
             publisher(r.plain, "t", {.store = "ipc://@nobody", .when_full = full_ring::spill});
         }},
        {errc::too_large, "publish on t:", "send it in parts",
         [](room& r) { publisher(r.plain, "t").publish(std::string(1'001, 'x')); }},
        {errc::too_large, "publish on t:", "type 255 bytes, 64 headers, 64 KiB in all",
         [&](room& r) { publisher(r.plain, "t").publish("x", large); }},
        {errc::closed, "publish on t:", "it was closed",
         [](room& r) {
             publisher p(r.plain, "t");
             p.close(0ms);
             p.publish("x");
         }},
        {errc::topic_invalid, "push on :", "1 to 255 bytes", [](room& r) { pusher(r.plain, ""); }},
        {errc::invalid_argument, "push on t: ack_wait", "above zero",
         [](room& r) { pusher(r.plain, "t", {.ack_wait = 0ms}); }},
        {errc::topic_invalid, "pull from a*:", "no `*`", [](room& r) { puller(r.plain, "a*"); }},
        {errc::invalid_argument, "pull from t: credit", "at least 1 message and byte",
         [](room& r) { puller(r.plain, "t", {.credit_messages = 0}); }},
        {errc::too_large, "pull from t:", "255 bytes",
         [&](room& r) { puller(r.plain, "t", {.member = long_name}); }},
        {errc::topic_invalid, "subscribe to a*b:", "followed by one `*`",
         [](room& r) { subscriber(r.plain, "a*b"); }},
        {errc::invalid_argument, "subscribe to t: credit_bytes", "at least 1",
         [](room& r) { subscriber(r.plain, "t", {.credit_bytes = 0}); }},
        {errc::invalid_argument, "subscribe to t:", "set node_options::store",
         [](room& r) { subscriber(r.plain, "t", {.group = "g"}); }},
        {errc::invalid_argument, "subscribe to t:", "take positions() of an earlier run",
         [](room& r) {
             subscriber(r.plain, "t", {.from = from::after({{"", {"s", {1}, {1}}}})});
         }},
        {errc::invalid_argument, "subscriber:", "receive without start()",
         [](room& r) {
             subscriber s(r.plain, "t");
             s.start([](const message&) {});
             s.receive();
         }},
        {errc::invalid_argument, "puller:", "receive without start()",
         [](room& r) {
             puller p(r.plain, "t");
             p.start([](const job&) {});
             p.receive();
         }},
        {errc::invalid_argument, "replay t:", "use another start than from::live()",
         [](room& r) { replay(r.plain, "t", {.from = from::live()}); }},
        {errc::invalid_argument, "administer:", "set node_options::store",
         [](room& r) { admin(r.plain); }},
    });
}

TEST(AMistake, WithANodeIsToldWithItsRemedy) {
    expect_told({
        {errc::too_large, "node: the name", "255 bytes",
         [](room&) { node({.name = std::string(256, 'n')}); }},
        {errc::invalid_argument, "node: body_bytes_max", "1 byte to 64 MiB",
         [](room&) { node({.body_bytes_max = 0}); }},
        {errc::invalid_argument, "node: heartbeat", "silence_max above heartbeat",
         [](room&) { node({.heartbeat = 2s, .silence_max = 1s}); }},
        {errc::invalid_argument, "node: reconnect_min", "not above reconnect_max",
         [](room&) { node({.reconnect_min = 2s, .reconnect_max = 1s}); }},
        {errc::invalid_argument, "node: peers_max", "at least 1",
         [](room&) { node({.peers_max = 0}); }},
        {errc::closed, "connect: the node is closed", "closed",
         [](room&) {
             node n;
             n.close(0ms);
             n.connect("tcp://127.0.0.1:9");
         }},
    });
}

}  // namespace
