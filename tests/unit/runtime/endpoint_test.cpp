#include <cairn/error.hpp>
#include <cairn/runtime/endpoint.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>

namespace {

using namespace cairn;
using namespace cairn::runtime;

/// The text of the error that parsing ends with; "" when it succeeds.
std::string fault(std::string_view text, purpose why = purpose::connect) {
    try {
        parse_endpoint(text, why);
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::address_invalid) << text;
        return e.what();
    }
    return {};
}

std::string canonical(std::string_view text, purpose why = purpose::connect) {
    return parse_endpoint(text, why).text();
}

TEST(Endpoint, ComparesEqualInAllItsSpellings) {
    EXPECT_EQ(canonical("TCP://LocalHost:05556"), "tcp://localhost:5556");
    EXPECT_EQ(canonical("tcp://[0:0:0:0:0:0:0:1]:80"), "tcp://[::1]:80");
    EXPECT_EQ(canonical("tcp://[::ffff:10.0.0.7]:80"), "tcp://10.0.0.7:80");
    EXPECT_EQ(canonical("ipc:///run//./cairn/a.sock"), "ipc:///run/cairn/a.sock");
    EXPECT_EQ(parse_endpoint("tcp://*:0", purpose::bind),
              parse_endpoint("tcp://*:*", purpose::bind));
}

TEST(Endpoint, KeepsWhatIsCanonicalAlready) {
    for (const char* text :
         {"tcp://*:5556", "tcp://*:*", "tcp://127.0.0.1:1", "tcp://[fe80::2]:65535",
          "ipc:///run/a/../b", "ipc://@abstract", "inproc://a/name"})
        EXPECT_EQ(canonical(text, purpose::bind), text);
}

TEST(Endpoint, SaysWhichPartIsWrongAndWhatWouldBeRight) {
    EXPECT_EQ(fault("tcp://host"), "connect tcp://host: no port; write tcp://host:5556");
    EXPECT_EQ(fault("tcp://host:"), "connect tcp://host:: no port; write tcp://host:5556");
    EXPECT_EQ(fault(""), "connect : it is empty; write tcp://127.0.0.1:5556");
    EXPECT_EQ(fault("host:5556"), "connect host:5556: no scheme; write tcp://host:5556");
    EXPECT_EQ(fault("/tmp/x"), "connect /tmp/x: no scheme; write ipc:///tmp/x");
    EXPECT_EQ(fault("tcp:/host:5556"),
              "connect tcp:/host:5556: two slashes follow the scheme; write tcp://host:5556");
    EXPECT_EQ(fault("ipc:/tmp/x"),
              "connect ipc:/tmp/x: two slashes follow the scheme; write ipc:///tmp/x");
    EXPECT_EQ(fault("udp://host:5556"),
              "connect udp://host:5556: unknown scheme \"udp\"; write tcp://, ipc:// or inproc://");
    EXPECT_EQ(fault("tcp://host:http"),
              "connect tcp://host:http: the port \"http\" is not a number");
    EXPECT_EQ(fault("tcp://host:65536"), "connect tcp://host:65536: the port 65536 is above 65535");
    EXPECT_EQ(fault("tcp://:5556", purpose::bind), "bind tcp://:5556: no host; write tcp://*:5556");
    EXPECT_EQ(fault("tcp://::1:5556"),
              "connect tcp://::1:5556: an IPv6 address needs brackets; write tcp://[::1]:5556");
    EXPECT_EQ(fault("ipc://run/a.sock"),
              "connect ipc://run/a.sock: the path is relative, so its meaning changes with the "
              "working directory; write ipc:///run/a.sock");
    EXPECT_EQ(fault("ipc:///run/"),
              "connect ipc:///run/: the path names a directory; write ipc:///run/name.sock");
}

TEST(Endpoint, RefusesWhatOnlyABinderMayLeaveOpen) {
    for (const char* text : {"tcp://*:5556", "tcp://host:0", "tcp://host:*", "tcp://0.0.0.0:5556",
                             "tcp://[::]:5556"}) {
        EXPECT_NE(fault(text), "") << text;
    }
    EXPECT_EQ(fault("tcp://127.0.0.1:0", purpose::bind), "");
    EXPECT_EQ(fault("tcp://[::]:*", purpose::bind), "");
}

TEST(Endpoint, RefusesWhatIsNoAddress) {
    for (const char* text : {"tcp://256.0.0.1:1",
                             "tcp://1.2.3:1",
                             "tcp://[::g]:1",
                             "tcp://[::1:1",
                             "tcp://[::1]x:1",
                             "tcp://[fe80::1%eth0]:1",
                             "tcp://ho st:1",
                             "tcp://h\nost:1",
                             "tcp://-host:1",
                             "tcp://host;10.0.0.1:1",
                             "tcp://host:1/path",
                             "tcp://host:-1",
                             "tcp://host:+1",
                             "tcp://host:99999999999999999999",
                             "tcp://h\xc3\xb6st:1",
                             "inproc://",
                             "ipc://",
                             "ipc://@",
                             "ipc://*",
                             "inproc://zeromq.zap.01",
                             "inproc://cairn.monitor.1",
                             "://",
                             "tcp://"})
        EXPECT_NE(fault(text), "") << text;
}

