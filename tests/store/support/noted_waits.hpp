#pragma once

#include <cairn/store/committer.hpp>

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

namespace cairn::test {

/// A waiting room that keeps for how long each who came was ready to wait, and lets him.
class noted_waits final : public store::waiting_room {
public:
    void wait(time_point deadline, const std::function<bool()>& done) override {
        std::unique_lock hold(mutex_);
        waits_.push_back(deadline - clock::now());
        changed_.notify_all();
        changed_.wait_until(hold, deadline, done);
    }
    void wake() override {
        const std::lock_guard hold(mutex_);
        changed_.notify_all();
    }
    std::vector<clock::duration> wait_until_used(std::size_t times) {
        std::unique_lock hold(mutex_);
        changed_.wait(hold, [&] { return waits_.size() >= times; });
        return waits_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<clock::duration> waits_;
};

}  // namespace cairn::test
