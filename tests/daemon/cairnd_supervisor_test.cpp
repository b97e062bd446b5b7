#include "cairnd_fixture.hpp"
#include "notified.hpp"

// What systemd hears of cairnd.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;

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
