#include "support/child_process.hpp"
#include "support/eventually.hpp"
#include "support/raw_peer.hpp"
#include "support/resident.hpp"
#include "support/rounds.hpp"
#include "support/stranger.hpp"

#include <cairn/cairn.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

// Peers that stop, processes that fork and are interrupted, and nodes that end in the middle of it
// all.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;

node_options lively() {
    node_options o;
    o.heartbeat = 100ms;
    o.silence_max = 500ms;
    return o;
}

// libzmq refuses to send once a connection ended, though what came by it is not read yet.
TEST(APeerThatLeaves, IsHeardToItsEndAlsoWhileItIsAnswered) {
    node here(lively());
    const std::string endpoint = here.bind("tcp://127.0.0.1:0");
    for (int i = 0; i != 100; ++i) {
        stranger peer(endpoint);
        peer.linger();
        ASSERT_TRUE(peer.greet());
        for (int n = 0; n != 50; ++n) peer.say(wire::ping{1});
        peer.say(wire::bye{errc::closed, "done"});
    }
    EXPECT_TRUE(eventually([&] { return here.stats().links == 0; }, 30s));
    EXPECT_EQ(here.stats().frames_malformed, 0U);
}

class AStoppedSubscriber : public testing::Test {
protected:
    cairn::node node_{lively()};
    std::string endpoint_ = node_.bind("tcp://127.0.0.1:0");
    publisher publisher_{node_, "t", {.ring_bytes_max = 4 << 20}};
    child_process reader_{{CAIRN_HAZARDS_READER, endpoint_, "t"}};

    void SetUp() override {
        ASSERT_TRUE(publisher_.wait_for_subscribers(1, 30s)) << reader_.output();
    }
    void stop() { ASSERT_TRUE(reader_.signal(SIGSTOP)); }
    void go_on() { ASSERT_TRUE(reader_.signal(SIGCONT)); }
    /// The reader's account of everything that was published.
    std::string account() {
        publisher_.publish("end");
        EXPECT_EQ(reader_.wait(30s), 0) << reader_.output();
        return reader_.output();
    }
};

TEST_F(AStoppedSubscriber, IsLostAfterTheSilenceAndComesBackWithoutLoss) {
    for (int i = 0; i != 100; ++i) publisher_.publish("before");
    stop();
    for (int i = 0; i != 100; ++i) publisher_.publish("while it is stopped");
    EXPECT_TRUE(eventually([&] { return publisher_.subscribers() == 0; }, 5s));
    for (int i = 0; i != 100; ++i) publisher_.publish("while it is lost");
    go_on();
    ASSERT_TRUE(publisher_.wait_for_subscribers(1, 30s)) << reader_.output();
    EXPECT_NE(account().find("received 301 gone 0"), std::string::npos) << reader_.output();
}

// A frame that is received as a view of what it was read with would hold 18 KiB while it waits.
TEST(AnIdleApplication, HoldsWhatWaitsForItAndLittleMore) {
    constexpr std::size_t body_bytes = 5'000;
    constexpr std::uint64_t count = 1'500;
    node here(node_options{.name = "here"});
    node there(node_options{.name = "there"});
    there.connect(here.bind("tcp://127.0.0.1:*"));
    publisher sender(here, "weather", {.ring_bytes_max = 64 << 10, .batch_bytes_max = 1});
    subscriber idle(there, "weather");
    ASSERT_TRUE(sender.wait_for_subscribers(1, 30s));
    const std::string body(body_bytes, 'x');
    const std::size_t before = resident_bytes();
    // A few at a time: what is under way costs its sender memory, and this asks for the reader's.
    for (std::uint64_t sent = 0; sent != count;) {
        for (int i = 0; i != 10; ++i, ++sent) sender.publish(body);
        ASSERT_TRUE(eventually([&] { return idle.stats().queue_messages == sent; }));
    }
    if (!sanitized) {
        EXPECT_LE(resident_bytes(), before + body_bytes * count + (std::size_t{4} << 20));
    }
    EXPECT_EQ(idle.stats().gaps, 0U);
}

