#pragma once

#include <sched.h>

namespace cairn::daemon {

/// While it lives, threads that the caller makes are scheduled with SCHED_BATCH: one that wakes up
/// does not push aside what runs, so peers on the same machine hardly notice the store's threads
/// (sched(7); figures: note 0010). They keep their share of the processor. Needs no right; a caller
/// that is not scheduled in the usual way is left alone.
class background_scheduling {
public:
    background_scheduling() noexcept : changed_(sched_getscheduler(0) == SCHED_OTHER) {
        if (changed_) choose(SCHED_BATCH);
    }
    ~background_scheduling() {
        if (changed_) choose(SCHED_OTHER);
    }
    background_scheduling(const background_scheduling&) = delete;
    background_scheduling& operator=(const background_scheduling&) = delete;

private:
    // Should it fail, threads run as others do.
    static void choose(int policy) noexcept {
        const sched_param none{};
        static_cast<void>(sched_setscheduler(0, policy, &none));
    }

    bool changed_;
};

}  // namespace cairn::daemon
