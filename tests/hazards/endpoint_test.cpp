#include "support/temp_directory.hpp"

#include <cairn/cairn.hpp>

#include <gtest/gtest.h>

#include <string>

// Caller mistakes get an error that names operation, object and remedy.
namespace {

using namespace cairn;
using namespace cairn::test;

template <typename Action>
std::string text_of(errc code, Action&& action) {
    try {
        action();
    } catch (const error& e) {
        EXPECT_EQ(e.code(), code) << e.what();
        return e.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
}

bool has(const std::string& text, std::string_view part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
    return true;
}

// Z19
TEST(AnIpcPath, ThatANodeHasIsRefusedToTheNext) {
    const temp_directory directory;
    const std::string where = "ipc://" + (directory.path() / "socket").string();
    node first;
    first.bind(where);
    node second;
    has(text_of(errc::address_in_use, [&] { second.bind(where); }), where);
    publisher p(first, "t");
    node third({.connect = {where}});
    subscriber s(third, "t");
    EXPECT_TRUE(p.wait_for_subscribers(1, std::chrono::seconds(10))) << "the first is unharmed";
}

TEST(AHost, ThatDoesNotResolveIsRefusedAtOnce) {
    node n;
    has(text_of(errc::host_unknown, [&] { n.connect("tcp://no-such-host.invalid:5555"); }),
        "no-such-host.invalid");
}

// Z27, Z28
TEST(AListenerBeyondLoopback, IsRefusedWithoutKeysWithTheCommandsThatMendIt) {
    node n;
    const std::string text = text_of(errc::insecure_refused, [&] { n.bind("tcp://*:0"); });
    has(text, "tcp://*");
    has(text, "security.keys");
    has(text, "insecure");
    has(text_of(errc::insecure_refused, [&] { n.bind("tcp://0.0.0.0:0"); }), "0.0.0.0");
    has(text_of(errc::insecure_refused, [&] { n.open_tap("tcp://*:0"); }), "tcp://*");
}

TEST(AListenerBeyondLoopback, IsAllowedToWhoSaysInsecure) {
    node n({.security = {.insecure = true}});
    EXPECT_FALSE(n.bind("tcp://*:0").empty());
}

TEST(AListenerBeyondLoopback, IsEndedByEitherOfItsNames) {
    node n({.security = {.insecure = true}});
    const std::string told = n.bind("tcp://*:0");
    EXPECT_TRUE(n.unbind(told));
    EXPECT_FALSE(n.unbind(told));
    const std::string another = n.bind("tcp://*:0");
    EXPECT_TRUE(n.unbind("tcp://*" + another.substr(another.rfind(':'))));
    EXPECT_FALSE(n.unbind(another));
}

// Z26
TEST(AScheme, ThatIsNotOfTheAllowListIsRefused) {
    node n;
    for (const char* where :
         {"pgm://eth0;239.0.0.1:5555", "epgm://eth0;239.0.0.1:5555", "norm://127.0.0.1:5555",
          "tipc://{1,2,3}", "vmci://1:2", "udp://127.0.0.1:5555", "gssapi://127.0.0.1:1",
          "ws://127.0.0.1:5555"})
        has(text_of(errc::address_invalid, [&] { n.connect(where); }), "://");
}

}  // namespace
