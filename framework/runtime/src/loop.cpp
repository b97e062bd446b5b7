#include <cairn/error.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include "bell.hpp"
#include "signals_blocked.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <ctime>
#include <span>
#include <string>
#include <system_error>

namespace cairn::runtime {

namespace {

// A thread that publishes more often than this lets the loop's thread send: its messages gather
// meanwhile, which is what makes batches. A turn for one message costs some 2 µs.
constexpr std::chrono::nanoseconds inline_pause = std::chrono::microseconds(50);
// Rounds of one turn: enough to serve what a round itself caused, few enough to let others in.
constexpr int rounds_max = 4;
// A look costs less than 1 µs, a turn that had something to do more.
constexpr int turns_without_a_look_max = 8;

constexpr std::uint64_t bell_number = UINT64_MAX;

// What a task throws would leave the lock taken, and whoever took the turn had nothing to do with
// it.
void run_now(task& t, time_point time) noexcept { t.run(time); }

constexpr duration forever = duration::max();

// The thread sanitizer of g++ 12 does not know epoll_pwait2(), and would not see that what follows
// it comes after what woke it.
#ifdef __SANITIZE_THREAD__
constexpr bool may_be_precise = false;
#else
constexpr bool may_be_precise = true;
#endif

// To the nanosecond where the kernel can (Linux 5.11), else to the millisecond above.
int wait_for_events(int epoll_set, std::span<epoll_event> events, duration timeout) noexcept {
    static std::atomic<bool> precise{may_be_precise};
    const int room = static_cast<int>(events.size());
    timeout = std::max(timeout, duration::zero());
    if (timeout == forever) return epoll_wait(epoll_set, events.data(), room, -1);
    if (precise.load(std::memory_order_relaxed)) {
        const auto s = std::chrono::floor<std::chrono::seconds>(timeout);
        const timespec left{static_cast<time_t>(s.count()),
                            static_cast<long>((timeout - s).count())};
        const int count = epoll_pwait2(epoll_set, events.data(), room, &left, nullptr);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;  // sandboxes say EPERM
        precise.store(false, std::memory_order_relaxed);
    }
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
    return epoll_wait(epoll_set, events.data(), room,
                      static_cast<int>(std::min<std::int64_t>(ms, INT_MAX)));
}

int make_bell(int epoll_set) {
    const int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell < 0) return bell;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = bell_number;
    if (epoll_ctl(epoll_set, EPOLL_CTL_ADD, bell, &event) == 0) return bell;
    const int fault = errno;
    ::close(bell);
    errno = fault;
    return -1;
}

}  // namespace

loop::loop() {
    const bool made = (driver_set_ = epoll_create1(EPOLL_CLOEXEC)) >= 0 &&
                      (loop_set_ = epoll_create1(EPOLL_CLOEXEC)) >= 0 &&
                      (driver_bell_ = make_bell(driver_set_)) >= 0 &&
                      (loop_bell_ = make_bell(loop_set_)) >= 0;
    if (made) return;
    const int fault = errno;
    close_descriptors();
    throw_zmq("make a node", {}, fault);
}

loop::~loop() {
    stop();
    close_descriptors();
}

void loop::close_descriptors() noexcept {
    for (const int descriptor : {driver_set_, loop_set_, driver_bell_, loop_bell_})
        if (descriptor >= 0) ::close(descriptor);
}

void loop::start(std::string_view thread_name) {
    int fault = 0;
    try {
        const signals_blocked here;
        thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& e) {
        fault = e.code().value();
    }
    if (fault != 0)
        throw error(errc::limit_exceeded, std::string("make a node: it needs a thread: ") +
                                              std::strerror(fault) +
                                              "; permit the process more threads");
    const std::string name(thread_name.substr(0, 15));
    pthread_setname_np(thread_.native_handle(), name.c_str());
}

void loop::stop() noexcept {
    stopping_.store(true);
    ring(loop_bell_);
    if (thread_.joinable()) thread_.join();
}

// --- Lock -------------------------------------------------------------------------------------

void loop::lock() {
    fork_.check("use a node");
    mutex_.lock();
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
}

bool loop::try_lock() noexcept {
    if (fork_.forked() || !mutex_.try_lock()) return false;
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    return true;
}

void loop::release() noexcept {
    tell_sleepers();
    owner_.store({}, std::memory_order_relaxed);
    mutex_.unlock();
}

