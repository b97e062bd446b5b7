#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace cairn::test {

/// Machines of a test's own: network namespaces, each with one device, and between these a relay of
/// IP packets that loses or holds them as the test says. (The kernels of test machines often have
/// no netem.)
///
/// Owns:    the namespaces, their TUN devices and a thread.
/// Threads: one at a time. The first object is made before the process has other threads.
/// Fails:   construction throws std::system_error; where users may have no namespaces or no TUN
///          device, a test skips.
class split_network {
public:
    using duration = std::chrono::milliseconds;

    explicit split_network(std::size_t machines);
    ~split_network();
    split_network(const split_network&) = delete;
    split_network& operator=(const split_network&) = delete;

    /// Of a machine, the first is 0: "10.77.0.1".
    static std::string address(std::size_t machine);
    /// Calls `f` on a thread that lives there: a process that it starts lives there too.
    void on(std::size_t machine, const std::function<void()>& f) const;

    /// Packets from the one to the other are lost from now on; none is answered.
    void cut_one_way(std::size_t from, std::size_t to);
    void cut(std::size_t one, std::size_t other);
    /// No cut between these two.
    void mend(std::size_t one, std::size_t other);
    /// From and to all others.
    void cut_off(std::size_t machine);
    /// Every packet arrives so much later, half a round trip; in their order.
    void delay(duration by);
    /// No cut, no delay.
    void heal();

private:
    using time_point = std::chrono::steady_clock::time_point;
    struct packet {
        std::size_t to = 0;
        std::string bytes;
    };
    struct machine {
        int device = -1;
        int space = -1;
    };

    void close_all();
    void relay();
    void take(std::size_t from);
    /// Sends what is due; how long until the next, in milliseconds, or -1.
    int send_due();

    std::vector<machine> machines_;
    int bell_ = -1;
    std::thread thread_;
    std::multimap<time_point, packet> held_;  // of the thread

    std::mutex mutex_;
    std::vector<bool> lost_;  // guarded by mutex_: from * machines + to
    duration delay_{0};       // guarded by mutex_
    bool stopping_ = false;   // guarded by mutex_
};

}  // namespace cairn::test
