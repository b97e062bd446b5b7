#pragma once

#include <cairn/runtime/loop.hpp>
#include <cairn/store/reader.hpp>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace cairn::daemon {

/// Threads that read the store for the loop. They give way to the committer and the loop, since a
/// late answer only delays its reader.
///
/// Owns:    its threads. Loop and database must outlive it.
/// Threads: submit() loop; close() one at a time.
/// Fails:   construction throws error limit_exceeded (readers_max of the store).
/// Limits:  jobs wait without a limit of its own: each service bounds its own.
class reader_pool final : public runtime::task {
public:
    using work = std::function<void(store::reader&)>;
    using done = std::function<void()>;

    reader_pool(runtime::loop& loop, const store::database& source, std::size_t threads);
    ~reader_pool();

    /// Runs `what` on one of the threads, then `then` on the loop.
    void submit(work what, done then);
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
    std::deque<job> jobs_;        // guarded by mutex_
    std::vector<done> finished_;  // guarded by mutex_
    bool closing_ = false;        // guarded by mutex_
};

}  // namespace cairn::daemon