void loop::unlock() {
    if (fork_.forked()) return;  // in the middle of a turn
    release();
    // Whoever flagged something while we held the lock relied on us to see it (see try_turn()).
    if (!pending() || !try_lock()) return;
    turn();
    release();
    // Others keep flagging: that is the loop's thread's work, not this caller's.
    if (pending()) wake();
}

bool loop::try_turn() {
    if (!try_lock()) {
        // The holder looks at again_ after it has unlocked; if it unlocked before it could see our
        // mark, then the lock is free now.
        again_.store(true);
        if (!try_lock()) return false;
    }
    turn();
    unlock();
    return true;
}

// --- Turns ------------------------------------------------------------------------------------

void loop::flag(task& t) noexcept {
    if (t.flagged_.exchange(true)) return;
    t.next_ = flagged_.load(std::memory_order_relaxed);
    while (!flagged_.compare_exchange_weak(t.next_, &t)) {
    }
}

void loop::turn() {
    for (int round = 0; round != rounds_max; ++round) {
        again_.store(false);
        if (signaled_words_.load() != 0) flag_signaled();
        const time_point time = turn_time_ = now();
        flag_due(time);
        task* stack = flagged_.exchange(nullptr);
        while (stack) {
            task* next = stack->next_;
            stack->next_ = running_;
            running_ = stack;
            stack = next;
        }
        const bool any = running_ != nullptr;
        while (running_) {
            task* t = running_;
            running_ = t->next_;
            t->flagged_.store(false);
            run_now(*t, time);
        }
        if (!any) return;
    }
    if (pending()) wake();
}

// Each once: one that sets a time that has passed waits for the next round.
void loop::flag_due(time_point time) {
    while (!timers_.empty() && timers_.begin()->first <= time) {
        task* t = timers_.begin()->second;
        timers_.erase(timers_.begin());
        t->due_ = never;
        flag(*t);
    }
}

void loop::flag_signaled() {
    for (std::uint64_t words = signaled_words_.exchange(0); words != 0; words &= words - 1) {
        const auto word = static_cast<std::size_t>(std::countr_zero(words));
        for (std::uint64_t bits = signaled_[word].exchange(0); bits != 0; bits &= bits - 1) {
            const std::size_t number = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
            if (number < watched_.size() && watched_[number]) flag(*watched_[number]);
        }
    }
}

void loop::run_once(duration wait) {
    try_turn();
    if (wait <= duration::zero()) return;
    collect(loop_set_, wait);
    try_turn();
}

void loop::run() {
    int turns_without_a_look = 0;
    while (!stopping_.load()) {
        lock();
        turn();
        planned_.store(timers_.empty() ? never : timers_.begin()->first);
        unlock();
        sleeping_.store(true);
        // Flagged after our turn and before we said that we sleep: nobody rang.
        if (pending()) {
            sleeping_.store(false);
            // Tasks that always have something to do must not keep descriptors from being seen.
            if (++turns_without_a_look >= turns_without_a_look_max) {
                turns_without_a_look = 0;
                collect(loop_set_, duration::zero());
            }
            continue;
        }
        turns_without_a_look = 0;
        // Who sets an earlier time from now on rings.
        const time_point until = planned_.load();
        // In whole milliseconds, so that timers that are close to each other share a turn.
        collect(loop_set_, until == never
                               ? forever
                               : std::chrono::ceil<std::chrono::milliseconds>(until - now()));
        sleeping_.store(false);
    }
}

void loop::collect(int epoll_set, duration timeout) noexcept {
    std::array<epoll_event, 64> events;
    const int count = wait_for_events(epoll_set, events, timeout);
    for (int i = 0; i < count; ++i) {
        const std::uint64_t number = events[static_cast<std::size_t>(i)].data.u64;
        if (number == bell_number) continue;
        signaled_[number / 64].fetch_or(std::uint64_t{1} << (number % 64));
        signaled_words_.fetch_or(std::uint64_t{1} << (number / 64));
    }
}

// --- Waking -----------------------------------------------------------------------------------

void loop::wake() noexcept {
    if (fork_.forked()) return;
    if (sleeping_.exchange(false)) ring(loop_bell_);
}

void loop::kick() {
    // Inside a turn, and while the loop's thread is awake, somebody looks before going to sleep.
    if (locked_by_me() || !sleeping_.load() || fork_.forked()) return;
    const std::int64_t time = now().time_since_epoch().count();
    if (time - last_inline_.load(std::memory_order_relaxed) < inline_pause.count()) return wake();
    last_inline_.store(time, std::memory_order_relaxed);
    try_turn();
}

