#include <cairn/runtime/waiter.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include "bell.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

namespace cairn::runtime {

waiter::~waiter() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void waiter::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    ready_now();
}

int waiter::descriptor() {
    const std::lock_guard lock(mutex_);
    if (descriptor_ < 0) {
        // Readable from the start: what came before is found by the first try_receive().
        descriptor_ = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        if (descriptor_ < 0) throw_zmq("make a file descriptor for receiving", {}, errno);
    }
    return descriptor_;
}

void waiter::ready_now() {
    if (state_ == state::sleeping) signal_.notify_all();
    // A driver that delivers to itself looks before it waits again.
    if (state_ == state::driving && driver_ != std::this_thread::get_id()) ring(bell_);
    if (descriptor_ >= 0) ring(descriptor_);
}

void waiter::empty_now() {
    if (descriptor_ < 0 || closed_) return;
    eventfd_t ignored = 0;
    [[maybe_unused]] const int result = eventfd_read(descriptor_, &ignored);
}

void waiter::stop_driving() {
    const std::lock_guard lock(mutex_);
    state_ = state::absent;
}

}  // namespace cairn::runtime