TEST_F(AStoppedSubscriber, CostsItsPublisherNoMoreThanRingAndCredit) {
    const std::string body(16 << 10, 'x');
    for (int i = 0; i != 64; ++i) publisher_.publish(body);
    stop();
    const std::size_t before = resident_bytes();
    for (int i = 0; i != 20'000; ++i) publisher_.publish(body);
    // 312 MiB went by: 4 MiB of ring, 8 MiB of credit, libzmq's own buffers.
    if (!sanitized) {
        EXPECT_LE(resident_bytes(), before + (std::size_t{32} << 20));
    }
    go_on();
    ASSERT_TRUE(publisher_.wait_for_subscribers(1, 30s)) << reader_.output();
    const std::string told = account();
    std::uint64_t received = 0;
    std::uint64_t gone = 0;
    ASSERT_EQ(std::sscanf(told.c_str(), "received %lu gone %lu", &received, &gone), 2) << told;
    EXPECT_EQ(received + gone, 20'065U);
    EXPECT_GT(gone, 0U);
}

class AForkedChildOfANode : public testing::Test {
protected:
    AForkedChildOfANode() {
        EXPECT_TRUE(p.wait_for_subscribers(1, 10s));
        EXPECT_TRUE(work.wait_for_pullers(1, 10s));
        work.push("in hand");
        in_hand = worker.receive_for(10s);
        EXPECT_TRUE(in_hand);
    }
    /// What `run` returns in a child, or -1 when it is still at it after ten seconds.
    template <typename Run>
    static int in_a_child(Run&& run) {
        const pid_t child = ::fork();
        if (child == 0) {
            ::alarm(10);
            ::_exit(run());
        }
        int status = 0;
        EXPECT_EQ(::waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    template <typename Call>
    static int told(Call&& call) {
        try {
            call();
        } catch (const error& e) {
            return e.code() == errc::forked ? 1 : 0;
        }
        return 0;
    }
    int everything() {
        const int sends = told([&] { p.publish("x"); }) + told([&] { work.push("x"); });
        const int makes =
            told([&] { n.bind("tcp://127.0.0.1:0"); }) +
            told([&] { n.connect("tcp://127.0.0.1:9"); }) +
            told([&] { publisher another(n, "u"); }) + told([&] { subscriber another(n, "u"); }) +
            told([&] { pusher another(n, "u"); }) + told([&] { puller another(n, "u"); });
        const int counts = told([&] { p.subscribers(); }) + told([&] { p.stats(); }) +
                           told([&] { s.attached(); }) + told([&] { s.stats(); }) +
                           told([&] { work.pullers(); }) + told([&] { work.unacked(); }) +
                           told([&] { work.stats(); }) + told([&] { worker.attached(); }) +
                           told([&] { worker.stats(); }) + told([&] { n.stats(); });
        const job_id id = in_hand->id();
        const bool nothing =
            p.try_publish("x").status == send_status::closed && p.flush(10s) == 0 &&
            p.close(10s) == 0 && !s.receive_for(10s) && !s.wait_attached(1, 10s) &&
            work.try_push("x").status == send_status::closed && !work.flush(10s) &&
            work.close(10s) == 0 && !worker.ack(id) && !worker.nack(id) && !worker.release(id) &&
            !worker.reject(id, "no") && !worker.extend(id, 1s) && !worker.receive_for(10s) &&
            !n.wait_for_peers(1, 10s) && n.close(10s) == 0;
        s.close();
        worker.close();
        return sends + makes + counts + (nothing ? 100 : 0);
    }
    void expect_the_parent_goes_on() {
        p.publish("the parent goes on");
        EXPECT_TRUE(s.receive_for(10s).has_value());
        EXPECT_EQ(work.unacked(), 1U);
        EXPECT_TRUE(worker.ack(in_hand->id()));
        EXPECT_TRUE(work.flush(10s));
    }

    std::mutex hold;  // a thread that logs waits for it, with the loop's lock in its hand
    std::atomic<bool> held{false};
    node n{{.log = [this](log_level, std::string_view line) {
        if (line.find("connected with") == line.npos) return;
        held = true;
        const std::lock_guard lock(hold);
    }}};
    publisher p{n, "t"};
    subscriber s{n, "t"};
    pusher work{n, "w"};
    puller worker{n, "w", {.acks = ack_mode::on_request}};
    std::optional<job> in_hand;
};

TEST_F(AForkedChildOfANode, IsToldAndHarmsNobody) {
    EXPECT_EQ(in_a_child([&] { return everything(); }), 118);
    expect_the_parent_goes_on();
}

TEST_F(AForkedChildOfANode, DoesNotWaitForALockThatNobodyHoldsAnyMore) {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "other threads are busy here, and GCC 12's address sanitizer takes none of its "
                    "locks around fork(): the child may wait for the one of its stack depot";
#endif
    std::unique_lock holding(hold);
    const std::string where = n.bind("tcp://127.0.0.1:0");
    node visitor({.connect = {where}});
    ASSERT_TRUE(eventually([&] { return held.load(); }));
    EXPECT_EQ(in_a_child([&] { return everything(); }), 118);
    holding.unlock();
    expect_the_parent_goes_on();
}

// Z23
TEST(AStormOfSignals, LosesNoMessageOfANode) {
    struct sigaction handler {};
    struct sigaction before {};
    handler.sa_handler = [](int) {};
    sigaction(SIGALRM, &handler, &before);  // without SA_RESTART
    const itimerval often{{0, 1'000}, {0, 1'000}};
    setitimer(ITIMER_REAL, &often, nullptr);
    {
        node a;
        publisher p(a, "t");
        pusher work(a, "w");
        node b({.connect = {a.bind("tcp://127.0.0.1:0")}});
        subscriber s(b, "t");
        puller worker(b, "w");
        for (int i = 0; i != 100; ++i) {
            node c;
            c.connect(c.bind("tcp://127.0.0.1:0"));
            c.bind("inproc://in-a-storm");
        }
        EXPECT_TRUE(p.wait_for_subscribers(1, 10s));
        for (int i = 0; i != 2'000; ++i) {
            p.publish(std::to_string(i));
            work.push(std::to_string(i));
            const auto m = s.receive_for(10s);
            ASSERT_TRUE(m && m->text() == std::to_string(i)) << i;
            const auto j = worker.receive_for(10s);
            ASSERT_TRUE(j && j->text() == std::to_string(i)) << i;
        }
    }
    const itimerval never{};
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &before, nullptr);
}

// Z22
TEST(ANodeThatCannotReachItsPeers, WaitsWithoutKeepingAProcessorBusy) {
    // A port that the kernel answers for, and behind which nobody ever says a word.
    const int mute = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::listen(mute, 8), 0);
    sockaddr_in where{};
    socklen_t size = sizeof where;
    ASSERT_EQ(::getsockname(mute, reinterpret_cast<sockaddr*>(&where), &size), 0);
    cairn::node node;
    node.connect("tcp://127.0.0.1:" + std::to_string(ntohs(where.sin_port)));
    node.connect("ipc://@nobody-" + std::to_string(::getpid()));
    const auto spent = [] {
        timespec t{};
        ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
    };
    const auto before = spent();
    constexpr auto waiting = 500ms;
    EXPECT_FALSE(node.wait_for_peers(1, waiting));
    EXPECT_LT(spent() - before, waiting / 4);
    ::close(mute);
}

TEST(ANodeThatEnds, UnderLoadWithDeadAndStalledPeersIsGoneInTime) {
    for (int round = 0; round != 200; ++round) {
        auto n = std::make_unique<node>();
        const std::string where = n->bind("tcp://127.0.0.1:0");
        auto p = std::make_unique<publisher>(*n, "t", publisher_options{.patience = 0ms});
        auto w = std::make_unique<pusher>(*n, "w");
        stranger stalled(where);
        auto dead = std::make_unique<stranger>(where);
        ASSERT_TRUE(stalled.greet());
        ASSERT_TRUE(dead->greet());
        for (stranger* peer : {&stalled, dead.get()}) {
            peer->say(wire::subscribe{1, "t", wire::start::live, ~0ULL, false, {}});
            peer->say(wire::attach{2, "w", "x", ~0ULL, ~0ULL});
        }
        ASSERT_TRUE(stalled.answered() && dead->answered());
        ASSERT_TRUE(p->wait_for_subscribers(2, 10s));
        std::jthread load([&](const std::stop_token& stop) {
            const std::string body(10'000, 'x');
            while (!stop.stop_requested() && p->try_publish(body).status != send_status::closed)
                static_cast<void>(w->try_push(body));
        });
        if (round % 2 == 0) dead.reset();
        const auto began = std::chrono::steady_clock::now();
        n->close(5ms);  // stalled peers use all of it up
        load.request_stop();
        load.join();
        p.reset();
        w.reset();
        n.reset();
        EXPECT_LE(std::chrono::steady_clock::now() - began, 3s) << round;
    }
}

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// The process may open no more than so many descriptors besides those that it has.
class few_descriptors {
public:
    explicit few_descriptors(rlim_t more) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const int lowest = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ::close(lowest);
        const rlimit wanted{static_cast<rlim_t>(lowest) + more, before_.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &wanted);
    }
    ~few_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    few_descriptors(const few_descriptors&) = delete;
    few_descriptors& operator=(const few_descriptors&) = delete;

private:
    rlimit before_{};
};

TEST(AProcessWithoutDescriptors, IsToldThatItCannotMakeANodeAndKeepsNothingOfIt) {
    const std::size_t before = open_descriptors();
    std::size_t refused = 0;
    for (rlim_t more = 0;; ++more) {
        std::optional<few_descriptors> limit(more);
        std::optional<error> refusal;
        try {
            node made;
            made.bind("tcp://127.0.0.1:0");
        } catch (const error& e) {
            refusal = e;
        }
        limit.reset();
        if (!refusal) break;
        ++refused;
        ASSERT_EQ(refusal->code(), errc::limit_exceeded) << more << ": " << refusal->what();
        ASSERT_TRUE(eventually([&] { return open_descriptors() == before; })) << more;
    }
    EXPECT_GT(refused, 40U);
}

TEST(AProcessWithoutDescriptors, GoesOnWithTheConnectionsItHas) {
    node reading;
    reading.bind("inproc://reading");
    subscriber s(reading, "t");
    node writing;
    publisher p(writing, "t");
    writing.connect("inproc://reading");
    ASSERT_TRUE(p.wait_for_subscribers(1, 30s));
    for (rlim_t more = 0; more != 12; ++more) {
        const few_descriptors limit(more);
        std::optional<errc> refusal;
        for (int i = 0; !refusal && i != 12; ++i) {
            try {
                writing.connect("inproc://nobody-" + std::to_string(more) + "-" +
                                std::to_string(i));
            } catch (const error& e) {
                refusal = e.code();
            }
        }
        ASSERT_EQ(refusal, errc::limit_exceeded) << more;
        p.publish("still there");
        const auto got = s.receive_for(30s);
        ASSERT_TRUE(got && got->text() == "still there") << more;
    }
}

std::chrono::nanoseconds processor_time() {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

// Z9: the program's own files, or another node's connections, not this node's. Nobody may be lost
// for silence here, as on a busy machine: in the room of the one another is accepted.
TEST(AProcessWithoutDescriptors, AcceptsNobodyServesWhoIsThereAndGoesOnWhenThereIsRoom) {
    std::atomic<bool> stopped{false};
    node here({.silence_max = 60s, .log = [&](log_level, std::string_view line) {
                   if (line.find("close to the limit of open files") != line.npos) stopped = true;
               }});
    const std::string where = here.bind("tcp://127.0.0.1:0");
    publisher p(here, "t");
    child_process guest({CAIRN_HAZARDS_READER, where, "t", "60000"});
    ASSERT_TRUE(p.wait_for_subscribers(1, 30s)) << guest.output();
    const few_descriptors limit(300);
    std::vector<int> files;
    while (files.size() != 260) files.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_GE(files.back(), 0);
    ASSERT_TRUE(eventually([&] { return stopped.load(); }, 30s));
    EXPECT_EQ(here.stats().endpoints.at(0).state, endpoint_state::paused);

    child_process late({CAIRN_HAZARDS_READER, where, "t", "60000"});
    const auto before = processor_time();
    EXPECT_FALSE(p.wait_for_subscribers(2, 1s));
    EXPECT_LT(processor_time() - before, 250ms);
    p.publish("for the one who is there");

    for (const int file : files) ::close(file);
    ASSERT_TRUE(p.wait_for_subscribers(2, 30s)) << late.output();
    p.publish("end");
    EXPECT_EQ(guest.wait(30s), 0);
    EXPECT_NE(guest.output().find("received 2 gone 0"), std::string::npos) << guest.output();
    EXPECT_EQ(late.wait(30s), 0);
    EXPECT_NE(late.output().find("received 1 gone 0"), std::string::npos) << late.output();
}

bool has_a_descriptor() {
    const int one = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (one >= 0) ::close(one);
    return one >= 0;
}

// Z9: more at once than there is room for, before anybody can pause. libzmq's thread tries to
// accept the next one as fast as it can.
class ACrowd : public testing::Test {
protected:
    /// Holds the loop up as soon as something is logged that says `words`.
    node_options watched(std::string_view words) {
        node_options o;
        o.silence_max = 60s;
        o.log = [this, words](log_level, std::string_view line) {
            if (line.find(words) == line.npos || held_.exchange(true)) return;
            const std::lock_guard waiting(hold_);
        };
        return o;
    }
    static std::uint16_t port_of(const std::string& where) {
        return static_cast<std::uint16_t>(std::stoi(where.substr(where.rfind(':') + 1)));
    }
    /// Lets so many connect while the loop is held up, until no descriptor is left.
    void fill(child_process& crowd) {
        ASSERT_TRUE(crowd.signal(SIGUSR1));
        ASSERT_TRUE(eventually([] { return !has_a_descriptor(); }));
        ASSERT_TRUE(crowd.wait_for_output("all are there", 30s)) << crowd.output();
    }

    /// Whether nothing spins any more three seconds later.
    static bool calms_down(node& here) {
        return eventually(
            [&] {
                const auto before = processor_time();
                static_cast<void>(here.wait_for_peers(100, 100ms));
                return processor_time() - before < 25ms;
            },
            3s);
    }

    std::mutex hold_;
    std::atomic<bool> held_{false};
};

TEST_F(ACrowd, ThatIsLargerThanTheRoomKeepsNoProcessorBusyAndHoldsNobodyUp) {
    node here(watched("no cairn node"));
    const std::string where = here.bind("tcp://127.0.0.1:0");
    publisher p(here, "t");
    child_process guest({CAIRN_HAZARDS_READER, where, "t", "60000"});
    ASSERT_TRUE(p.wait_for_subscribers(1, 30s)) << guest.output();
    std::optional<child_process> crowd(
        std::in_place,
        std::vector<std::string>{CAIRN_HAZARDS_CROWD, std::to_string(port_of(where)), "400"});
    ASSERT_TRUE(crowd->wait_for_output("ready", 30s));
    {
        const few_descriptors limit(40);
        std::unique_lock holding(hold_);
        raw_peer browser(port_of(where));
        browser.send("GET / HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n" + std::string(64, ' '));
        ASSERT_TRUE(eventually([&] { return held_.load(); }));
        fill(*crowd);
        holding.unlock();

        EXPECT_TRUE(calms_down(here));
        EXPECT_GT(here.stats().peers_refused, 300U) << "who waited is ended";
        EXPECT_EQ(here.stats().endpoints.at(0).state, endpoint_state::paused);
        const auto before = processor_time();
        p.publish("for the one who is there");
        EXPECT_FALSE(p.wait_for_subscribers(2, 1s));
        EXPECT_LT(processor_time() - before, 250ms);
    }
    crowd.reset();
    child_process late({CAIRN_HAZARDS_READER, where, "t", "60000"});
    ASSERT_TRUE(p.wait_for_subscribers(2, 30s)) << late.output();
    p.publish("end");
    EXPECT_EQ(guest.wait(30s), 0);
    EXPECT_NE(guest.output().find("received 2 gone 0"), std::string::npos) << guest.output();
    EXPECT_EQ(late.wait(30s), 0);
}

TEST_F(ACrowd, ThatIsLargerThanTheRoomKeepsNoProcessorBusyAtATap) {
    node here(watched("no cairn node"));
    const std::string where = here.open_tap("tcp://127.0.0.1:0");
    child_process crowd({CAIRN_HAZARDS_CROWD, std::to_string(port_of(where)), "400"});
    ASSERT_TRUE(crowd.wait_for_output("ready", 30s));
    const few_descriptors limit(40);
    std::unique_lock holding(hold_);
    raw_peer browser(port_of(where));
    browser.send("GET / HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n" + std::string(64, ' '));
    ASSERT_TRUE(eventually([&] { return held_.load(); }));
    fill(crowd);
    holding.unlock();

    EXPECT_TRUE(calms_down(here));
    const auto before = processor_time();
    EXPECT_FALSE(here.wait_for_peers(1, 1s));
    EXPECT_LT(processor_time() - before, 250ms);
}

// libzmq closes what it listened on when it comes to it.
TEST(ANodeThatIsClosed, LeavesItsPortToTheNext) {
    std::string where = "tcp://127.0.0.1:0";
    std::vector<std::unique_ptr<node>> others;
    for (int i = 0; i != 8; ++i) others.push_back(std::make_unique<node>());
    for (int i = 0; i != 300; ++i) {
        node here;
        ASSERT_NO_THROW(where = here.bind(where)) << i;
        for (const auto& other : others)
            if (i == 0) other->connect(where);
        here.close(0ms);
    }
}

TEST(ANodeThatIsClosed, MayBeOutlivedByItsHandles) {
    for (int i = 0; i != 20; ++i) {
        node a;
        node b({.connect = {a.bind("tcp://127.0.0.1:0")}});
        publisher p(a, "t");
        pusher w(a, "w");
        subscriber s(b, "t");
        puller r(b, "w");
        ASSERT_TRUE(p.wait_for_subscribers(1, 10s));
        ASSERT_TRUE(w.wait_for_pullers(1, 10s));
        p.publish("x");
        w.push("y");
        a.close(0ms);
        b.close(0ms);
        EXPECT_EQ(p.try_publish("z").status, send_status::closed);
        EXPECT_EQ(p.subscribers(), 0U);
        static_cast<void>(a.stats());
    }
}

}  // namespace
