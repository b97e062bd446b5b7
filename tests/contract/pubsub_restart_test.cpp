#include "contract.hpp"

#include <zmq.h>

#include <atomic>
#include <map>
#include <memory>
#include <optional>

namespace cairn::test {

/// Sources that begin a new run, in their process or in another.
class Run : public contract {
protected:
    static publisher_options station() { return {.source = "station"}; }
    static pusher_options works() { return {.source = "works"}; }
};
CAIRN_OVER_EACH_TRANSPORT(Run);

TEST_P(Run, TakesAHigherEpochThanTheOneBefore) {
    node& here = listening();
    const epoch before = publisher(here, "weather", station()).epoch();
    EXPECT_GT(publisher(here, "weather", station()).epoch(), before);
}

TEST_P(Run, TakesAHigherEpochFromTheStateDirectory) {
    temp_directory directory;
    epoch before;
    for (int run = 0; run != 3; ++run) {
        node here({.state_directory = directory.path()});
        publisher sender(here, "weather", station());
        EXPECT_GT(sender.epoch(), before);
        before = sender.epoch();
    }
}

TEST_P(Run, IsAnnouncedBeforeItsFirstMessage) {
    node& here = listening();
    node& there = connected_to(here);
    std::optional<publisher> sender(std::in_place, here, "weather", station());
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender->wait_for_subscribers(1, patience));
    publish_numbers(*sender, 1, 10);
    EXPECT_EQ(texts(reader, 10), numbers(1, 10));
    const epoch before = sender->epoch();

    sender.reset();
    sender.emplace(here, "weather", station());
    ASSERT_TRUE(sender->wait_for_subscribers(1, patience));
    publish_numbers(*sender, 11, 20);

    const auto told = reader.next_event(patience);
    ASSERT_TRUE(told);
    const auto* r = std::get_if<restart>(&*told);
    ASSERT_NE(r, nullptr);
    EXPECT_EQ(r->topic, "weather");
    EXPECT_EQ(r->source, "station");
    EXPECT_EQ(r->before, before);
    EXPECT_EQ(r->now, sender->epoch());
    EXPECT_EQ(texts(reader, 10), numbers(11, 20));
}

TEST_P(Run, IsFollowedToAnotherNode) {
    node& reading = listening();
    node& old_home = connected_to(reading);
    int restarts = 0;
    subscriber_options options;
    options.on_restart = [&](const restart&) { ++restarts; };
    subscriber reader(reading, "weather", options);
    auto first = std::make_unique<publisher>(old_home, "weather", station());
    ASSERT_TRUE(first->wait_for_subscribers(1, patience));
    publish_numbers(*first, 1, 10);
    EXPECT_EQ(texts(reader, 10), numbers(1, 10));
    first.reset();
    destroy(old_home);

    publisher second(connected_to(reading), "weather", station());
    ASSERT_TRUE(second.wait_for_subscribers(1, patience));
    publish_numbers(second, 11, 20);

    EXPECT_EQ(texts(reader, 10), numbers(11, 20));
    EXPECT_EQ(restarts, 1);
}

TEST_P(Run, IsReadFromItsFirstMessageByWhoWasAwayAtTheRestart) {
    node& here = listening();
    node& there = connected_to(here);
    std::optional<publisher> sender(std::in_place, here, "weather", station());
    subscriber reader(there, "weather");
    ASSERT_TRUE(sender->wait_for_subscribers(1, patience));
    publish_numbers(*sender, 1, 10);
    EXPECT_EQ(texts(reader, 10), numbers(1, 10));

    cut(there, here);
    sender.reset();
    sender.emplace(here, "weather", station());
    publish_numbers(*sender, 11, 20);
    mend(there, here);

    EXPECT_EQ(texts(reader, 10), numbers(11, 20));
}

TEST_P(Run, FencesAnOlderTwinOfAPublisher) {
    node& reading = listening();
    node& one = connected_to(reading);
    node& two = connected_to(reading);
    subscriber reader(reading, "weather");
    std::atomic<std::uint64_t> newer{0};
    publisher_options watched = station();
    watched.on_fenced = [&](epoch e) { newer = e.value; };
    publisher older(one, "weather", watched);
    ASSERT_TRUE(older.wait_for_subscribers(1, patience));
    older.publish("of the older");
    EXPECT_EQ(texts(reader, 1), std::vector<std::string>{"of the older"});
    publisher younger(two, "weather", station());
    ASSERT_TRUE(younger.wait_for_subscribers(1, patience));
    younger.publish("of the younger");
    EXPECT_EQ(texts(reader, 1), std::vector<std::string>{"of the younger"});

    // Whatever it sends now is answered by the reader that knows better.
    EXPECT_TRUE(
        eventually([&] { return older.try_publish("x").status == send_status::fenced; }, patience));

    EXPECT_EQ(thrown_by([&] { older.publish("too late"); }), errc::fenced);
    EXPECT_EQ(newer, younger.epoch().value);
    younger.publish("goes on");
    EXPECT_EQ(texts(reader, 1), std::vector<std::string>{"goes on"});
}

