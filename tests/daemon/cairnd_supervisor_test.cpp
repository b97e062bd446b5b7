#include "cairnd_fixture.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

// What systemd hears of cairnd.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;

/// A supervisor's end of a notification socket.
class notified {
public:
    explicit notified(const std::string& path)
        : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        std::memcpy(at.sun_path, path.data(), path.size());
        EXPECT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    }
    ~notified() { ::close(socket_); }
    notified(const notified&) = delete;
    notified& operator=(const notified&) = delete;

    std::string next(std::chrono::milliseconds patience = 30s) const {
        pollfd ready{socket_, POLLIN, 0};
        if (::poll(&ready, 1, static_cast<int>(patience.count())) != 1) return "nothing";
        char text[256];
        const ssize_t size = ::recv(socket_, text, sizeof text, 0);
        return size < 0 ? "nothing" : std::string(text, static_cast<std::size_t>(size));
    }

private:
    int socket_;
};

TEST_F(Cairnd, TellsItsSupervisorHowItStands) {
    const std::string path = (directory_ / "notify").string();
    const notified supervisor(path);
    start({}, {"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=20000"});
    EXPECT_EQ(supervisor.next(), "READY=1");
    EXPECT_EQ(supervisor.next(), "WATCHDOG=1");
    EXPECT_EQ(supervisor.next(), "WATCHDOG=1");
    EXPECT_EQ(end(SIGTERM), 0);
    std::string last;
    while ((last = supervisor.next()) == "WATCHDOG=1") {
    }
    EXPECT_EQ(last, "STOPPING=1");
}

TEST_F(Cairnd, TellsItsSupervisorWhenItReadsItsSettingsAgain) {
    const std::string path = (directory_ / "notify").string();
    const notified supervisor(path);
    start({"-c", file("c.toml", "")}, {"NOTIFY_SOCKET=" + path});
    EXPECT_EQ(supervisor.next(), "READY=1");
    for (const char* text : {"log_level = \"debug\"\n", "nonsense = 1\n"}) {
        file("c.toml", text);
        const auto before = std::chrono::steady_clock::now().time_since_epoch();
        running_->signal(SIGHUP);
        const std::string said_so = supervisor.next();
        const std::string head = "RELOADING=1\nMONOTONIC_USEC=";
        ASSERT_EQ(said_so.substr(0, head.size()), head);
        const std::chrono::microseconds at(std::stoll(said_so.substr(head.size())));
        EXPECT_GE(at, std::chrono::floor<std::chrono::microseconds>(before));
        EXPECT_LE(at, std::chrono::steady_clock::now().time_since_epoch());
        EXPECT_EQ(supervisor.next(), "READY=1") << "also when everything stays as it was";
    }
}

TEST_F(CairndOnAHangingDisk, TellsItsSupervisorNothing) {
    const std::string path = (directory_ / "notify").string();
    const notified supervisor(path);
    auto more = variables();
    more.insert(more.end(), {"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=20000"});
    start({}, more);
    party publisher(endpoints_.front());
    get_stuck(publisher);
    // What it had said before, and one for what was committed since.
    while (supervisor.next(500ms) != "nothing") {
    }
    EXPECT_TRUE(publisher.raw().answered()) << "the network lives on";
    EXPECT_EQ(supervisor.next(100ms), "nothing");
    go_on();
    EXPECT_TRUE(publisher.confirmed(10));
    EXPECT_EQ(supervisor.next(), "WATCHDOG=1");
}

}  // namespace
