#include "support/edge.hpp"
#include "support/eventually.hpp"
#include "support/temp_directory.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace {

using namespace cairn;
using namespace cairn::runtime;
using namespace cairn::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

template <typename Action>
std::pair<errc, std::string> fault_of(Action&& action) {
    try {
        action();
    } catch (const error& e) {
        return {e.code(), e.what()};
    }
    return {errc::ok, ""};
}

/// A socket file that some program made without our lock; nobody listens once it is gone.
class foreign_socket {
public:
    explicit foreign_socket(const fs::path& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, path.c_str());
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(fd_, 1), 0);
    }
    ~foreign_socket() { ::close(fd_); }

private:
    int fd_;
};

class Listener : public testing::Test {
protected:
    endpoint at(const std::string& text) { return parse_endpoint(text, purpose::bind); }
    endpoint file() { return at("ipc://" + path_.string()); }

    temp_directory temp_;
    fs::path path_ = temp_ / "a.sock";
    socket_factory factory_{context::shared(), {}, {}};
    runtime::socket router_ = factory_.router();
};

TEST_F(Listener, TellsThePortThatTheSystemChose) {
    const listener tcp(factory_, router_, at("tcp://127.0.0.1:*"));
    EXPECT_NE(tcp.where().port, 0);
    EXPECT_EQ(tcp.where().host, "127.0.0.1");
    connecting_end peer({}, tcp.where());
    EXPECT_TRUE(peer.up());
}

TEST_F(Listener, IsReachedOverInprocAndAbstractNamesToo) {
    const std::string name = "@cairn-test-" + std::to_string(::getpid());
    const listener local(factory_, router_, at("ipc://" + name));
    connecting_end peer({}, local.where());
    EXPECT_TRUE(peer.up());
    const listener near(factory_, router_, at("inproc://listener-test"));
    runtime::socket dealer = factory_.dealer();
    connect(dealer, near.where());
    EXPECT_EQ(send_text(dealer, "hello"), io::done);
    EXPECT_TRUE(receive_within(router_));
}

TEST_F(Listener, KnowsTheConnectionsThatCameInByIt) {
    const std::string name = "ipc://@cairn-knows-" + std::to_string(::getpid());
    node_options options;
    options.security.insecure = true;
    const socket_factory open(context::shared(), options, {});
    for (const auto& where : {at("tcp://127.0.0.1:*"), at("tcp://*:*"), file(), at(name)}) {
        const runtime::socket router = open.router();
        monitor events(router);
        const listener here(open, router, where);
        const listener other(open, router, at("tcp://127.0.0.1:*"));
        connecting_end peer({}, connectable(here.where()));
        ASSERT_TRUE(peer.up());
        const auto event = next_event(events, event_kind::accepted);
        ASSERT_TRUE(event) << where.text();
        EXPECT_TRUE(here.accepted(event->value)) << where.text();
        EXPECT_FALSE(other.accepted(event->value)) << where.text();
        EXPECT_FALSE(here.accepted(0)) << "no socket of ours at all";
    }
}

TEST_F(Listener, NamesEndpointAndReasonWhenThePortIsTaken) {
    const listener first(factory_, router_, at("tcp://127.0.0.1:*"));
    runtime::socket other = factory_.router();
    const auto [code, text] = fault_of([&] { listener(factory_, other, first.where()); });
    EXPECT_EQ(code, errc::address_in_use);
    EXPECT_EQ(text, "bind " + first.where().text() +
                        ": Address already in use; another socket listens there: choose another "
                        "port, or 0 for any");
}

// Z27
TEST_F(Listener, IsRefusedBeyondLoopbackWithoutKeys) {
    EXPECT_EQ(fault_of([&] { listener(factory_, router_, at("tcp://*:*")); }).first,
              errc::insecure_refused);
    node_options options;
    options.security.insecure = true;
    const socket_factory open(context::shared(), options, {});
    const runtime::socket made = open.router();
    EXPECT_EQ(fault_of([&] { listener(open, made, at("tcp://*:*")); }).first, errc::ok);
}

// Z19
TEST_F(Listener, OnAFileIsNotStolenByASecond) {
    const listener first(factory_, router_, file());
    runtime::socket other = factory_.router();
    const auto [code, text] = fault_of([&] { listener(factory_, other, file()); });
    EXPECT_EQ(code, errc::address_in_use);
    EXPECT_NE(text.find(path_.string() + ".lock"), std::string::npos) << text;
    connecting_end peer({}, first.where());
    ASSERT_TRUE(peer.up());
    EXPECT_EQ(send_text(peer.dealer, "to the first"), io::done);
    EXPECT_TRUE(receive_within(router_));
}