void loop::at(task& t, time_point when) {
    if (t.due_ == when) return;
    if (t.due_ != never) timers_.erase({t.due_, &t});
    t.due_ = when;
    if (when == never) return;
    timers_.insert({when, &t});
    if (when < planned_.load()) {
        // The loop's thread would sleep past it.
        planned_.store(when);
        wake();
    }
}

void loop::remove(task& t) {
    at(t, never);
    if (!t.flagged_.load()) return;
    for (task** at = &running_; *at; at = &(*at)->next_) {
        if (*at != &t) continue;
        *at = t.next_;
        t.flagged_.store(false);
        return;
    }
    task* stack = flagged_.exchange(nullptr);
    while (stack) {
        task* next = stack->next_;
        stack->flagged_.store(false);
        if (stack != &t) flag(*stack);
        stack = next;
    }
    t.flagged_.store(false);
}

loop::watching::watching(loop& owner, int descriptor, task& t)
    : owner_(owner), descriptor_(descriptor), task_(t) {
    std::vector<task*>& all = owner.watched_;
    auto free = std::find(all.begin(), all.end(), nullptr);
    if (free == all.end()) {
        if (all.size() == descriptors_max)
            throw error(errc::limit_exceeded,
                        "watch a socket: a node has at most " + std::to_string(descriptors_max) +
                            ", two for each endpoint; use another node for more endpoints");
        free = all.insert(free, nullptr);
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE;
    event.data.u64 = static_cast<std::uint64_t>(free - all.begin());
    // The driver's set first: it is asked first.
    for (const int epoll_set : {owner.driver_set_, owner.loop_set_}) {
        if (epoll_ctl(epoll_set, EPOLL_CTL_ADD, descriptor, &event) == 0) continue;
        const int fault = errno;
        epoll_ctl(owner.driver_set_, EPOLL_CTL_DEL, descriptor, nullptr);
        throw_zmq("watch a socket", {}, fault);
    }
    *free = &t;
    owner.flag(t);  // what is there already made its edge before we looked
}

loop::watching::~watching() {
    epoll_ctl(owner_.driver_set_, EPOLL_CTL_DEL, descriptor_, nullptr);
    epoll_ctl(owner_.loop_set_, EPOLL_CTL_DEL, descriptor_, nullptr);
    std::replace(owner_.watched_.begin(), owner_.watched_.end(), &task_,
                 static_cast<task*>(nullptr));
    owner_.remove(task_);
}

// --- Driving ----------------------------------------------------------------------------------

void loop::stop_driving(waiter& w) {
    w.stop_driving();
    driven_.store(false);
}

void loop::drive(std::optional<time_point> deadline) {
    const bool ends = deadline && *deadline != never;
    collect(driver_set_, ends ? *deadline - now() : forever);
    try_turn();
}

// --- Waiting for a change -----------------------------------------------------------------------

void loop::sleeper::rest(time_point deadline) {
    std::unique_lock lock(mutex_);
    signal_.wait_until(lock, deadline, [this] { return over_; });
}

void loop::sleeper::wake() noexcept {
    const std::lock_guard lock(mutex_);
    over_ = true;
    signal_.notify_one();
}

bool loop::sleeper::over() const noexcept {
    const std::lock_guard lock(mutex_);
    return over_;
}

bool loop::begin_wait(sleeper& mine) {
    const guard holding(*this);
    if (mine.done()) return false;
    sleepers_.push_back(&mine);
    if (become_driver()) mine.driver = std::this_thread::get_id();
    return true;
}

void loop::go_on_waiting(sleeper& mine, time_point deadline) {
    if (mine.driver == std::thread::id{}) return mine.rest(deadline);
    while (!mine.over() && now() < deadline) drive(deadline);
    driven_.store(false);
}

bool loop::end_wait(sleeper& mine) {
    if (mine.over()) return true;
    const guard holding(*this);
    std::erase(sleepers_, &mine);
    return mine.over() || mine.done();
}

// What one sleeper does may be what another one waits for.
void loop::tell_sleepers() noexcept {
    for (int round = 0; changed_ && round != rounds_max; ++round) {
        changed_ = false;
        std::erase_if(sleepers_, [this](sleeper* s) {
            if (!s->done()) return false;
            const std::thread::id driver = s->driver;
            s->wake();
            if (driver != std::thread::id{} && driver != std::this_thread::get_id())
                ring(driver_bell_);
            return true;
        });
    }
    if (changed_) again_.store(true);  // the rest in another turn
}

}  // namespace cairn::runtime