TEST_P(Run, FencesAQuietOlderTwinToo) {
    node& reading = listening();
    node& one = connected_to(reading);
    node& two = connected_to(reading);
    subscriber reader(reading, "weather");
    std::atomic<bool> fenced{false};
    publisher_options watched = station();
    watched.on_fenced = [&](epoch) { fenced = true; };
    publisher older(one, "weather", watched);
    ASSERT_TRUE(older.wait_for_subscribers(1, patience));
    older.publish("1");
    publisher younger(two, "weather", station());
    ASSERT_TRUE(younger.wait_for_subscribers(1, patience));

    EXPECT_TRUE(eventually([&] { return fenced.load(); }, patience));
}

TEST_P(Run, FencesAnOlderTwinOfAPusher) {
    node& working = listening();
    node& one = connected_to(working);
    node& two = connected_to(working);
    puller worker(working, "jobs");
    std::atomic<std::uint64_t> newer{0};
    pusher_options watched = works();
    watched.on_fenced = [&](epoch e) { newer = e.value; };
    pusher older(one, "jobs", watched);
    ASSERT_TRUE(older.wait_for_pullers(1, patience));
    older.push("of the older");
    EXPECT_EQ(texts(worker, 1), std::vector<std::string>{"of the older"});
    pusher younger(two, "jobs", works());
    ASSERT_TRUE(younger.wait_for_pullers(1, patience));
    younger.push("of the younger");
    EXPECT_EQ(texts(worker, 1), std::vector<std::string>{"of the younger"});

    EXPECT_TRUE(
        eventually([&] { return older.try_push("x").status == send_status::fenced; }, patience));

    EXPECT_EQ(thrown_by([&] { older.push("too late"); }), errc::fenced);
    EXPECT_EQ(newer, younger.epoch().value);
}

// --- The tap ----------------------------------------------------------------------------------

/// An unmodified ZeroMQ SUB socket.
class plain_subscriber {
public:
    plain_subscriber(const std::string& endpoint, const std::string& prefix)
        : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_SUB)) {
        const int linger = 0;
        const int wait_ms = 20;
        zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof linger);
        zmq_setsockopt(socket_, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
        zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, prefix.data(), prefix.size());
        zmq_connect(socket_, endpoint.c_str());
    }
    ~plain_subscriber() {
        zmq_close(socket_);
        zmq_ctx_term(context_);
    }
    plain_subscriber(const plain_subscriber&) = delete;
    plain_subscriber& operator=(const plain_subscriber&) = delete;

    /// The frames of one message; none when nothing came in time.
    std::vector<std::string> receive() {
        std::vector<std::string> frames;
        int more = 1;
        std::size_t size = sizeof more;
        while (more != 0) {
            zmq_msg_t frame;
            zmq_msg_init(&frame);
            if (zmq_msg_recv(&frame, socket_, 0) < 0) {
                zmq_msg_close(&frame);
                return frames;
            }
            frames.emplace_back(static_cast<const char*>(zmq_msg_data(&frame)),
                                zmq_msg_size(&frame));
            zmq_msg_close(&frame);
            zmq_getsockopt(socket_, ZMQ_RCVMORE, &more, &size);
        }
        return frames;
    }

private:
    void* context_;
    void* socket_;
};

class Tap : public contract {};
INSTANTIATE_TEST_SUITE_P(Over, Tap, ::testing::Values(transport::ipc, transport::tcp),
                         transport_name);

TEST_P(Tap, IsReadByAPlainSubSocket) {
    node& here = listening();
    publisher weather(here, "weather.berlin");
    publisher other(here, "news");
    plain_subscriber plain(here.open_tap(fresh_endpoint()), "weather");

    std::vector<std::string> got;
    ASSERT_TRUE(eventually(
        [&] {
            other.publish("not this");
            weather.publish("18 degrees");
            got = plain.receive();
            return !got.empty();
        },
        patience));

    EXPECT_EQ(got, (std::vector<std::string>{"weather.berlin", "18 degrees"}));
}

TEST_P(Tap, HoldsNobodyBackWhenItsReaderStops) {
    node& here = listening();
    publisher sender(here, "weather", {.patience = publisher_options::forever});
    plain_subscriber plain(here.open_tap(fresh_endpoint()), "weather");
    ASSERT_TRUE(eventually(
        [&] {
            sender.publish("1");
            return !plain.receive().empty();
        },
        patience));

    const std::string body(10'000, 'x');
    for (int i = 0; i != 5'000; ++i) sender.publish(body);

    EXPECT_EQ(here.close(patience), 0U);
}

}  // namespace cairn::test
