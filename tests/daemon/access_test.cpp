#include "store_fixture.hpp"

#include <cairn/cairn.hpp>

#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <thread>

namespace {

using namespace cairn;
using namespace cairn::test;
using wire::kind;

class Access : public StoreFixture {
protected:
    void SetUp() override {
        options_.network.security.keys = server_;
        options_.network.security.allowed_keys = {alice_.public_key, bob_.public_key};
        options_.access = {{alice_.public_key, "quakes.*", {.publish = true}},
                           {bob_.public_key, "quakes.us", {.publish = true, .subscribe = true}},
                           {"*", "public", {.publish = true, .consume = true}}};
        start();
    }
    std::unique_ptr<party> as(const key_pair& who) const {
        return std::make_unique<party>(endpoint_, who, server_.public_key);
    }

    const key_pair server_ = generate_keys();
    const key_pair alice_ = generate_keys();
    const key_pair bob_ = generate_keys();
};

TEST_F(Access, IsGivenByKeyAndPattern) {
    const auto alice = as(alice_);
    EXPECT_TRUE(alice->open(1, "quakes.us", "usgs", 1));
    EXPECT_TRUE(alice->open(2, "public", "usgs", 1));
    EXPECT_FALSE(alice->open(3, "weather", "usgs", 1));
    alice->raw().say(wire::subscribe{4, "quakes.us", wire::start::live, 0, false, {}});
    EXPECT_EQ(alice->raw().refusal(kind::error), errc::not_authorised);
    alice->raw().say(wire::locate{5, "quakes.us", wire::place::first, 0});
    EXPECT_EQ(alice->raw().refusal(kind::error), errc::not_authorised);
    EXPECT_FALSE(as(bob_)->open(1, "quakes.jp", "bob", 1));
}

TEST_F(Access, ToAPatternNeedsAllOfIt) {
    const auto bob = as(bob_);
    bob->raw().say(wire::subscribe{1, "quakes.*", wire::start::live, 0, false, {}});
    EXPECT_EQ(bob->raw().refusal(kind::error), errc::not_authorised);
    bob->raw().say(wire::subscribe{2, "quakes.us", wire::start::live, 0, false, {}});
    EXPECT_TRUE(bob->raw().hear(kind::subscribed));
}

TEST_F(Access, ToGroupsIsARightOfItsOwn) {
    const auto bob = as(bob_);
    EXPECT_TRUE(bob->attach(1, "public", "all"));
    bob->raw().say(wire::attach_group{2, "quakes.us", "all", "", wire::group_kind::each, {}, 0});
    EXPECT_EQ(bob->raw().refusal(kind::error), errc::not_authorised);
}

TEST_F(Access, EndsWithTheLinkWhenItChanges) {
    auto alice = as(alice_);
    const auto bob = as(bob_);
    EXPECT_FALSE(alice->open(1, "weather", "usgs", 1));
    ASSERT_TRUE(alice->open(2, "quakes.us", "usgs", 1));
    ASSERT_TRUE(bob->open(1, "quakes.us", "bob", 1));
    options_.access.front() = {alice_.public_key, "weather", {.publish = true}};
    store_->allow(options_.access);
    EXPECT_EQ(store_->stats().sources, 1U) << "hers is no longer open";
    EXPECT_EQ(alice->raw().refusal(kind::bye), errc::not_authorised);
    alice = as(alice_);
    EXPECT_TRUE(alice->open(1, "weather", "usgs", 1));
    EXPECT_FALSE(alice->open(2, "quakes.us", "usgs", 1));
    bob->append(1, 1, 1);
    EXPECT_TRUE(bob->confirmed(1)) << "whose rights are the same";
}

// Its rules say what peers may do: the store is no peer that it has to fear.
TEST_F(Access, OfAReaderIsNotAskedOfItsStore) {
    ASSERT_TRUE(as(alice_)->store("quakes.us", "usgs", 1, 1, 3));
    node reader({.store = endpoint_,
                 .security = {.keys = bob_, .server_key = server_.public_key},
                 .access = {{"*", "other", {.publish = true}}}});
    subscriber in(reader, "quakes.us", {.from = from::earliest()});
    for (const std::string_view text : {"m1", "m2", "m3"}) {
        const auto m = in.receive_for(std::chrono::seconds(20));
        ASSERT_TRUE(m);
        EXPECT_EQ(m->text(), text);
    }
}

TEST_F(Access, OfASourceIsTheFirstKeysThatOpenedIt) {
    ASSERT_TRUE(as(alice_)->open(1, "quakes.us", "usgs", 1));
    const auto bob = as(bob_);
    bob->raw().say(wire::open_source{1, "quakes.us", "usgs", epoch{2}});
    EXPECT_EQ(bob->raw().refusal(kind::error), errc::not_authorised);
    EXPECT_TRUE(as(alice_)->open(1, "quakes.us", "usgs", 1));
    EXPECT_TRUE(bob->open(2, "quakes.us", "bob", 1));
}

/// A store that is reached by a path alone, in a directory that everybody may enter.
class IpcPath : public StoreFixture {
protected:
    void SetUp() override {
        std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
        options_.network.bind = {"ipc://" + path_};
        start();
    }
    /// 0, or why `user` cannot connect.
    int refusal(uid_t user) const {
        int fault = 0;
        // The file system takes a thread for who it says that it is.
        std::jthread([&] {
            ::setfsuid(user);
            const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            sockaddr_un at{};
            at.sun_family = AF_UNIX;
            path_.copy(at.sun_path, sizeof at.sun_path - 1);
            if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
                fault = errno;
            ::close(descriptor);
        }).join();
        return fault;
    }

    const std::string path_ = (directory_ / "store.ipc").string();
};

TEST_F(IpcPath, IsClosedToOtherUsers) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root may be another user";
    EXPECT_EQ(refusal(0), 0);
    EXPECT_EQ(refusal(65'534), EACCES);
    EXPECT_TRUE(peer()->store("quakes", "usgs", 1, 1, 1));
}

}  // namespace
