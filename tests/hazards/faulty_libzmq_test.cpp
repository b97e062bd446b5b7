#include "support/eventually.hpp"

#include <cairn/cairn.hpp>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <zmq.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>

// Z24: the calls of libzmq fail as no peer can make them fail. This program has its own
// zmq_msg_send(), zmq_msg_recv() and zmq_getsockopt(), which hand on to the library's.
namespace {

/// Which of the calls fail, and how. Only the first frame of a message is refused: libzmq itself
/// never takes half a message. An interrupted call says nothing of the kind, so any may be one.
///
/// Threads: thread-safe.
class faults {
public:
    void begin(int number, std::uint64_t each) {
        number_ = number;
        each_ = each;
    }
    void end() { each_ = 0; }
    std::uint64_t made() const { return made_; }

    bool interrupts() { return number_ == EINTR && due(); }
    /// Keeps where each socket is in its message.
    bool refuses(void* socket, bool more) {
        const std::lock_guard hold(mutex_);
        bool& inside = inside_[socket];
        if (!inside && number_ != EINTR && due()) return true;
        inside = more;
        return false;
    }

private:
    bool due() {
        const std::uint64_t each = each_;
        if (each == 0 || ++calls_ % each != 0) return false;
        ++made_;
        errno = number_;
        return true;
    }
    std::atomic<int> number_{0};
    std::atomic<std::uint64_t> each_{0}, calls_{0}, made_{0};
    std::mutex mutex_;
    std::map<void*, bool> inside_;
};

faults& libzmq() {
    static faults the_one;
    return the_one;
}

template <typename Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" int zmq_msg_send(zmq_msg_t* message, void* socket, int flags) {
    static auto* const real = next<decltype(zmq_msg_send)>("zmq_msg_send");
    if (libzmq().interrupts() || libzmq().refuses(socket, (flags & ZMQ_SNDMORE) != 0)) return -1;
    return real(message, socket, flags);
}

extern "C" int zmq_msg_recv(zmq_msg_t* message, void* socket, int flags) {
    static auto* const real = next<decltype(zmq_msg_recv)>("zmq_msg_recv");
    return libzmq().interrupts() ? -1 : real(message, socket, flags);
}

extern "C" int zmq_getsockopt(void* socket, int option, void* value, size_t* size) {
    static auto* const real = next<decltype(zmq_getsockopt)>("zmq_getsockopt");
    return libzmq().interrupts() ? -1 : real(socket, option, value, size);
}

namespace cairn::test {

using namespace std::chrono_literals;

/// Two nodes whose libzmq fails between begin() and the end.
class FaultyLibzmq : public testing::TestWithParam<int> {
protected:
    static constexpr std::uint64_t total = 300;
    static constexpr auto patience = 20s;

    static node_options quick_to_notice() {
        node_options options;
        options.heartbeat = 50ms;
        options.silence_max = 500ms;
        options.reconnect_min = 10ms;
        options.reconnect_max = 50ms;
        return options;
    }
    ~FaultyLibzmq() override { libzmq().end(); }

    void SetUp() override {
        ASSERT_TRUE(sender.wait_for_subscribers(1, patience));
        ASSERT_TRUE(jobs.wait_for_pullers(1, patience));
    }
    cairn::node here{quick_to_notice()};
    const std::string endpoint = here.bind("tcp://127.0.0.1:0");
    cairn::node there{[this] {
        node_options options = quick_to_notice();
        options.connect = {endpoint};
        return options;
    }()};
    publisher sender{here, "weather"};
    subscriber reader{there, "weather"};
    pusher jobs{here, "jobs", {.deliveries_max = 0}};
    puller worker{there, "jobs"};
};
INSTANTIATE_TEST_SUITE_P(With, FaultyLibzmq, testing::Values(EINTR, EHOSTUNREACH, ENOMEM, EFSM),
                         [](const auto& info) {
                             const char* name = ::strerrorname_np(info.param);  // EFSM is libzmq's
                             return std::string(name == nullptr ? "EFSM" : name);
                         });

TEST_P(FaultyLibzmq, EndsNoNodeAndLosesNothing) {
    std::set<std::string> done;
    worker.start([&](const job& j) { done.emplace(j.text()); });
    const std::uint64_t enough = libzmq().made() + (GetParam() == EINTR ? 300 : 4);
    libzmq().begin(GetParam(), GetParam() == EINTR ? 3 : 20);

    for (std::uint64_t n = 1; n <= total; ++n) {
        const std::string text = std::to_string(n);
        jobs.push(text);
        sender.publish(text);
        const auto m = reader.receive_for(patience);
        ASSERT_TRUE(m && m->text() == text) << text;
        if (libzmq().made() >= enough) libzmq().end();  // but for EINTR each costs a connection
    }
    libzmq().end();
    EXPECT_TRUE(jobs.flush(patience));
    worker.close();

    EXPECT_EQ(done.size(), total);
    EXPECT_EQ(reader.stats().gaps, 0U);
    EXPECT_GE(libzmq().made(), enough);
}

}  // namespace cairn::test
