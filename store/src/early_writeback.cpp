#include "early_writeback.hpp"

#include <fcntl.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <exception>

namespace cairn::store {

namespace {

// Between two looks at what is there: a processor copies a megabyte meanwhile. They become rarer
// with the time that they have taken: behind the copying the disk alone is awaited, maybe for long.
constexpr std::chrono::microseconds interval_min{200};
constexpr std::chrono::microseconds interval_max{10'000};
constexpr int interval_share = 64;

}  // namespace

early_writeback::early_writeback(const std::filesystem::path& file) noexcept
    : file_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {}

early_writeback::~early_writeback() { close(); }

void early_writeback::close() noexcept {
    {
        const std::lock_guard hold(mutex_);
        closing_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
    file_ = unique_fd();
}

void early_writeback::begin(std::size_t bytes) noexcept {
    if (bytes < least_bytes || file_.get() < 0) return;
    if (!thread_.joinable()) {
        try {
            thread_ = std::thread([this] { run(); });
        } catch (const std::exception&) {
            return;  // no thread, or no memory for one; the next one tries again
        }
    }
    {
        const std::lock_guard hold(mutex_);
        under_way_ = true;
        ++begun_;
    }
    changed_.notify_one();
}

void early_writeback::end() noexcept {
    // Not told: the thread looks by itself, and soon.
    const std::lock_guard hold(mutex_);
    under_way_ = false;
}

void early_writeback::run() noexcept {
    pthread_setname_np(pthread_self(), "cairn-writeback");
    std::unique_lock hold(mutex_);
    for (;;) {
        changed_.wait(hold, [this] { return under_way_ || closing_; });
        if (closing_) return;
        const std::uint64_t mine = begun_;
        const auto over = [&] { return closing_ || !under_way_ || begun_ != mine; };
        std::chrono::microseconds waited{0};
        for (auto interval = interval_min; !changed_.wait_for(hold, interval, over);
             interval = std::clamp(waited / interval_share, interval_min, interval_max)) {
            waited += interval;
            hold.unlock();
            // Begins, and waits for nothing; what it returns, the sync will return as well.
            static_cast<void>(::sync_file_range(file_.get(), 0, 0, SYNC_FILE_RANGE_WRITE));
            hold.lock();
        }
    }
}

}  // namespace cairn::store
