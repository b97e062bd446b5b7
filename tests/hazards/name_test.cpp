#include "support/eventually.hpp"

#include <cairn/cairn.hpp>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

// Host names: with several addresses, with others than before, and with a resolver that hangs.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;

/// What this program's resolver says of names that end in ".test".
class made_up_names {
public:
    static made_up_names& all() {
        static made_up_names one;
        return one;
    }

    void set(const std::string& name, std::vector<std::string> addresses) {
        const std::lock_guard lock(mutex_);
        addresses_[name] = std::move(addresses);
    }
    /// From now on who asks waits until go_on().
    void hang() {
        const std::lock_guard lock(mutex_);
        hanging_ = true;
    }
    void go_on() {
        const std::lock_guard lock(mutex_);
        hanging_ = false;
        signal_.notify_all();
    }
    int waiting() {
        const std::lock_guard lock(mutex_);
        return waiting_;
    }
    std::vector<std::string> ask(const std::string& name) {
        std::unique_lock lock(mutex_);
        ++waiting_;
        signal_.wait(lock, [&] { return !hanging_; });
        --waiting_;
        return addresses_[name];
    }

private:
    std::mutex mutex_;
    std::condition_variable signal_;
    std::map<std::string, std::vector<std::string>> addresses_;
    bool hanging_ = false;
    int waiting_ = 0;
};

std::string port_part(const std::string& endpoint) { return endpoint.substr(endpoint.rfind(':')); }

}  // namespace

// In place of the C library's, in all of this program.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** list) {
    using function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto real = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    if (name == nullptr || !std::string_view(name).ends_with(".test"))
        return real(name, service, hints, list);
    *list = nullptr;
    addrinfo** end = list;
    for (const std::string& address : made_up_names::all().ask(name)) {
        if (const int fault = real(address.c_str(), service, hints, end); fault != 0) return fault;
        while (*end != nullptr) end = &(*end)->ai_next;
    }
    return *list == nullptr ? EAI_NONAME : 0;
}

namespace {

TEST(AHostName, WithSeveralAddressesIsReachedAtTheOneWhereSomebodyListens) {
    node host;
    const std::string port = port_part(host.bind("tcp://127.0.0.2:0"));
    made_up_names::all().set("several.test", {"127.0.0.3", "127.0.0.2"});
    node guest({.connect = {"tcp://several.test" + port}});
    EXPECT_TRUE(guest.wait_for_peers(1, 10s));
}

TEST(AHostName, ThatMovesIsFoundAtItsNewAddress) {
    node after;
    const std::string port = port_part(after.bind("tcp://127.0.0.2:0"));
    auto before = std::make_unique<node>();
    before->bind("tcp://127.0.0.3" + port);
    made_up_names::all().set("moves.test", {"127.0.0.3"});
    node guest({.connect = {"tcp://moves.test" + port}});
    ASSERT_TRUE(guest.wait_for_peers(1, 10s));

    before.reset();
    made_up_names::all().set("moves.test", {"127.0.0.2"});

    EXPECT_TRUE(after.wait_for_peers(1, 10s));
}

TEST(AHostName, ThatTheResolverForgetsIsStillReachedWhereItWas) {
    node host;
    const std::string port = port_part(host.bind("tcp://127.0.0.2:0"));
    ASSERT_TRUE(host.unbind("tcp://127.0.0.2" + port));
    made_up_names::all().set("forgotten.test", {"127.0.0.2"});
    node guest({.connect = {"tcp://forgotten.test" + port}, .reconnect_max = 200ms});
    made_up_names::all().set("forgotten.test", {});
    EXPECT_TRUE(eventually([&] {
        const endpoint_stats now = guest.stats().endpoints.at(0);
        return now.state == endpoint_state::failing && now.last_error == errc::host_unknown;
    }));
    ASSERT_TRUE(eventually([&] {
        try {
            return host.bind("tcp://127.0.0.2" + port), true;
        } catch (const error&) {
            return false;
        }
    }));
    EXPECT_TRUE(guest.wait_for_peers(1, 10s));
}

TEST(AHostName, WhoseLookupHangsHoldsUpNothingElse) {
    made_up_names& names = made_up_names::all();
    node host;
    const std::string port = port_part(host.bind("tcp://127.0.0.2:0"));
    ASSERT_TRUE(host.unbind("tcp://127.0.0.2" + port));
    names.set("hangs.test", {"127.0.0.2"});
    {
        node guest({.connect = {"tcp://hangs.test" + port}, .reconnect_max = 200ms});
        names.hang();
        ASSERT_TRUE(eventually([&] { return names.waiting() == 1; }));
        // The address known before is tried on, and the node ends, whatever the resolver does.
        ASSERT_TRUE(eventually([&] {
            try {
                return host.bind("tcp://127.0.0.2" + port), true;
            } catch (const error&) {
                return false;
            }
        }));
        EXPECT_TRUE(guest.wait_for_peers(1, 10s));
        EXPECT_EQ(names.waiting(), 1);
    }
    names.go_on();
    EXPECT_TRUE(eventually([&] { return names.waiting() == 0; }));
}

}  // namespace