// Z19
TEST_F(Listener, OnAFileGivesRightsToItsOwnUserOnlyWhateverTheUmask) {
    const mode_t before = ::umask(0);
    const listener open(factory_, router_, file());
    ::umask(before);
    struct stat found {};
    ASSERT_EQ(::stat(path_.c_str(), &found), 0);
    EXPECT_TRUE(S_ISSOCK(found.st_mode));
    EXPECT_EQ(found.st_mode & 0777, 0600U);
}

TEST_F(Listener, OnAFileLeavesNothingBehind) {
    { const listener gone(factory_, router_, file()); }
    router_.close_now();
    EXPECT_TRUE(eventually([&] { return fs::is_empty(temp_.path()); }));
}

TEST_F(Listener, ReplacesTheSocketFileOfADeadProcess) {
    { const foreign_socket dead(path_); }
    ASSERT_TRUE(fs::exists(path_));
    const listener next(factory_, router_, file());
    connecting_end peer({}, next.where());
    EXPECT_TRUE(peer.up());
}

TEST_F(Listener, LeavesTheSocketOfALivingProgramAlone) {
    const foreign_socket alive(path_);
    const auto [code, text] = fault_of([&] { listener(factory_, router_, file()); });
    EXPECT_EQ(code, errc::address_in_use);
    EXPECT_NE(text.find("another program listens there"), std::string::npos);
    EXPECT_NE(text.find("choose another path"), std::string::npos) << text;
    EXPECT_TRUE(fs::exists(path_));
}

TEST_F(Listener, NeverReplacesAFileThatIsNoSocket) {
    std::ofstream(path_) << "data";
    EXPECT_EQ(fault_of([&] { listener(factory_, router_, file()); }).first, errc::address_in_use);
    EXPECT_EQ(fs::file_size(path_), 4U);
}

TEST_F(Listener, NamesAMissingDirectory) {
    const auto [code, text] = fault_of(
        [&] { listener(factory_, router_, at("ipc://" + (temp_ / "missing/a.sock").string())); });
    EXPECT_EQ(code, errc::address_invalid);
    EXPECT_NE(text.find("missing/a.sock"), std::string::npos);
}

TEST_F(Listener, OnAFileIsFoundAtOnceAgainBySuccessorsOfManyOthers) {
    for (int i = 0; i < 50; ++i) {
        runtime::socket router = factory_.router();
        const listener next(factory_, router, file());
        connecting_end peer({}, next.where());
        ASSERT_TRUE(peer.up()) << "round " << i;
        ASSERT_EQ(send_text(peer.dealer, "hello"), io::done);
        ASSERT_TRUE(receive_within(router)) << "round " << i;
    }
}

// Z9
TEST_F(Listener, AcceptsNobodyWhilePausedKeepsItsConnectionsAndGoesOn) {
    for (const endpoint& where : {at("tcp://127.0.0.1:*"), file()}) {
        listener paused(factory_, router_, where);
        connecting_end old({}, paused.where());
        ASSERT_TRUE(old.up());
        paused.pause();
        connecting_end late({}, paused.where());
        EXPECT_FALSE(late.up(100ms)) << "it was accepted";
        ASSERT_EQ(send_text(old.dealer, "still here"), io::done);
        EXPECT_TRUE(receive_within(router_));
        EXPECT_TRUE(paused.resume());
        EXPECT_TRUE(late.up());
    }
}

TEST_F(Listener, KeepsItsFileFromOthersWhilePaused) {
    listener paused(factory_, router_, file());
    paused.pause();
    runtime::socket other = factory_.router();
    EXPECT_EQ(fault_of([&] { listener(factory_, other, file()); }).first, errc::address_in_use);
}

TEST_F(Listener, OnAFileLeavesNothingBehindWhenItEndsPaused) {
    {
        listener paused(factory_, router_, file());
        paused.pause();
    }
    EXPECT_TRUE(fs::is_empty(temp_.path()));
}

TEST_F(Listener, TakesItsConnectionsAlongAndTheWatchCountsThemOff) {
    monitor events(router_);
    accept_watch watch(false);
    std::optional<listener> first(std::in_place, factory_, router_, at("tcp://127.0.0.1:*"));
    const listener second(factory_, router_, file());
    connecting_end a({}, first->where());
    connecting_end b({}, second.where());
    ASSERT_TRUE(a.up() && b.up());
    first.reset();
    next_event(events, [&](const auto& e) { return watch.on(e), e.kind == event_kind::closed; });
    EXPECT_EQ(watch.connections(), 1U);
}

}  // namespace