TEST(Endpoint, KeepsNamesWithinTheirLimits) {
    const std::string path = "/" + std::string(ipc_path_bytes_max - 1, 'p');
    EXPECT_EQ(fault("ipc://" + path), "");
    EXPECT_NE(fault("ipc://" + path + "p").find("has 108 bytes, 107 are allowed"),
              std::string::npos);
    EXPECT_EQ(fault("inproc://" + std::string(inproc_name_bytes_max, 'n')), "");
    EXPECT_NE(fault("inproc://" + std::string(inproc_name_bytes_max + 1, 'n')), "");
    EXPECT_NE(fault("tcp://" + std::string(254, 'h') + ":1"), "");
}

TEST(Endpoint, ShowsControlCharactersOfAWrongOneAsQuestionMarks) {
    EXPECT_EQ(fault("tcp://a\x1b[31mb:1").find('\x1b'), std::string::npos);
}

TEST(Endpoint, TakesWebSocketsForTapsOnLoopbackOnly) {
    EXPECT_EQ(canonical("ws://127.0.0.1:8080/", purpose::tap), "ws://127.0.0.1:8080");
    EXPECT_NE(fault("ws://127.0.0.1:8080", purpose::bind), "");
    EXPECT_NE(fault("ws://*:8080", purpose::tap), "");
    EXPECT_NE(fault("inproc://tap", purpose::tap), "");
}

// Z26: Debian's libzmq has PGM, NORM, TIPC, VMCI, UDP and WebSocket built in.
TEST(Endpoint, RefusesEveryOtherTransportOfLibzmq) {
    for (const char* name : {"pgm", "epgm", "norm", "tipc", "vmci", "udp", "ws", "wss", "tcp2", ""})
        for (const purpose why : {purpose::bind, purpose::connect})
            EXPECT_NE(fault(std::string(name) + "://127.0.0.1:5556", why), "") << name;
}

TEST(Endpoint, KnowsWhatNoOtherMachineCanReach) {
    const auto loopback = [](const char* text) {
        return parse_endpoint(text, purpose::bind).is_loopback();
    };
    for (const char* text : {"tcp://127.0.0.1:1", "tcp://127.9.8.7:1", "tcp://[::1]:1",
                             "tcp://localhost:1", "ipc:///a", "ipc://@a", "inproc://a"})
        EXPECT_TRUE(loopback(text)) << text;
    for (const char* text : {"tcp://*:1", "tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://10.0.0.7:1",
                             "tcp://host:1", "tcp://127.0.0.1.example:1", "tcp://[::2]:1"})
        EXPECT_FALSE(loopback(text)) << text;
}

TEST(Endpoint, ResolvesToNumericAddressesIpv4First) {
    const auto found =
        resolve(parse_endpoint("tcp://localhost:5556", purpose::connect), purpose::connect);
    EXPECT_EQ(found.front().text(), "tcp://127.0.0.1:5556");
    for (const endpoint& e : found) EXPECT_TRUE(e.is_loopback()) << e.text();
}

TEST(Endpoint, NeedsNoResolvingWhenItIsNumericOrNoHost) {
    for (const char* text : {"tcp://10.0.0.7:1", "tcp://[::1]:1", "ipc:///a", "inproc://a"}) {
        const endpoint given = parse_endpoint(text, purpose::connect);
        EXPECT_EQ(resolve(given, purpose::connect), std::vector{given});
    }
}

TEST(Endpoint, NamesTheHostThatIsUnknown) {
    try {
        resolve(parse_endpoint("tcp://no-such-host.invalid:1", purpose::connect), purpose::connect);
        FAIL() << "the host resolved";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::host_unknown);
        EXPECT_NE(std::string(e.what()).find("the host \"no-such-host.invalid\" is unknown"),
                  std::string::npos);
    }
}

TEST(Endpoint, TellsThatAnInterfaceIsNoHost) {
    try {
        resolve(parse_endpoint("tcp://lo:1", purpose::bind), purpose::bind);
        GTEST_SKIP() << "a host named lo exists here";
    } catch (const error& e) {
        EXPECT_NE(std::string(e.what()).find("network interface"), std::string::npos) << e.what();
    }
}

TEST(Endpoint, IsGivenToOthersWithAnAddressThatTheyCanUse) {
    const endpoint shown = connectable(parse_endpoint("tcp://*:5556", purpose::bind));
    EXPECT_EQ(shown.port, 5'556);
    EXPECT_EQ(fault(shown.text(), purpose::connect), "");
    const endpoint kept = parse_endpoint("tcp://127.0.0.1:5556", purpose::bind);
    EXPECT_EQ(connectable(kept), kept);
}

// Z27
TEST(Endpoint, IsNotOpenedToOtherMachinesWithoutKeysUnlessSaidInsecure) {
    const endpoint all = parse_endpoint("tcp://*:5556", purpose::bind);
    const endpoint here = parse_endpoint("tcp://127.0.0.1:5556", purpose::bind);
    EXPECT_NO_THROW(require_secure(here, false, false));
    EXPECT_NO_THROW(require_secure(all, true, false));
    EXPECT_NO_THROW(require_secure(all, false, true));
    try {
        require_secure(all, false, false);
        FAIL() << "it was opened";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::insecure_refused);
        EXPECT_NE(std::string(e.what()).find("tcp://127.0.0.1:5556"), std::string::npos);
    }
}

}  // namespace
