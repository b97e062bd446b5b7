#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace cairn::test {

/// A relay in front of a TCP listener on loopback, so that a test can do to connections what
/// networks do.
///
/// Owns:    its listener, its connections and a thread.
/// Threads: thread-safe.
/// Fails:   construction throws std::system_error.
/// Limits:  64 KiB are buffered in each direction, of a delayed one 4 MiB.
class tcp_proxy {
public:
    /// In front of "tcp://127.0.0.1:PORT".
    explicit tcp_proxy(const std::string& target);
    ~tcp_proxy();
    tcp_proxy(const tcp_proxy&) = delete;
    tcp_proxy& operator=(const tcp_proxy&) = delete;

    /// Where to connect to.
    std::string endpoint() const;

    /// Resets every connection, with what is under way on it. New ones are relayed again.
    void cut();
    /// Relays nothing more and closes nothing: what a cable that was pulled looks like.
    void swallow();
    /// Goes on after swallow(): what waits is delivered.
    void relay();
    /// What is read from now on takes so long to the other side.
    void delay(std::chrono::milliseconds way);

private:
    using clock = std::chrono::steady_clock;
    struct parcel {
        clock::time_point due;
        std::vector<char> bytes;
    };
    struct half {
        int from = -1;
        int to = -1;
        std::deque<parcel> waiting{};
    };
    struct connection {
        half onward;
        half back;
    };

    void run();
    void accept_one();
    bool serve(half& one, short from_events, short to_events) const;
    /// Milliseconds for poll() until the next parcel is due.
    int time_left(clock::time_point now) const;
    static void reset(const connection& which);
    void wake() const;

    std::uint16_t target_port_;
    std::uint16_t port_ = 0;
    int listener_ = -1;
    int bell_ = -1;
    std::mutex mutex_;
    std::list<connection> connections_;  // guarded by mutex_
    std::atomic<bool> silent_{false};
    std::atomic<std::chrono::milliseconds> delay_{};
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

}  // namespace cairn::test
