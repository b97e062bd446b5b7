#pragma once

#include <cairn/runtime/loop.hpp>
#include <cairn/store/reader.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cairn::daemon {

/// Threads that read the store for the loop. They give way to the committer and the loop, since a
/// late answer only delays its reader. Links take turns: who asks for much waits for its own.
///
/// Owns:    its threads. Loop and database must outlive it.
/// Threads: submit() loop; close() one at a time.
/// Fails:   construction throws error limit_exceeded (readers_max of the store), std::system_error
///          where the system makes no more threads.
/// Limits:  jobs wait without a limit of its own: each service bounds its own.
class reader_pool final : public runtime::task {
public:
    using work = std::function<void(store::reader&)>;
    using done = std::function<void()>;

    /// Returns when all threads give way.
    reader_pool(runtime::loop& loop, const store::database& source, std::size_t threads);
    ~reader_pool();

    /// Runs `what` on one of the threads for a link, by number, then `then` on the loop.
    void submit(std::uint64_t link, work what, done then);
    /// The link is gone: of its jobs those that wait are not done, and what follows them follows.
    void abandon(std::uint64_t link);
    /// Ends the threads; what waits is dropped.
    void close();

    void run(time_point now) override;

private:
    struct job {
        work what;
        done then;
    };

    void serve(store::reader& reader);

    runtime::loop& loop_;
    std::vector<std::unique_ptr<store::reader>> readers_;
    std::vector<std::thread> threads_;
    std::vector<done> taken_;

    std::mutex mutex_;
    std::condition_variable some_;
    std::unordered_map<std::uint64_t, std::deque<job>> jobs_;  // by link; guarded by mutex_
    std::deque<std::uint64_t> turns_;                          // links with jobs; guarded by mutex_
    std::vector<done> finished_;                               // guarded by mutex_
    bool closing_ = false;                                     // guarded by mutex_
};

}  // namespace cairn::daemon
