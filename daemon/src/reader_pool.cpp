#include "reader_pool.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <latch>
#include <memory>

namespace cairn::daemon {

namespace {

// A tenth of the weight of a thread at 0 (sched_prio_to_weight, kernel/sched/core.c): history is
// read with what ingest leaves, and never starves.
constexpr int niceness = 10;

void give_way() {
    // On Linux a priority belongs to the thread, and lowering it needs no right.
    static_cast<void>(
        setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), niceness));
}

}  // namespace

reader_pool::reader_pool(runtime::loop& loop, const store::database& source, std::size_t threads)
    : loop_(loop) {
    for (std::size_t i = 0; i != threads; ++i)
        readers_.push_back(std::make_unique<store::reader>(source));
    std::latch started(static_cast<std::ptrdiff_t>(threads));
    try {
        for (const auto& r : readers_)
            threads_.emplace_back([this, &started, &reader = *r] {
                pthread_setname_np(pthread_self(), "cairn-replay");
                give_way();
                started.count_down();
                serve(reader);
            });
    } catch (...) {
        close();
        throw;
    }
    started.wait();
}

reader_pool::~reader_pool() {
    close();
    loop_.remove(*this);
}

void reader_pool::submit(std::uint64_t link, work what, done then) {
    {
        const std::lock_guard hold(mutex_);
        std::deque<job>& of_link = jobs_[link];
        if (of_link.empty()) turns_.push_back(link);
        of_link.push_back({std::move(what), std::move(then)});
    }
    some_.notify_one();
}

void reader_pool::abandon(std::uint64_t link) {
    std::deque<job> dropped;
    {
        const std::lock_guard hold(mutex_);
        const auto found = jobs_.find(link);
        if (found == jobs_.end()) return;
        dropped = std::move(found->second);
        jobs_.erase(found);
        std::erase(turns_, link);
        for (job& j : dropped) finished_.push_back(std::move(j.then));
    }
    loop_.flag(*this);
}

void reader_pool::close() {
    {
        const std::lock_guard hold(mutex_);
        closing_ = true;
        jobs_.clear();
        turns_.clear();
    }
    some_.notify_all();
    for (std::thread& t : threads_) t.join();
    threads_.clear();
    readers_.clear();
}

void reader_pool::serve(store::reader& reader) {
    for (;;) {
        job next;
        {
            std::unique_lock hold(mutex_);
            some_.wait(hold, [&] { return closing_ || !turns_.empty(); });
            if (closing_) return;
            const auto of_link = jobs_.find(turns_.front());
            turns_.pop_front();
            next = std::move(of_link->second.front());
            of_link->second.pop_front();
            if (of_link->second.empty())
                jobs_.erase(of_link);
            else
                turns_.push_back(of_link->first);
        }
        next.what(reader);
        // What the work refers to goes before its result is used elsewhere.
        next.what = {};
        {
            const std::lock_guard hold(mutex_);
            finished_.push_back(std::move(next.then));
        }
        loop_.flag(*this);
        loop_.wake();
    }
}

void reader_pool::run(time_point /*now*/) {
    {
        const std::lock_guard hold(mutex_);
        taken_.swap(finished_);
    }
    for (const done& d : taken_) d();
    taken_.clear();
}

}  // namespace cairn::daemon
