#pragma once

#include <pthread.h>
#include <signal.h>

namespace cairn::runtime {

/// While it lives, a thread that its own thread makes begins with all signals blocked: no handler
/// of the program runs on a thread that the program did not start.
class signals_blocked {
public:
    signals_blocked() noexcept {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;

private:
    sigset_t before_;
};

}  // namespace cairn::runtime
